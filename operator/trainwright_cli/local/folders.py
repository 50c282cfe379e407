"""Where everything of a local run lies below --work-dir.

checkpoints/<namespace>/<name>/     checkpoints and the finished model, as in a store
local/<namespace>/<name>/           run.json, manifest.json, trainer.log, lock, scratch space
volumes/<claim>/                    stands for the PVC of a pvc:// URI
credentials/<secret>/<KEY>          stands for a Secret, if the user puts one there
"""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Folders:
    """Folders and files of one local run."""

    work: Path
    namespace: str
    name: str

    @property
    def checkpoints(self) -> Path:
        """The store of all runs of this work folder."""
        return self.work / "checkpoints"

    @property
    def run_checkpoints(self) -> Path:
        """The run's own folder of the store."""
        return self.checkpoints / self.namespace / self.name

    @property
    def own(self) -> Path:
        """What this run needs beside its checkpoints."""
        return self.work / "local" / self.namespace / self.name

    @property
    def run_file(self) -> Path:
        """The resolved run that the trainer reads."""
        return self.own / "run.json"

    @property
    def manifest_file(self) -> Path:
        """The manifest of the last start, to refuse changes that a resumed run cannot have."""
        return self.own / "manifest.json"

    @property
    def lock_file(self) -> Path:
        """Locked while the run trains here; says which process holds it."""
        return self.own / "lock"

    @property
    def termination_file(self) -> Path:
        """Where the trainer says how it ended."""
        return self.own / "termination.json"

    @property
    def log_file(self) -> Path:
        """What the trainer prints."""
        return self.own / "trainer.log"

    @property
    def scratch(self) -> Path:
        """Space that may vanish between two starts."""
        return self.own / "scratch"

    @property
    def volumes(self) -> Path:
        """One folder for each claim of a pvc:// URI."""
        return self.work / "volumes"

    @property
    def credentials(self) -> Path:
        """One folder for each Secret that the manifest names."""
        return self.work / "credentials"

    def create(self) -> None:
        """Make the folders that the trainer expects."""
        for folder in (self.run_checkpoints, self.scratch, self.volumes, self.credentials):
            folder.mkdir(parents=True, exist_ok=True)
