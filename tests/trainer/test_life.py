"""A run's life as a pod sees it: finished, killed, stopped, resumed - real launchers and ranks."""

import hashlib
import json
import math
import os
import re
import shutil
import signal
import time
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
import torch
from safetensors.torch import load_file
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from trainwright_api.data import Location
from trainwright_api.names import Cause, Outcome
from trainwright_api.resources import Adapter, AdapterType, SFTLoss
from trainwright_api.run import Run, RunModel, RunObjective, RunTokenizer
from transformers import AutoModelForCausalLM, AutoTokenizer

from tests.ports import free_port
from tests.trainer.pickled_calls import PickledCall
from tests.trainer.ranks import HANG_SECONDS, PORTS_OF_A_GROUP, Launched, launch
from tests.trainer.run_builder import source, write_json_lines
from tests.trainer.tiny_runs import TINY, tiny_run

STEPS = 40
VOCABULARY = 512


def wait_for(condition: Callable[[], bool], launched: Launched) -> None:
    deadline = time.monotonic() + HANG_SECONDS
    while not condition():
        assert launched.process.poll() is None, launched.log[-3000:]
        assert time.monotonic() < deadline, launched.log[-3000:]
        time.sleep(0.05)


def has_checkpoint(folder: Path, step: int) -> bool:
    return step in saved_steps(folder)


def saved_steps(folder: Path) -> list[int]:
    manifests = (folder / "store").glob("step-*/manifest.json")
    return sorted(int(path.parent.name.removeprefix("step-")) for path in manifests)


def has_events(folder: Path) -> bool:
    return any((folder / "store" / "tensorboard").glob("events.*"))


def read_events(store: Path) -> EventAccumulator:
    accumulator = EventAccumulator(str(store / "tensorboard"))
    accumulator.Reload()
    return accumulator


def finish(run: Run, folder: Path) -> Launched:
    launched = launch(run, folder)
    assert launched.wait() == 0, launched.log[-4000:]
    return launched


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Launched]:
    """The uninterrupted run."""
    folder = tmp_path_factory.mktemp("whole")
    return folder, finish(
        tiny_run(folder, steps=STEPS, ranks=2, vocabulary=VOCABULARY), folder / "pod"
    )


def test_a_finished_run_says_where_its_model_is(finished: tuple[Path, Launched]) -> None:
    folder, launched = finished
    message = launched.message
    assert message.outcome is Outcome.SUCCEEDED
    assert message.model is not None
    assert message.model.uri == f"file://{folder}/store/model/"
    assert message.model.samples[0].before != message.model.samples[0].after
    assert message.progress is not None
    assert message.progress.step == STEPS
    assert message.progress.loss is not None
    assert message.progress.first_loss is not None
    assert message.progress.loss < message.progress.first_loss - 0.5


