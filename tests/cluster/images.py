"""The cluster's own three images, made once from static programs and kept in the cache."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.cluster import oci
from tests.cluster.binaries import TOOLBOX, TRAINING_OPERATOR, ensure_binaries
from tests.cluster.cache import Report, build_key, cache_folder, make_once, read_recipe

PAUSE_IMAGE = "localhost/pause:1"
TOOLBOX_IMAGE = "localhost/toolbox:1"
CA_CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")


def training_operator_image() -> str:
    """The image's name; its tag is the pinned version."""
    return f"localhost/training-operator:{TRAINING_OPERATOR.version}"


def ensure_images(report: Report = print) -> list[Path]:
    """The archives of all images that every node gets."""
    toolbox = ensure_binaries(TOOLBOX, report) / "toolbox"
    operator = ensure_binaries(TRAINING_OPERATOR, report) / "training-operator"
    return [
        _archive(PAUSE_IMAGE, {"bin/toolbox": toolbox}, ["/bin/toolbox", "pause"]),
        _archive(TOOLBOX_IMAGE, {"bin/toolbox": toolbox}, ["/bin/toolbox"]),
        _archive(training_operator_image(), {"manager": operator}, ["/manager"]),
    ]


def _archive(name: str, programs: Mapping[str, Path], entrypoint: Sequence[str]) -> Path:
    sources = [f"{path}={source.parent.name}/{source.name}" for path, source in programs.items()]
    label = name.removeprefix("localhost/").replace(":", "-")
    key = build_key(name, *sources, *entrypoint, read_recipe(__file__, oci.__file__))
    entry = cache_folder() / "images" / f"{label}-{key}.tar"

    def build(target: Path) -> None:
        files = {path: oci.ImageFile(file.read_bytes(), 0o755) for path, file in programs.items()}
        target.write_bytes(oci.build_oci_archive(name, files, entrypoint))

    return make_once(entry, build, forgets=True)
