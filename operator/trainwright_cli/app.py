"""The group of commands; it loads a command's module only when that command is called.

So `--help` and completion need neither the Kubernetes client nor the API models (start-up below
0.4 s). A command is one line of the table; its short help is held to the command's own by a test.
"""

from importlib import import_module

import click
from click.shell_completion import CompletionItem

from trainwright_cli.errors import EXIT_CODES_HELP

COMMANDS: dict[str, str] = {
    "validate": "Check manifests without a cluster.",
    "plan": "Show what a run needs and how it will be laid out.",
    "run": "Train on this machine, without a cluster.",
    "status": "Show runs, or one in detail.",
    "watch": "Follow runs on a full screen: progress, loss, GPUs, attempts, log.",
    "logs": "Print the log of a run's pods.",
    "checkpoints": "List a run's checkpoints, and verify them.",
    "report": "Write one HTML page about a run.",
    "compare": "Show up to five runs beside each other.",
    "dashboards": "Dashboards and alerts for a Grafana and Prometheus of your own.",
    "suspend": "Stop runs after a checkpoint and keep them.",
    "resume": "Let suspended runs go on.",
    "version": "Print the version.",
    "completion": "Print the shell completion script.",
}


class LazyGroup(click.Group):
    """Commands by name; `commands.<name>` holds a click command of that name."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return all names in the order of the table."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a command."""
        if cmd_name not in COMMANDS:
            return None
        module = import_module(f"trainwright_cli.commands.{cmd_name}")
        command: click.Command = getattr(module, cmd_name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the table without importing anything."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Complete names of commands without importing them; options as click does."""
        if incomplete.startswith("-"):
            return click.Command.shell_complete(self, ctx, incomplete)
        return [
            CompletionItem(name, help=text)
            for name, text in COMMANDS.items()
            if name.startswith(incomplete)
        ]


@click.group(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog=EXIT_CODES_HELP,
)
def app() -> None:
    """Pretraining and fine-tuning on Kubernetes, from one manifest.

    \b
    Example:
      trainwright validate -f run.yaml
      kubectl apply -f run.yaml
      trainwright watch stdlib-gpt
    """