def test_the_finished_model_loads_and_continues_text(finished: tuple[Path, Launched]) -> None:
    folder = finished[0] / "store" / "model"
    model = AutoModelForCausalLM.from_pretrained(folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    ids = tokenizer("def main(self):", return_tensors="pt")["input_ids"]
    logits = model(ids).logits
    assert logits.shape == (1, ids.shape[1], len(tokenizer))
    assert torch.isfinite(logits).all()


def test_tensorboard_shows_every_step_and_the_samples(finished: tuple[Path, Launched]) -> None:
    found = read_events(finished[0] / "store")
    assert [event.step for event in found.Scalars("train/loss")] == list(range(1, STEPS + 1))
    assert {"samples/before/0/text_summary", "samples/after/0/text_summary"} <= set(
        found.Tags()["tensors"]
    )


def test_nothing_is_compiled_while_a_run_trains(finished: tuple[Path, Launched]) -> None:
    scratch = finished[0] / "pod" / "scratch"
    assert scratch.is_dir()
    folders = [scratch / name for name in ("torch_extensions", "triton", "inductor")]
    assert [path for folder in folders for path in folder.rglob("*") if path.is_file()] == []


def continued(finished: tuple[Path, Launched], folder: Path) -> Run:
    """One step over the same text that starts from the finished model."""
    uri = f"file://{finished[0]}/store/model/"
    return tiny_run(
        folder,
        steps=1,
        ranks=2,
        model=RunModel(weights=Location(uri=uri)),
        tokenizer=RunTokenizer(),
    )


def losses_of(launched: Launched) -> tuple[float, float]:
    """The first step's and the last one's."""
    progress = launched.message.progress
    assert progress is not None
    assert progress.first_loss is not None
    assert progress.loss is not None
    return progress.first_loss, progress.loss


def test_continued_pretraining_starts_where_the_other_run_ended(
    finished: tuple[Path, Launched], tmp_path: Path
) -> None:
    fresh, trained = losses_of(finished[1])
    child = finish(continued(finished, tmp_path), tmp_path / "pod")
    assert child.message.resumed_from_step is None
    first, _ = losses_of(child)
    # The first batch is that of the fresh start; from batch to batch the loss differs by less than 0.2.
    assert first == pytest.approx(trained, abs=0.2)
    assert first < fresh - 0.5


def test_fine_tuning_starts_from_what_the_base_model_knows(
    finished: tuple[Path, Launched], tmp_path: Path
) -> None:
    run = continued(finished, tmp_path)
    text = (tmp_path / "text" / "argparse.py").read_text()
    pieces = [text[start : start + 200] for start in range(0, len(text), 200)]
    records = [{"prompt": piece[:40], "completion": piece[40:]} for piece in pieces if piece[40:]]
    data = source(write_json_lines(tmp_path / "pairs.jsonl", records), "PromptCompletion")
    run = run.model_copy(
        update={
            "kind": "FineTuneJob",
            "objective": RunObjective.SFT,
            "sft_loss": SFTLoss.ASSISTANT_ONLY,
            "adapter": Adapter(type=AdapterType.LORA, rank=4),
            "data": run.data.model_copy(update={"sources": [data]}),
        }
    )
    first, _ = losses_of(finish(run, tmp_path / "pod"))
    # An adapter adds nothing before its first update, so that this is the base model's own loss.
    assert first < math.log(VOCABULARY) - 0.5  # which is the loss of guessing


def test_killed_and_resumed_weights_are_bitwise_those_of_the_whole_run(
    finished: tuple[Path, Launched], tmp_path: Path
) -> None:
    run = tiny_run(tmp_path, steps=STEPS, ranks=2)
    first = launch(run, tmp_path / "first")
    # Whichever is the newest when it is looked for: of old ones a few are kept only.
    wait_for(lambda: max(saved_steps(tmp_path), default=0) >= 8 and has_events(tmp_path), first)
    os.kill(first.rank_pids()[1], signal.SIGKILL)
    started = time.monotonic()
    assert first.wait(120) == 1
    assert time.monotonic() - started < 60
    message = first.message
    assert (message.cause, message.signal) == (Cause.INFRASTRUCTURE, "SIGKILL")
    assert message.rank == 1

    second = finish(run.model_copy(update={"attempt": 2}), tmp_path / "second")
    resumed = second.message.resumed_from_step
    assert resumed is not None
    assert 8 <= resumed < STEPS
    whole = load_file(finished[0] / "store" / "model" / "model.safetensors")
    pieced = load_file(tmp_path / "store" / "model" / "model.safetensors")
    assert whole.keys() == pieced.keys()
    for name, tensor in whole.items():
        assert torch.equal(tensor, pieced[name]), name
    steps = [event.step for event in read_events(tmp_path / "store").Scalars("train/loss")]
    assert steps == sorted(set(steps))
    assert steps[-1] == STEPS


def test_a_checkpoint_of_somebody_else_runs_no_code(
    finished: tuple[Path, Launched], tmp_path: Path
) -> None:
    theirs, made = tmp_path / "theirs", tmp_path / "made"
    shutil.copytree(finished[0] / "store", theirs)
    replace_shard(theirs / f"step-{STEPS:06d}", PickledCall(os.mkdir, (str(made),)))
    run = tiny_run(tmp_path, steps=2 * STEPS)
    resume_from = run.checkpoints.folder.model_copy(update={"uri": f"file://{theirs}/"})
    checkpoints = run.checkpoints.model_copy(update={"resume_from": resume_from})
    launched = launch(run.model_copy(update={"checkpoints": checkpoints}), tmp_path / "pod")
    assert launched.wait() == 2, launched.log[-3000:]
    assert launched.message.cause is Cause.USER_ERROR
    assert launched.message.message.startswith("spec.checkpoints.resumeFrom: got a checkpoint at ")
    assert "may run code" in launched.message.message
    assert not made.exists()


def replace_shard(folder: Path, content: object) -> None:
    """Put something else into a checkpoint, whose manifest then speaks of it."""
    manifest = json.loads((folder / "manifest.json").read_text())
    entry = next(file for file in manifest["files"] if file["path"].endswith("_states.pt"))
    torch.save(content, folder / entry["path"])
    written = (folder / entry["path"]).read_bytes()
    entry |= {"sizeBytes": len(written), "sha256": hashlib.sha256(written).hexdigest()}
    (folder / "manifest.json").write_text(json.dumps(manifest))


@dataclass(frozen=True)
class Stopped:
    """A run that was asked to stop while it trained, and what was seen before."""

    folder: Path
    launched: Launched
    code: int
    page: str
    resident_bytes: list[int]  # of the ranks' processes, by rank


@pytest.fixture(scope="module")
def stopped(tmp_path_factory: pytest.TempPathFactory) -> Stopped:
    """A run of two ranks that would train on and on."""
    folder = tmp_path_factory.mktemp("stopped")
    run = tiny_run(folder, ranks=2, steps=100_000, every_steps=100_000)
    launched = launch(run, folder / "pod")
    wait_for(lambda: has_reached(launched, 2), launched)
    page = read_page(launched, "/metrics").decode()
    resident = [psutil.Process(pid).memory_info().rss for pid in launched.rank_pids()]
    launched.process.send_signal(signal.SIGTERM)
    return Stopped(folder, launched, launched.wait(120), page, resident)


def test_the_first_rank_serves_the_memory_of_every_rank_of_its_pod(stopped: Stopped) -> None:
    series = r'trainwright_memory_bytes{rank="(\d)",state="allocated"} (\S+)'
    found = sorted((int(rank), float(value)) for rank, value in re.findall(series, stopped.page))
    assert [rank for rank, _ in found] == [0, 1]
    assert [value for _, value in found] == pytest.approx(stopped.resident_bytes, rel=0.2)


def test_sigterm_saves_and_says_so(stopped: Stopped) -> None:
    assert stopped.code == 143, stopped.launched.log[-3000:]
    message = stopped.launched.message
    assert message.outcome is Outcome.INTERRUPTED
    assert message.step is not None
    assert message.step > 0
    assert has_checkpoint(stopped.folder, message.step)


def test_sigterm_before_training_ends_at_once_and_is_no_failure(tmp_path: Path) -> None:
    launched = launch(tiny_run(tmp_path, ranks=2), tmp_path / "pod")
    wait_for(lambda: "started ranks" in launched.log, launched)
    launched.process.send_signal(signal.SIGTERM)
    assert launched.wait(30) == 143, launched.log[-3000:]
    assert launched.message.outcome is Outcome.INTERRUPTED
    assert "before the first step" in launched.message.message


def test_a_pod_ends_soon_after_another_froze(tmp_path: Path) -> None:
    run = tiny_run(tmp_path, steps=100_000, every_steps=100_000)
    workers = run.workers.model_copy(update={"nodes": 2})
    run, port = run.model_copy(update={"workers": workers}), free_port(PORTS_OF_A_GROUP)
    zero, one = (
        launch(
            run,
            tmp_path / f"pod-{node}",
            node_rank=node,
            master_port=port,
            TRAINWRIGHT_PEER_SILENCE_SECONDS="3",
        )
        for node in (0, 1)
    )
    wait_for(lambda: has_reached(zero, 1), zero)
    os.killpg(one.process.pid, signal.SIGSTOP)  # as a node without power: connections stay open
    try:
        started = time.monotonic()
        assert zero.wait(60) == 1, zero.log[-3000:]
        assert time.monotonic() - started < 30
    finally:
        os.killpg(one.process.pid, signal.SIGKILL)
    message = zero.message
    assert message.cause is Cause.INFRASTRUCTURE
    assert message.message.startswith("lost contact to the pod of node 1: it has been silent")


def has_reached(launched: Launched, step: int) -> bool:
    try:
        return json.loads(read_page(launched, "/status"))["progress"]["step"] >= step
    except (OSError, KeyError):
        return False


def read_page(launched: Launched, path: str) -> bytes:
    with urllib.request.urlopen(f"http://127.0.0.1:{launched.port}{path}", timeout=2) as answer:
        return answer.read()


def test_bad_input_is_one_clear_sentence_with_an_exit_code_of_its_own(tmp_path: Path) -> None:
    run = tiny_run(tmp_path, model=RunModel(architecture="lama", config=TINY))
    launched = launch(run, tmp_path / "pod")
    assert launched.wait() == 2, launched.log[-3000:]
    assert launched.message.cause is Cause.USER_ERROR
    assert launched.message.message.startswith("spec.model: got lama")
