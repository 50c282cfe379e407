"""`trainwright run --local`: the same manifest, trained on this machine."""

import importlib.util
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_args

import click
from trainwright_api.names import Cause, Outcome
from trainwright_api.resources import Resource
from trainwright_api.status import Plan

from trainwright_cli.errors import (
    EXIT_CODES_HELP,
    CliError,
    InterruptedRunError,
    InvalidManifestError,
    RunFailedError,
)
from trainwright_cli.live import open_display
from trainwright_cli.local.devices import DeviceChoice, fetch_machine
from trainwright_cli.local.folders import Folders
from trainwright_cli.local.preparing import check_unchanged, prepare_run, write_last_manifest
from trainwright_cli.local.session import Ending, follow
from trainwright_cli.local.trainer import running_trainer
from trainwright_cli.manifests import read_resources
from trainwright_cli.options import files_option, output_option, rewrite_option
from trainwright_cli.output import a_console, print_data
from trainwright_cli.rewriting import Rewrite, parse_rewrites
from trainwright_cli.settings import read_settings
from trainwright_cli.tables import plan_line, progress_line

LOG_TAIL_LINES = 15


@click.command(epilog=EXIT_CODES_HELP)
@files_option
@click.option("--local", "is_local", is_flag=True, help="Train on this machine (required).")
@click.option(
    "--work-dir",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("trainwright-runs"),
    show_default=True,
    help="Folder for checkpoints, the finished model, logs and scratch space.",
)
@rewrite_option
@click.option(
    "--device",
    type=click.Choice(get_args(DeviceChoice)),
    default="auto",
    show_default=True,
    help="auto takes GPUs if the manifest asks for accelerators and there are any.",
)
@click.option(
    "--processes",
    type=click.IntRange(min=1),
    help="At most so many processes. Default: one per GPU, or CPU, of this machine.",
)
@output_option
def run(
    filenames: tuple[str, ...],
    is_local: bool,
    work_dir: Path,
    rewrites: tuple[str, ...],
    device: DeviceChoice,
    processes: int | None,
    output: str,
) -> None:
    """Train on this machine, without a cluster.

    The store becomes a folder below --work-dir, all nodes become processes of this machine. Ctrl+C
    saves a checkpoint and ends; the same command then goes on from there. Several runs are trained
    one after another, and a FineTuneJob may start from a run of the same --work-dir. -o json prints
    a list of how they ended.

    \b
    Example:
      trainwright run -f run.yaml --local --rewrite s3://datasets/=./data/
    """
    if not is_local:
        raise click.UsageError(
            "this command trains on this machine only: add --local, or use `kubectl apply -f FILE`"
        )
    parsed = parse_rewrites(rewrites)
    resources = read_resources(filenames)
    if not all(resource.metadata.name for resource in resources):
        raise InvalidManifestError(
            "metadata.name: got generateName alone, expected a name, as the same command goes on from its "
            "checkpoints; write name"
        )
    _check_trainer_is_installed()
    told: list[dict[str, Any]] = []
    try:
        for index, resource in enumerate(resources, start=1):
            meta = resource.metadata
            folders = Folders(work_dir.resolve(), meta.namespace or "default", meta.name)
            ending = _train(resource, folders, parsed, device, processes)
            told.append(_as_data(resource, ending))
            _tell(_title(resource), ending, folders, is_told=output != "table")
            if ending.was_interrupted and index < len(resources):  # it had trained its last step
                raise InterruptedRunError(
                    f"{_title(resources[index])}: not trained; run the same command to go on"
                )
    finally:  # one that fails takes nothing from those before it
        if told and output != "table":
            print_data(told, output)


def _train(
    resource: Resource,
    folders: Folders,
    rewrites: Sequence[Rewrite],
    device: DeviceChoice,
    processes: int | None,
) -> Ending:
    settings = read_settings()
    check_unchanged(resource, folders)
    machine = fetch_machine(settings.visible_gpus)
    prepared, plan, reason = prepare_run(
        resource, folders, rewrites, machine, device=device, processes=processes
    )
    _say(f"{_title(resource)}: {reason}; log in {folders.log_file}")
    _say_plan(plan)
    own = {variable.name: variable.value for variable in resource.spec.workers.env}
    with running_trainer(prepared, folders, settings.inherited | own) as trainer:
        write_last_manifest(resource, folders)
        with open_display(a_console(stderr=True), _say) as display:
            ending = follow(trainer, prepared, display)
    return ending


def _as_data(resource: Resource, ending: Ending) -> dict[str, Any]:
    """Return whose end it was, and the trainer's last words or what is known if it left none."""
    meta = resource.metadata
    data: dict[str, Any] = {"kind": resource.kind, "name": meta.name}
    data["namespace"] = meta.namespace or "default"
    if ending.termination is not None:
        return data | ending.termination.to_manifest()
    return data | {"outcome": ending.outcome.value, "message": ending.message}


def _title(resource: Resource) -> str:
    return f"{resource.kind}/{resource.metadata.name}"


def _say(line: str) -> None:
    click.echo(line, err=True)


def _say_plan(plan: Plan | None) -> None:
    if plan is None:
        return
    _say(f"plan: {plan_line(plan)}")
    if plan.fits is False:
        _say("warning: the plan does not fit this machine; see `trainwright plan`")


def _tell(title: str, ending: Ending, folders: Folders, *, is_told: bool) -> None:
    """Say how the run ended, unless a machine was told; raises the error that gives the exit code."""
    if ending.outcome is Outcome.SUCCEEDED:
        if not is_told:
            _tell_success(title, ending)
    elif ending.was_interrupted:
        raise InterruptedRunError(f"{title}: {ending.message}; run the same command to go on")
    else:
        if ending.termination is None or ending.termination.cause is Cause.UNKNOWN:
            _say(_tail(folders.log_file))
        raise RunFailedError(f"{title} failed: {ending.message} ({folders.log_file})")


def _tell_success(title: str, ending: Ending) -> None:
    click.echo(progress_line(title, "Succeeded", ending.progress))
    model = ending.termination.model if ending.termination else None
    if model is None:
        return
    click.echo(f"model: {model.uri}")
    for sample in model.samples:
        click.echo(f"{sample.prompt!r}\n  before: {sample.before!r}\n  after:  {sample.after!r}")


def _tail(log: Path) -> str:
    lines = log.read_text("utf-8", "replace").splitlines()
    return "\n".join(lines[-LOG_TAIL_LINES:])


def _check_trainer_is_installed() -> None:
    missing = [
        name for name in ("trainwright_trainer", "torch") if importlib.util.find_spec(name) is None
    ]
    if missing:
        raise CliError(
            f"{' and '.join(missing)} not found beside {sys.executable}; install the trainer: "
            "pip install '.[cli,trainer]' in Trainwright's source"
        )
