"""The command: builds the images named, tells where they are on standard output, one per line."""

import argparse
import sys
from pathlib import Path

from tools.images.build import Built, build_archive, build_image
from tools.images.builders import BuildError
from tools.images.environment import ensure_trainer_venv
from tools.images.specs import IMAGES, project_version
from tools.images.stand_in import STAND_IN, ensure_stand_in_root
from tools.interrupts import INTERRUPTED
from tools.machine import describe_refusal

_WHAT = ("base", *IMAGES, "trainer-venv", "all")


def main(arguments: list[str] | None = None) -> int:
    """Exit code 0, or 1 (after Ctrl+C 130) with one clear text on standard error."""
    options = _parser().parse_args(arguments)
    names = ["operator", "trainer"] if "all" in options.what else options.what
    try:
        for name in names:
            print(_line(name, options), flush=True)
    except BuildError as problem:
        print(f"images: {problem}", file=sys.stderr)
        return 1
    except OSError as problem:
        print(f"images: {describe_refusal(problem)}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("images: stopped", file=sys.stderr)
        return INTERRUPTED
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tools.images", description=__doc__)
    parser.add_argument(
        "what",
        nargs="+",
        choices=_WHAT,
        help="all: operator and trainer; trainer-trackers: with the clients of MLflow and W&B",
    )
    parser.add_argument("--registry", help="prefix of the names, such as registry.example/team")
    parser.add_argument("--tag", help="default: the project's version")
    parser.add_argument("--push", action="store_true", help="push to the registry")
    parser.add_argument("--archive", type=Path, metavar="DIR", help="also write NAME.tar there")
    parser.add_argument(
        "--base-image",
        metavar="IMAGE",
        help=f"default: the Dockerfiles' own; {STAND_IN}: made from Debian packages, no registry",
    )
    parser.add_argument(
        "--cached",
        action="store_true",
        help="for clusters without a registry: an archive in the cache, named by a hash of its "
        "content, on the stand-in; built only if it is not there",
    )
    return parser


def _line(name: str, options: argparse.Namespace) -> str:
    if name == "base":
        return f"base {ensure_stand_in_root()}"
    if name == "trainer-venv":
        return f"trainer-venv {ensure_trainer_venv()}"
    built = _built(name, options)
    return " ".join(str(part) for part in (built.name, built.reference, built.archive) if part)


def _built(name: str, options: argparse.Namespace) -> Built:
    if options.cached:
        return build_archive(name, options.base_image or STAND_IN)
    if options.push and not options.registry:
        raise BuildError("--push needs --registry")
    if options.archive:
        options.archive.mkdir(parents=True, exist_ok=True)
    repository = IMAGES[name].repository
    reference = f"{options.registry or 'localhost'}/{repository}:{options.tag or project_version()}"
    archive = options.archive / f"{repository}.tar" if options.archive else None
    return build_image(name, options.base_image, reference, push=options.push, archive=archive)


if __name__ == "__main__":
    sys.exit(main())
