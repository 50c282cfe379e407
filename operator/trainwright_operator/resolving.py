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
from trainwright_api.status import Plan, RunStatus, SourceStatus
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
    sources = find_sources(resource, world)
    if isinstance(sources, Problem):
        return Resolution(problem=sources)
    folders = {_reference_to(each): _locate(each, each.folder) for each in sources}
    models = {_reference_to(each): _locate(each, each.model) for each in sources if each.model}
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


def find_sources(resource: Resource, world: World) -> list[SourceStatus] | Problem:
    """Return what the runs that this one refers to give to it, or why one gives nothing.

    What the first attempt has been given holds for the next ones: that run may be gone by then, or
    another one have its name.
    """
    namespace = resource.metadata.namespace or "default"
    noted = resource.status.sources if resource.status else []
    known = {_reference_to(source): source for source in noted}
    found: dict[RunReference, SourceStatus] = {}
    for path, reference in references(resource):
        needs_model = not path.endswith("resumeFrom.run")
        source = known.get(reference)
        if source is None or (needs_model and not source.model):
            looked_up = _look_up(path, reference, namespace, world, needs_model=needs_model)
            if isinstance(looked_up, Problem):
                return looked_up
            source = looked_up
        if needs_model or reference not in found:
            found[reference] = source
    return list(found.values())


def _reference_to(source: SourceStatus) -> RunReference:
    return RunReference(kind=source.kind, name=source.name)


def _locate(source: SourceStatus, uri: str) -> Location:
    """Return a place in the store of another run."""
    return Location(
        uri=uri,
        endpoint=source.endpoint,
        region=source.region,
        credentials_secret=source.credentials_secret,
    )


def _look_up(
    path: str, reference: RunReference, namespace: str, world: World, *, needs_model: bool
) -> SourceStatus | Problem:
    """Return where another run saves and, if that is needed, where its finished model is."""
    raw = world.find(reference.kind, namespace, reference.name)
    if raw is None:
        message = f"{path}: got {reference.kind}/{reference.name}, which is not in namespace {namespace}; create it"
        return Problem(names.WAITING_FOR_RUN, message)
    try:
        other = parse_run(raw)
    except ValidationError as error:
        return Problem("InvalidSpec", clean_text(f"{path}: {reference.name} is not valid: {error}"))
    store = other.spec.checkpoints.store
    folder = run_folder(store, namespace, reference.name)
    status = other.status or RunStatus()
    source = SourceStatus(
        kind=reference.kind,
        name=reference.name,
        folder=folder.uri,
        endpoint=store.endpoint,
        region=store.region,
        credentials_secret=store.credentials_secret,
    )
    if not needs_model:
        return source
    if status.phase is not Phase.SUCCEEDED or status.model is None:
        name = f"{reference.kind}/{reference.name}"
        return Problem(names.WAITING_FOR_RUN, clean_text(f"{path}: {_explain_wait(name, status)}"))
    return source.model_copy(update={"model": status.model.uri})


def _explain_wait(name: str, status: RunStatus) -> str:
    """Say what a run waits for; what has ended without a model needs somebody to act."""
    remedy = "delete and create it again, or name another"
    if status.phase is Phase.FAILED:
        return (
            f"got {name}, which has failed ({status.reason}), expected one that succeeds; {remedy}"
        )
    if status.phase is Phase.SUCCEEDED:
        return f"got {name}, which has succeeded without a model, expected one with it; {remedy}"
    return f"waits for {name} to succeed"
