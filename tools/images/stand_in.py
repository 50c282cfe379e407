"""A stand-in for python:3.x-slim, made from Debian packages where no registry can be reached.

Used when the base image is called `stand-in`: by the end-to-end tests and the demo. It is Debian
12 with its Python 3.11, arranged as the official image is.
"""

import os
import shutil
from pathlib import Path

from tools.images.builders import Builder, install_packages, run
from tools.images.cache import cache_folder, fingerprint, publish, temporary_folder
from tools.machine import DEBIAN_PYTHON, DEBIAN_SUITE

STAND_IN = "stand-in"
SUITE = DEBIAN_SUITE
PYTHON = str(DEBIAN_PYTHON)
_PACKAGES = ("ca-certificates", "python3", "python3-venv")
_HOOKS = (
    # mmdebstrap leaves the build machine's name and resolver in the tree.
    'rm -f "$1/etc/resolv.conf" "$1/etc/hostname"',
    'rm -f "$1/usr/lib/python3.11/EXTERNALLY-MANAGED"',
    'ln -s /usr/bin/python3 "$1/usr/local/bin/python"',
    'rm -rf "$1/usr/share/man" "$1/usr/share/locale"',
    # Of the documentation, the licences go along with what they are of.
    'find "$1/usr/share/doc" -type f ! -name copyright -delete',
)
# How `_write_root` runs mmdebstrap is in none of the above: a change of it that makes another root adds a
# word here, and that is made anew, and all images on top of it.
_BUILD_CHANGES: tuple[str, ...] = ()
_CONFIGURATION = {
    "ENV": "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "CMD": "python3",
}


def stand_in_version() -> str:
    """A hash of the recipe."""
    return fingerprint([], SUITE, *_PACKAGES, *_HOOKS, *_CONFIGURATION.values(), *_BUILD_CHANGES)


def ensure_stand_in_root() -> Path:
    """The root file system as a tar in the cache; about 35 s and 180 MB the first time."""
    archive = cache_folder() / "images" / f"stand-in-{stand_in_version()}.tar"
    return publish(archive, 35, _write_root)


def ensure_stand_in_image(builder: Builder) -> str:
    """The reference of the stand-in in `builder`'s store, imported if it is not there."""
    reference = f"localhost/trainwright-base:{stand_in_version()}"
    if not builder.has_image(reference):
        builder.import_root(ensure_stand_in_root(), reference, _CONFIGURATION)
    return reference


def _write_root(archive: Path) -> None:
    if not shutil.which("mmdebstrap"):
        install_packages("mmdebstrap", "debian-archive-keyring")
    hooks = [f"--customize-hook={hook}" for hook in _HOOKS]
    # Its lock is one of this cache, and memory is everybody's.
    name = f"trainwright{str(archive.parent).replace('/', '-')}"
    with temporary_folder(_fast_folder(), name) as scratch:
        run(
            [
                # Its mounts go with it, also if it is killed: none is left to delete through.
                *(["unshare", "--mount"] if os.geteuid() == 0 else []),
                "mmdebstrap",
                "--variant=minbase",
                f"--include={','.join(_PACKAGES)}",
                "--dpkgopt=force-unsafe-io",
                *hooks,
                SUITE,
                str(archive),
            ],
            {"TMPDIR": str(scratch)},
        )


def _fast_folder() -> Path:
    """Memory if there is enough of it (half the time of a disk), else the cache folder."""
    memory = Path("/dev/shm")  # noqa: S108 - the tmpfs is wanted, and a private folder in it
    enough = 2 << 30
    if memory.is_dir():
        space = os.statvfs(memory)
        if space.f_bavail * space.f_frsize > enough:
            return memory
    return cache_folder() / "images"
