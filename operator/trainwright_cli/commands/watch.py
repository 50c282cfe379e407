"""`trainwright watch`: progress bars of one run or of all, until they have ended."""

import time

import click
from trainwright_api.names import Phase
from trainwright_api.status import Progress

from trainwright_cli.cluster import Cluster
from trainwright_cli.errors import EXIT_CODES_HELP, RunFailedError, UnreachableError
from trainwright_cli.live import Display, LiveRow, open_display
from trainwright_cli.options import Target, cluster_options
from trainwright_cli.output import a_console
from trainwright_cli.run_names import RunName, RunNameType
from trainwright_cli.runs import RunView

POLL_SECONDS = 2.0
PATIENCE_SECONDS = 60.0


@click.command(epilog=EXIT_CODES_HELP)
@click.argument("name", metavar="[KIND/]NAME", required=False, type=RunNameType())
@cluster_options
@click.option("-A", "--all-namespaces", is_flag=True, help="Runs of all namespaces.")
def watch(name: RunName | None, target: Target, all_namespaces: bool) -> None:
    """Follow runs with progress bars until they end.

    With a name, that run, and exit code 5 if it fails; else all runs that have not ended. Not on a
    terminal, it prints plain lines. Ctrl+C stops watching, never the run.

    \b
    Example:
      trainwright watch stdlib-gpt
      trainwright watch -A
    """
    cluster = Cluster.connect(target)
    seen: set[str] = set()
    with open_display(a_console(), click.echo) as display:
        while True:
            views = _fetch_patiently(cluster, name, all_namespaces, display)
            seen |= {_key(view) for view in views if not view.has_ended or name}
            shown = [view for view in views if _key(view) in seen]
            display.show([_row(view) for view in shown])
            if all(view.has_ended for view in shown):
                break
            time.sleep(POLL_SECONDS)
    if not shown:
        click.echo("no run is going on; see `trainwright status`", err=True)
    _fail_with_the_run(shown, name)


def _fetch_patiently(
    cluster: Cluster, wanted: RunName | None, all_namespaces: bool, display: Display
) -> list[RunView]:
    """Fetch the runs; an API server that is away for a minute ends no watch."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            if wanted is not None:
                return [cluster.fetch_run(wanted)]
            return cluster.fetch_runs(all_namespaces=all_namespaces)
        except UnreachableError as error:
            if time.monotonic() > deadline:
                raise
            display.say(f"{error.format_message()}; trying again")
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


def _row(view: RunView) -> LiveRow:
    is_waiting = view.status.phase not in (Phase.RUNNING, Phase.SUCCEEDED)
    note = view.status.message if is_waiting else None
    return LiveRow(view.title, view.status.phase, view.status.progress or Progress(), note or "")
