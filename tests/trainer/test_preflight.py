"""What can be known before weights are loaded ends a run with one clear sentence."""

from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import torch
from trainwright_api.data import Location, Packing
from trainwright_api.report import Manifest
from trainwright_api.resources import Adapter, AdapterType
from trainwright_api.run import Run, RunModel, RunTokenizer
from trainwright_api.status import MemoryTerm, Plan
from trainwright_api.training import OffloadDevice, Precision
from trainwright_operator.resolving import parse_run, resolve
from trainwright_operator.world import World
from trainwright_planner.advice import fit_message
from trainwright_planner.facts import model_facts_of_run
from trainwright_trainer.checkpoint import ResumePoint
from trainwright_trainer.data import prepare_data
from trainwright_trainer.errors import UserError
from trainwright_trainer.groups import SingleGroup
from trainwright_trainer.models import load_config, measure_run
from trainwright_trainer.positions import check_positions
from trainwright_trainer.preflight import (
    PreparedRun,
    check_budget,
    check_fit,
    check_other_start,
    check_same_data,
    decide_plan,
    prepare_run,
)
from trainwright_trainer.report import Reporter
from trainwright_trainer.settings import Settings
from transformers import PretrainedConfig

from tests.trainer.checkpoint_harness import open_manager, save
from tests.trainer.tiny_runs import TINY, tiny_run
from tests.trainer.tokenizer_builder import byte_tokenizer
from tests.unit.operator.builders import raw_run


def prepare(run: Run, folder: Path) -> PreparedRun:
    settings = Settings(scratch_folder=folder / "scratch")
    return prepare_run(run, settings, SingleGroup(), Reporter(run, settings))


def llama(**config: Any) -> dict[str, Any]:
    return {"model": RunModel(architecture="llama", config=TINY | config)}


