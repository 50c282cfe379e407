"""Killed workers and killed operators: runs go on from the newest verified checkpoint."""

from collections.abc import Callable

import pytest
from trainwright_api.names import TRAINER_CONTAINER, Phase

from demo.place import JSON, Place
from tests.e2e.builders import training_run
from tests.e2e.world import (
    World,
    describe_status,
    pods_of,
    wait_for,
    wait_for_phase,
    wait_for_status,
)

pytestmark = pytest.mark.timeout(400)

LONG = 3000  # steps; some ten times what the test needs


def has_step(step: int) -> Callable[[JSON], bool]:
    return lambda status: (status.get("progress") or {}).get("step", 0) >= step


def has_checkpoint(status: JSON) -> bool:
    return bool((status.get("checkpoints") or {}).get("latest"))


def is_in_attempt(number: int) -> Callable[[JSON], bool]:
    return lambda status: status.get("attempt") == number and status["phase"] == Phase.RUNNING


def test_when_a_pod_is_killed_all_restart_from_the_newest_checkpoint(
    world: World, place: Place
) -> None:
    run = training_run("killed", steps=LONG, checkpoints={"everySteps": 25})
    place.apply(run)
    wait_for_status(place, run, "a checkpoint", has_checkpoint, 120)
    first_pods = pods_of(place, run)
    world.kill_container(first_pods[-1], TRAINER_CONTAINER)

    status = wait_for_status(
        place,
        run,
        "the second attempt has resumed",
        lambda s: len(s.get("attempts", [])) == 2 and s["attempts"][1].get("resumedFromStep"),
        120,
    )

    first, second = status["attempts"]
    assert first["outcome"] == "Failed", describe_status(status)
    assert first["exitCode"] == 137
    assert first["pod"] == first_pods[-1]["metadata"]["name"]
    assert second["resumedFromStep"] % 25 == 0
    old = {pod["metadata"]["uid"] for pod in first_pods}
    now = pods_of(place, run)
    assert len(now) == 2
    assert not old & {pod["metadata"]["uid"] for pod in now}


def test_a_killed_operator_loses_nothing_at_any_moment(world: World, place: Place) -> None:
    run = training_run("orphan", steps=LONG, checkpoints={"everySteps": 25})

    # Right after the run appears: before or while its objects are created.
    place.apply(run)
    world.kill_operator()
    status = wait_for_status(place, run, "a checkpoint", has_checkpoint, 150)
    assert status["attempt"] == 1, describe_status(status)

    # While it trains: progress goes on, in the same attempt.
    step = status["progress"]["step"]
    world.kill_operator()
    status = wait_for_status(place, run, "more steps", has_step(step + 50), 60)
    assert status["attempt"] == 1, describe_status(status)

    # While it restarts: exactly one new attempt, counted once.
    world.kill_container(pods_of(place, run)[-1], TRAINER_CONTAINER)
    world.kill_operator()
    status = wait_for_status(place, run, "the second attempt runs", is_in_attempt(2), 150)
    assert [attempt["number"] for attempt in status["attempts"]] == [1, 2]
    assert len(place.get("pytorchjobs")["items"]) == 1


def test_suspend_saves_and_resume_goes_on_where_it_stopped(place: Place) -> None:
    run = training_run("paused", steps=LONG, checkpoints={"everySteps": 500})
    place.apply(run)
    wait_for_status(place, run, "some steps", has_step(20), 120)

    place.kubectl(
        *("patch", "trainingrun", "paused", "-n", place.namespace, "--type=merge"),
        *("-p", '{"spec": {"suspend": true}}'),
    )
    status = wait_for_phase(place, run, Phase.SUSPENDED, 60)
    wait_for("no pod is left", lambda: not pods_of(place, run), 40)
    saved = status["checkpoints"]["latest"]["step"]
    assert saved >= 20

    place.kubectl(
        *("patch", "trainingrun", "paused", "-n", place.namespace, "--type=merge"),
        *("-p", '{"spec": {"suspend": false}}'),
    )
    status = wait_for_status(
        place,
        run,
        "resumed",
        lambda s: s.get("attempts") and s["attempts"][-1].get("resumedFromStep") is not None,
        120,
    )
    assert status["attempts"][-1]["resumedFromStep"] == saved
