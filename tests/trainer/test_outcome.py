"""A rank's last words reach the launcher, also from a scratch disk on which nothing else has room."""

from pathlib import Path

import pytest
from trainwright_api.names import Cause, Outcome
from trainwright_api.report import TerminationMessage
from trainwright_trainer.outcome import outcome_file, read_outcome, reserve_outcome, write_outcome

from tests.trainer.run_builder import build_run
from tests.trainer.small_disk import needs_mounts, run_on_small_disk

MESSAGE = TerminationMessage(outcome=Outcome.FAILED, cause=Cause.INFRASTRUCTURE, message="ü" * 2000)

# A trainer that fills the disk and then says so, as a snapshot would.
RANK = """
import sys
from pathlib import Path
from types import SimpleNamespace
from trainwright_api.report import TerminationMessage
from trainwright_trainer import rank
from trainwright_trainer.outcome import outcome_file, read_outcome
from trainwright_trainer.scratch import full_scratch_error, is_full

scratch = Path(sys.argv[1])

def fill():
    try:
        with (scratch / "snapshot").open("wb", buffering=0) as file:
            while True:
                file.write(bytes(4096))
    except OSError as error:
        assert is_full(error, scratch)
        raise full_scratch_error(scratch) from error

def describe_end(outcome, cause, text):
    return TerminationMessage(outcome=outcome, cause=cause, message=text)

def nothing(*_):
    pass

rank._build_trainer = lambda *_: SimpleNamespace(
    run_to_end=fill, describe_end=describe_end,
    trackers=SimpleNamespace(close=nothing), reporter=SimpleNamespace(close_otlp=nothing),
)
sys.argv = ["rank", "--run", sys.argv[2]]
assert rank.main() == 1
told = read_outcome(outcome_file(scratch, 0))
raise SystemExit(f"{told.cause}: {told.message}" if told else "left no message")
"""


@needs_mounts
def test_a_rank_that_fills_the_scratch_disk_says_what_to_raise(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    (tmp_path / "run.json").write_text(build_run().model_dump_json(by_alias=True))
    monkeypatch.setenv("TRAINWRIGHT_SCRATCH_FOLDER", str(scratch))
    monkeypatch.setenv("TRAINWRIGHT_LOCAL_RANK", "1")  # which serves no pages
    told = run_on_small_disk(scratch, RANK, str(scratch), f"{tmp_path}/run.json")
    assert told.startswith(
        "Infrastructure: spec.workers.resources.ephemeral-storage: got 0 B free of 2.0 MiB on the node's"
    )


@pytest.mark.parametrize("has_space", [True, False])
def test_an_outcome_is_read_as_it_was_written(tmp_path: Path, has_space: bool) -> None:
    path = outcome_file(tmp_path, 3)
    if has_space:
        reserve_outcome(path)
    assert read_outcome(path) is None
    write_outcome(path, MESSAGE)
    assert read_outcome(path) == MESSAGE
    assert [file.name for file in path.parent.iterdir()] == ["rank-3.json"]
