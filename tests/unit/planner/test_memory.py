"""Memory by term against hand-made arithmetic; against real tensors in tests/trainer."""

import pytest
from trainwright_api.run import Run
from trainwright_planner.facts import ModelFacts
from trainwright_planner.memory import GIB, Layout, memory_terms, zero_buffers

from tests.unit.planner.builders import (
    SEVEN_BILLION_CONFIG,
    SMOLLM2_CONFIG,
    a_fine_tuning,
    a_model,
    a_run,
    on_gpus,
)

LLAMA_7B = a_model(SEVEN_BILLION_CONFIG)
P = LLAMA_7B.parameters


def gib_by_term(run: Run, model: ModelFacts, layout: Layout) -> dict[str, float]:
    return {term.name: term.gib for term in memory_terms(run, model, layout)}


@pytest.mark.parametrize(
    ("precision", "stage", "parameters", "gradients", "optimizer"),
    [
        ("FP32", 0, 4, 4, 8),
        ("FP32", 1, 4, 4, 12 / 8),
        ("BF16", 1, 2, 2 + 4 / 8, 12 / 8),
        ("BF16", 2, 2, 2 / 8 + 4 / 8, 12 / 8),
        ("FP16", 3, 2 / 8, 2 / 8 + 4 / 8, 12 / 8),
    ],
)
def test_state_bytes_per_parameter_follow_the_zero_stage(
    precision: str, stage: int, parameters: float, gradients: float, optimizer: float
) -> None:
    run = a_run(precision=precision, workers=on_gpus())
    found = gib_by_term(run, LLAMA_7B, Layout(stage, 1, False))
    expected = {"parameters": parameters, "gradients": gradients, "optimizer": optimizer}
    for name, num_bytes in expected.items():
        assert found[name] == pytest.approx(num_bytes * P / GIB, abs=0.001)


def test_offloaded_state_leaves_the_accelerator() -> None:
    offload = {"zeroStage": 3, "offloadOptimizer": "CPU", "offloadParameters": "CPU"}
    found = gib_by_term(
        a_run(workers=on_gpus(), parallelism=offload), LLAMA_7B, Layout(3, 1, False)
    )
    assert found["parameters"] == found["gradients"] == found["optimizer"] == 0
    assert found["buffers"] > 2 * 10**9 / GIB  # parameters in use still pass through the device


def test_offload_changes_nothing_when_training_on_cpus() -> None:
    layout = Layout(1, 1, False)
    offloaded = a_run(parallelism={"offloadOptimizer": "CPU"})
    assert gib_by_term(offloaded, LLAMA_7B, layout) == gib_by_term(a_run(), LLAMA_7B, layout)


def test_a_frozen_base_has_no_gradients_and_no_optimizer() -> None:
    model = a_model(SMOLLM2_CONFIG, lora_rank=16)
    found = gib_by_term(a_fine_tuning(), model, Layout(1, 4, False))
    assert found["parameters"] == pytest.approx(model.parameters * 2 / GIB, abs=0.001)
    assert found["optimizer"] == pytest.approx(4_884_480 * 12 / 2 / GIB, abs=0.001)


def test_activations_of_llama_are_49_bytes_per_unit_at_the_usual_proportions() -> None:
    model = a_model({"intermediate_size": 14336, "num_key_value_heads": 8})
    run = a_run(data=data(packing="Contiguous", length=4096))
    found = gib_by_term(run, model, Layout(1, 2, False))
    assert found["activations"] == pytest.approx(49 * 2 * 4096 * 4096 * 32 / GIB, rel=0.01)


def test_recomputing_keeps_borders_and_one_layer() -> None:
    run = a_run(data=data(packing="Contiguous", length=4096))
    kept = gib_by_term(run, LLAMA_7B, Layout(1, 1, False))["activations"]
    recomputed = gib_by_term(run, LLAMA_7B, Layout(1, 1, True))["activations"]
    borders = 2 * 4096 * 4096 * 32 / GIB
    assert recomputed == pytest.approx(borders + kept / 32, abs=0.002)


def test_isolated_packing_adds_the_mask_of_every_layer() -> None:
    def activations(packing: str) -> float:
        run = a_run(data=data(packing=packing, length=4096))
        return gib_by_term(run, LLAMA_7B, Layout(1, 1, False))["activations"]

    mask = 32 * 4096 * 4096 * 2 / GIB
    assert activations("Isolated") - activations("Contiguous") == pytest.approx(mask, abs=0.002)


def test_logits_grow_with_the_vocabulary() -> None:
    found = gib_by_term(a_run(), a_model(vocabulary=128_000), Layout(1, 8, False))
    assert found["logits"] == pytest.approx(8 * 256 * 128_000 * 14 / GIB, abs=0.001)


def test_every_reason_shows_its_arithmetic() -> None:
    terms = {
        term.name: term.reason for term in memory_terms(a_run(), a_model(), Layout(1, 8, False))
    }
    assert terms["optimizer"] == (
        f"{a_model().parameters:,} trained x 12 B (FP32 master weight and two moments) "
        "/ 2 devices (ZeRO 1)"
    )
    assert terms["activations"].startswith("8 x 256 tokens x 3 layers x ")
    assert terms["logits"].startswith("8 x 256 tokens x 4,096 entries x 14 B")


def test_buffers_never_exceed_the_model() -> None:
    small = zero_buffers(a_model())
    assert small.reduce_bucket == small.max_live_parameters == a_model().parameters
    assert zero_buffers(LLAMA_7B).reduce_bucket == 200_000_000


def data(*, packing: str, length: int) -> dict[str, object]:
    sources = [{"uri": "s3://d/", "format": "Text"}]
    return {"sources": sources, "packing": packing, "sequenceLength": length}
