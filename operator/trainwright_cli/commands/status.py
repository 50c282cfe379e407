"""`trainwright status`: a table of runs, or one in detail."""

import time
from datetime import UTC, datetime
from typing import Any

import click
from rich.text import Text

from trainwright_cli.cluster import Cluster
from trainwright_cli.errors import EXIT_CODES_HELP
from trainwright_cli.options import Target, cluster_options, output_option
from trainwright_cli.output import a_console, print_data
from trainwright_cli.run_names import RunName, RunNameType
from trainwright_cli.runs import RunView
from trainwright_cli.tables import run_columns, run_page, run_row, runs_table

POLL_SECONDS = 2.0


@click.command(epilog=EXIT_CODES_HELP)
@click.argument("name", metavar="[KIND/]NAME", required=False, type=RunNameType())
@cluster_options
@click.option("-A", "--all-namespaces", is_flag=True, help="Runs of all namespaces.")
@click.option("-w", "--watch", "follow", is_flag=True, help="Print a line at every change.")
@output_option
def status(
    name: RunName | None, target: Target, all_namespaces: bool, follow: bool, output: str
) -> None:
    """Show runs, or one in detail.

    \b
    Example:
      trainwright status
      trainwright status -A -o json
      trainwright status tr/stdlib-gpt -w
    """
    if follow and output != "table":
        raise click.UsageError(
            f"-o {output} prints the state once; leave out -w, or use `kubectl get -w -o {output}`"
        )
    if name is not None and all_namespaces:
        raise click.UsageError("-A is for all runs; give -n NAMESPACE with a NAME")
    cluster = Cluster.connect(target)
    if follow:
        _print_changes(cluster, name, all_namespaces=all_namespaces)
    elif name is not None:
        _print_one(cluster.fetch_run(name), output)
    else:
        _print_all(cluster.fetch_runs(all_namespaces=all_namespaces), output, all_namespaces)


def _print_one(view: RunView, output: str) -> None:
    if output == "table":
        a_console().print(run_page(view, datetime.now(UTC)))
    else:
        print_data(view.manifest, output)


def _print_all(views: list[RunView], output: str, all_namespaces: bool) -> None:
    if output != "table":
        items: list[Any] = [view.manifest for view in views]
        print_data({"apiVersion": "v1", "kind": "List", "items": items}, output)
    elif views:
        a_console().print(runs_table(views, datetime.now(UTC), all_namespaces=all_namespaces))
    else:
        where = "in any namespace" if all_namespaces else "here; see `trainwright status -A`"
        click.echo(f"no runs {where}", err=True)


def _print_changes(cluster: Cluster, name: RunName | None, *, all_namespaces: bool) -> None:
    """Print a row at every change, until Ctrl+C or until the one run has ended."""
    console, shown = a_console(), dict[str, list[str]]()
    titles = run_columns(all_namespaces=all_namespaces)
    console.print(_line(titles), style="bold", soft_wrap=True)
    while True:
        if name is None:
            views = cluster.fetch_runs(all_namespaces=all_namespaces)
        else:
            views = [cluster.fetch_run(name)]
        for view in views:
            row = run_row(view, datetime.now(UTC), all_namespaces=all_namespaces)
            key = f"{view.namespace}/{view.title}"
            if shown.get(key) != row[:-1]:  # the age alone is no change
                shown[key] = row[:-1]
                console.print(_line(row), soft_wrap=True)  # one line, however long the names
        if name is not None and views[0].has_ended:
            return
        time.sleep(POLL_SECONDS)


def _line(cells: list[str]) -> Text:
    return Text("  ".join(cell.ljust(11) for cell in cells).rstrip())
