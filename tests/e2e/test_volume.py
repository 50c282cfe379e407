"""A run whose data, checkpoints and model are on a shared volume: nothing of it needs an object store."""

import json
from pathlib import Path

import pytest
from trainwright_api.names import Phase
from transformers import AutoModelForCausalLM, AutoTokenizer

from demo.place import JSON, Place
from tests.e2e.builders import training_run
from tests.e2e.conftest import write_small_data
from tests.e2e.world import wait_for_phase

pytestmark = pytest.mark.timeout(300)

CLAIM = "shared"


@pytest.fixture
def volume(place: Place, tmp_path: Path) -> Path:
    """A folder of the machine, bound to a claim that pods of all nodes may write to."""
    folder = tmp_path / "volume"
    folder.mkdir()
    write_small_data(folder)
    folder.chmod(0o777)  # of the folders above it a container sees nothing
    name = f"{place.namespace}-{CLAIM}"
    size = {"storage": "1Gi"}
    modes = ["ReadWriteMany"]
    persistent_volume: JSON = {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": name},
        "spec": {
            "capacity": size,
            "accessModes": modes,
            "hostPath": {"path": str(folder)},
            "storageClassName": "",
            "persistentVolumeReclaimPolicy": "Retain",
        },
    }
    claim: JSON = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": CLAIM},
        "spec": {
            "accessModes": modes,
            "resources": {"requests": size},
            "volumeName": name,
            "storageClassName": "",
        },
    }
    place.apply(persistent_volume, claim)
    return folder


def test_a_run_lives_on_a_shared_volume(place: Place, volume: Path) -> None:
    run = training_run("on-volume", steps=20)
    run["spec"]["data"]["sources"] = [{"uri": f"pvc://{CLAIM}/datasets/small/", "format": "Text"}]
    run["spec"]["checkpoints"]["store"] = {"uri": f"pvc://{CLAIM}/runs/"}
    place.apply(run)

    status = wait_for_phase(place, run, Phase.SUCCEEDED, 150)

    folder = volume / "runs" / place.namespace / "on-volume"
    assert status["model"]["uri"] == f"pvc://{CLAIM}/runs/{place.namespace}/on-volume/model/"
    assert status["checkpoints"]["latest"]["step"] == 20
    for step in (10, 20):
        manifest = json.loads((folder / f"step-{step:06d}" / "manifest.json").read_text())
        assert manifest["step"] == step
    model = AutoModelForCausalLM.from_pretrained(folder / "model")
    tokenizer = AutoTokenizer.from_pretrained(folder / "model")
    assert model.get_input_embeddings().num_embeddings == len(tokenizer)
