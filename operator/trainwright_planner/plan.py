"""From a resolved run and the facts of its model to a plan, every derived value with its reason.

Called by the operator before an attempt, by `trainwright plan`, and by the trainer in the pod, with
the same answer for the same input. What a run fixes is kept; what says Auto is decided here.
"""

from dataclasses import dataclass
from itertools import product
from math import ceil, isqrt

from trainwright_api.quantities import parse_count
from trainwright_api.resources import AdapterType
from trainwright_api.run import Run
from trainwright_api.status import MemoryTerm, Plan, PlanDecision
from trainwright_api.training import (
    DEFAULT_DECAY_FRACTION,
    ActivationCheckpointing,
    OffloadDevice,
    Precision,
    ScheduleType,
)

from trainwright_planner.advice import describe_fit
from trainwright_planner.errors import PlanError
from trainwright_planner.facts import ModelFacts
from trainwright_planner.memory import Layout, memory_terms, total_gib

# On CPUs a larger micro-batch gains nothing: 1, 2, 4, 8, 16, 32 x 256 tokens of a 10M-parameter Llama
# gave 1602, 1630, 1703, 1664, 1687, 1569 tokens/s (BF16, 1 thread), while its memory grows.
CPU_TOKENS_PER_MICRO_BATCH = 2048

# Why a choice is the one that it is, by whether it fits; None: the devices' memory is not known.
_UNKNOWN = "as the devices' memory is not known"
_STAGE_CHOICE = {
    True: ", the lowest that fits",
    False: ", the highest, and still too large",
    None: f", the lowest, {_UNKNOWN}",
}
_MICRO_CHOICE = {
    True: ", the largest that fits",
    False: ", the smallest, and still too large",
    None: f", the largest, {_UNKNOWN}",
}
_RECOMPUTE_CHOICE: dict[tuple[bool, bool | None], str] = {  # by whether it recomputes, and fits
    (False, True): "; it fits without",
    (True, True): "; nothing less fits",
    (True, False): "; even so it does not fit",
    (False, None): f"; left out, {_UNKNOWN}",
}


def plan_run(
    run: Run,
    model: ModelFacts,
    *,
    sequences_per_epoch: int | None = None,
    checkpoint_stage: int | None = None,
) -> Plan:
    """Return the plan of a run: layout, memory per device, steps, work, with reasons.

    `sequences_per_epoch` is the number of training sequences once the data is known; without it, a
    budget in epochs leaves the number of steps open. `checkpoint_stage` is the ZeRO stage of the checkpoint
    to start from, which Auto keeps. Raises PlanError if the run's own settings
    contradict each other. A plan that does not fit is returned with `fits` False and a remedy.
    """
    per_device = _sequences_per_device(run)
    layout, terms, layout_decisions = _choose_layout(run, model, per_device, checkpoint_stage)
    total_steps, steps_reason = _total_steps(run, sequences_per_epoch)
    _check_warmup(run, total_steps)
    capacity, memory = run.workers.device_memory_gib, total_gib(terms)
    fits = None if capacity is None else memory <= capacity
    accumulation = per_device // layout.micro_sequences
    tokens_per_step = run.batch.global_sequences * run.data.sequence_length
    flops, flops_reason = flops_per_token(run, model)
    decisions = [
        *layout_decisions,
        _decision(
            "accumulationSteps",
            accumulation,
            f"{run.batch.global_sequences} sequences / ({run.world_size} devices x {layout.micro_sequences})",
        ),
        _decision("totalSteps", total_steps if total_steps else "unknown", steps_reason),
        _decision("flopsPerToken", f"{flops:.4g}", flops_reason),
        _decision("fits", _said(fits), describe_fit(run, layout, terms, capacity)),
    ]
    return Plan(
        zero_stage=layout.zero_stage,
        micro_sequences=layout.micro_sequences,
        accumulation_steps=accumulation,
        activation_checkpointing="Full" if layout.recompute else "None",
        num_devices=run.world_size,
        total_steps=total_steps,
        total_tokens=total_steps * tokens_per_step if total_steps else None,
        parameters=model.parameters,
        trainable_parameters=model.trainable_parameters,
        memory=list(terms),
        memory_gib=memory,
        capacity_gib=capacity and round(capacity, 3),
        fits=fits,
        flops_per_token=flops,
        decisions=decisions,
    )


