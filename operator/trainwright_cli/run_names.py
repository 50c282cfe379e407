"""How users name a run: NAME, KIND/NAME, tr/NAME; as a type of click's arguments."""

import re
from dataclasses import dataclass
from typing import Any

import click
from click.shell_completion import CompletionItem
from trainwright_api.names import FINE_TUNE_JOB, PLURALS, SHORT_NAMES, TRAINING_RUN

KINDS = (TRAINING_RUN, FINE_TUNE_JOB)


@dataclass(frozen=True, slots=True)
class RunName:
    """A run as the user names it; without a kind it may be of either."""

    name: str
    kinds: tuple[str, ...] = KINDS


def parse_run_name(text: str) -> RunName:
    """Return what `tr/name`, `finetunejobs/name`, `TrainingRun/name` or `name` means; or ValueError."""
    kind_text, slash, name = text.rpartition("/")
    if not re.fullmatch(r"[a-z0-9]([-a-z0-9.]*[a-z0-9])?", name):
        raise ValueError(f"got {text}, expected NAME or KIND/NAME; names are lower case")
    if not slash:
        return RunName(name)
    for kind in KINDS:
        if kind_text.lower() in (kind.lower(), PLURALS[kind], SHORT_NAMES[kind]):
            return RunName(name, (kind,))
    raise ValueError(f"got {kind_text}, expected TrainingRun (tr) or FineTuneJob (ftj)")


class RunNameType(click.ParamType):  # type: ignore[type-arg]  # generic only since click 8.4
    """An argument that names a run; completes the names that the cluster has."""

    name = "run"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> RunName:
        """Parse the text. Raises click.BadParameter."""
        try:
            return value if isinstance(value, RunName) else parse_run_name(str(value))
        except ValueError as error:
            self.fail(str(error), param, ctx)

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """Return the runs whose name, or KIND/NAME, starts with the text; none without an answer."""
        from trainwright_cli.cluster import Cluster
        from trainwright_cli.errors import CliError
        from trainwright_cli.options import Target

        given = {key: ctx.params.get(key) for key in ("kubeconfig", "context", "namespace")}
        try:
            views = Cluster.connect(Target(**given)).fetch_runs()
        except CliError:
            return []
        names = [view.title if "/" in incomplete else view.name for view in views]
        return [CompletionItem(name) for name in names if name.startswith(incomplete)]
