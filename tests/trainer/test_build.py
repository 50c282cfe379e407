"""What is built before the first step: samples, dice and base weights, in one process without an engine."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from trainwright_api.data import Location
from trainwright_api.report import Manifest
from trainwright_api.resources import SFTLoss
from trainwright_api.run import Run, RunModel
from trainwright_trainer import build
from trainwright_trainer.build import BuiltRun, identify_frozen
from trainwright_trainer.checkpoint import FetchedCheckpoint, ResumePoint, RunFacts
from trainwright_trainer.errors import UserError
from trainwright_trainer.groups import SingleGroup
from trainwright_trainer.models import new_model
from trainwright_trainer.settings import Settings
from transformers import AutoConfig

from tests.trainer.run_builder import build_run
from tests.trainer.tokenizer_builder import byte_tokenizer


def on_accelerators(run: Run) -> Run:
    workers = run.workers.model_copy(update={"uses_accelerators": True})
    return run.model_copy(update={"workers": workers})


@pytest.mark.parametrize("saved_on_gpus", [True, False])
def test_the_dice_of_devices_are_restored_where_they_were_saved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, saved_on_gpus: bool
) -> None:
    prepared = SimpleNamespace(run=on_accelerators(build_run()), settings=Settings())
    built = BuiltRun(prepared, None, None, None)  # type: ignore[arg-type]
    torch.manual_seed(5)
    states = {"cpu": torch.get_rng_state()}
    if saved_on_gpus:
        states["cuda"] = torch.arange(16, dtype=torch.uint8)
    torch.save(states, tmp_path / "random-00000.pt")
    restored: list[torch.Tensor] = []
    monkeypatch.setattr(torch.cuda, "set_rng_state", restored.append)

    expected = torch.rand(3)
    built._restore_dice(tmp_path)
    assert torch.equal(torch.rand(3), expected)
    assert [state.tolist() for state in restored] == ([list(range(16))] if saved_on_gpus else [])


def with_prompts(run: Run, *prompts: str) -> Run:
    output = run.output.model_copy(update={"sample_prompts": list(prompts)})
    return run.model_copy(update={"output": output})


def test_a_prompt_that_the_chat_template_refuses_is_the_users_to_mend() -> None:
    run = with_prompts(build_run(sft=SFTLoss.ASSISTANT_ONLY), "Hi")
    tokenizer = byte_tokenizer(chat_template="{{ raise_exception('needs a system message') }}")
    prepared: Any = SimpleNamespace(run=run, tokenizer=tokenizer)
    with pytest.raises(
        UserError, match=r"spec\.output\.samplePrompts: got .*\(needs a system .*\)"
    ):
        build._complete_prompts(prepared, torch.nn.Linear(1, 1))


@pytest.mark.parametrize("num_tokens", [8, 9])
def test_a_prompt_that_is_longer_than_the_model_has_positions_is_the_users_to_mend(
    num_tokens: int,
) -> None:
    config = AutoConfig.for_model(
        "gpt2", n_embd=8, n_head=2, n_layer=1, n_positions=8, vocab_size=264
    )
    run = with_prompts(build_run(), "Hi", "a" * num_tokens)
    prepared: Any = SimpleNamespace(run=run, tokenizer=byte_tokenizer())
    if num_tokens <= 8:
        assert len(build._complete_prompts(prepared, new_model(config))) == 2
        return
    with pytest.raises(
        UserError,
        match=r"spec\.output\.samplePrompts\[1\]: got a prompt of 9 tokens .* 8 positions",
    ):
        build._complete_prompts(prepared, new_model(config))


def test_other_ranks_wait_for_the_samples_before_the_engines_first_exchange(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """On rank 1: nothing is computed there, and what rank 0 tells comes before the engine is set up."""
    told = iter([None, None, ["a sample"], None])
    done: list[str] = []

    class Rank1(SingleGroup):
        rank = 1

        def broadcast(self, value: Any, source: int = 0) -> Any:
            assert value == (None, None)
            done.append("exchange")
            return next(told), None

    def set_up(*_: Any) -> None:
        done.append("engine")

    monkeypatch.setattr(build, "build_model", lambda *_: torch.nn.Linear(1, 1))
    monkeypatch.setattr(build, "Engine", set_up)
    prepared: Any = SimpleNamespace(
        run=with_prompts(build_run(), "Hi"),
        settings=Settings(),
        config=None,
        tokenizer=None,
        model_facts=None,
        plan=SimpleNamespace(zero_stage=1),
        data=SimpleNamespace(template_sha256=None, data_sha256="d"),
    )
    reporter: Any = SimpleNamespace(set_peak=lambda *_: None)
    built = build.build_run(prepared, Rank1(), reporter)
    assert built.samples_before == ["a sample"]
    assert done == ["exchange"] * 4 + ["engine"]


def adapted(seed: int) -> torch.nn.Module:
    """A model of which the first layer is frozen."""
    torch.manual_seed(seed)
    model = torch.nn.Sequential(torch.nn.Linear(300, 20), torch.nn.Linear(20, 3))
    model[0].requires_grad_(False)
    return model


def test_frozen_weights_are_known_again_by_their_values() -> None:
    first, same, other = (identify_frozen(adapted(seed)) for seed in (1, 1, 2))
    assert first is not None
    assert first == same != other
    trained = adapted(1)
    torch.nn.init.zeros_(trained[1].weight)
    assert identify_frozen(trained) == first
    assert identify_frozen(torch.nn.Linear(3, 3)) is None


@pytest.mark.parametrize("is_own", [True, False])
def test_an_adapter_does_not_go_on_upon_another_base_model(is_own: bool) -> None:
    def check(now: str | None, before: str | None, loader: str = "5") -> None:
        versions = {build.LOADER: loader}
        manifest = Manifest.model_construct(
            base_sha256=before, versions={build.LOADER: "5"}, world_size=1, precision="FP32"
        )
        point = ResumePoint("s3://b/run/step-000004/", manifest, is_own)
        facts = RunFacts(zero_stage=1, base_sha256=now, versions=versions)
        prepared = SimpleNamespace(run=run, settings=Settings())
        built = BuiltRun(prepared, Loading(), None, facts)  # type: ignore[arg-type]
        built.restore(FetchedCheckpoint(point, Path("/nowhere")))

    class Loading:
        """An engine that loads, and ends the test there."""

        def load(self, *_: Any) -> None:
            raise LookupError

    def loads(*known: Any) -> None:
        with pytest.raises(LookupError):
            check(*known)

    weights = Location(uri="hf://organization/base@main")
    run = build_run().model_copy(update={"model": RunModel(weights=weights)})
    for known in [("a", "a"), ("a", None), (None, "a"), (None, None)]:
        loads(*known)
    loads("a", "b", "6")  # another transformers may have the same weights in another order
    remedy = "restore the one" if is_own else "name the base model of the run in"
    with pytest.raises(
        UserError,
        match=rf"spec\.model\.weights\.uri: got hf://organization/base@main .*, expected .*; {remedy}",
    ):
        check("a", "b")
