"""Gathers what a page needs - run, history, manifest - and writes it; the commands' part of a report."""

import secrets
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from stat import S_IMODE

import click
from pydantic import ValidationError
from rich.markup import escape
from rich.table import Table
from rich.text import Text
from trainwright_api.history import HistoryRow
from trainwright_api.resources import KINDS, Resource

from trainwright_cli.cluster import Cluster
from trainwright_cli.commands.version import find_version
from trainwright_cli.errors import CliError
from trainwright_cli.histories import fetch_history, fetch_versions, is_readable_here
from trainwright_cli.options import Target
from trainwright_cli.output import to_yaml
from trainwright_cli.report.differences import build_differences
from trainwright_cli.report.measured import Software
from trainwright_cli.report.page import RunRecord, build_comparison, build_page, tell_apart
from trainwright_cli.run_names import RunName
from trainwright_cli.runs import RunView


def write_page(
    names: Sequence[RunName],
    target: Target,
    path: Path,
    endpoint: str | None,
    price_per_device_hour: float | None = None,
) -> None:
    """Write the page about these runs, whole or not at all; the price is in USD."""
    cluster = Cluster.connect(target)
    views = [cluster.fetch_run(name) for name in names]
    for view in views:
        if view.has_ended and not is_readable_here(view):
            click.echo(
                f"warning: {view.title} has no curves on the page: its store, a PVC, can only be read in "
                "the cluster; a live run's come from its pod",
                err=True,
            )
    records = [
        replace(
            _record(view, fetch_history(cluster, view, endpoint)),
            software=Software(fetch_versions(view, endpoint), price_per_device_hour),
        )
        for view in views
    ]
    page = build_page(tell_apart(records), now=datetime.now(UTC), version=find_version())
    try:
        write_whole(path, page)
    except OSError as error:
        raise CliError(f"cannot write {path}: {error.strerror}; choose another --output") from error


def write_whole(path: Path, text: str) -> None:
    """Write a file whole or not at all; it keeps the mode of the one it replaces. Raises OSError."""
    if path.exists() and not path.is_file():  # a pipe or a terminal, which nothing can replace
        path.write_text(text, "utf-8")
        return
    path = path.resolve()  # a link stays; what it leads to is replaced
    draft = path.with_name(f".{secrets.token_hex(8)}.part")
    try:
        with draft.open("x", encoding="utf-8") as stream:
            if path.exists():
                draft.chmod(S_IMODE(path.stat().st_mode))
            stream.write(text)
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


def comparison_table(names: Sequence[RunName], target: Target) -> Table:
    """Return the table that shows these runs beside each other."""
    cluster = Cluster.connect(target)
    records = tell_apart([_record(cluster.fetch_run(name), []) for name in names])
    table = Table("", *(escape(record.name) for record in records), box=None, pad_edge=False)
    for label, values in build_comparison(records):
        table.add_row(label, *map(Text, values))
    table.add_section()
    for path, values in build_differences([record.spec for record in records]):
        table.add_row(Text(path), *map(Text, values))
    return table


def _record(view: RunView, history: Sequence[HistoryRow]) -> RunRecord:
    manifest = {"apiVersion": view.manifest["apiVersion"], "kind": view.kind}
    manifest |= {
        "metadata": {"name": view.name, "namespace": view.namespace},
        "spec": view.manifest["spec"],
    }
    return RunRecord(_resource(view, manifest), history, to_yaml(manifest), view.manifest["spec"])


def _resource(view: RunView, manifest: dict[str, object]) -> Resource:
    try:
        resource = KINDS[view.kind].model_validate(manifest)
    except ValidationError as error:
        raise CliError(
            f"{view.title} is of a version that this CLI cannot read: {error}"
        ) from error
    return resource.model_copy(update={"status": view.status})
