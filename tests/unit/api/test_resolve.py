"""From what a user writes to what the trainer gets."""

from collections.abc import Mapping
from typing import Any

import pytest
from trainwright_api.checkpoints import RunReference
from trainwright_api.data import Location
from trainwright_api.resolve import (
    UnresolvedReferenceError,
    references,
    resolve_run,
)
from trainwright_api.run import Run
from trainwright_api.validate import parse_resource

from tests.manifests.build import JOB, REMOVED, RUN, Kind, build

FIRST = RunReference(name="first")


def resolve(
    kind: Kind,
    changes: Mapping[str, Any] | None = None,
    **known: Any,
) -> Run:
    return resolve_run(
        parse_resource(build(kind, changes)),
        attempt=1,
        models=known.get("models", {}),
        folders=known.get("folders", {}),
    )


def test_a_run_survives_the_way_to_the_trainer() -> None:
    run = resolve(RUN, {"model.config.rope_scaling": None})
    assert Run.model_validate_json(run.model_dump_json(by_alias=True)) == run
    assert run.model.config == {
        "hidden_size": 64,
        "num_attention_heads": 4,
        "rope_scaling": None,
    }


def test_checkpoints_and_model_are_in_a_folder_of_the_run() -> None:
    run = resolve(RUN, {"metadata.namespace": "team"})
    assert run.checkpoints.folder.uri == "s3://checkpoints/team/example/"
    assert run.output.uri == "s3://checkpoints/team/example/model/"


def test_access_to_the_store_is_used_for_s3_that_does_not_say_its_own() -> None:
    store = {"uri": "s3://runs/", "endpoint": "https://minio", "credentialsSecret": "s3"}
    sources = [
        {"uri": "s3://one/", "format": "Text"},
        {"uri": "s3://two/", "format": "Text", "credentialsSecret": "own"},
        {"uri": "hf://datasets/o/n", "format": "Parquet"},
    ]
    run = resolve(RUN, {"checkpoints.store": store, "data.sources": sources})
    access = [(source.endpoint, source.credentials_secret) for source in run.data.sources]
    assert access == [("https://minio", "s3"), ("https://minio", "own"), (None, None)]


@pytest.mark.parametrize(
    ("changes", "every_steps", "every_minutes"),
    [
        ({}, 500, None),
        ({"checkpoints.everySteps": 7}, 7, None),
        ({"checkpoints.everyMinutes": 2}, None, 2),
    ],
)
def test_checkpoints_have_an_interval(
    changes: dict[str, Any], every_steps: int | None, every_minutes: float | None
) -> None:
    run = resolve(RUN, changes)
    assert (run.checkpoints.every_steps, run.checkpoints.every_minutes) == (
        every_steps,
        every_minutes,
    )


@pytest.mark.parametrize(
    ("workers", "processes", "memory_gib"),
    [
        ({"nodes": 1}, 1, 80),
        ({"acceleratorsPerNode": 8, "acceleratorMemoryGiB": 24}, 8, 24),
        ({"accelerator": "None"}, 1, None),
        ({"accelerator": "None", "processesPerNode": 2, "resources": {"memory": "3Gi"}}, 2, 1.5),
    ],
)
def test_workers_become_processes_with_memory(
    workers: dict[str, Any], processes: int, memory_gib: float | None
) -> None:
    run = resolve(RUN, {"workers": workers})
    assert (run.workers.processes_per_node, run.workers.device_memory_gib) == (
        processes,
        memory_gib,
    )


def test_what_says_auto_is_left_to_the_pod() -> None:
    run = resolve(RUN)
    assert (run.parallelism.zero_stage, run.batch.micro_sequences) == (None, None)
    given = resolve(RUN, {"parallelism": {"zeroStage": 2}, "batch.microSequences": 1})
    assert (given.parallelism.zero_stage, given.batch.micro_sequences) == (2, 1)


def test_references_are_looked_up_by_the_caller() -> None:
    changes = {
        "baseModel": {"run": {"name": "first"}},
        "checkpoints.resumeFrom": {"run": {"name": "first"}, "step": 5},
    }
    paths = [path for path, _ in references(parse_resource(build(JOB, changes)))]
    assert paths == ["spec.checkpoints.resumeFrom.run", "spec.baseModel.run"]
    run = resolve(
        JOB,
        changes,
        models={FIRST: Location(uri="s3://theirs/team/first/model/", credentials_secret="theirs")},
        folders={FIRST: Location(uri="s3://theirs/team/first/", credentials_secret="theirs")},
    )
    assert run.model.weights
    assert run.model.weights.uri == "s3://theirs/team/first/model/"
    assert run.model.weights.credentials_secret == "theirs"
    assert run.checkpoints.resume_from is not None
    assert run.checkpoints.resume_from.uri == "s3://theirs/team/first/"
    assert run.checkpoints.resume_from.credentials_secret == "theirs"
    assert run.checkpoints.resume_from_step == 5


def test_another_runs_store_is_reached_as_that_run_reaches_it() -> None:
    changes = {
        "baseModel": {"run": {"name": "first"}},
        "checkpoints.store.endpoint": "http://minio:9000",
    }
    theirs = Location(uri="s3://cloud/team/first/model/")  # AWS, by the identity of the pod
    run = resolve(JOB, changes, models={FIRST: theirs})
    assert run.model.weights == theirs
    own = resolve(RUN, {"checkpoints.resumeFrom": {"uri": "s3://checkpoints/team/old/"}})
    assert own.checkpoints.resume_from is not None
    assert own.checkpoints.resume_from.credentials_secret == "s3"


@pytest.mark.parametrize(
    ("kind", "changes", "path"),
    [
        (RUN, {"model": {"run": {"name": "first"}}, "tokenizer": REMOVED}, "spec.model.run"),
        (JOB, {"baseModel": {"run": {"name": "first"}}}, "spec.baseModel.run"),
        (
            RUN,
            {"checkpoints.resumeFrom": {"run": {"name": "first"}}},
            "spec.checkpoints.resumeFrom.run",
        ),
    ],
)
def test_a_reference_that_is_not_there_yet_is_named(
    kind: Kind, changes: dict[str, Any], path: str
) -> None:
    with pytest.raises(UnresolvedReferenceError) as caught:
        resolve(kind, changes)
    assert caught.value.path == path
    assert str(caught.value).startswith(f"{path}: got TrainingRun/first, expected a run that")


@pytest.mark.parametrize("kind", [RUN, JOB])
def test_trackers_are_as_given_and_the_experiment_is_the_namespace(kind: Kind) -> None:
    mlflow = {"trackingUri": "http://mlflow", "credentialsSecret": "a"}
    wandb = {"project": "lab", "credentialsSecret": "b"}
    changes = {"metadata.namespace": "team", "tracking": {"mlflow": mlflow, "wandb": wandb}}
    tracking = resolve(kind, changes).tracking
    assert tracking.mlflow is not None
    assert tracking.mlflow.experiment == "team"
    assert tracking.secrets == ["a", "b"]
    named = resolve(kind, {"tracking.mlflow": {**mlflow, "experiment": "mine"}}).tracking
    assert named.mlflow is not None
    assert named.mlflow.experiment == "mine"
