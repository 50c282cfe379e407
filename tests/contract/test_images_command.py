"""`python -m tools.images` as people use it: build, write, push; and what it says when it cannot."""

import json
import os
import shutil
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from tests.contract.registry import running_registry
from tools.images.builders import private_store
from tools.images.cache import PROJECT
from tools.images.specs import TRACKERS_LOCK, project_version

needs_root = pytest.mark.skipif(
    os.geteuid() != 0, reason="building images as here needs root on Linux"
)


def run_command(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tools.images", *arguments],
        env={**os.environ, **private_store(), **environment},
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=False,
    )


@needs_root
@pytest.mark.timeout(600)
def test_push_puts_the_image_into_the_registry(tmp_path: Path) -> None:
    with running_registry(tmp_path) as registry:
        trust = tmp_path / "registries.conf"
        trust.write_text(f'[[registry]]\nlocation = "{registry}"\ninsecure = true\n')
        ended = run_command(
            *("trainer-code", "--base-image", "stand-in"),
            *("--registry", f"{registry}/team", "--tag", "v1", "--push"),
            CONTAINERS_REGISTRIES_CONF=str(trust),
        )
        assert ended.returncode == 0, ended.stderr
        assert ended.stdout == f"trainer-code {registry}/team/trainwright-trainer-code:v1\n"
        tags = f"http://{registry}/v2/team/trainwright-trainer-code/tags/list"
        with urllib.request.urlopen(tags) as answer:
            assert json.load(answer)["tags"] == ["v1"]


@needs_root
@pytest.mark.timeout(600)
def test_archive_is_built_once_and_then_costs_nothing() -> None:
    first = run_command("trainer-code", "--cached")
    assert first.returncode == 0, first.stderr
    name, reference, archive = first.stdout.split()
    assert name == "trainer-code"
    assert reference.startswith("localhost/trainwright-trainer-code:")
    before = Path(archive).stat().st_ino
    # Nothing is called any more, no builder either.
    second = run_command("trainer-code", "--cached", PATH="/nowhere")
    assert (second.stdout, second.stderr) == (first.stdout, "")
    assert Path(archive).stat().st_ino == before


@needs_root
@pytest.mark.timeout(600)
def test_archive_folder_gets_a_file_per_image(tmp_path: Path) -> None:
    ended = run_command("trainer-code", "--base-image", "stand-in", "--archive", str(tmp_path))
    assert ended.returncode == 0, ended.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["trainwright-trainer-code.tar"]


def run_played_builder(
    program: str, folder: Path, *arguments: str
) -> tuple[subprocess.CompletedProcess[str], list[str]]:
    """Run the command with a builder that only writes down what it is told; and what that was."""
    told = folder / "told"
    told.touch()
    builder = folder / program
    builder.write_text(f'#!/bin/sh\necho "$*" >> {told}\n')
    builder.chmod(0o755)
    ended = run_command(*arguments, PATH=str(folder))
    return ended, told.read_text().splitlines()


REFERENCE = "registry.example/team/trainwright-operator:v1"
BUILD = (
    f"--build-arg=VERSION={project_version()} --build-arg=BASE_IMAGE=python:3.12-slim "
    f"-f {PROJECT}/operator/Dockerfile -t {REFERENCE} {PROJECT}"
)


@pytest.mark.parametrize(
    ("program", "expected"),
    [
        (
            "buildah",
            [
                "--version",
                f"build --layers {BUILD}",
                f"push --quiet {REFERENCE} oci-archive:{{archive}}:{REFERENCE}",
                f"push {REFERENCE}",
            ],
        ),
        (
            "podman",
            [
                "--version",
                f"build {BUILD}",
                f"save --quiet --format oci-archive -o {{archive}} {REFERENCE}",
                f"push {REFERENCE}",
            ],
        ),
        (
            "docker",
            [
                "info",
                f"build {BUILD}",
                f"save -o {{archive}} {REFERENCE}",
                f"push {REFERENCE}",
            ],
        ),
    ],
)
def test_each_builder_is_told_in_its_own_words(
    program: str, expected: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("SSL_CERT_FILE", "PIP_CONFIG_FILE", "PIP_INDEX_URL"):
        monkeypatch.delenv(name, raising=False)
    ended, told = run_played_builder(
        program,
        tmp_path,
        *("operator", "--base-image", "python:3.12-slim", "--tag", "v1", "--push"),
        *("--registry", "registry.example/team", "--archive", str(tmp_path)),
    )
    assert ended.returncode == 0, ended.stderr
    archive = tmp_path / "trainwright-operator.tar"
    assert ended.stdout == f"operator {REFERENCE} {archive}\n"
    assert told == [line.format(archive=archive) for line in expected]


@pytest.mark.skipif(shutil.which("flock") is None, reason="it comes with util-linux")
def test_the_store_is_held_until_the_image_is_handed_on(tmp_path: Path) -> None:
    """A build beside it would empty a store that has grown large."""
    lock, free = tmp_path / "cache" / "locks" / "store.lock", tmp_path / "free"
    builder = tmp_path / "buildah"
    look = f"{shutil.which('flock')} --nonblock {lock} {shutil.which('echo')} $1 >> {free}"
    builder.write_text(f"#!/bin/sh\n[ $1 = --version ] || {look}\nexit 0\n")
    builder.chmod(0o755)
    arguments = ("operator", "--tag", "v1", "--push", "--registry", "registry.example/team")
    environment = {"PATH": str(tmp_path), "TRAINWRIGHT_CACHE": str(tmp_path / "cache")}
    ended = run_command(*arguments, "--archive", str(tmp_path), **environment)
    assert ended.returncode == 0, ended.stderr
    assert free.read_text() == ""


def test_the_image_with_trackers_installs_their_lock(tmp_path: Path) -> None:
    """What the builder is told: the image itself takes minutes and 6 GB."""
    ended, told = run_played_builder("buildah", tmp_path, "trainer-trackers", "--tag", "v1")
    assert ended.stdout == "trainer-trackers localhost/trainwright-trainer-trackers:v1\n"
    (build,) = [line for line in told if "Dockerfile" in line]
    assert "--build-arg=LOCK=trackers" in build.split()
    assert "mlflow-skinny==" in TRACKERS_LOCK.read_text()
    assert "wandb==" in TRACKERS_LOCK.read_text()


def test_without_a_builder_it_says_what_to_install() -> None:
    ended = run_command("operator", PATH="/nowhere")
    assert ended.returncode == 1
    assert "no image builder found: install buildah or podman" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_push_without_a_registry_is_refused() -> None:
    ended = run_command("operator", "--push")
    assert (ended.returncode, ended.stderr) == (1, "images: --push needs --registry\n")


@needs_root
@pytest.mark.timeout(600)
def test_failed_build_shows_the_builders_last_lines() -> None:
    ended = run_command("trainer-code", "--base-image", "localhost/no-such-image:1")
    assert ended.returncode == 1
    assert "no-such-image" in ended.stderr
    assert "Traceback" not in ended.stderr
