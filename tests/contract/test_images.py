"""The Dockerfiles, the builder's list and the lock files agree, and the Dockerfiles are clean."""

import subprocess
import sys
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from tests.contract.dockerfile import parse_dockerfile
from tools.images.cache import PROJECT
from tools.images.environment import INSIDE, trainer_venv_path
from tools.images.specs import (
    IMAGES,
    OPERATOR,
    OPERATOR_LOCK,
    TRAINER,
    TRAINER_LOCK,
    project_version,
)

DOCKERFILES = [OPERATOR.dockerfile, TRAINER.dockerfile]
BOTH = pytest.mark.parametrize("path", DOCKERFILES, ids=["operator", "trainer"])


def context_paths(path: Path, *, target: str | None = None) -> set[Path]:
    """All that a build of `path` copies from the work tree."""
    _, stages = parse_dockerfile(path)
    wanted = [stage for stage in stages if target in (None, stage.name)]
    return {PROJECT / copied for stage in wanted for copied in stage.copied()}


@BOTH
def test_hadolint_finds_nothing(path: Path) -> None:
    hadolint = Path(sys.executable).parent / "hadolint"
    ended = subprocess.run([hadolint, path], capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout


@BOTH
def test_base_image_is_one_argument_for_all_stages(path: Path) -> None:
    arguments, stages = parse_dockerfile(path)
    assert arguments == {"BASE_IMAGE": "python:3.12-slim"}
    names = {stage.name for stage in stages}
    assert {stage.base for stage in stages} - names == {"${BASE_IMAGE}"}


@BOTH
def test_image_runs_as_a_user_without_rights_and_starts_by_absolute_path(path: Path) -> None:
    _, stages = parse_dockerfile(path)
    last = stages[-1] if stages[-1].all("USER") else next(s for s in stages if s.name == "code")
    assert last.all("USER") == ["65532:65532"]
    (entrypoint,) = last.all("ENTRYPOINT")
    assert entrypoint.startswith('["/opt/')


@BOTH
def test_only_locked_packages_with_hashes_are_installed(path: Path) -> None:
    _, stages = parse_dockerfile(path)
    lock = {OPERATOR.dockerfile: OPERATOR_LOCK, TRAINER.dockerfile: TRAINER_LOCK}[path]
    installs = [text for stage in stages for text in stage.all("RUN") if "pip install" in text]
    assert len(installs) == 1
    assert "--require-hashes" in installs[0]
    defaults = [text for stage in stages for text in stage.all("ARG") if text.startswith("LOCK=")]
    chosen = installs[0].replace('"/build/${LOCK}.lock"', f"/build/{''.join(defaults)[5:]}.lock")
    assert f"--requirement /build/{lock.name}" in chosen


@pytest.mark.parametrize("image", IMAGES.values(), ids=list(IMAGES))
def test_builder_knows_everything_that_the_dockerfile_copies(image: object) -> None:
    assert set(image.sources) == context_paths(image.dockerfile, target=image.target)


def test_dockerignore_lets_through_what_is_copied_and_nothing_else() -> None:
    lines = (PROJECT / ".dockerignore").read_text().splitlines()
    assert "*" in lines
    allowed = {PROJECT / line.removeprefix("!") for line in lines if line.startswith("!")}
    assert allowed == {copied for path in DOCKERFILES for copied in context_paths(path)}


def test_mounted_environment_goes_where_the_image_has_its_own() -> None:
    _, stages = parse_dockerfile(TRAINER.dockerfile)
    full, code = stages[-1], next(stage for stage in stages if stage.name == "code")
    assert full.base == "code"
    assert full.all("COPY") == [f"--from=dependencies {INSIDE} {INSIDE}"]
    (entrypoint,) = code.all("ENTRYPOINT")
    assert entrypoint.startswith(f'["{INSIDE}/bin/python"')


def test_mounted_environment_is_named_by_the_lock_that_the_image_installs(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    before = trainer_venv_path()
    changed = PROJECT / "requirements" / "operator.lock"
    monkeypatch.setattr("tools.images.environment.TRAINER_LOCK", changed)
    assert trainer_venv_path() != before


def test_mounted_environment_is_made_anew_when_the_code_that_makes_it_changes(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    before = trainer_venv_path()
    (tmp_path / "changed.py").write_text("another recipe")
    monkeypatch.setattr("tools.images.environment.__file__", str(tmp_path / "changed.py"))
    assert trainer_venv_path() != before


def test_chart_and_project_have_one_version() -> None:
    chart = YAML(typ="safe").load(PROJECT / "helm" / "trainwright" / "Chart.yaml")
    assert chart["appVersion"] == project_version()
    assert chart["version"] == project_version()
