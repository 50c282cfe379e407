"""A run that cannot start says why within 30 seconds, and starts once the obstacle is gone."""

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from math import inf

import pytest
from trainwright_api.names import Phase

from demo.install import apply_secret
from demo.place import JSON, Place
from tests.e2e.builders import ONE_POD, STORE, training_run
from tests.e2e.world import (
    POLL_SECONDS,
    World,
    describe_status,
    wait_for_phase,
    wait_for_status,
)

pytestmark = pytest.mark.timeout(300)

SAID_SECONDS = 30


@dataclass(frozen=True)
class Case:
    """A run with an obstacle, and the words that name it."""

    run: JSON
    words: tuple[str, ...]


NO_CLAIM = {"uri": "pvc://no-claim/runs/", "credentialsSecret": None}

CASES = {
    "needs-gpus": Case(
        training_run(
            "needs-gpus",
            workers={"accelerator": "nvidia.com/gpu", "acceleratorsPerNode": 8},
            batch={"globalSequences": 16},
        ),
        ("nvidia.com/gpu",),
    ),
    "needs-memory": Case(
        training_run("needs-memory", workers={"resources": {"memory": "4000Gi"}}), ("memory",)
    ),
    "no-image": Case(
        training_run("no-image", workers={"image": "localhost/no-such-image:1"}),
        ("localhost/no-such-image:1",),
    ),
    "no-secret": Case(
        training_run("no-secret", checkpoints={"store": {"credentialsSecret": "not-there"}}),
        ("not-there",),
    ),
    "no-claim": Case(
        training_run("no-claim", checkpoints={"store": NO_CLAIM}),
        ("no-claim",),
    ),
}


@dataclass(frozen=True)
class Statuses:
    """What the statuses of all cases were like within the bar."""

    said_after: dict[
        str, float
    ]  # seconds from the apply until a status had all of its case's words
    last: dict[str, JSON]


@pytest.fixture(scope="module")
def statuses(world: World) -> Iterator[Statuses]:
    """All cases watched together, so that each is seen when it is said and not when its test runs."""
    place = world.make_namespace("test_cannot_start")
    apply_secret(place)
    started = time.monotonic()
    place.apply(*(case.run for case in CASES.values()))
    yield watch_statuses(place, started)
    place.kubectl("delete", "namespace", place.namespace, "--wait=false")


def watch_statuses(place: Place, started: float) -> Statuses:
    statuses = Statuses({}, {})
    while len(statuses.said_after) < len(CASES):
        runs = place.get("trainingruns")["items"]
        seconds = time.monotonic() - started
        if seconds > SAID_SECONDS:
            break
        for run in runs:
            name, status = run["metadata"]["name"], run.get("status", {})
            statuses.last[name] = status
            if all(word in (status.get("message") or "") for word in CASES[name].words):
                statuses.said_after.setdefault(name, seconds)
        time.sleep(POLL_SECONDS)
    return statuses


@pytest.mark.parametrize("name", CASES)
def test_obstacle_is_named_in_the_status(statuses: Statuses, name: str) -> None:
    status = statuses.last.get(name, {})
    assert statuses.said_after.get(name, inf) <= SAID_SECONDS, describe_status(status)
    assert status["phase"] in (Phase.PENDING, Phase.STARTING), describe_status(status)


def test_a_full_quota_is_named_and_the_run_starts_once_there_is_room(
    world: World, place: Place
) -> None:
    quota = {
        "apiVersion": "v1",
        "kind": "ResourceQuota",
        "metadata": {"name": "small"},
        "spec": {"hard": {"pods": "1"}},
    }
    run = training_run("squeezed", steps=5)
    place.apply(quota, run)
    wait_for_status(
        place, run, "says quota", lambda s: "quota" in (s.get("message") or ""), SAID_SECONDS
    )

    patch = json.dumps({"spec": {"hard": {"pods": "10"}}})
    place.kubectl("patch", "quota", "small", "-n", place.namespace, "--type=merge", "-p", patch)

    wait_for_phase(place, run, Phase.SUCCEEDED, 180)


def test_a_missing_secret_may_come_later(place: Place) -> None:
    store = {**STORE, "credentialsSecret": "late"}
    run = training_run("patient", steps=5, workers=ONE_POD, checkpoints={"store": store})
    place.apply(run)
    wait_for_status(
        place, run, "says so", lambda s: "late" in (s.get("message") or ""), SAID_SECONDS
    )

    secret = place.get("secret", "s3")
    place.apply({**secret, "metadata": {"name": "late"}})

    wait_for_phase(place, run, Phase.SUCCEEDED, 240)
