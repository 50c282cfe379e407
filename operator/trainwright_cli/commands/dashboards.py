"""`trainwright dashboards`: dashboards and alerts as files, for a Grafana and Prometheus of your own."""

from pathlib import Path

import click

from trainwright_cli.errors import EXIT_CODES_HELP, CliError


def _check_url(context: click.Context, option: click.Parameter, url: str) -> str:
    """A path would be no link where alerts are read."""
    if url and "://" not in url:
        raise click.BadParameter(
            f"got {url}, expected a URL such as https://wiki.example/runbooks; leave it out for no links"
        )
    return url


@click.group(epilog=EXIT_CODES_HELP)
def dashboards() -> None:
    """Dashboards and alerts for a Grafana and Prometheus of your own.

    \b
    Example:
      trainwright dashboards export ./monitoring
    """


@dashboards.command(epilog=EXIT_CODES_HELP)
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
@click.option(
    "--runbook-base-url",
    metavar="URL",
    default="",
    callback=_check_url,
    help="Where your team reads operator/docs/runbooks; without it, alerts have no annotation runbook_url.",
)
def export(folder: Path, runbook_base_url: str) -> None:
    """Write dashboards, alert rules and scrape settings into a folder.

    dashboards/*.json are imported in Grafana (Dashboards, New, Import); rules.yaml and
    scrape-configs.yaml go into Prometheus' configuration. The chart ships the same files.

    \b
    Examples:
      trainwright dashboards export ./monitoring
      trainwright dashboards export ./monitoring --runbook-base-url https://wiki.example/runbooks
    """
    try:
        from trainwright_dashboards.generate import write_files
    except ImportError as error:
        raise CliError(
            f"{error.name} is missing; run pip install '.[cli,dashboards]' in Trainwright's source, or take "
            "the files from its helm/trainwright/files/monitoring"
        ) from error
    for path in write_files(folder, runbook_base_url):
        click.echo(path)
