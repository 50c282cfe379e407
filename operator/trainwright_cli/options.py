"""Options that several commands share, spelled as kubectl spells them."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import Any, TypeVar, cast

import click

Command = TypeVar("Command", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class Target:
    """Which cluster and namespace; None takes what kubectl would take."""

    kubeconfig: str | None = None
    context: str | None = None
    namespace: str | None = None


FORMATS = ("table", "json", "yaml")

files_option = click.option(
    "-f",
    "--filename",
    "filenames",
    metavar="FILE",
    multiple=True,
    required=True,
    help="A manifest, a folder of manifests, or - for stdin; may be given again.",
)

output_option = click.option(
    "-o",
    "--output",
    "output",
    type=click.Choice(FORMATS),
    default="table",
    show_default=True,
    help="How to print: for people, or for machines.",
)

rewrite_option = click.option(
    "--rewrite",
    "rewrites",
    metavar="PREFIX=FOLDER",
    multiple=True,
    help="Read a folder of this machine instead of URIs with this prefix, such as "
    "s3://datasets/=./data/; may be given again.",
)


def refuse_format(
    context: click.Context, option: click.Parameter, path: Path | None
) -> Path | None:
    """Keep a page from being written into a file `json` by who means the format of other commands' -o."""
    if path is not None and str(path) in FORMATS:
        raise click.BadParameter(
            f"got {path}, expected a file to write such as run.html; for data use `trainwright status "
            f"NAME -o {path}`"
        )
    return path


def cluster_options(command: Command) -> Command:
    """Add --kubeconfig, --context and --namespace; the command gets them as one `target`."""

    @wraps(command)
    def with_target(
        *args: Any, kubeconfig: str | None, context: str | None, namespace: str | None, **rest: Any
    ) -> Any:
        return command(*args, target=Target(kubeconfig, context, namespace), **rest)

    wrapped: Any = with_target
    for option in (
        click.option("--kubeconfig", metavar="FILE", help="kubeconfig; default as kubectl's."),
        click.option("--context", metavar="NAME", help="Context of the kubeconfig."),
        click.option("-n", "--namespace", metavar="NAME", help="Namespace; default the context's."),
    ):
        wrapped = option(wrapped)
    return cast(Command, wrapped)