def flops_per_token(run: Run, model: ModelFacts) -> tuple[float, str]:
    """Return the floating point operations to train one token, and how they come about.

    After Chowdhery et al. (PaLM), arXiv:2204.02311, appendix B: recomputation is not counted,
    attention is taken over the whole sequence, and all tokens have logits. The trainer computes those of
    trained tokens only and counts them so, see `logit_flops_per_token`.
    """
    weights, length = model.matmul_parameters, run.data.sequence_length
    attention = 12 * model.num_layers * model.num_heads * model.head_dim * length
    said = (
        f"attention {model.num_layers} layers x {model.num_heads * model.head_dim} x {length} x 12"
    )
    if run.adapter.type is AdapterType.NONE:
        return 6.0 * weights + attention, f"6 x {weights:,} multiplied parameters + {said}"
    trained = model.trainable_parameters
    return (
        4.0 * weights + 2.0 * trained + attention,
        f"4 x {weights:,} multiplied parameters (frozen ones have no gradient) + 2 x {trained:,} trained "
        f"+ {said}",
    )


def logit_flops_per_token(run: Run, model: ModelFacts) -> float:
    """Return the part of `flops_per_token` that is for logits: a token that is not trained needs none."""
    each = 6.0 if run.adapter.type is AdapterType.NONE else 4.0
    return each * model.vocabulary_size * model.hidden_size


def _decision(field: str, value: object, reason: str) -> PlanDecision:
    return PlanDecision(field=field, value=str(value), reason=reason)


def _said(fits: bool | None) -> str:
    return "unknown" if fits is None else str(fits).lower()


def _sequences_per_device(run: Run) -> int:
    total, devices = run.batch.global_sequences, run.world_size
    if total % devices:
        raise PlanError(
            "spec.batch.globalSequences",
            f"got {total}, expected a multiple of the {devices} devices; use {ceil(total / devices) * devices}",
        )
    return total // devices


def _choose_layout(
    run: Run, model: ModelFacts, per_device: int, checkpoint_stage: int | None
) -> tuple[Layout, tuple[MemoryTerm, ...], list[PlanDecision]]:
    """Take the first of (keep activations, recompute) x (ZeRO stages, lowest first) that fits."""
    stages, stage_reason = _stages(run, checkpoint_stage)
    micros, micro_reason = _micro_sizes(run, per_device)
    recomputes, recompute_reason = _recompute_choices(run)
    capacity = run.workers.device_memory_gib
    for recompute, stage in product(recomputes, stages):
        layout = Layout(stage, micros[0], recompute)
        if capacity is None or total_gib(memory_terms(run, model, layout)) <= capacity:
            break
    fitting = [
        candidate
        for micro in micros
        if total_gib(memory_terms(run, model, candidate := Layout(stage, micro, recompute)))
        <= (capacity or float("inf"))
    ]
    layout = fitting[-1] if fitting else layout
    fits = None if capacity is None else bool(fitting)
    if len(stages) > 1:
        is_lowest = layout.zero_stage == stages[0] or layout.recompute or len(recomputes) == 1
        stage_reason += _STAGE_CHOICE[fits] + ("" if is_lowest else " without recomputing")
    if len(micros) > 1:
        micro_reason += _MICRO_CHOICE[fits]
    if len(recomputes) > 1:
        recompute_reason += _RECOMPUTE_CHOICE[layout.recompute, fits]
    decisions = [
        _decision("zeroStage", layout.zero_stage, stage_reason),
        _decision("microSequences", layout.micro_sequences, micro_reason),
        _decision(
            "activationCheckpointing", "Full" if layout.recompute else "None", recompute_reason
        ),
    ]
    return layout, memory_terms(run, model, layout), decisions


@dataclass(frozen=True)
class StageNeed:
    """A setting that lower ZeRO stages do not train rightly: its field and value, why, and what does without."""

    stage: int
    field: str
    value: str
    why: str
    instead: str


def stage_needs(run: Run) -> list[StageNeed]:
    """Return what keeps a run from lower ZeRO stages, the strongest last; empty if nothing does."""
    precision, parallelism = run.precision, run.parallelism
    needs = []
    if parallelism.offload_optimizer is OffloadDevice.CPU:
        field, why = "spec.parallelism.offloadOptimizer", "offloadOptimizer needs at least 1"
        needs.append(StageNeed(1, field, "CPU", why, "None"))
    if precision is not Precision.FP32:
        why = f"{precision} needs at least 1 (master weights are in ZeRO's optimizer)"
        needs.append(StageNeed(1, "spec.precision", precision, why, Precision.FP32))
    if parallelism.offload_parameters is OffloadDevice.CPU:
        field, why = "spec.parallelism.offloadParameters", "offloadParameters needs 3"
        needs.append(StageNeed(3, field, "CPU", why, "None"))
    return needs


