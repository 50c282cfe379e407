"""The command: `python -m tests.cluster up | down | status | env | forward | images | build`.

Exit codes: 0 done; 1 something failed; 2 wrong usage; 3 this machine cannot run the cluster.
"""

from __future__ import annotations

import json
import shlex
import sys
import time
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

import click

from tests.cluster.cluster import Cluster, down, start_command
from tests.cluster.errors import ClusterError
from tests.cluster.machine import build_chart_tools, build_everything, check_machine
from tests.cluster.spec import DEFAULT_BUCKETS, DEFAULT_NAME, ClusterSpec, Mount
from tests.cluster.state import list_clusters
from tests.cluster.status import fetch_status, format_status
from tools.machine import describe_refusal

name_option = click.option(
    "--name",
    default=DEFAULT_NAME,
    show_default=True,
    help="Clusters of different names live side by side.",
)


def clear_errors(command: Callable[..., None]) -> Callable[..., None]:
    """Print our own errors, and what the system refuses, as one sentence; end with their exit code."""

    @wraps(command)
    def run(**arguments: Any) -> None:
        try:
            command(**arguments)
        except ClusterError as error:
            click.echo(str(error), err=True)
            sys.exit(error.exit_code)
        except OSError as error:
            click.echo(describe_refusal(error), err=True)
            sys.exit(1)

    return run


@click.group(help="A real Kubernetes cluster on this machine, in a network namespace of its own.")
def main() -> None:
    """Hold the commands together."""


@main.command()
@name_option
@click.option("--nodes", default=1, show_default=True, help="How many nodes, 1 to 20.")
@click.option(
    "--gpus-per-node", default=0, show_default=True, help="Pretended nvidia.com/gpu per node."
)
@click.option(
    "--mount",
    "mounts",
    multiple=True,
    metavar="HOSTPATH:CONTAINERPATH",
    help="A folder that every container sees read-only; may be given again.",
)
@click.option(
    "--image",
    "images",
    multiple=True,
    metavar="ARCHIVE",
    help="An image archive that all nodes have from the start; may be given again.",
)
@click.option("--control-plane-only", is_flag=True, help="No nodes: for what runs no pods.")
@click.option("--s3/--no-s3", default=True, show_default=True, help="Run the S3 server.")
@click.option("--s3-folder", default="", help="Keep the buckets in this folder, also after `down`.")
@click.option("--bucket", "buckets", multiple=True, default=DEFAULT_BUCKETS, show_default=True)
@click.option(
    "--node-grace-seconds",
    default=8,
    show_default=True,
    help="A node silent for longer is NotReady.",
)
@clear_errors
def up(mounts: tuple[str, ...], images: tuple[str, ...], s3_folder: str, **options: Any) -> None:
    """Start a cluster; one of this name that runs already is reused, or refused if it differs."""
    check_machine()
    folder = str(Path(s3_folder).absolute()) if s3_folder else ""
    spec = ClusterSpec(
        mounts=tuple(Mount.parse(mount) for mount in mounts),
        images=tuple(str(Path(image).absolute()) for image in images),
        s3_folder=folder,
        **options,
    )
    cluster = Cluster.up(spec, click.echo)
    if cluster.is_reused:
        click.echo(f"cluster {cluster.name} runs already")
    click.echo(_env_lines(cluster))


@main.command("down")
@name_option
@clear_errors
def down_command(name: str) -> None:
    """End a cluster and leave nothing of it, also of one whose start was killed."""
    check_machine()
    started = time.monotonic()
    was_there = down(name)
    seconds = time.monotonic() - started
    click.echo(f"{seconds:.1f} s  cluster {name} {'is gone' if was_there else 'was not there'}")


@main.command()
@name_option
@click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text")
@clear_errors
def status(name: str, output: str) -> None:
    """Show the components, nodes and addresses; exit code 1 if anything is wrong."""
    check_machine()
    found = fetch_status(name)
    click.echo(json.dumps(found, indent=1) if output == "json" else format_status(found))
    if found["faults"]:
        sys.exit(1)


@main.command()
@name_option
@clear_errors
def env(name: str) -> None:
    """Print the shell lines that point kubectl and S3 clients at the cluster."""
    check_machine()
    cluster = Cluster.attach(name)
    faults = cluster.find_faults()
    if faults:
        problem = faults[0].splitlines()[0]
        raise ClusterError(
            f"cluster {name!r} cannot be used: {problem}; start it anew: {start_command(name)}"
        )
    click.echo(_env_lines(cluster))


@main.command("list")
@clear_errors
def list_command() -> None:
    """Print the names of the clusters on this machine."""
    for name in list_clusters():
        click.echo(name)


@main.command()
@name_option
@click.argument("address", metavar="HOST:PORT")
@clear_errors
def forward(name: str, address: str) -> None:
    """Print a port of 127.0.0.1 that leads to HOST:PORT inside, for as long as the cluster lives."""
    check_machine()
    host, _, port = address.rpartition(":")
    if not host or not (port.isdecimal() and 0 < int(port) < 2**16):
        raise click.UsageError(f"got {address!r}, expected HOST:PORT, as 10.96.0.1:443")
    click.echo(Cluster.attach(name).forward(host, int(port)))


@main.group()
def images() -> None:
    """Container images inside the nodes."""


@images.command("load")
@name_option
@click.option("--node", "nodes", multiple=True, help="Only into this node; may be given again.")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@clear_errors
def images_load(name: str, nodes: tuple[str, ...], file: Path) -> None:
    """Import an OCI or Docker archive."""
    check_machine()
    Cluster.attach(name).load_image(file, nodes)


@images.command("list")
@name_option
@clear_errors
def images_list(name: str) -> None:
    """Print the images that each node holds."""
    check_machine()
    cluster = Cluster.attach(name)
    for node in cluster.state.spec.node_names():
        for image in cluster.node(node).image_names():
            if not image.startswith("sha256:"):
                click.echo(f"{node}\t{image}")


@main.command()
@click.option("--chart-tools", is_flag=True, help="Only Helm and its plugin; needs no root.")
@click.option(
    "--no-chart-tests", is_flag=True, help="Without the plugin that only the chart's tests need."
)
@clear_errors
def build(chart_tools: bool, no_chart_tests: bool) -> None:
    """Install and build everything that is needed; quick when it is there."""
    if chart_tools:
        build_chart_tools(click.echo)
    else:
        build_everything(click.echo, for_chart_tests=not no_chart_tests)


def _env_lines(cluster: Cluster) -> str:
    entries = cluster.environment().items()
    return "\n".join(f"export {key}={shlex.quote(value)}" for key, value in entries)


if __name__ == "__main__":
    main(prog_name="python -m tests.cluster")