BAD: dict[str, tuple[dict[str, Any], str]] = {
    "no model": (
        {
            "model": RunModel(weights=Location(uri="file://FOLDER/text/")),
            "tokenizer": RunTokenizer(),
        },
        "spec.model.weights",
    ),
    "embedding smaller than the tokenizer": (
        llama(vocab_size=64),
        "spec.model.config.vocab_size: got 64",
    ),
    "unknown architecture": (
        {"model": RunModel(architecture="lama", config=TINY)},
        "spec.model: got lama",
    ),
    "no language model": (
        {"model": RunModel(architecture="vit", config={})},
        "spec.model: got vit",
    ),
    "impossible config": (llama(hidden_size=63), "The hidden size (63) is not a multiple"),
    "wrong type in the config": (llama(hidden_size="wide"), "spec.model: got llama"),
    "slip of the pen in the config": (
        llama(num_hiden_layers=2),
        "spec.model.config.num_hiden_layers: got a field that llama has not, expected one of its config; "
        "did you mean num_hidden_layers?",
    ),
    "unknown adapter target": (
        {"adapter": Adapter(type=AdapterType.LORA, target_modules=["nose"])},
        "spec.adapter.targetModules",
    ),
    "adapter target that is not there beside one that is": (
        {"adapter": Adapter(type=AdapterType.LORA, target_modules=["q_proj", "layers.7.k_proj"])},
        "spec.adapter.targetModules: got layers.7.k_proj, which no layer",
    ),
    "text longer than the positions that the model has learned": (
        {
            "model": RunModel(
                architecture="gpt2",
                config={"n_embd": 8, "n_head": 2, "n_layer": 1, "n_positions": 16},
            )
        },
        "spec.data.sequenceLength: got 64 with texts of up to 64 tokens for a gpt2 that has learned 16",
    ),
    "batch that the ranks cannot share": (
        {"ranks": 3},
        "spec.batch.globalSequences: got 8",
    ),
    "no tokenizer for a new model": (
        {"tokenizer": RunTokenizer()},
        "spec.tokenizer: got none",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_one_clear_sentence(tmp_path: Path, name: str) -> None:
    changes, words = BAD[name]
    text = tiny_run(tmp_path, **changes).model_dump_json().replace("FOLDER", str(tmp_path))
    with pytest.raises(UserError) as refused:
        prepare(Run.model_validate_json(text), tmp_path)
    assert words in refused.value.message
    assert "expected" in refused.value.message
    assert "\n" not in refused.value.message


@pytest.mark.parametrize(
    ("given", "expected"),
    [({}, 2048), ({"n_positions": 96}, 96), ({"max_position_embeddings": 96}, 96)],
)
def test_the_longest_sequence_goes_by_the_name_that_a_family_has_for_it(
    tmp_path: Path, given: dict[str, int], expected: int
) -> None:
    run = tiny_run(tmp_path, model_config={"n_embd": 64, "n_head": 4, "n_layer": 2} | given)
    run = run.model_copy(update={"model": run.model.model_copy(update={"architecture": "gpt2"})})
    assert load_config(run, None, byte_tokenizer()).n_positions == expected


def gpt2(folder: Path, text: str, **changes: Any) -> tuple[Run, PretrainedConfig]:
    """A run of a model that has learned 16 positions, on one document of a byte tokenizer's."""
    (folder / "text").mkdir()
    (folder / "text" / "d.txt").write_text(text)
    config = {"n_embd": 8, "n_head": 2, "n_layer": 1, "n_positions": 16}
    run = tiny_run(folder, sequence_length=32, **changes)
    run = run.model_copy(update={"model": RunModel(architecture="gpt2", config=config)})
    return run, load_config(run, None, byte_tokenizer())


@pytest.mark.parametrize(
    ("text", "packing", "longest"),
    [
        ("a" * 15, Packing.ISOLATED, 16),
        ("a" * 16, Packing.ISOLATED, 17),
        ("a", Packing.CONTIGUOUS, 32),
    ],
)
def test_a_text_with_more_positions_than_a_model_has_learned_is_refused(
    tmp_path: Path, text: str, packing: Packing, longest: int
) -> None:
    run, config = gpt2(tmp_path, text)
    data = run.data.model_copy(update={"packing": packing})
    prepared = prepare_data(
        run.model_copy(update={"data": data}), byte_tokenizer(), Settings(scratch_folder=tmp_path)
    )
    assert prepared.longest_text == longest
    if longest <= 16:
        check_positions(run, config, longest)
        return
    with pytest.raises(
        UserError,
        match=rf"spec\.data\.sequenceLength: got 32 with texts of up to {longest} tokens for a gpt2 that has "
        r"learned 16 positions, .*; lower it, or raise spec\.model\.config\.n_positions",
    ):
        check_positions(run, config, longest)


def test_a_model_that_computes_its_positions_takes_any(tmp_path: Path) -> None:
    run = tiny_run(tmp_path, **llama(max_position_embeddings=16))
    check_positions(run, load_config(run, None, byte_tokenizer()), 10_000)


@pytest.mark.skipif(
    torch.ops.mkldnn._is_mkldnn_fp16_supported(), reason="this CPU computes in FP16"
)
def test_a_precision_that_the_device_lacks_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"spec.precision: got FP16.*use BF16 or FP32"):
        prepare(tiny_run(tmp_path, precision=Precision.FP16), tmp_path)


def test_the_reporter_is_told_what_of_the_plans_operations_is_for_logits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: dict[str, float] = {}
    monkeypatch.setattr(Reporter, "set_plan", lambda _self, _plan, **more: told.update(more))
    run = tiny_run(tmp_path)
    prepared = prepare(run, tmp_path)
    assert told == {"logit_flops": 6 * len(prepared.tokenizer) * TINY["hidden_size"]}


def point(stage: int, plan: Plan | None = None, *, is_own: bool = False) -> ResumePoint:
    manifest = Manifest(
        run="run",
        namespace="team",
        uid="u",
        attempt=1,
        step=4,
        samples=4,
        tokens=4,
        epoch=0,
        world_size=2,
        zero_stage=stage,
        precision="BF16",
        saved_at="",
        plan=plan,
        files=[],
    )
    return ResumePoint("file:///s/step-000004/", manifest, is_own=is_own)


def test_auto_keeps_the_stage_of_the_checkpoint(tmp_path: Path) -> None:
    run = tiny_run(tmp_path, stage=None, precision=Precision.BF16)
    facts = measure_run(run, load_config(run, None, byte_tokenizer()))
    assert decide_plan(run, facts, 100, None).zero_stage == 1
    assert decide_plan(run, facts, 100, point(3)).zero_stage == 3


def test_what_the_operator_hands_on_is_still_auto_in_the_pod() -> None:
    world, raw = World(), raw_run()
    world.see_run(raw)
    run = resolve(parse_run(raw), 1, world).run
    assert run is not None
    facts = model_facts_of_run(run)
    assert facts is not None
    plan = decide_plan(run, facts, 100, point(2))
    assert plan.zero_stage == 2
    reasons = {decision.field: decision.reason for decision in plan.decisions}
    assert reasons["zeroStage"].startswith("Auto: ")
    assert reasons["microSequences"].startswith("Auto: ")


def test_a_given_stage_that_is_not_the_checkpoints_is_refused(tmp_path: Path) -> None:
    run = tiny_run(tmp_path, stage=2, precision=Precision.BF16)
    facts = measure_run(run, load_config(run, None, byte_tokenizer()))
    with pytest.raises(
        UserError, match=r"zeroStage: got 2 for a checkpoint of stage 3.*use 3 or Auto"
    ):
        decide_plan(run, facts, 100, point(3))


# The precision, what is offloaded, the checkpoint's stage, and what is said of it.
FORBIDDEN: dict[str, tuple[Precision, dict[str, Any], int, str]] = {
    "precision": (
        Precision.BF16,
        {},
        0,
        "spec.precision: got BF16 for the checkpoint file:///s/step-000004/ of ZeRO stage 0, expected "
        "FP32, as BF16 needs at least 1 (master weights are in ZeRO's optimizer), and a checkpoint "
        "keeps its stage; use spec.precision FP32, or ",
    ),
    "precision and offload": (
        Precision.BF16,
        {"offload_parameters": OffloadDevice.CPU},
        0,
        "spec.parallelism.offloadParameters: got CPU for the checkpoint file:///s/step-000004/ of ZeRO "
        "stage 0, expected None, as offloadParameters needs 3, and a checkpoint keeps its stage; use "
        "spec.precision FP32 and spec.parallelism.offloadParameters None, or ",
    ),
    "offload": (
        Precision.FP32,
        {"offload_parameters": OffloadDevice.CPU},
        1,
        "spec.parallelism.offloadParameters: got CPU for the checkpoint file:///s/step-000004/ of ZeRO "
        "stage 1, expected None, as offloadParameters needs 3, and a checkpoint keeps its stage; use "
        "spec.parallelism.offloadParameters None, or ",
    ),
}


@pytest.mark.parametrize("stage", [None, 0, 1])
@pytest.mark.parametrize("name", FORBIDDEN)
def test_settings_that_the_checkpoints_stage_forbids_are_refused_with_what_would_do(
    tmp_path: Path, name: str, stage: int | None
) -> None:
    precision, offload, saved, words = FORBIDDEN[name]
    run = tiny_run(tmp_path, stage=stage, precision=precision)
    run = run.model_copy(update={"parallelism": run.parallelism.model_copy(update=offload)})
    facts = measure_run(run, load_config(run, None, byte_tokenizer()))
    remedies = {True: "another name", False: "train on from the finished model of its run"}
    for is_own, remedy in remedies.items():
        with pytest.raises(UserError) as refused:
            decide_plan(run, facts, 100, point(saved, is_own=is_own))
        assert refused.value.message.startswith(words + remedy)


@pytest.mark.parametrize(
    ("is_own", "remedy"),
    [(True, "use another name, or delete that folder"), (False, "name a run of this model")],
)
def test_a_checkpoint_of_another_model_is_refused(
    tmp_path: Path, is_own: bool, remedy: str
) -> None:
    run = tiny_run(tmp_path)
    before = plan(tiny_run(tmp_path, **llama(hidden_size=32)), optimizer_gib=1, activations_gib=1)
    facts = measure_run(run, load_config(run, None, byte_tokenizer()))
    with pytest.raises(
        UserError, match=r"spec.model: got .* parameters .*, expected the same"
    ) as e:
        decide_plan(run, facts, 100, point(1, before, is_own=is_own))
    assert remedy in e.value.message
    same = plan(run, optimizer_gib=1, activations_gib=1)
    assert decide_plan(run, facts, 100, point(1, same)).zero_stage == 1


def test_other_data_than_the_runs_checkpoint_was_trained_on_is_refused(tmp_path: Path) -> None:
    run = tiny_run(tmp_path)
    save(open_manager(run, Settings(scratch_folder=tmp_path / "before")), 4)
    with pytest.raises(
        UserError, match=r"spec.data.sources: got other data .*step-000004.*restore"
    ):
        prepare(run, tmp_path)


def test_another_runs_checkpoint_may_be_of_other_data(tmp_path: Path) -> None:
    run = tiny_run(tmp_path)
    data = prepare(run, tmp_path).data
    check_same_data(data, point(1))
    check_same_data(data, None)


@pytest.mark.parametrize(
    ("steps", "is_own", "is_refused"),
    [(4, False, True), (3, False, True), (5, False, False), (4, True, False)],
)
def test_a_start_from_another_run_that_leaves_nothing_to_train_is_refused(
    tmp_path: Path, steps: int, is_own: bool, is_refused: bool
) -> None:
    run = tiny_run(tmp_path, steps=steps)
    found, whole = point(1, is_own=is_own), Plan.model_construct(total_steps=steps)
    if not is_refused:
        check_budget(run, whole, found)
        return
    with pytest.raises(
        UserError, match=rf"spec.budget: got {steps} steps for a start from .*raise it"
    ):
        check_budget(run, whole, found)


def test_another_checkpoint_than_was_planned_for_has_to_fit_the_plan(tmp_path: Path) -> None:
    planned = Plan.model_construct(total_steps=4, zero_stage=1)
    run = tiny_run(tmp_path, steps=5)
    prepared = PreparedRun(
        **dict.fromkeys(field.name for field in fields(PreparedRun)) | {"run": run, "plan": planned}
    )
    with pytest.raises(
        UserError, match=r"resumeFrom: got .*stage 3 as the first .*, expected stage 1"
    ):
        check_other_start(prepared, point(3))
    with pytest.raises(UserError, match=r"spec\.budget: got 5 steps for a start from .*raise it"):
        check_other_start(prepared, point(1))


def plan(run: Run, *, optimizer_gib: float, activations_gib: float) -> Plan:
    facts = measure_run(run, load_config(run, None, byte_tokenizer()))
    terms = [
        MemoryTerm(name="optimizer", gib=optimizer_gib, reason="x"),
        MemoryTerm(name="activations", gib=activations_gib, reason="x"),
    ]
    return decide_plan(run, facts, 100, None).model_copy(
        update={"memory": terms, "fits": False, "capacity_gib": 8.0}
    )


@pytest.mark.parametrize(
    ("uses_accelerators", "field", "end"),
    [
        (False, "spec.workers.resources.memory", ""),
        (True, "spec.workers.acceleratorMemoryGiB", "; or raise it, if the devices have more"),
    ],
)
def test_states_that_cannot_fit_are_refused(
    tmp_path: Path, uses_accelerators: bool, field: str, end: str
) -> None:
    run = tiny_run(tmp_path)
    planned = plan(run, optimizer_gib=9, activations_gib=1)
    workers = run.workers.model_copy(update={"uses_accelerators": uses_accelerators})
    run = run.model_copy(update={"workers": workers})
    with pytest.raises(UserError) as refused:
        check_fit(run, planned, Reporter(run, Settings()))
    assert (
        refused.value.message
        == f"{field}: got 8.00 GiB per device for a run that {fit_message(planned)}{end}"
    )


def test_estimates_that_may_not_fit_are_a_warning(tmp_path: Path) -> None:
    run = tiny_run(tmp_path)
    reporter = Reporter(run, Settings())
    check_fit(run, plan(run, optimizer_gib=4, activations_gib=9), reporter)
    assert "may not fit" in reporter.report.warnings[0]
