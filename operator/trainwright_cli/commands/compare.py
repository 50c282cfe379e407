"""`trainwright compare`: runs beside each other, as a table or as a page with overlaid curves."""

from pathlib import Path

import click

from trainwright_cli.errors import EXIT_CODES_HELP
from trainwright_cli.options import Target, cluster_options, refuse_format
from trainwright_cli.output import a_console
from trainwright_cli.run_names import RunName, RunNameType

MAXIMUM_RUNS = 5


@click.command(epilog=EXIT_CODES_HELP)
@click.argument("names", metavar="[KIND/]NAME...", nargs=-1, required=True, type=RunNameType())
@cluster_options
@click.option(
    "-o", "--output", "path", type=click.Path(dir_okay=False, path_type=Path), callback=refuse_format,
    help="Write an HTML page with overlaid curves instead of a table.",
)  # fmt: skip
@click.option("--endpoint", metavar="URL", help="S3 endpoint; default: the run's, then AWS's own.")
def compare(
    names: tuple[RunName, ...], target: Target, path: Path | None, endpoint: str | None
) -> None:
    """Show up to five runs beside each other.

    Where they stand, and each setting in which they differ; with -o also their curves, overlaid.

    \b
    Example:
      trainwright compare stdlib-gpt stdlib-gpt-wide
      trainwright compare stdlib-gpt stdlib-gpt-wide -o compare.html
    """
    if not 2 <= len(names) <= MAXIMUM_RUNS:
        raise click.UsageError(f"got {len(names)} runs, expected 2 to {MAXIMUM_RUNS}")
    from trainwright_cli.report.writing import comparison_table, write_page

    if path is None:
        a_console().print(comparison_table(names, target))
        return
    write_page(names, target, path, endpoint)
    click.echo(f"wrote {path}")
