"""Each bad input once: the status says in one sentence which field, which value and what to do.

All are started together; each test waits for its own.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from trainwright_api.names import Cause, Phase

from demo.install import apply_secret
from demo.manifests import with_fields
from demo.place import JSON, Place
from tests.e2e.builders import ONE_POD, fine_tune_job, training_run
from tests.e2e.world import World, wait_for_phase

pytestmark = pytest.mark.timeout(400)

FAILED_SECONDS = 240


@dataclass(frozen=True)
class Case:
    """A run that must fail, the words its message must hold, and what it must say to do."""

    run: JSON
    words: tuple[str, ...]
    remedy: str


def text(uri: str, **more: object) -> JSON:
    return {"sources": [{"uri": uri, "format": "Text", **more}]}


def small(name: str, **fields: object) -> JSON:
    return with_fields(
        training_run(name, workers={**ONE_POD, "resources": {"memory": "1Gi"}}), fields
    )


def chat(name: str, **fields: object) -> JSON:
    workers = {**ONE_POD, "resources": {"memory": "3Gi"}}
    return with_fields(fine_tune_job(name, workers=workers), fields)


CASES = {
    "missing-data": Case(
        small("missing-data", data=text("s3://datasets/nowhere/")),
        ("spec.data.sources[0]", "s3://datasets/nowhere"),
        "correct the path",
    ),
    "missing-bucket": Case(
        small("missing-bucket", data=text("s3://no-such-bucket/x/")),
        ("spec.data.sources[0]", "no-such-bucket"),
        "create no-such-bucket",
    ),
    "wrong-credentials": Case(
        small("wrong-credentials", checkpoints={"store": {"credentialsSecret": "wrong"}}),
        ("spec.checkpoints.store.credentialsSecret", "credentials"),
        "correct the Secret",
    ),
    "empty-file": Case(
        small("empty-file", data=text("s3://datasets/bad/empty.txt")),
        ("spec.data.sources[0]", "empty"),
        "write the data again",
    ),
    "no-such-field": Case(
        small(
            "no-such-field",
            data={"sources": [{"uri": "s3://datasets/bad/other-field.jsonl", "format": "JSONL"}]},
        ),
        ("spec.data.sources[0]", "text", "body"),
        "set field to one that they have",
    ),
    "no-messages": Case(
        chat(
            "no-messages",
            data={
                "sources": [{"uri": "s3://datasets/bad/no-messages.jsonl", "format": "Messages"}]
            },
            baseModel={"ggufFile": "SmolLM2-135M-Instruct.Q4_1.gguf"},
        ),
        ("spec.data.sources[0]", "messages"),
        "set field to one that they have",
    ),
    "not-a-model": Case(
        chat("not-a-model", baseModel={"uri": "s3://models/not-a-model/"}),
        ("spec.baseModel", "not-a-model"),
        "name the folder of a model",
    ),
    "large-vocabulary": Case(
        small(
            "large-vocabulary",
            model={"config": {"vocab_size": 300}},
            tokenizer={"train": None, "location": {"uri": "s3://models/large-tokenizer/"}},
        ),
        ("spec.model.config.vocab_size", "300", "400"),
        "leave it away",
    ),
}


@pytest.fixture(scope="module")
def started(world: World) -> Iterator[Place]:
    place = world.make_namespace("test_bad_input")
    apply_secret(place)
    place.apply(
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": "wrong"},
            "stringData": {
                "AWS_ACCESS_KEY_ID": "somebody",
                "AWS_SECRET_ACCESS_KEY": "else",
                "AWS_ENDPOINT_URL": place.store.endpoint_of_pods,
            },
        },
        *(case.run for case in CASES.values()),
    )
    yield place
    place.kubectl("delete", "namespace", place.namespace, "--wait=false")


@pytest.mark.parametrize("name", CASES)
def test_bad_input_fails_at_once_and_says_what_to_change(started: Place, name: str) -> None:
    case = CASES[name]
    status = wait_for_phase(started, case.run, Phase.FAILED, FAILED_SECONDS)
    (attempt,) = status["attempts"]
    assert attempt["cause"] == Cause.USER_ERROR, attempt
    for word in (*case.words, case.remedy):
        assert word in status["message"], status["message"]
    assert "Traceback" not in status["message"]
    assert not (status.get("progress") or {}).get("step")
