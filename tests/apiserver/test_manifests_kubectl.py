"""What people see of our kinds in kubectl, against a real API server."""

import json
from collections.abc import Iterator
from typing import Any, get_args, get_origin

import pytest
from trainwright_api.base import Model
from trainwright_api.defaulting import find_model, leaves
from trainwright_api.printable import printable_hardware, printable_progress
from trainwright_api.status import Hardware, Progress, RunStatus
from trainwright_api.yaml_reader import read_yaml

from tests.apiserver.kinds import Kinds
from tests.cluster import Cluster, KubectlError
from tests.manifests.build import JOB, RUN, build

SCALARS = (
    *[
        "yes",
        "on",
        "n",
        "Off",
        "y",
        "TRUE",
        "true",
        "False",
        "~",
        "null",
        "Null",
        "x",
        "NaN",
        "infinity",
        "3Gi",
        "Auto",
        "None",
    ],
    *[
        "010",
        "08",
        "0o17",
        "0o8",
        "0x1F",
        "0b11",
        "-0x10",
        "0777",
        "00",
        "-0",
        "+5",
        "1_000",
        "1__0",
        "1_",
        "_1",
    ],
    *[
        "1e-4",
        "1e6",
        "2.0",
        ".5",
        "5.",
        "-.5",
        "0.1e1",
        "1e20",
        "1e21",
        "1e400",
        "4_0.5",
        "1.5.2",
        "1:30",
    ],
    *["2024-01-01", "2024-01-01T00:00:00Z"],
    *('"yes"', "'1'", "!!str 5", '!!int "5"', "!!float 5", "a b"),
)


@pytest.fixture(scope="module")
def run(kinds: Kinds) -> Iterator[dict[str, Any]]:
    """A run that exists, and all that a status can hold."""
    manifest = build(RUN, {"metadata.name": "seen"})
    created = kinds.create(manifest, dry_run=False).body
    yield kinds.replace_status(created | {"status": full_status()}).body
    kinds.delete(manifest)


def full_status() -> dict[str, Any]:
    """A status with a value in every field, and the texts that the operator fills in."""
    status = RunStatus.model_validate(sample(RunStatus))
    progress = Progress(
        step=120,
        total_steps=400,
        loss=2.34567,
        tokens_per_second=1234.5,
        mfu=0.4123,
        eta_seconds=200,
    )
    hardware = Hardware(device="H100", accelerators=16, utilization_percent=93.4)
    update = {"progress": printable_progress(progress), "hardware": printable_hardware(hardware)}
    filled = status.model_copy(update=update).to_manifest()
    for part in ("progress", "hardware"):
        filled[part] = sample(type(update[part])) | filled[part]
    return filled


def sample(annotation: Any) -> Any:
    """A value that is not its type's empty one, for every field below."""
    if model := find_model(annotation):
        value = {f.alias or name: sample(f.annotation) for name, f in model.model_fields.items()}
        return [value] if get_origin(annotation) is list else value
    if get_origin(annotation) is dict:
        return {"key": sample(get_args(annotation)[1])}
    if get_origin(annotation) is list:
        return [sample(get_args(annotation)[0])]
    kind = next(leaf for leaf in leaves(annotation) if leaf is not type(None))
    if issubclass(kind, bool):
        return True
    if issubclass(kind, int | float):
        return kind(7)
    return next(iter(kind)).value if kind is not str else "text"


def row(table: str) -> dict[str, str]:
    """The first row of a table of kubectl, by column."""
    head, first = table.splitlines()[:2]
    starts = [index for index in range(len(head)) if head[index] != " " and head[index - 1] == " "]
    bounds = zip([0, *starts], [*starts, None], strict=True)
    return {head[a:b].strip(): first[a:b].strip() for a, b in bounds}


def test_a_status_with_every_field_is_kept_whole(run: dict[str, Any]) -> None:
    assert run["status"] == full_status()


@pytest.mark.usefixtures("run")
def test_columns_show_what_the_run_does(control_plane: Cluster) -> None:
    columns = row(control_plane.kubectl("get", "tr", "seen"))
    assert columns.pop("AGE")
    assert columns == {
        "NAME": "seen",
        "PHASE": "Pending",
        "STEP": "120/400",
        "LOSS": "2.3457",
        "TOK/S": "1234",
        "CHECKPOINT": "7",
        "ETA": "3m20s",
    }


