"""What is inside the images as built: locked packages only, our code, no tools, no rights.

Builds them if the cache does not hold them (about 70 s from nothing); needs root on Linux.
"""

import json
import os
import re
import subprocess
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from tools.images import build_archive, ensure_trainer_venv
from tools.images.specs import OPERATOR_LOCK, TRAINER_LOCK, project_version

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="building images as here needs root on Linux"),
    pytest.mark.timeout(900),
]

_NOT_WANTED = re.compile(
    r"(^|/)bin/(gcc|g\+\+|cc|make|ld|uv|curl|wget|git|pip|pip3)$|^etc/pip\.conf$|(^|/)\.cache/"
)


@dataclass(frozen=True)
class Image:
    """An OCI archive, read."""

    config: dict[str, Any]
    layers: tuple[str, ...]
    archive: Path

    def files(self) -> Iterator[tarfile.TarInfo]:
        """Everything in every layer, whiteouts included."""
        with tarfile.open(self.archive) as outer:
            for layer in self.layers:
                with tarfile.open(fileobj=outer.extractfile(layer)) as inner:
                    yield from inner

    def unpack(self, folder: Path) -> None:
        """The root file system as a container would see it (these images delete nothing)."""
        with tarfile.open(self.archive) as outer:
            for layer in self.layers:
                packed = outer.extractfile(layer)
                assert packed
                command = ["tar", "--extract", "--gzip", "--numeric-owner", "-C", str(folder)]
                subprocess.run(command, input=packed.read(), check=True)


def read_image(archive: Path) -> Image:
    def blob(digest: str) -> str:
        return f"blobs/{digest.replace(':', '/')}"

    with tarfile.open(archive) as outer:

        def document(name: str) -> dict[str, Any]:
            file = outer.extractfile(name)
            assert file
            return dict(json.load(file))

        manifest = document(blob(document("index.json")["manifests"][0]["digest"]))
        config = document(blob(manifest["config"]["digest"]))
    return Image(config, tuple(blob(layer["digest"]) for layer in manifest["layers"]), archive)


@cache
def operator_image() -> Image:
    archive = build_archive("operator").archive
    assert archive
    return read_image(archive)


def locked_versions(lock: Path) -> dict[str, str]:
    """Name and version of what the lock installs on this platform."""
    from packaging.requirements import Requirement

    texts = (line.removesuffix(" \\") for line in lock.read_text().splitlines() if "==" in line)
    wanted = [Requirement(text) for text in texts if not text.startswith(" ")]
    chosen = [found for found in wanted if not found.marker or found.marker.evaluate()]
    return {normal(found.name): str(found.specifier).removeprefix("==") for found in chosen}


def installed_versions(names: Iterator[str]) -> dict[str, str]:
    """The same from the names of dist-info folders."""
    found = (
        re.search(r"site-packages/([^/]+)-([^/-]+)\.dist-info/METADATA$", name) for name in names
    )
    return {normal(match[1]): match[2] for match in found if match}


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def test_operator_image_holds_exactly_the_locked_packages() -> None:
    names = (file.name for file in operator_image().files() if file.name.startswith("opt/"))
    assert installed_versions(names) == locked_versions(OPERATOR_LOCK)


def test_operator_image_has_no_build_tools_and_no_traces_of_the_build() -> None:
    found = [file.name for file in operator_image().files() if _NOT_WANTED.search(file.name)]
    assert not found
    history = json.dumps(operator_image().config.get("history", []))
    assert "secret" not in history


def test_operator_image_runs_as_65532_by_absolute_path() -> None:
    config = operator_image().config["config"]
    assert config["User"] == "65532:65532"
    assert config["Entrypoint"] == ["/opt/operator/bin/python", "-m", "trainwright_operator"]


def test_nothing_of_ours_can_be_changed_by_the_user_of_the_image() -> None:
    ours = [file for file in operator_image().files() if file.name.startswith("opt/")]
    assert ours
    assert not [f.name for f in ours if f.uid or (f.mode & 0o022 and not f.issym())]


@pytest.fixture
def operator_root() -> Iterator[Path]:
    """The image's root file system, unpacked; 290 MB, so it goes when the test ends."""
    with TemporaryDirectory() as folder:
        root = Path(folder)
        operator_image().unpack(root)
        root.chmod(0o755)
        yield root


def test_operator_image_imports_its_code_read_only_without_rights(operator_root: Path) -> None:
    code = (
        "import os, kopf, kubernetes, trainwright_operator.__main__ as main; "
        "print(os.getuid(), main.read_version())"
    )
    script = (
        'mount --bind "$0" "$0" && mount -o remount,ro,bind "$0" '
        '&& exec chroot --userspec=65532:65532 "$0" /usr/bin/env -i PYTHONPATH=/opt/app '
        '/opt/operator/bin/python -c "$1"'
    )
    command = ["unshare", "--mount", "sh", "-c", script, str(operator_root), code]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.stdout == f"65532 {project_version()}\n", ended.stderr


def test_mounted_trainer_environment_holds_exactly_the_locked_packages() -> None:
    venv = ensure_trainer_venv()
    names = (str(path) for path in venv.glob("lib/python3*/site-packages/*.dist-info/METADATA"))
    assert installed_versions(names) == locked_versions(TRAINER_LOCK)
