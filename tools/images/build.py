"""Builds one image and hands it on: as an archive in the cache, in a folder, or pushed.

`build_archive` is for clusters that have no registry: the archive's name holds a hash of all that
went in, and its image is called `localhost/REPOSITORY:dev-HASH`. `build_image` is for registries.
"""

import os
from collections.abc import Iterator
from configparser import RawConfigParser
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tools.images.builders import Builder, empty_private_store_if_large, find_builder
from tools.images.cache import PROJECT, cache_folder, locked, publish, say, temporary_folder
from tools.images.specs import IMAGES, ImageSpec, project_version
from tools.images.stand_in import STAND_IN, ensure_stand_in_image, stand_in_version


@dataclass(frozen=True)
class Built:
    """An image and where it is: `reference` as a pod names it, `archive` for `ctr images import`."""

    name: str
    reference: str
    archive: Path | None = None

    @property
    def repository(self) -> str:
        """The reference without its tag."""
        return self.reference.rpartition(":")[0]

    @property
    def tag(self) -> str:
        """The part of the reference after the last colon."""
        return self.reference.rpartition(":")[2]


def build_archive(name: str, base: str = STAND_IN) -> Built:
    """The image `name` (a key of IMAGES) as an archive in the cache, built unless it is there.

    Raises BuildError with the builder's last lines if the build fails.
    """
    spec = IMAGES[name]
    version = spec.version(_base_version(base))
    reference = f"localhost/{spec.repository}:dev-{version}"  # never read as a number
    archive = cache_folder() / "images" / f"{spec.repository}-{version}.tar"

    def write(draft: Path) -> None:
        with _store_held():
            builder = find_builder(may_install=True, private=True)
            _build(builder, spec, base, reference)
            builder.export(reference, draft)

    return Built(name, reference, publish(archive, spec.usually_seconds, write))


def build_image(
    name: str, base: str | None, reference: str, *, push: bool = False, archive: Path | None = None
) -> Built:
    """Builds the image `name` as `reference`, then pushes it or writes it to `archive` if asked.

    `base` None is the Dockerfile's own base. Raises BuildError.
    """
    spec = IMAGES[name]
    with _store_held():
        builder = find_builder(may_install=base == STAND_IN)
        say(f"building {reference} with {builder.program}, usually {spec.usually_seconds} s")
        _build(builder, spec, base, reference)
        if archive:
            archive.unlink(missing_ok=True)
            builder.export(reference, archive)
            say(f"wrote {archive}")
        if push:
            builder.run("push", reference)
            say(f"pushed {reference}")
    return Built(name, reference, archive)


def _base_version(base: str) -> str:
    return stand_in_version() if base == STAND_IN else base


def _build(builder: Builder, spec: ImageSpec, base: str | None, reference: str) -> None:
    """Build an image; the caller holds the store."""
    arguments = (f"VERSION={project_version()}", *spec.arguments)
    options = [f"--build-arg={argument}" for argument in arguments]
    if builder.program == "buildah" and not spec.keeps_layers:
        options.append("--layers=false")
    if spec.target:
        options.append(f"--target={spec.target}")
    with _secrets() as secrets:
        empty_private_store_if_large(builder)
        if base:
            image = ensure_stand_in_image(builder) if base == STAND_IN else base
            options.append(f"--build-arg=BASE_IMAGE={image}")
        builder.build(spec.dockerfile, PROJECT, reference, [*options, *secrets])
        if not spec.keeps_layers:
            builder.forget_leftovers()


@contextmanager
def _store_held() -> Iterator[None]:
    """From an image's build until it is handed on: a build beside it may empty the store that they share."""
    with locked(cache_folder() / "images" / "store"):
        yield


@contextmanager
def _secrets() -> Iterator[list[str]]:
    """The Dockerfiles' secrets, from what the environment says about certificates and the index."""
    options = []
    bundle = os.environ.get("SSL_CERT_FILE")
    if bundle and Path(bundle).is_file():
        options.append(f"--secret=id=ca-bundle,src={bundle}")
    with temporary_folder(cache_folder() / "images", "secrets") as folder:
        configuration = Path(os.environ.get("PIP_CONFIG_FILE", ""))
        if index := os.environ.get("PIP_INDEX_URL"):
            configuration = _write_index(index, configuration, folder / "pip.conf")
        if configuration.is_file():
            options.append(f"--secret=id=pip-config,src={configuration}")
        yield options


def _write_index(index: str, configuration: Path, target: Path) -> Path:
    """The configuration, if it is a file (/dev/null turns it off), with this index: in pip, too, it goes first."""
    settings = RawConfigParser()
    settings.read_dict({"global": {}})
    if configuration.is_file():
        settings.read(configuration)
    settings["global"]["index-url"] = index
    target.touch(mode=0o600)  # an index's address may hold a password
    with target.open("w") as file:
        settings.write(file)
    return target
