"""Reports to Weights & Biases: one W&B run per run of ours, its id the uid.

W&B takes no step twice, but a run that goes on from a checkpoint repeats some: `step` is therefore a
value like others and the axis of all. Offline, W&B's own files go to `<run folder>/wandb/attempt-N/`.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from trainwright_api.names import SECRET_WANDB_API_KEY, WANDB_FOLDER, Outcome
from trainwright_api.tracking import WandbMode, WandbTracking

from trainwright_trainer.tracking.secrets import read_secret
from trainwright_trainer.tracking.sink import (
    Beginning,
    Ending,
    Point,
    Sink,
    build_parameters,
    build_tags,
)

if TYPE_CHECKING:
    import wandb

INIT_SECONDS = 30.0
_EXIT_CODES = {Outcome.SUCCEEDED: 0, Outcome.FAILED: 1, Outcome.INTERRUPTED: 143}


class WandbRuns(Sink):
    """The W&B run of one run."""

    name = "W&B"

    def __init__(self, beginning: Beginning, tracking: WandbTracking) -> None:
        self._beginning, self._tracking = beginning, tracking
        self._attempt = f"attempt-{beginning.run.attempt}"
        self._folder = beginning.scratch_folder / WANDB_FOLDER / self._attempt
        self._is_offline = tracking.mode is WandbMode.OFFLINE
        self._uploaded_bytes: dict[str, int] = {}

    def open(self) -> None:
        """See Sink."""
        import wandb

        self._folder.mkdir(parents=True, exist_ok=True)
        run, tags = self._beginning.run, build_tags(self._beginning.run)
        self._run = wandb.init(
            project=self._tracking.project,
            entity=self._tracking.entity,
            id=tags["uid"],
            name=run.name,
            group=run.namespace,
            job_type=run.kind,
            mode="offline" if self._is_offline else "online",
            resume=None if self._is_offline else "allow",
            dir=str(self._folder),
            config=build_parameters(run) | {"trainwright": tags},
            allow_val_change=True,
            settings=self._build_settings(),
        )
        self._run.define_metric("step", hidden=True)
        self._run.define_metric("*", step_metric="step")

    def _build_settings(self) -> "wandb.Settings":
        import wandb

        folder, secret = self._beginning.credentials_folder, self._tracking.credentials_secret
        given = {
            "api_key": read_secret(folder, secret, SECRET_WANDB_API_KEY),
            "base_url": self._tracking.base_url,
        }
        return wandb.Settings(
            console="off",
            disable_git=True,
            save_code=False,
            silent=True,
            init_timeout=INIT_SECONDS,
            **{name: value for name, value in given.items() if value is not None},
        )

    def deliver(self, points: Sequence[Point]) -> None:
        """See Sink."""
        for point in points:
            self._run.log({"step": point.step, **point.values})

    def save(self) -> None:
        """Offline: copy the files that have grown since the last time; raises StoreError."""
        if not self._is_offline:
            return
        for path in sorted(self._folder.rglob("*")):
            name = path.relative_to(self._folder).as_posix().removeprefix("wandb/")
            if path.is_symlink() or not path.is_file():
                continue
            size = path.stat().st_size
            if self._uploaded_bytes.get(name) != size:
                self._beginning.store.upload(path, f"{WANDB_FOLDER}/{self._attempt}/{name}")
                self._uploaded_bytes[name] = size

    def close(self, ending: Ending) -> None:
        """See Sink."""
        self._run.finish(exit_code=_EXIT_CODES[ending.outcome])
        self.save()