def _stages(run: Run, checkpoint_stage: int | None) -> tuple[list[int], str]:
    """Return the ZeRO stages to try, lowest first, and why it is these."""
    given, needs = run.parallelism.zero_stage, stage_needs(run)
    least, why = (needs[-1].stage, needs[-1].why) if needs else (0, "FP32 needs no sharding")
    if given is None and checkpoint_stage is not None and checkpoint_stage >= least:
        return [checkpoint_stage], "Auto: that of the checkpoint to start from"
    if given is None:
        highest = 3 if run.world_size > 1 else least
        single = "" if run.world_size > 1 else "; one device has nothing to shard over"
        return list(range(least, highest + 1)), f"Auto: {why}{single}"
    if given < least and least > 1:
        raise PlanError(
            "spec.parallelism.zeroStage", f"got {given}, expected {least}: {why}; use {least}"
        )
    if given < least:
        return [least], f"given {given}, raised: {why}"
    return [given], "given"


def _micro_sizes(run: Run, per_device: int) -> tuple[list[int], str]:
    """Return the micro-batches to try, smallest first, and why it is these."""
    given = run.batch.micro_sequences
    if given is not None:
        if per_device % given:
            nearest = _divisors(per_device, given)[-1]
            raise PlanError(
                "spec.batch.microSequences",
                f"got {given}, expected a divisor of the {per_device} sequences per device; use {nearest}",
            )
        return [given], "given"
    limit, why = per_device, f"Auto: a divisor of the {per_device} sequences per device"
    if not run.workers.uses_accelerators:
        limit = max(1, CPU_TOKENS_PER_MICRO_BATCH // run.data.sequence_length)
        why += f", at most {limit} (more than {CPU_TOKENS_PER_MICRO_BATCH} tokens gain nothing on CPUs)"
    return _divisors(per_device, limit), why


def _divisors(number: int, most: int) -> list[int]:
    """Return the divisors of a number up to a limit, smallest first."""
    # Tried up to the root only: a batch may have 1e8 sequences, and the operator plans in its event loop.
    small = [size for size in range(1, isqrt(number) + 1) if number % size == 0]
    return sorted({size for pair in small for size in (pair, number // pair) if size <= most})


def _recompute_choices(run: Run) -> tuple[list[bool], str]:
    if run.activation_checkpointing is ActivationCheckpointing.AUTO:
        return [False, True], "Auto: recomputing costs about a third more time"
    return [run.activation_checkpointing is ActivationCheckpointing.FULL], "given"


def _check_warmup(run: Run, total_steps: int | None) -> None:
    """Refuse a warm-up that leaves no step; the API can say so only of a budget in steps."""
    warmup, schedule = run.schedule.warmup_steps, run.schedule
    if warmup is None or total_steps is None:
        return
    decay = schedule.decay_fraction
    if schedule.type is not ScheduleType.WARMUP_STABLE_DECAY:
        most = total_steps - 1
    else:
        most = int((1 - (DEFAULT_DECAY_FRACTION if decay is None else decay)) * total_steps)
    if warmup > most:
        raise PlanError(
            "spec.schedule.warmupSteps",
            f"got {warmup}, expected at most {most} of the {total_steps} steps that the budget gives; lower it "
            "or use warmupFraction",
        )


def _total_steps(run: Run, sequences_per_epoch: int | None) -> tuple[int | None, str]:
    budget, batch = run.budget, run.batch.global_sequences
    if budget.steps is not None:
        return budget.steps, "given"
    per_step = batch * run.data.sequence_length
    if budget.tokens is not None:
        tokens = parse_count(budget.tokens)
        return ceil(tokens / per_step), (
            f"{tokens:,} tokens / ({batch} sequences x {run.data.sequence_length}), rounded up"
        )
    epochs = budget.epochs or 0
    if sequences_per_epoch is None:
        return None, f"{epochs:g} epochs of data that is counted in the pod"
    return ceil(epochs * sequences_per_epoch / batch), (
        f"{epochs:g} epochs x {sequences_per_epoch:,} sequences / {batch} per step, rounded up"
    )
