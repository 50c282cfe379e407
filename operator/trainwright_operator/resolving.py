"""From a raw run to the resolved run of an attempt, and its plan; pure.

What says Auto stays Auto in the resolved run: the pod plans again, with the same planner, once it has
counted the data and found the checkpoint to start from.

What cannot be resolved becomes a Problem: final if only another spec could help, else one that passes
(a run that has not finished yet).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError
from trainwright_api import names
from trainwright_api.checkpoints import RunReference
from trainwright_api.data import Location
from trainwright_api.names import Phase
from trainwright_api.resolve import (
    UnresolvedReferenceError,
    references,
    resolve_run,
    run_folder,
)
from trainwright_api.resources import FineTuneJob, Resource, TrainingRun
from trainwright_api.run import Run
from trainwright_api.status import Plan
from trainwright_planner.advice import fit_message
from trainwright_planner.errors import PlanError
from trainwright_planner.facts import model_facts_of_run
from trainwright_planner.plan import plan_run

from trainwright_operator.facts import Problem
from trainwright_operator.untrusted import clean_text
from trainwright_operator.world import World

# The memory estimate is trusted to be right within this factor; beyond it a run is refused.
CERTAIN_FACTOR = 2.0


@dataclass(frozen=True, slots=True)
class Resolution:
    """A resolved run with its plan (None: the pod plans), or the problem that is in the way."""

    run: Run | None = None
    plan: Plan | None = None
    problem: Problem | None = None


def parse_run(raw: dict[str, Any]) -> Resource:
    """Return the typed resource; raises ValidationError for what an older API server let through."""
    kinds: dict[str, type[TrainingRun] | type[FineTuneJob]] = {
        "TrainingRun": TrainingRun,
        "FineTuneJob": FineTuneJob,
    }
    return kinds[raw["kind"]].model_validate(raw)


def resolve(resource: Resource, attempt: int, world: World) -> Resolution:
    """Return the resolved run of an attempt."""
    namespace = resource.metadata.namespace or "default"
    raw = world.find(resource.kind, namespace, resource.metadata.name)
    if (rival := _find_rival(resource, raw, world)) is not None:
        return Resolution(problem=rival)
    models: dict[RunReference, Location] = {}
    folders: dict[RunReference, Location] = {}
    for path, reference in references(resource):
        found = _look_up(path, reference, namespace, world)
        if isinstance(found, Problem):
            return Resolution(problem=found)
        folders[reference], model = found
        if model is not None:
            models[reference] = model
        elif not path.endswith("resumeFrom.run"):
            message = f"{path}: waits for {reference.kind}/{reference.name} to succeed"
            return Resolution(problem=Problem("WaitingForRun", message))
    try:
        run = resolve_run(resource, attempt=attempt, models=models, folders=folders)
        facts = model_facts_of_run(run)
        plan = plan_run(run, facts) if facts is not None else None
    except (UnresolvedReferenceError, PlanError) as error:
        return Resolution(problem=Problem("InvalidSpec", clean_text(str(error)), is_final=True))
    if plan is not None and _is_hopeless(resource, plan):
        problem = Problem("DoesNotFit", clean_text(fit_message(plan)), is_final=True)
        return Resolution(plan=plan, problem=problem)
    return Resolution(run=run, plan=plan)


def _is_hopeless(resource: Resource, plan: Plan) -> bool:
    """Whether the plan certainly does not fit; a device's size that nobody wrote is never certain."""
    workers = resource.spec.workers
    is_cpu = workers.accelerator == "None"
    is_known = "memory" in workers.resources if is_cpu else workers.accelerator_memory_gib
    return bool(
        is_known and plan.capacity_gib and plan.memory_gib > CERTAIN_FACTOR * plan.capacity_gib
    )


def _find_rival(resource: Resource, raw: Mapping[str, Any] | None, world: World) -> Problem | None:
    """Two runs of one name but two kinds would share pods and checkpoints; the first has the name."""
    meta = resource.metadata
    for kind in names.PLURALS:
        if kind == resource.kind or raw is None:
            continue
        other = world.find(kind, raw["metadata"]["namespace"], meta.name)
        if other is not None and _precedence(other) < _precedence(raw):
            return Problem(
                "NameTaken",
                f"metadata.name: got {meta.name}, which {kind}/{meta.name} uses for its pods and "
                "checkpoints in this namespace, expected another; rename the run",
                is_final=True,
            )
    return None


def _precedence(raw: Mapping[str, Any]) -> tuple[bool, str, str]:
    """The run that has begun comes first, else the older one; times are in whole seconds."""
    metadata = raw["metadata"]
    has_begun = bool(raw.get("status", {}).get("attempt"))
    return not has_begun, metadata.get("creationTimestamp", ""), metadata["uid"]


def _look_up(
    path: str, reference: RunReference, namespace: str, world: World
) -> tuple[Location, Location | None] | Problem:
    """Return where another run saves and where its finished model is, if it has one yet."""
    raw = world.find(reference.kind, namespace, reference.name)
    if raw is None:
        message = f"{path}: got {reference.kind}/{reference.name}, which is not in namespace {namespace}; create it"
        return Problem("WaitingForRun", message)
    try:
        other = parse_run(raw)
    except ValidationError as error:
        return Problem("InvalidSpec", clean_text(f"{path}: {reference.name} is not valid: {error}"))
    store = other.spec.checkpoints.store
    folder = run_folder(store, namespace, reference.name)
    status = other.status
    if status is None or status.phase is not Phase.SUCCEEDED or status.model is None:
        return folder, None
    return folder, store.model_copy(update={"uri": status.model.uri})
