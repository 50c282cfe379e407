"""`trainwright version`."""

import platform
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as installed_version

import click
from trainwright_api.names import API_VERSION

from trainwright_cli.errors import EXIT_CODES_HELP
from trainwright_cli.options import output_option
from trainwright_cli.output import print_data


@click.command(epilog=EXIT_CODES_HELP)
@output_option
def version(output: str) -> None:
    """Print the version.

    \b
    Example:
      trainwright version
      trainwright version -o json
    """
    facts = {"version": find_version(), "api": API_VERSION, "python": platform.python_version()}
    if output == "table":
        click.echo(f"trainwright {facts['version']} ({API_VERSION}, Python {facts['python']})")
    else:
        print_data(facts, output)


def find_version() -> str:
    """Return the version of the installed distribution, or say that it runs from source."""
    try:
        return installed_version("trainwright")
    except PackageNotFoundError:
        return "unknown (not installed)"
