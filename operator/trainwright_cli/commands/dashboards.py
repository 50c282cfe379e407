"""`trainwright dashboards`: dashboards and alerts as files, for a Grafana and Prometheus of your own."""

from pathlib import Path

import click

from trainwright_cli.errors import EXIT_CODES_HELP, CliError


@click.group(epilog=EXIT_CODES_HELP)
def dashboards() -> None:
    """Dashboards and alerts for a Grafana and Prometheus of your own.

    \b
    Example:
      trainwright dashboards export ./monitoring
    """


@dashboards.command(epilog=EXIT_CODES_HELP)
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
def export(folder: Path) -> None:
    """Write dashboards, alert rules and scrape settings into a folder.

    dashboards/*.json are imported in Grafana (Dashboards, New, Import); rules.yaml and
    scrape-configs.yaml go into Prometheus' configuration. The chart ships the same files.

    \b
    Example:
      trainwright dashboards export ./monitoring
    """
    try:
        from trainwright_dashboards.generate import write_files
    except ImportError as error:
        raise CliError(
            f"{error.name} is missing; install trainwright[dashboards], or take the files from "
            "helm/trainwright/files/monitoring"
        ) from error
    for path in write_files(folder):
        click.echo(path)
