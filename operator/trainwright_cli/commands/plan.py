"""`trainwright plan`: what a run needs and how it will be laid out, before a device is touched."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
from rich.text import Text
from trainwright_api.resources import Resource
from trainwright_api.run import Run
from trainwright_api.status import Plan
from trainwright_planner.advice import fit_message

from trainwright_cli.defaults import Default, list_defaults
from trainwright_cli.errors import EXIT_CODES_HELP, CliError
from trainwright_cli.manifests import read_resources
from trainwright_cli.options import files_option, output_option, rewrite_option
from trainwright_cli.output import a_console, print_data
from trainwright_cli.plan_view import defaults_table, plan_page
from trainwright_cli.resolving import find_facts, make_plan, resolve_for_plan
from trainwright_cli.rewriting import Rewrite, parse_rewrites, rewrite_locations

IN_THE_POD = "decided in the pod, which can read the base model's config; give it here with --model-config FILE"


@dataclass(frozen=True, slots=True)
class Planned:
    """One resource of the files with its run; no plan where only the pod can make it."""

    resource: Resource
    run: Run
    plan: Plan | None
    defaults: list[Default]

    @property
    def title(self) -> str:
        """KIND/NAME."""
        return f"{self.resource.kind}/{self.resource.metadata.name}"


@click.command(epilog=EXIT_CODES_HELP)
@files_option
@click.option(
    "--defaults", "show_defaults", is_flag=True, help="List what the manifest leaves out."
)
@click.option(
    "--model-config",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="config.json of the base model, where this machine cannot read its folder.",
)
@rewrite_option
@output_option
def plan(
    filenames: tuple[str, ...],
    show_defaults: bool,
    model_config: Path | None,
    rewrites: tuple[str, ...],
    output: str,
) -> None:
    """Show what a run needs and how it will be laid out.

    Every derived value comes with its reason. Exit code 1 if a run does not fit its devices.

    \b
    Example:
      trainwright plan -f run.yaml --defaults
      trainwright plan -f run.yaml -o json
    """
    parsed = parse_rewrites(rewrites)
    planned = [_plan(resource, model_config, parsed) for resource in read_resources(filenames)]
    if output == "table":
        _print_pages(planned, show_defaults)
    else:
        print_data([_as_data(item, show_defaults) for item in planned], output)
    for item in planned:
        if item.plan is not None and item.plan.fits is False:
            raise CliError(f"{item.title} does not fit: {fit_message(item.plan)}")


def _plan(resource: Resource, model_config: Path | None, rewrites: Sequence[Rewrite]) -> Planned:
    run = resolve_for_plan(resource)
    readable = Run.model_validate(
        rewrite_locations(run.model_dump(mode="json", by_alias=True), rewrites)
    )
    facts = find_facts(readable, model_config)
    return Planned(resource, run, make_plan(run, facts), list_defaults(resource.spec))


def _print_pages(planned: Sequence[Planned], show_defaults: bool) -> None:
    console = a_console()
    for item in planned:
        if item.plan is None:
            console.print(Text(f"{item.title}: {IN_THE_POD}"))
        else:
            console.print(plan_page(item.title, item.run, item.plan))
        if show_defaults:
            console.print(Text("\nDefaults", style="bold"))
            console.print(defaults_table(item.defaults))


def _as_data(item: Planned, show_defaults: bool) -> dict[str, Any]:
    data: dict[str, Any] = {"kind": item.resource.kind, "name": item.resource.metadata.name}
    data["plan"] = item.plan.to_manifest() if item.plan else None
    if item.plan is None:
        data["reason"] = IN_THE_POD
    if show_defaults:
        data["defaults"] = [
            {"field": default.path, "value": default.value, "reason": default.reason}
            for default in item.defaults
        ]
    return data
