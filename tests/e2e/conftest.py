"""The cluster that all tests of this folder share; each test has a namespace of its own."""

import json
import os
import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace

from demo.data import ensure_data
from demo.install import Images, apply_secret, install_chart, upload_folder
from demo.place import Place
from demo.story import embedded_place
from tests.cluster import Cluster, ClusterSpec, Mount
from tests.e2e.world import World
from tests.monitoring.server import Prometheus
from tools.images import build_archive, ensure_trainer_venv

CLUSTER_NAME = "e2e"
NODES = 2
GPUS_PER_NODE = 1  # pretended: pods that ask for one are placed, and find what the test mounts
HOLD_SPEED = 60  # alerts hold for seconds instead of minutes; test_rules.py has the real times
WORDS = ("the", "trainer", "saves", "a", "checkpoint", "and", "goes", "on", "until", "it", "ends")


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    if os.geteuid() != 0:
        pytest.skip("the embedded cluster needs root on Linux")
    operator, trainer = build_archive("operator"), build_archive("trainer-code")
    mount = Mount(str(ensure_trainer_venv()), "/opt/venv")
    assert operator.archive
    assert trainer.archive
    spec = ClusterSpec(
        name=CLUSTER_NAME,
        nodes=NODES,
        gpus_per_node=GPUS_PER_NODE,
        mounts=(mount,),
        images=(str(operator.archive), str(trainer.archive)),
    )
    with Cluster.running(spec) as cluster:
        names = [image.reference.removeprefix("localhost/") for image in (operator, trainer)]
        place = embedded_place(cluster, "default")
        images = Images("localhost", *names)
        install_chart(place, images)
        upload_folder(place.store, ensure_data())
        upload_folder(place.store, write_small_data(tmp_path_factory.mktemp("data")))
        yield World(cluster, place, images)


@pytest.fixture(scope="session")
def prometheus(world: World) -> Iterator[Prometheus]:
    server = Prometheus.start(world.cluster, hold_speed=HOLD_SPEED)
    yield server
    server.stop()


@pytest.fixture
def place(world: World, request: pytest.FixtureRequest) -> Iterator[Place]:
    """A namespace with the store's Secret, gone at the end."""
    place = world.make_namespace(request.node.name)
    apply_secret(place)
    yield place
    place.kubectl("delete", "namespace", place.namespace, "--wait=false")


def write_small_data(folder: Path) -> Path:
    """What small runs read, bad input included."""
    small = folder / "datasets" / "small"
    small.mkdir(parents=True)
    random_words = random.Random(7)  # noqa: S311 - nothing to guess
    for index in range(40):
        text = " ".join(random_words.choices(WORDS, k=300))
        (small / f"{index:02d}.txt").write_text(text)
    bad = folder / "datasets" / "bad"
    bad.mkdir()
    (bad / "empty.txt").write_bytes(b"")
    (bad / "other-field.jsonl").write_text('{"body": "no field named text"}\n' * 20)
    (bad / "no-messages.jsonl").write_text('{"question": "Why?", "answer": "Because."}\n' * 20)
    not_a_model = folder / "models" / "not-a-model"
    not_a_model.mkdir(parents=True)
    (not_a_model / "notes.txt").write_text("nothing that transformers loads\n")
    write_tokenizer(folder / "models" / "large-tokenizer", 400)
    return folder


def write_tokenizer(folder: Path, num_entries: int) -> None:
    """A tokenizer with so many words."""
    folder.mkdir()
    vocabulary = {"<unk>": 0} | {f"word{index}": index for index in range(1, num_entries)}
    tokenizer = Tokenizer(WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = Whitespace()
    tokenizer.save(str(folder / "tokenizer.json"))
    configuration = {"tokenizer_class": "PreTrainedTokenizerFast", "unk_token": "<unk>"}
    (folder / "tokenizer_config.json").write_text(
        json.dumps({**configuration, "eos_token": "<unk>"})
    )
