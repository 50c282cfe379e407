"""What `suspend` and `resume` share: set spec.suspend, and say what it did."""

from collections.abc import Sequence

import click

from trainwright_cli.cluster import Cluster
from trainwright_cli.errors import CliError
from trainwright_cli.options import Target
from trainwright_cli.run_names import RunName


def set_suspend(names: Sequence[RunName], target: Target, *, suspend: bool) -> None:
    """Suspend or resume runs, all or none: every name is looked up before the first is changed."""
    cluster = Cluster.connect(target)
    views = [cluster.fetch_run(name) for name in names]
    for view in views:
        if view.has_ended:
            raise CliError(
                f"{view.title} has ended ({view.status.phase}) and can be neither suspended nor "
                "resumed; create a new run with checkpoints.resumeFrom"
            )
    verb = "suspended" if suspend else "resumed"
    for view in views:
        if view.is_suspended == suspend:
            click.echo(f"{view.title} is {verb} already")
            continue
        cluster.apply_suspend(view, suspend=suspend)
        click.echo(f"{view.title} {verb}")
