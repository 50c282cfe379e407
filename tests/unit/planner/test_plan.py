"""What the planner decides, and what it says of it."""

from typing import Any

import pytest
from trainwright_api.status import Plan
from trainwright_planner import plan as plan_module
from trainwright_planner.advice import fit_message, largest_term
from trainwright_planner.errors import PlanError
from trainwright_planner.plan import logit_flops_per_token, plan_run

from tests.unit.planner.builders import (
    SEVEN_BILLION_CONFIG,
    SMOLLM2_CONFIG,
    a_fine_tuning,
    a_model,
    a_run,
    on_cpus,
    on_gpus,
)

LLAMA_7B = a_model(SEVEN_BILLION_CONFIG)


def reason_of(plan: Plan, field: str) -> str:
    return next(decision.reason for decision in plan.decisions if decision.field == field)


def layout_of(plan: Plan) -> tuple[int, int, int, str]:
    return (
        plan.zero_stage,
        plan.micro_sequences,
        plan.accumulation_steps,
        plan.activation_checkpointing,
    )


def test_the_demo_fits_with_one_micro_batch_per_step() -> None:
    plan = plan_run(a_run(), a_model())
    assert layout_of(plan) == (1, 8, 1, "None")
    assert (plan.total_steps, plan.total_tokens) == (98, 98 * 16 * 256)
    assert plan.fits is True
    assert plan.memory_gib == pytest.approx(sum(term.gib for term in plan.memory), abs=0.001)


def test_the_demo_of_fine_tuning_fits() -> None:
    plan = plan_run(
        a_fine_tuning(), a_model(SMOLLM2_CONFIG, lora_rank=16), sequences_per_epoch=1000
    )
    assert (plan.fits, plan.total_steps) == (True, 63)
    assert plan.trainable_parameters == 4_884_480


@pytest.mark.parametrize(
    ("spec", "stage"),
    [
        ({"precision": "FP32"}, 0),
        ({"precision": "BF16"}, 1),
        ({"precision": "FP16", "workers": on_cpus()}, 1),
        ({"precision": "FP32", "workers": on_cpus()}, 0),
        ({"precision": "FP32", "parallelism": {"offloadOptimizer": "CPU"}}, 1),
        ({"parallelism": {"offloadParameters": "CPU"}}, 3),
        ({"parallelism": {"zeroStage": 2}}, 2),
        ({"parallelism": {"zeroStage": 0}, "precision": "FP32"}, 0),
        ({"parallelism": {"zeroStage": 0}, "precision": "BF16"}, 1),
    ],
)
def test_zero_stage_is_the_lowest_that_is_correct(spec: dict[str, Any], stage: int) -> None:
    assert plan_run(a_run(**spec), a_model()).zero_stage == stage


@pytest.mark.parametrize(
    ("schedule", "most"),
    [
        ({"warmupSteps": 500}, 97),
        ({"warmupSteps": 90, "type": "WarmupStableDecay", "decayFraction": 0.5}, 49),
    ],
)
def test_a_warmup_that_leaves_no_step_of_a_budget_in_tokens_is_refused(
    schedule: dict[str, Any], most: int
) -> None:
    with pytest.raises(
        PlanError, match=rf"warmupSteps: got \d+, expected at most {most} of the 98"
    ):
        plan_run(a_run(schedule=schedule, budget={"tokens": "400k"}), a_model())
    plan_run(a_run(schedule=schedule | {"warmupSteps": most}, budget={"tokens": "400k"}), a_model())


def test_auto_keeps_the_stage_of_the_checkpoint_to_start_from() -> None:
    plan = plan_run(a_run(), a_model(), checkpoint_stage=2)
    assert plan.zero_stage == 2
    assert reason_of(plan, "zeroStage") == "Auto: that of the checkpoint to start from"
    given = plan_run(a_run(parallelism={"zeroStage": 1}), a_model(), checkpoint_stage=2)
    assert (given.zero_stage, reason_of(given, "zeroStage")) == (1, "given")


def test_a_raised_zero_stage_says_so() -> None:
    plan = plan_run(a_run(parallelism={"zeroStage": 0}), a_model())
    assert reason_of(plan, "zeroStage").startswith("given 0, raised: BF16 needs at least 1")


