"""From a checked resource to the run and plan that it will have; used by `plan` and `run --local`."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from trainwright_api.data import Location
from trainwright_api.resolve import UnresolvedReferenceError, references, resolve_run
from trainwright_api.resources import Resource
from trainwright_api.run import Run
from trainwright_api.status import Plan
from trainwright_planner.errors import PlanError
from trainwright_planner.facts import ModelFacts, model_facts_from_config, model_facts_of_run
from trainwright_planner.plan import plan_run

from trainwright_cli.errors import CliError, InvalidManifestError
from trainwright_cli.stores import open_folder

MODEL_CONFIG_FILE = "config.json"


def resolve_for_plan(resource: Resource) -> Run:
    """Return the run of a resource, with runs that it refers to taken as finished."""
    named = [reference for _, reference in references(resource)]
    return resolve_run(
        resource,
        attempt=1,
        models={ref: Location(uri=f"run://{ref.kind}/{ref.name}/model/") for ref in named},
        folders={ref: Location(uri=f"run://{ref.kind}/{ref.name}/") for ref in named},
    )


def resolve_locally(resource: Resource, checkpoints: Path, *, attempt: int) -> Run:
    """Return the run of a resource whose references are runs of the same folder of checkpoints.

    Raises InvalidManifestError if such a run has not been trained here.
    """
    namespace = resource.metadata.namespace or "default"
    models, folders = {}, {}
    for _, reference in references(resource):
        folder = checkpoints / namespace / reference.name
        if folder.is_dir():
            folders[reference] = Location(uri=folder.as_uri() + "/")
        if (folder / "model").is_dir():
            models[reference] = Location(uri=(folder / "model").as_uri() + "/")
    try:
        return resolve_run(resource, attempt=attempt, models=models, folders=folders)
    except UnresolvedReferenceError as error:
        raise InvalidManifestError(
            f"{error} (here: a run of this --work-dir that has succeeded)"
        ) from error


def find_facts(run: Run, config_file: Path | None) -> ModelFacts | None:
    """Return what is known of the run's model: from its architecture, a given file, or its folder.

    None if only the pod can know: another family, a GGUF file, a folder that cannot be read here.
    Raises InvalidManifestError for sizes that make no model.
    """
    try:
        return _find_facts(run, config_file)
    except PlanError as error:
        raise InvalidManifestError(str(error)) from error


def _find_facts(run: Run, config_file: Path | None) -> ModelFacts | None:
    if run.model.architecture is not None and config_file is None:
        return model_facts_of_run(run)
    config = read_config(config_file) if config_file else _fetch_config(run)
    if config is None:
        return None
    config = {**config, **run.model.config}
    trained = run.tokenizer.train
    return model_facts_from_config(
        str(config.get("model_type")),
        config,
        vocabulary_size=trained.vocabulary_size if trained else None,
        adapter=run.adapter,
    )


def make_plan(run: Run, facts: ModelFacts | None) -> Plan | None:
    """Return the plan, None without facts. Raises InvalidManifestError if the spec contradicts itself."""
    try:
        return plan_run(run, facts) if facts else None
    except PlanError as error:
        raise InvalidManifestError(str(error)) from error


def read_config(path: Path) -> Mapping[str, Any]:
    """Return a model's config.json. Raises CliError if it is none."""
    try:
        config = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise CliError(f"{path}: {error}; expected a config.json of transformers") from error
    if not isinstance(config, dict) or "model_type" not in config:
        raise CliError(f"{path}: has no model_type; expected a config.json of transformers")
    return config


def _fetch_config(run: Run) -> Mapping[str, Any] | None:
    """Read config.json beside the weights, where the user may; None if that cannot be done."""
    weights = run.model.weights
    if weights is None or not weights.uri.startswith(("s3://", "file://")):
        return None
    try:
        folder = open_folder(weights.uri, endpoint=weights.endpoint, region=weights.region)
        config = json.loads(folder.read_bytes(MODEL_CONFIG_FILE))
    except (CliError, ValueError):
        return None
    return config if isinstance(config, dict) else None
