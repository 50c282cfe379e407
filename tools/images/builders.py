"""buildah, podman or docker: whichever is there and answers, behind one small interface.

buildah gets chroot isolation unless told otherwise: it works in containers and without systemd.
"""

import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tools import debian
from tools.images.cache import cache_folder

_PREFERENCE = ("buildah", "podman", "docker")
_LARGE_STORE_KIB = 4 << 20


class BuildError(Exception):
    """A command failed, or no builder is there; the text says what to do."""


@dataclass(frozen=True)
class Builder:
    """One of the three programs and the environment it runs with."""

    program: str
    environment: Mapping[str, str] = field(default_factory=dict)

    def run(self, *arguments: str) -> str:
        """Runs the program; returns its standard output, raises BuildError with the log's tail."""
        return run([self.program, *arguments], self.environment)

    def has_image(self, reference: str) -> bool:
        """Whether the store holds `reference`."""
        inspect = [self.program, "inspect", "--type", "image", reference]
        return succeeds(inspect, self.environment)

    def build(
        self, dockerfile: Path, context: Path, reference: str, options: Sequence[str]
    ) -> None:
        """Builds `dockerfile` and names the result `reference`."""
        layers = (
            ["--layers"] if self.program == "buildah" and "--layers=false" not in options else []
        )
        self.run("build", *layers, *options, "-f", str(dockerfile), "-t", reference, str(context))

    def export(self, reference: str, archive: Path) -> None:
        """Writes the image as an archive that containerd imports under the name `reference`."""
        if self.program == "buildah":
            self.run("push", "--quiet", reference, f"oci-archive:{archive}:{reference}")
        elif self.program == "podman":
            self.run("save", "--quiet", "--format", "oci-archive", "-o", str(archive), reference)
        else:
            self.run("save", "-o", str(archive), reference)

    def import_root(self, tarball: Path, reference: str, options: Mapping[str, str]) -> None:
        """Makes an image of one layer from the tar of a root file system."""
        if self.program != "buildah":
            changes = [f"--change={key} {value}" for key, value in options.items()]
            self.run("import", *changes, str(tarball), reference)
            return
        container = self.run("from", "scratch").strip()
        try:
            self.run("add", "--quiet", container, str(tarball), "/")
            flags = [f"--{key.lower()}={value}" for key, value in options.items()]
            self.run("config", *flags, container)
            self.run("commit", "--quiet", container, reference)
        finally:
            self.run("rm", container)

    def forget_leftovers(self) -> None:
        """Deletes what large builds leave: layers without a name."""
        if self.program == "buildah":
            self.run("rmi", "--prune")


def run(command: Sequence[str], environment: Mapping[str, str], umask: int = -1) -> str:
    """Standard output of `command`; BuildError with the last lines of its log if it fails.

    The umask is this process's unless one is given.
    """
    ended = subprocess.run(
        command,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
        umask=umask,
    )
    if ended.returncode:
        tail = "\n".join((ended.stdout + ended.stderr).strip().splitlines()[-25:])
        shown = " ".join(command)
        raise BuildError(f"`{shown}` ended with {ended.returncode}:\n{tail}")
    return ended.stdout


def succeeds(command: Sequence[str], environment: Mapping[str, str]) -> bool:
    """Whether `command` ends with 0; what it prints is of no interest."""
    ended = subprocess.run(
        command, env={**os.environ, **environment}, capture_output=True, check=False
    )
    return ended.returncode == 0


def find_builder(*, may_install: bool = False, private: bool = False) -> Builder:
    """The first of buildah, podman and docker that works; BuildError if none does.

    With `may_install`, buildah comes from Debian's packages when nothing else is there. With
    `private`, buildah as root uses a store of our own in the cache folder, not the user's.
    """
    program = next((name for name in _PREFERENCE if shutil.which(name) and _answers(name)), "")
    if not program and may_install:
        install_packages("buildah", "runc")
        program = "buildah"
    if not program:
        raise BuildError(
            "no image builder found: install buildah or podman, or start docker "
            "(on Debian as root: apt-get install buildah runc)"
        )
    if program != "buildah":
        return Builder(program)
    isolation = {"BUILDAH_ISOLATION": os.environ.get("BUILDAH_ISOLATION", "chroot")}
    return Builder(program, {**isolation, **(private_store() if private else {})})


def _answers(program: str) -> bool:
    """docker is often only the client: ask the server."""
    command = [program, "info"] if program == "docker" else [program, "--version"]
    return succeeds(command, {})


def install_packages(*packages: str) -> None:
    """Installs Debian packages; BuildError off Debian or without root."""
    names = " ".join(packages)
    if not debian.can_install():
        raise BuildError(f"{names} needed: as root on Debian, apt-get install {names}")
    try:
        debian.install_packages(*packages)
    except debian.DebianError as problem:
        raise BuildError(str(problem)) from problem


def private_store() -> dict[str, str]:
    """The environment that gives buildah as root a store in the cache; it never exceeds some GiB."""
    if os.geteuid() != 0:
        return {}
    root = cache_folder() / "images" / "store"
    scratch = root / "tmp"
    scratch.mkdir(parents=True, exist_ok=True)
    settings = root / "storage.conf"
    text = (
        "[storage]\n"
        'driver = "overlay"\n'
        f'graphroot = "{root / "graph"}"\n'
        f'runroot = "{root / "run"}"\n'
    )
    if not settings.exists() or settings.read_text() != text:
        settings.write_text(text)
    return {"CONTAINERS_STORAGE_CONF": str(settings), "TMPDIR": str(scratch)}


def empty_private_store_if_large(builder: Builder) -> None:
    """Deletes all images of the private store when old layers have made it large; 1 s."""
    settings = builder.environment.get("CONTAINERS_STORAGE_CONF")
    if not settings:
        return
    layers = Path(settings).parent / "graph"
    if not layers.exists():  # nothing has been built yet
        return
    used = run(["du", "-sxk", str(layers)], {})
    if int(used.split()[0]) > _LARGE_STORE_KIB:
        builder.run("rmi", "--all", "--force")
