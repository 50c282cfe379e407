"""Which checkpoint an attempt starts from: its own newest, else that of the run it continues.

Runs on rank 0 only; the manager tells the others.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from trainwright_api.data import Location
from trainwright_api.run import Run

from trainwright_trainer.checkpoint.catalog import Catalog, StoredCheckpoint, read_catalog
from trainwright_trainer.checkpoint.layout import parse_step, step_folder
from trainwright_trainer.checkpoint.state import ResumePoint
from trainwright_trainer.errors import TrainerError, UserError
from trainwright_trainer.settings import Settings
from trainwright_trainer.store import Store, open_store

RESUME_FIELD = "spec.checkpoints.resumeFrom"
STARTS_ANEW = "no checkpoint verifies: training starts again from step 0"
STARTS_AGAIN = (
    "no checkpoint of the run's own verifies: training starts again from the one that "
    f"{RESUME_FIELD} names"
)


@dataclass(frozen=True)
class Findings:
    """What the store holds: points to start from (newest first), and what did not verify."""

    points: list[ResumePoint] = field(default_factory=list)
    own: list[StoredCheckpoint] = field(default_factory=list)
    broken_steps: list[int] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def find_checkpoints(run: Run, store: Store, settings: Settings) -> Findings:
    """Read the run's own folder, then that of `resumeFrom` if the own has no checkpoint.

    Deletes what unfinished saves left in the own folder: none may be in flight. Raises UserError if
    `resumeFrom` has no checkpoint that verifies or a newer trainer wrote one in a format of its own,
    StoreError if a store cannot be reached.
    """
    catalog = read_catalog(store)
    left = _delete_unfinished(store, catalog)
    warnings = left + [
        f"checkpoint of step {step} is not used: {why}" for step, why in catalog.broken.items()
    ]
    points = [_point(checkpoint, is_own=True) for checkpoint in catalog.checkpoints]
    if points and points[0].manifest.uid != run.uid:
        warnings.append(
            f"goes on after step {points[0].manifest.step} of an earlier run of this name "
            f"({points[0].uri}); to begin anew, use another name or delete its folder"
        )
    if not points and run.checkpoints.resume_from:
        points = find_elsewhere(run, settings)
        warnings += [STARTS_AGAIN] if catalog.broken else []
    elif not points and catalog.broken:
        warnings.append(STARTS_ANEW)
    return Findings(points, catalog.checkpoints, sorted(catalog.broken), warnings)


def open_run_folder(run: Run, uri: str, settings: Settings) -> tuple[Store, int | None]:
    """Open the other run's folder that a URI names, with that run's access to its store.

    A URI that ends in step-N also gives the step.
    """
    parent, _, name = uri.rstrip("/").rpartition("/")
    step = parse_step(name)
    folder = uri if step is None else f"{parent}/"
    access: Location = run.checkpoints.resume_from or run.checkpoints.folder
    location = access.model_copy(update={"uri": folder})
    return open_store(location, settings, field=RESUME_FIELD), step


def find_elsewhere(run: Run, settings: Settings) -> list[ResumePoint]:
    """Return the checkpoints that `resumeFrom` names, newest first. Raises UserError if there is none."""
    start = run.checkpoints.resume_from
    uri = start.uri if start else ""
    store, step = open_run_folder(run, uri, settings)
    wanted = run.checkpoints.resume_from_step if step is None else step
    catalog = read_catalog(store, only_step=wanted)
    if catalog.checkpoints:
        return [_point(checkpoint, is_own=False) for checkpoint in catalog.checkpoints]
    raise not_whole_error(uri, wanted, catalog.broken)


def not_whole_error(uri: str, step: int | None, broken: Mapping[int, str]) -> UserError:
    """Return the error of a `resumeFrom` without a checkpoint that verifies; `broken` says why, by step."""
    reasons = "; ".join(f"step {number}: {why}" for number, why in broken.items())
    what = "no checkpoint" if step is None else f"no checkpoint of step {step}"
    return UserError(
        f"{RESUME_FIELD}: got {uri} with {what} that verifies ({reasons or 'none there'}), expected one; name a "
        "run or step whose checkpoint is whole"
    )


def _delete_unfinished(store: Store, catalog: Catalog) -> list[str]:
    """Delete the leftovers of killed saves, before the first save of this attempt; return warnings.

    A file that was killed half-written shows in no listing: its step may look as if it had never been
    there, or may have been saved whole by a later attempt. What cannot be deleted only takes room.
    """
    try:
        store.delete_unfinished()
        for step in catalog.unfinished:
            store.delete([file.path for file in store.list_files(f"{step_folder(step)}/")])
    except TrainerError as error:
        return [f"what unfinished saves have left stays: {error}"]
    return []


def _point(checkpoint: StoredCheckpoint, *, is_own: bool) -> ResumePoint:
    return ResumePoint(checkpoint.uri, checkpoint.manifest, is_own)
