"""Managers over folders of their own, and shards that stand for a model's state."""

import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest
from trainwright_api.data import Location
from trainwright_api.run import Run
from trainwright_trainer.checkpoint import (
    CheckpointManager,
    FetchedCheckpoint,
    RunFacts,
    StepState,
)
from trainwright_trainer.groups import Group, SingleGroup
from trainwright_trainer.settings import Settings
from trainwright_trainer.store import Store, open_store

from tests.trainer.run_builder import build_run
from tests.trainer.s3_server import S3Server

SHARD = "engine/rank_0_optim_states.pt"
FIELD = "spec.checkpoints.store"
FACTS = RunFacts(
    zero_stage=2, template_sha256="t", data_sha256="d", base_sha256="b", versions={"torch": "x"}
)


def state_of(step: int, validation_loss: float | None = None) -> StepState:
    """Return where training stands at a step."""
    return StepState(
        step, step * 4, step * 128, step / 10, FACTS, loss=1.0, validation_loss=validation_loss
    )


def shard_content(step: int, rank: int, num_bytes: int = 2000) -> bytes:
    """Return what a rank's shard holds at a step."""
    seed = hashlib.sha256(f"{step}/{rank}".encode()).digest()
    return (seed * (num_bytes // len(seed) + 1))[:num_bytes]


def shard_writer(step: int, rank: int = 0, num_bytes: int = 2000) -> Callable[[Path], None]:
    """Return what the loop would pass to `save`."""

    def write(folder: Path) -> None:
        (folder / "engine").mkdir()
        (folder / "engine" / f"rank_{rank}_optim_states.pt").write_bytes(
            shard_content(step, rank, num_bytes)
        )
        if rank == 0:
            (folder / "engine" / "model_states.pt").write_bytes(f"model {step}".encode())

    return write


def open_manager(run: Run, settings: Settings, group: Group | None = None) -> CheckpointManager:
    """Return a manager of a run, as an attempt opens it."""
    store = open_store(run.checkpoints.folder, settings, field=FIELD)
    return CheckpointManager(run, store, settings, group or SingleGroup())


def save(manager: CheckpointManager, step: int, validation_loss: float | None = None) -> None:
    """Save a step and wait until it is whole."""
    manager.save(state_of(step, validation_loss), shard_writer(step))
    manager.wait(60)


def resumed(manager: CheckpointManager) -> FetchedCheckpoint | None:
    """Do what the start of an attempt does."""
    point = manager.find_resume()
    return manager.fetch(point) if point else None


def is_whole(fetched: FetchedCheckpoint, rank: int = 0) -> bool:
    """Tell whether the fetched files are what was saved at that step."""
    step = fetched.point.manifest.step
    files = {
        path.relative_to(fetched.folder).as_posix(): path.read_bytes()
        for path in fetched.folder.rglob("*")
        if path.is_file()
    }
    return files[f"engine/rank_{rank}_optim_states.pt"] == shard_content(step, rank)


def folder_of(uri: str, base: Location) -> Location:
    """Return another location of the same store."""
    return base.model_copy(update={"uri": uri})


class Place:
    """Where a run's checkpoints are, and the same files as seen on the disk."""

    def __init__(self, location: Location, disk: Path) -> None:
        self.location = location
        self.disk = disk

    def run(self, **checkpoints: object) -> Run:
        return build_run(folder=self.location, **checkpoints)  # type: ignore[arg-type]

    def store(self, settings: Settings) -> Store:
        return open_store(self.location, settings, field=FIELD)

    def steps(self) -> list[str]:
        return sorted(path.name for path in self.disk.glob("step-*"))


@pytest.fixture(params=["s3", "file"])
def place(request: pytest.FixtureRequest, s3_server: S3Server, tmp_path: Path) -> Place:
    if request.param == "file":
        return Place(
            Location(uri=f"file://{tmp_path}/store/team/run/"), tmp_path / "store" / "team" / "run"
        )
    bucket = s3_server.bucket("checkpoints")
    uri = f"s3://checkpoints/{tmp_path.name}/team/run/"
    return Place(s3_server.location(uri), bucket / tmp_path.name / "team" / "run")


def truncate(store: Store, step: str) -> None:
    """Damage a checkpoint so that the sizes of its files tell."""
    store.write_bytes(f"{step}/{SHARD}", b"short")