@pytest.mark.parametrize(
    ("workers", "stage", "checkpointing"),
    [
        (on_gpus(memory_gib=80), 1, "None"),
        (on_gpus(memory_gib=40), 2, "None"),
        (on_gpus(memory_gib=26), 3, "None"),
        (on_gpus(memory_gib=22), 3, "Full"),
    ],
)
def test_less_memory_takes_the_next_rung(
    workers: dict[str, Any], stage: int, checkpointing: str
) -> None:
    data = {"sources": [{"uri": "s3://d/", "format": "Text"}], "sequenceLength": 512}
    plan = plan_run(a_run(workers=workers, data=data), LLAMA_7B)
    assert (plan.zero_stage, plan.activation_checkpointing, plan.fits) == (
        stage,
        checkpointing,
        True,
    )


@pytest.mark.parametrize(
    ("workers", "stage", "micro", "recompute"),
    [
        (
            on_cpus(nodes=2),
            ", the lowest, as the devices' memory is not known",
            ", the largest, as the devices' memory is not known",
            "; left out, as the devices' memory is not known",
        ),
        (
            on_cpus(nodes=2, memory="3Gi"),
            ", the lowest that fits",
            ", the largest that fits",
            "; it fits without",
        ),
        (
            on_cpus(nodes=2, memory="512Mi"),
            ", the highest, and still too large",
            ", the smallest, and still too large",
            "; even so it does not fit",
        ),
    ],
    ids=["unknown", "fits", "too large"],
)
def test_a_choice_is_said_to_fit_only_if_it_does(
    workers: dict[str, Any], stage: str, micro: str, recompute: str
) -> None:
    plan = plan_run(a_run(workers=workers), a_model())
    assert reason_of(plan, "zeroStage").endswith(stage)
    assert reason_of(plan, "microSequences") == (
        "Auto: a divisor of the 8 sequences per device, at most 8 (more than 2048 tokens gain nothing on CPUs)"
        + micro
    )
    assert reason_of(plan, "activationCheckpointing").endswith(recompute)


@pytest.mark.parametrize(
    ("memory_gib", "stage", "recompute"),
    [
        (80, "the lowest that fits", "it fits without"),
        (26, "the lowest that fits without recomputing", "it fits without"),
        (22, "the lowest that fits", "nothing less fits"),
    ],
)
def test_a_higher_stage_is_the_lowest_only_as_long_as_nothing_is_recomputed(
    memory_gib: float, stage: str, recompute: str
) -> None:
    data = {"sources": [{"uri": "s3://d/", "format": "Text"}], "sequenceLength": 512}
    plan = plan_run(a_run(workers=on_gpus(memory_gib=memory_gib), data=data), LLAMA_7B)
    assert reason_of(plan, "zeroStage").endswith(f", {stage}")
    assert reason_of(plan, "activationCheckpointing").endswith(f"; {recompute}")


def test_the_micro_batch_is_the_largest_divisor_that_fits() -> None:
    run = a_run(workers=on_gpus(per_node=8, memory_gib=80), batch={"globalSequences": 8 * 48})
    plan = plan_run(run, LLAMA_7B)
    assert 48 % plan.micro_sequences == 0
    assert plan.accumulation_steps * plan.micro_sequences == 48
    larger = next(size for size in range(plan.micro_sequences + 1, 49) if 48 % size == 0)
    fixed = {"globalSequences": 8 * 48, "microSequences": larger}
    forced = a_run(
        workers=on_gpus(per_node=8, memory_gib=80),
        batch=fixed,
        activationCheckpointing=plan.activation_checkpointing,
        parallelism={"zeroStage": plan.zero_stage},
    )
    assert plan_run(forced, LLAMA_7B).fits is False


def test_on_cpus_the_micro_batch_stops_at_2048_tokens() -> None:
    batch = {"globalSequences": 128}
    assert plan_run(a_run(batch=batch), a_model()).micro_sequences == 8
    data = {"sources": [{"uri": "s3://d/", "format": "Text"}], "sequenceLength": 8192}
    assert plan_run(a_run(batch=batch, data=data), a_model()).micro_sequences == 1


def test_without_a_capacity_the_fit_is_unknown() -> None:
    plan = plan_run(a_run(workers=on_cpus(nodes=2)), a_model())
    assert (plan.fits, plan.capacity_gib) == (None, None)
    assert "set spec.workers.resources.memory" in fit_message(plan)


