"""`trainwright resume`: let suspended runs go on."""

import click

from trainwright_cli.errors import EXIT_CODES_HELP
from trainwright_cli.options import Target, cluster_options
from trainwright_cli.run_names import RunName, RunNameType
from trainwright_cli.suspending import set_suspend


@click.command(epilog=EXIT_CODES_HELP)
@click.argument("names", metavar="[KIND/]NAME...", nargs=-1, required=True, type=RunNameType())
@cluster_options
def resume(names: tuple[RunName, ...], target: Target) -> None:
    """Let suspended runs go on.

    \b
    Example:
      trainwright resume tr/stdlib-gpt
    """
    set_suspend(names, target, suspend=False)
