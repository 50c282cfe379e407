"""What the images are made of: the single list that the builder and the contract tests read."""

import tomllib
from dataclasses import dataclass, replace
from pathlib import Path

from tools.images.cache import PROJECT, fingerprint

_API = "crds/trainwright_api"
_PLANNER = "operator/trainwright_planner"
OPERATOR_LOCK = PROJECT / "requirements" / "operator.lock"
TRAINER_LOCK = PROJECT / "requirements" / "trainer.lock"
TRACKERS_LOCK = PROJECT / "requirements" / "trackers.lock"  # the trainer's and its trackers'


@dataclass(frozen=True)
class ImageSpec:
    """One image: its Dockerfile, the stage to stop at, and everything its content depends on."""

    name: str
    repository: str
    dockerfile: Path
    sources: tuple[Path, ...]
    usually_seconds: int
    target: str | None = None
    arguments: tuple[str, ...] = ()  # NAME=VALUE for the Dockerfile's ARGs
    keeps_layers: bool = True

    def version(self, base: str) -> str:
        """A hash of all that goes into the image on top of `base`."""
        ignored = PROJECT / ".dockerignore"
        texts = (base, self.target or "", *self.arguments, project_version())
        return fingerprint([self.dockerfile, ignored, *self.sources], *texts)


def project_version() -> str:
    """The version in pyproject.toml, which is the chart's appVersion too."""
    with (PROJECT / "pyproject.toml").open("rb") as file:
        return str(tomllib.load(file)["project"]["version"])


def _sources(*paths: str) -> tuple[Path, ...]:
    return tuple(PROJECT / path for path in paths)


OPERATOR = ImageSpec(
    name="operator",
    repository="trainwright-operator",
    dockerfile=PROJECT / "operator" / "Dockerfile",
    sources=(OPERATOR_LOCK, *_sources(_API, _PLANNER, "operator/trainwright_operator")),
    usually_seconds=20,
)
_TRAINER_CODE = _sources(_API, _PLANNER, "trainer_image/trainwright_trainer")
TRAINER = ImageSpec(
    name="trainer",
    repository="trainwright-trainer",
    dockerfile=PROJECT / "trainer_image" / "Dockerfile",
    sources=(TRAINER_LOCK, TRACKERS_LOCK, *_TRAINER_CODE),
    usually_seconds=300,
    keeps_layers=False,  # 5 GB of layers written twice cost more than they save
)
TRAINER_TRACKERS = replace(
    TRAINER,
    name="trainer-trackers",
    repository="trainwright-trainer-trackers",
    arguments=("LOCK=trackers",),
)
TRAINER_CODE = ImageSpec(
    name="trainer-code",
    repository="trainwright-trainer-code",
    dockerfile=TRAINER.dockerfile,
    sources=_TRAINER_CODE,
    usually_seconds=5,
    target="code",
)
IMAGES = {image.name: image for image in (OPERATOR, TRAINER, TRAINER_TRACKERS, TRAINER_CODE)}