@pytest.mark.parametrize(
    ("spec", "model", "largest", "remedy"),
    [
        (
            {"workers": on_gpus(per_node=1, memory_gib=24)},
            LLAMA_7B,
            "optimizer",
            "set spec.parallelism.offloadOptimizer to CPU, or spec.workers.nodes higher",
        ),
        (
            {"workers": on_gpus(memory_gib=24), "parallelism": {"zeroStage": 1}},
            LLAMA_7B,
            "gradients",
            "set spec.parallelism.zeroStage to Auto or 2",
        ),
        (
            {"batch": {"globalSequences": 64, "microSequences": 32}},
            a_model(vocabulary=128_000),
            "logits",
            "set spec.batch.microSequences to Auto or 1",
        ),
        (
            {"workers": on_cpus(nodes=2, memory="512Mi")},
            a_model(),
            "buffers",
            "raise spec.workers.resources.memory",
        ),
    ],
    ids=["one GPU", "stage given", "logits", "tiny pod"],
)
def test_a_plan_that_does_not_fit_names_the_largest_term_and_the_remedy(
    spec: dict[str, Any], model: Any, largest: str, remedy: str
) -> None:
    plan = plan_run(a_run(**spec), model)
    assert plan.fits is False
    assert largest_term(plan).name == largest
    assert fit_message(plan).endswith(f"GiB): {remedy}")


@pytest.mark.parametrize(
    ("spec", "path", "said"),
    [
        ({"batch": {"globalSequences": 15}}, "spec.batch.globalSequences", "use 16"),
        (
            {"batch": {"globalSequences": 24, "microSequences": 5}},
            "spec.batch.microSequences",
            "got 5, expected a divisor of the 12 sequences per device; use 4",
        ),
        (
            {"parallelism": {"zeroStage": 2, "offloadParameters": "CPU"}},
            "spec.parallelism.zeroStage",
            "got 2, expected 3: offloadParameters needs 3; use 3",
        ),
    ],
)
def test_settings_that_contradict_each_other_are_refused(
    spec: dict[str, Any], path: str, said: str
) -> None:
    with pytest.raises(PlanError, match=said) as caught:
        plan_run(a_run(**spec), a_model())
    assert caught.value.path == path


@pytest.mark.parametrize(
    ("budget", "per_epoch", "steps"),
    [
        ({"steps": 7}, None, 7),
        ({"tokens": "4k"}, None, 1),
        ({"tokens": 4097}, None, 2),
        ({"epochs": 1.5}, 1000, 94),
        ({"epochs": 1}, None, None),
    ],
)
def test_the_budget_gives_whole_steps(
    budget: dict[str, Any], per_epoch: int | None, steps: int | None
) -> None:
    plan = plan_run(a_run(budget=budget), a_model(), sequences_per_epoch=per_epoch)
    assert plan.total_steps == steps


def test_flops_of_a_frozen_base_leave_out_its_gradients() -> None:
    full = plan_run(a_run(), a_model(SMOLLM2_CONFIG))
    model = a_model(SMOLLM2_CONFIG, lora_rank=16)
    lora = plan_run(a_fine_tuning(), model)
    attention = 12 * 30 * 576 * 256
    assert full.flops_per_token == 6 * 134_515_008 + attention
    assert lora.flops_per_token == 4 * model.parameters + 2 * 4_884_480 + attention


def test_logits_are_a_part_of_the_flops_without_a_gradient_of_their_own_if_frozen() -> None:
    model = a_model(SMOLLM2_CONFIG)
    head = SMOLLM2_CONFIG["vocab_size"] * SMOLLM2_CONFIG["hidden_size"]
    assert logit_flops_per_token(a_run(), model) == 6 * head
    lora = a_model(SMOLLM2_CONFIG, lora_rank=16)
    assert logit_flops_per_token(a_fine_tuning(), lora) == 4 * head


def test_the_same_input_gives_the_same_plan_with_a_reason_for_everything() -> None:
    plan = plan_run(a_run(), a_model())
    assert plan == plan_run(a_run(), a_model())
    assert all(entry.reason for entry in [*plan.memory, *plan.decisions])
    assert [decision.field for decision in plan.decisions] == [
        "zeroStage",
        "microSequences",
        "activationCheckpointing",
        "accumulationSteps",
        "totalSteps",
        "flopsPerToken",
        "fits",
    ]


class Counted(int):
    """A number that counts how often it is divided."""

    num_divisions = 0

    def __mod__(self, other: int) -> int:
        self.num_divisions += 1
        return int(self) % other


def test_the_micro_batches_of_the_largest_batch_are_found_without_trying_all_numbers() -> None:
    number = Counted(100_000_000)  # the most that the API takes
    divisors = plan_module._divisors(number, 100_000_000)
    assert len(divisors) == 81
    assert all(number // size * size == number for size in divisors)
    assert number.num_divisions <= 10_000
    assert plan_module._divisors(48, 16) == [1, 2, 3, 4, 6, 8, 12, 16]
    run = a_run(workers=on_gpus(per_node=1), batch={"globalSequences": 100_000_000})
    assert plan_run(run, a_model()).micro_sequences in divisors
