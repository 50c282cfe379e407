"""`trainwright watch`: a full screen about one run or all; plain lines where there is no terminal."""

import sys
import time
from datetime import UTC, datetime

import click
from trainwright_api.names import Phase
from trainwright_api.status import Progress

from trainwright_cli.cluster import Cluster
from trainwright_cli.errors import (
    EXIT_CODES_HELP,
    NotAllowedError,
    RunFailedError,
    UnreachableError,
)
from trainwright_cli.live import LiveRow, PlainDisplay, plain_line
from trainwright_cli.options import Target, cluster_options
from trainwright_cli.output import a_console
from trainwright_cli.run_names import RunName, RunNameType
from trainwright_cli.runs import RunView
from trainwright_cli.settings import read_settings
from trainwright_cli.stalls import tell_stall

POLL_SECONDS = 2.0
PATIENCE_SECONDS = 60.0


@click.command(epilog=EXIT_CODES_HELP)
@click.argument("name", metavar="[KIND/]NAME", required=False, type=RunNameType())
@cluster_options
@click.option("-A", "--all-namespaces", is_flag=True, help="Runs of all namespaces.")
@click.option("--plain", "is_plain", is_flag=True, help="Lines until the runs end, no full screen.")
def watch(name: RunName | None, target: Target, all_namespaces: bool, is_plain: bool) -> None:
    """Follow runs on a full screen: progress, loss, GPUs, attempts, log.

    With a name it opens that run, and ends with exit code 5 if the run has failed. ? shows the keys;
    q leaves, the runs go on. Not on a terminal, or with --plain, it prints a line at every change and
    ends when the runs have ended.

    \b
    Example:
      trainwright watch
      trainwright watch stdlib-gpt
      trainwright watch -A --plain
    """
    cluster = Cluster.connect(target)
    # Asked of the streams themselves: FORCE_COLOR makes Rich take a pipe for a terminal.
    has_screen = sys.stdin.isatty() and sys.stdout.isatty() and not a_console().is_dumb_terminal
    if has_screen and not is_plain:
        _watch_on_screen(cluster, name, all_namespaces)
    else:
        _watch_in_lines(cluster, name, all_namespaces)


def _watch_on_screen(cluster: Cluster, name: RunName | None, all_namespaces: bool) -> None:
    """Show the full screen; what was seen last of a named run stays on the terminal as a line."""
    from trainwright_cli.watching.cluster_source import ClusterSource
    from trainwright_cli.watching.glyphs import ASCII, UNICODE
    from trainwright_cli.watching.session import watch_on_screen

    opened = cluster.fetch_run(name) if name is not None else None
    where = "all namespaces" if all_namespaces else f"namespace {cluster.namespace}"
    glyphs = UNICODE if read_settings().has_unicode else ASCII
    source = ClusterSource(cluster, all_namespaces=all_namespaces)
    views = watch_on_screen(source, a_console(), glyphs, where, opened)
    shown = [view for view in views if opened is not None and _key(view) == _key(opened)]
    for view in shown:
        click.echo(plain_line(_row(view, has_namespace=all_namespaces)))
    _fail_with_the_run(shown, name)


def _watch_in_lines(cluster: Cluster, name: RunName | None, all_namespaces: bool) -> None:
    display = PlainDisplay(click.echo)
    seen: set[str] = set()
    while True:
        views = _fetch_patiently(cluster, name, all_namespaces, display)
        seen |= {_key(view) for view in views if not view.has_ended or name}
        shown = [view for view in views if _key(view) in seen]
        display.show([_row(view, has_namespace=all_namespaces) for view in shown])
        if all(view.has_ended for view in shown):
            break
        time.sleep(POLL_SECONDS)
    if not shown:
        click.echo("no run is going on; see `trainwright status`", err=True)
    _fail_with_the_run(shown, name)


def _fetch_patiently(
    cluster: Cluster, wanted: RunName | None, all_namespaces: bool, display: PlainDisplay
) -> list[RunView]:
    """Fetch the runs; an API server that is away for a minute, or has trouble, ends no watch.

    Raises NotAllowedError at once.
    """
    deadline, is_told = time.monotonic() + PATIENCE_SECONDS, False
    while True:
        try:
            if wanted is not None:
                return [cluster.fetch_run(wanted)]
            return cluster.fetch_runs(all_namespaces=all_namespaces)
        except UnreachableError as error:
            if isinstance(error, NotAllowedError) or time.monotonic() > deadline:
                raise
            if not is_told:
                display.say(f"{error.format_message()}; trying again")
            is_told = True
            time.sleep(POLL_SECONDS)


def _fail_with_the_run(shown: list[RunView], wanted: RunName | None) -> None:
    for view in shown:
        if wanted is not None and view.status.phase is Phase.FAILED:
            why = view.status.message or view.status.reason or "no reason given"
            raise RunFailedError(
                f"{view.title} failed: {why}; see `trainwright status {view.name}`"
            )


def _key(view: RunView) -> str:
    return f"{view.namespace}/{view.title}"


def _row(view: RunView, *, has_namespace: bool) -> LiveRow:
    is_waiting = view.status.phase not in (Phase.RUNNING, Phase.SUCCEEDED)
    note = (view.status.message if is_waiting else None) or ""
    devices = (view.status.hardware.summary if view.status.hardware else None) or ""
    return LiveRow(
        view.title,
        view.status.phase,
        view.status.progress or Progress(),
        note,
        devices,
        namespace=view.namespace if has_namespace else "",
        stall=tell_stall(view, datetime.now(UTC)),
    )
