"""What to say of a plan's fit: how much is used, or the largest term and the next setting to change.

Called by `plan`; the operator and the trainer put the same sentence into conditions and errors.
"""

from trainwright_api.run import Run
from trainwright_api.status import MemoryTerm, Plan
from trainwright_api.training import OffloadDevice

from trainwright_planner.memory import Layout, total_gib

_FALLBACK = "choose a smaller model, or devices with more memory"


def describe_fit(
    run: Run, layout: Layout, terms: tuple[MemoryTerm, ...], capacity_gib: float | None
) -> str:
    """Return one sentence on the fit, with a remedy if the plan does not fit."""
    total = total_gib(terms)
    if capacity_gib is None:
        return f"needs {total:.2f} GiB per device; set {memory_field(run)} to compare"
    used = f"needs {total:.2f} of {capacity_gib:.2f} GiB per device"
    if total <= capacity_gib:
        return f"{used} ({total / capacity_gib:.0%})"
    ranked = sorted(terms, key=lambda term: term.gib, reverse=True)
    largest, remedy = ranked[0], _first_remedy(run, layout, ranked)
    return f"{used}; the largest term is {largest.name} ({largest.gib:.2f} GiB): {remedy}"


def memory_field(run: Run) -> str:
    """Return the path in the spec of what says how much memory a device has."""
    if run.workers.uses_accelerators:
        return "spec.workers.acceleratorMemoryGiB"
    return "spec.workers.resources.memory"


def largest_term(plan: Plan) -> MemoryTerm:
    """Return the term of a plan that takes the most memory."""
    return max(plan.memory, key=lambda term: term.gib)


def fit_message(plan: Plan) -> str:
    """Return the sentence on the plan's fit, with its remedy."""
    return next(decision.reason for decision in plan.decisions if decision.field == "fits")


def _first_remedy(run: Run, layout: Layout, ranked: list[MemoryTerm]) -> str:
    """Return the remedy for the largest term that still has one, else for the device."""
    remedies = (_remedy(run, layout, term.name) for term in ranked)
    return next((remedy for remedy in remedies if remedy), _FALLBACK)


def _remedy(run: Run, layout: Layout, term: str) -> str | None:
    if term in ("activations", "logits"):
        return _batch_remedy(run, layout, term)
    if term in ("parameters", "gradients", "optimizer"):
        return _state_remedy(run, layout, term)
    return None if run.workers.uses_accelerators else f"raise {memory_field(run)}"


def _batch_remedy(run: Run, layout: Layout, term: str) -> str:
    if layout.micro_sequences > 1:
        return "set spec.batch.microSequences to Auto or 1"
    if term == "activations" and not layout.recompute:
        return "set spec.activationCheckpointing to Full"
    shorter = max(8, run.data.sequence_length // 2)
    return f"set spec.data.sequenceLength to {shorter} or less"


def _state_remedy(run: Run, layout: Layout, term: str) -> str | None:
    least = {"optimizer": 1, "gradients": 2, "parameters": 3}[term]
    if run.world_size > 1 and layout.zero_stage < least:
        return f"set spec.parallelism.zeroStage to Auto or {least}"
    if run.workers.uses_accelerators:
        if term != "parameters" and run.parallelism.offload_optimizer is OffloadDevice.NONE:
            return "set spec.parallelism.offloadOptimizer to CPU, or spec.workers.nodes higher"
        if term == "parameters" and run.parallelism.offload_parameters is OffloadDevice.NONE:
            return "set spec.parallelism.offloadParameters to CPU (with zeroStage 3)"
        return "set spec.workers.nodes or acceleratorsPerNode higher"
    return "set spec.workers.nodes higher or raise spec.workers.resources.memory"
