"""`trainwright suspend`: stop runs after a checkpoint and keep them."""

import click

from trainwright_cli.errors import EXIT_CODES_HELP
from trainwright_cli.options import Target, cluster_options
from trainwright_cli.run_names import RunName, RunNameType
from trainwright_cli.suspending import set_suspend


@click.command(epilog=EXIT_CODES_HELP)
@click.argument("names", metavar="[KIND/]NAME...", nargs=-1, required=True, type=RunNameType())
@cluster_options
def suspend(names: tuple[RunName, ...], target: Target) -> None:
    """Stop runs after a checkpoint and keep them.

    \b
    Example:
      trainwright suspend stdlib-gpt
    """
    set_suspend(names, target, suspend=True)
