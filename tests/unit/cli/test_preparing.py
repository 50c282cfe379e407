"""From a manifest to the run of this machine."""

from pathlib import Path
from typing import Any

import pytest
from trainwright_api.run import Run
from trainwright_api.status import Plan
from trainwright_cli.errors import InvalidManifestError
from trainwright_cli.local.devices import Machine
from trainwright_cli.local.folders import Folders
from trainwright_cli.local.preparing import check_unchanged, prepare_run, write_last_manifest
from trainwright_cli.manifests import parse_checked
from trainwright_cli.rewriting import Rewrite

from tests.unit.cli.manifests import a_fine_tune_job, a_training_run

MACHINE = Machine(num_cpus=2, memory_gib=8, num_gpus=0)


def prepared(
    manifest: dict[str, Any], work: Path, *rewrites: Rewrite
) -> tuple[Run, Plan | None, Folders]:
    folders = Folders(work, "default", manifest["metadata"]["name"])
    run, plan, _ = prepare_run(
        parse_checked(manifest), folders, rewrites, MACHINE, device="auto", processes=None
    )
    return run, plan, folders


def test_the_store_becomes_a_folder_and_access_is_dropped(tmp_path: Path) -> None:
    run, _, folders = prepared(a_training_run(), tmp_path)
    assert run.checkpoints.folder.uri == folders.run_checkpoints.as_uri() + "/"
    assert run.checkpoints.folder.credentials_secret is None
    assert run.output.uri == folders.run_checkpoints.as_uri() + "/model/"
    assert run.data.sources[0].uri == "s3://datasets/stdlib/"


def test_sources_keep_the_access_that_they_have_from_the_store(tmp_path: Path) -> None:
    store = {"uri": "s3://checkpoints/", "credentialsSecret": "s3", "endpoint": "http://minio:9000"}
    sources = [
        {"uri": "s3://datasets/a/", "format": "Text"},
        {"uri": "s3://datasets/b/", "format": "Text", "credentialsSecret": "other"},
        {"uri": "hf://team/c", "format": "Parquet"},
    ]
    manifest = a_training_run(checkpoints={"store": store}, data={"sources": sources})
    run, _, _ = prepared(manifest, tmp_path)
    assert [(each.endpoint, each.credentials_secret) for each in run.data.sources] == [
        ("http://minio:9000", "s3"),
        ("http://minio:9000", "other"),
        (None, None),
    ]
    assert run.checkpoints.folder.endpoint is None


def test_sources_are_rewritten(tmp_path: Path) -> None:
    run, _, _ = prepared(a_training_run(), tmp_path, Rewrite("s3://datasets/", "file:///data/"))
    assert run.data.sources[0].uri == "file:///data/stdlib/"
    assert run.data.sources[0].credentials_secret is None


def test_an_output_in_the_store_follows_it(tmp_path: Path) -> None:
    output = {"uri": "s3://checkpoints/models/mine/"}
    run, _, folders = prepared(a_training_run(output=output), tmp_path)
    assert run.output.uri == f"{folders.checkpoints.as_uri()}/models/mine/"


def test_an_output_elsewhere_needs_a_rewrite(tmp_path: Path) -> None:
    manifest = a_training_run(output={"uri": "s3://models/mine/"})
    with pytest.raises(InvalidManifestError, match="or give --rewrite for it"):
        prepared(manifest, tmp_path)
    run, _, _ = prepared(manifest, tmp_path, Rewrite("s3://models/", "file:///m/"))
    assert run.output.uri == "file:///m/mine/"


def test_what_says_auto_is_planned_for_this_machine(tmp_path: Path) -> None:
    run, plan, _ = prepared(a_training_run(), tmp_path)
    assert plan is not None
    assert (plan.num_devices, plan.capacity_gib) == (2, 4)
    assert (plan.zero_stage, plan.micro_sequences) == (1, 4)
    assert (run.parallelism.zero_stage, run.batch.micro_sequences) == (None, None)  # the pod's too
    assert run.uid == "local"


def test_a_job_starts_from_a_run_of_the_same_folder(tmp_path: Path) -> None:
    manifest = a_fine_tune_job(baseModel={"run": {"name": "stdlib-gpt"}})
    with pytest.raises(InvalidManifestError, match="has succeeded"):
        prepared(manifest, tmp_path)
    model = tmp_path / "checkpoints" / "default" / "stdlib-gpt" / "model"
    model.mkdir(parents=True)
    run, _, _ = prepared(manifest, tmp_path)
    assert run.model.weights is not None
    assert run.model.weights.uri == model.as_uri() + "/"


def test_each_start_is_an_attempt(tmp_path: Path) -> None:
    run, _, folders = prepared(a_training_run(), tmp_path)
    folders.create()
    folders.run_file.write_text(run.model_dump_json(by_alias=True))
    again, _, _ = prepared(a_training_run(), tmp_path)
    assert (run.attempt, again.attempt) == (1, 2)


def test_a_change_that_a_resumed_run_cannot_have_is_refused(tmp_path: Path) -> None:
    folders = Folders(tmp_path, "default", "stdlib-gpt")
    folders.create()
    before = parse_checked(a_training_run())
    check_unchanged(before, folders)
    write_last_manifest(before, folders)
    check_unchanged(before, folders)
    check_unchanged(parse_checked(a_training_run(deadlineSeconds=60)), folders)
    with pytest.raises(InvalidManifestError, match=r"use another metadata\.name or --work-dir"):
        check_unchanged(parse_checked(a_training_run(seed=7)), folders)
