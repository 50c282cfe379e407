"""Everything the trainer reads from its environment; no other module does."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from trainwright_api import names


@dataclass(frozen=True, slots=True)
class Settings:
    """Folders of the container."""

    credentials_folder: Path = Path(names.CREDENTIALS_FOLDER)
    """Mounted Secrets, one folder each."""
    volumes_folder: Path = Path(names.VOLUMES_FOLDER)
    """Mounted PersistentVolumeClaims, one folder each."""
    scratch_folder: Path = Path(names.SCRATCH_FOLDER)
    """Node-local space that may vanish with the pod."""


def read_settings(environment: Mapping[str, str] = os.environ) -> Settings:
    """Return the settings of this process."""
    return Settings()
