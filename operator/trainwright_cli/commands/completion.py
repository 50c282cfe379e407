"""`trainwright completion`: the script that makes a shell complete commands, options and names."""

import click
from click.shell_completion import BashComplete, FishComplete, ShellComplete, ZshComplete

from trainwright_cli.errors import EXIT_CODES_HELP

SHELLS: dict[str, type[ShellComplete]] = {
    "bash": BashComplete,
    "zsh": ZshComplete,
    "fish": FishComplete,
}


@click.command(epilog=EXIT_CODES_HELP)
@click.argument("shell", type=click.Choice(list(SHELLS)))
def completion(shell: str) -> None:
    """Print the shell completion script.

    \b
    Example:
      trainwright completion bash > ~/.local/share/bash-completion/completions/trainwright
      trainwright completion zsh > ~/.zfunc/_trainwright
      trainwright completion fish > ~/.config/fish/completions/trainwright.fish
    """
    from trainwright_cli.app import app

    script = SHELLS[shell](app, {}, "trainwright", "_TRAINWRIGHT_COMPLETE")
    click.echo(script.source())
