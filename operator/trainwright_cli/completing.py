"""Completion of names of runs in the shell; silent where the cluster does not answer."""

import click
from click.shell_completion import CompletionItem

from trainwright_cli.errors import CliError
from trainwright_cli.options import Target


def complete_runs(
    ctx: click.Context, param: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Return the runs whose name, or KIND/NAME, starts with the text."""
    from trainwright_cli.cluster import Cluster

    given = {key: ctx.params.get(key) for key in ("kubeconfig", "context", "namespace")}
    try:
        views = Cluster.connect(Target(**given)).fetch_runs()
    except CliError:
        return []
    names = [view.title if "/" in incomplete else view.name for view in views]
    return [CompletionItem(name) for name in names if name.startswith(incomplete)]