@pytest.mark.usefixtures("run")
def test_wide_columns_show_how(control_plane: Cluster) -> None:
    columns = row(control_plane.kubectl("get", "tr", "seen", "-o", "wide"))
    wide = {name: columns[name] for name in ("MFU", "GPU", "NODES", "ATTEMPT", "REASON")}
    assert wide == {
        "MFU": "41.2%",
        "GPU": "16x H100 93%",
        "NODES": "2",
        "ATTEMPT": "7",
        "REASON": "text",
    }


@pytest.mark.usefixtures("run")
def test_category_lists_both_kinds(control_plane: Cluster, kinds: Kinds) -> None:
    job = build(JOB, {"metadata.name": "tuned"})
    kinds.create(job, dry_run=False)
    listed = control_plane.kubectl("get", "trainwright", "-o", "name").split()
    assert listed == ["finetunejob.trainwright.dev/tuned", "trainingrun.trainwright.dev/seen"]
    assert control_plane.kubectl("get", "ftj", "-o", "name").split() == listed[:1]
    kinds.delete(job)


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("tr.spec.parallelism.zeroStage", "0 replicates all state"),
        ("trainingrun.spec.parallelism.zeroStage", "Default Auto."),
        ("trainingrun.spec.optimizer.learningRate", "Default 0.0003."),
        ("trainingrun.spec.checkpoints.everySteps", "(unit: steps)"),
        ("trainingrun.spec.model.config.max_position_embeddings", "(unit: tokens)"),
        ("ftj.spec.adapter.alpha", "twice the rank"),
        ("ftj.status.progress.tokensPerSecond", "tokens per second"),
        ("ftj.status.conditions.observedGeneration", "Generation of the spec"),
    ],
)
def test_explain_has_unit_and_default(control_plane: Cluster, path: str, said: str) -> None:
    assert said in " ".join(control_plane.kubectl("explain", path).split())


def test_explain_names_the_values_of_an_enumeration(control_plane: Cluster) -> None:
    text = control_plane.kubectl("explain", "tr.spec.precision")
    assert text.split("ENUM:")[1].split()[:3] == ["BF16", "FP16", "FP32"]


def test_kubectl_apply_refuses_unknown_fields(control_plane: Cluster) -> None:
    manifest = json.dumps(build(RUN, {"optimiser": {}}))
    with pytest.raises(KubectlError, match=r'unknown field "spec\.optimiser"'):
        control_plane.kubectl("apply", "--dry-run=server", "-f", "-", stdin=manifest)


def test_a_status_that_is_none_is_refused(kinds: Kinds, run: dict[str, Any]) -> None:
    message = kinds.replace_status(run | {"status": {"phase": "Happy"}}).message
    assert 'status.phase: Unsupported value: "Happy"' in message


def test_yaml_is_read_as_kubectl_reads_it(control_plane: Cluster) -> None:
    lines = [f"  k{index}: {word}" for index, word in enumerate(SCALARS)]
    text = "\n".join(
        [
            "apiVersion: trainwright.dev/v1alpha1",
            "kind: TrainingRun",
            "metadata: {name: read}",
            "spec:",
            "  shared: &shared {a: 1, b: 2}",
            "  merged: {<<: *shared, b: 3}",
            "  alias: *shared",
            "  block: |",
            "    two",
            "    lines",
            "  empty:",
            "  5: a number for a key",
            "  no: a boolean for a key",
            *lines,
        ]
    )
    told = control_plane.kubectl(
        "create", "--dry-run=client", "--validate=false", "-o", "json", "-f", "-", stdin=text
    )
    (document,) = read_yaml(text)
    spec = json.loads(told)["spec"]
    assert document.value["spec"] == spec
    assert {key: type(item) for key, item in document.value["spec"].items()} == {
        key: type(item) for key, item in spec.items()
    }


def test_models_of_the_status_have_no_field_that_the_sample_misses() -> None:
    def empty(model: type[Model], value: dict[str, Any]) -> list[str]:
        return [name for name, f in model.model_fields.items() if (f.alias or name) not in value]

    status = full_status()
    assert empty(RunStatus, status) == []
    assert empty(Progress, status["progress"]) == []
