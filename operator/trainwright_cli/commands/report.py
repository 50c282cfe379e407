"""`trainwright report`: one self-contained HTML page about a run."""

from pathlib import Path

import click

from trainwright_cli.errors import EXIT_CODES_HELP
from trainwright_cli.options import Target, cluster_options, refuse_format
from trainwright_cli.run_names import RunName, RunNameType


@click.command(epilog=EXIT_CODES_HELP)
@click.argument("name", metavar="[KIND/]NAME", type=RunNameType())
@cluster_options
@click.option(
    "-o", "--output", "path", type=click.Path(dir_okay=False, path_type=Path), required=True,
    callback=refuse_format, help="The file to write.",
)  # fmt: skip
@click.option("--endpoint", metavar="URL", help="S3 endpoint; default: the run's, then AWS's own.")
@click.option(
    "--device-price", type=click.FloatRange(min=0), metavar="USD",
    help="Price of one device-hour; default: the operator's price table, if it has one.",
)  # fmt: skip
def report(
    name: RunName, target: Target, path: Path, endpoint: str | None, device_price: float | None
) -> None:
    """Write one HTML page about a run.

    Curves, plan against measured, attempts, checkpoints, samples, hardware, environment, manifest; the
    page needs nothing else and can be mailed. The history comes from the pod of a live run, or from
    the store, versions of the software from a checkpoint, both with your own credentials; a store on
    a PVC cannot be read from here.

    \b
    Example:
      trainwright report stdlib-gpt -o run.html
    """
    from trainwright_cli.report.writing import write_page

    write_page((name,), target, path, endpoint, device_price)
    click.echo(f"wrote {path}")
