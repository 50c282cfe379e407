"""`trainwright checkpoints`: what a run has saved, and whether it is whole."""

from datetime import UTC, datetime
from typing import Any

import click
from trainwright_api.status import CheckpointRecord

from trainwright_cli.errors import EXIT_CODES_HELP, CliError, NotFoundError
from trainwright_cli.options import Target, cluster_options, output_option
from trainwright_cli.output import a_console, print_data
from trainwright_cli.run_names import RunName, RunNameType
from trainwright_cli.tables import checkpoints_table


@click.command(epilog=EXIT_CODES_HELP)
@click.argument("name", metavar="[KIND/]NAME", required=False, type=RunNameType())
@cluster_options
@click.option("--uri", metavar="URI", help="This folder of checkpoints, without a cluster.")
@click.option("--step", type=click.IntRange(min=1), help="Only the checkpoint of this step.")
@click.option(
    "--verify",
    is_flag=True,
    help="Read every file from the store, with your own credentials, and check size and checksum.",
)
@click.option("--endpoint", metavar="URL", help="S3 endpoint; default: the run's, then AWS's own.")
@output_option
def checkpoints(
    name: RunName | None,
    target: Target,
    uri: str | None,
    step: int | None,
    verify: bool,
    endpoint: str | None,
    output: str,
) -> None:
    """List a run's checkpoints, and verify them.

    \b
    Example:
      trainwright checkpoints stdlib-gpt
      trainwright checkpoints stdlib-gpt --verify --step 50
      trainwright checkpoints --uri ./trainwright-runs/checkpoints/default/stdlib-gpt/ --verify
    """
    if (name is None) == (uri is None):
        raise click.UsageError("give either a run's NAME or --uri")
    store: dict[str, Any] = {"endpoint": endpoint}
    if name is not None:
        records, store, title = _records_of_run(name, target, store)
    else:
        records, title = _records_of_folder(str(uri), store), str(uri)
    records = [record for record in records if step in (None, record.step)]
    if not records and (step is not None or uri is not None):
        which = "no checkpoint" if step is None else f"no checkpoint of step {step}"
        raise NotFoundError(f"{title} has {which}; see `trainwright status`")
    if output == "table":
        _print_table(records, title, has_verdicts=name is not None)
    problems = _verify(records, store, quiet=output != "table") if verify else {}
    if output != "table":
        verdicts = problems if verify else None
        data = [_as_data(record, verdicts, is_told=name is not None) for record in records]
        print_data(data, output)
    broken = [str(found) for found in problems if problems[found]]
    if broken:
        raise CliError(
            f"checkpoints of steps {', '.join(broken)} are not whole; a run resumes from the newest that is"
        )


def _print_table(records: list[CheckpointRecord], title: str, *, has_verdicts: bool) -> None:
    if records:
        table = checkpoints_table(records, datetime.now(UTC), has_verdicts=has_verdicts)
        a_console().print(table)
    else:
        click.echo(f"{title} has no checkpoint yet")


def _records_of_folder(uri: str, store: dict[str, Any]) -> list[CheckpointRecord]:
    from trainwright_cli.stores import open_folder
    from trainwright_cli.verifying import find_checkpoints

    return find_checkpoints(open_folder(uri, **store))


def _records_of_run(
    name: RunName, target: Target, store: dict[str, Any]
) -> tuple[list[CheckpointRecord], dict[str, Any], str]:
    from trainwright_cli.cluster import Cluster

    view = Cluster.connect(target).fetch_run(name)
    given = view.manifest["spec"]["checkpoints"]["store"]
    store = {
        "endpoint": store["endpoint"] or given.get("endpoint"),
        "region": given.get("region"),
    }
    found = view.status.checkpoints
    return (found.items if found else []), store, view.title


def _verify(
    records: list[CheckpointRecord], store: dict[str, Any], *, quiet: bool
) -> dict[int, tuple[str, ...]]:
    """Return the problems of each checkpoint by step, telling of each as it is read."""
    from trainwright_cli.stores import open_folder
    from trainwright_cli.verifying import verify_checkpoint

    verdicts = {}
    for record in records:
        problems = verify_checkpoint(open_folder(record.uri, **store), record.step).problems
        verdicts[record.step] = problems
        if not quiet:
            click.echo(f"step {record.step}: {'; '.join(problems) or 'whole'}")
    return verdicts


def _as_data(
    record: CheckpointRecord, problems: dict[int, tuple[str, ...]] | None, *, is_told: bool
) -> dict[str, Any]:
    """Return a record with what was found here, else with the operator's word, if that `is_told`."""
    data: dict[str, Any] = record.to_manifest()
    if problems is not None:
        data |= {"verified": not problems[record.step], "problems": list(problems[record.step])}
    elif not is_told:
        del data["verified"]
    return data
