from typing import Any

from trainwright_api import names
from trainwright_operator.world import World

from tests.unit.operator.builders import KEY, UID, at, raw_run

JOB = {
    "metadata": {
        "name": "gpt-1",
        "namespace": "team",
        "uid": "j",
        "resourceVersion": "5",
        "labels": {},
    }
}


def raw_pod(version: int = 5, *, exit_code: int | None = None) -> dict[str, Any]:
    terminated = {"terminated": {"exitCode": exit_code, "reason": "Error"}}
    state = {"running": {}} if exit_code is None else terminated
    labels = {names.LABEL_RUN_UID: UID, names.LABEL_ATTEMPT: "1"}
    return {
        "metadata": {"name": "p", "namespace": "team", "uid": "p"}
        | {"resourceVersion": str(version), "labels": labels},
        "status": {
            "phase": "Running",
            "containerStatuses": [{"name": names.TRAINER_CONTAINER, "state": state}],
        },
    }


def raw_job(version: int = 5) -> dict[str, Any]:
    labels = {names.LABEL_RUN_UID: UID, names.LABEL_ATTEMPT: "1"}
    meta = {"name": "gpt-1", "namespace": "team", "uid": "j"}
    return {"metadata": meta | {"resourceVersion": str(version), "labels": labels}}


def run_of(version: int) -> dict[str, Any]:
    raw = raw_run()
    raw["metadata"]["resourceVersion"] = str(version)
    return raw


def only_pod(world: World) -> Any:
    entry = world.entry(KEY)
    assert entry is not None
    (pod,) = entry.pods.values()
    return pod


def test_older_versions_that_arrive_late_are_left_aside() -> None:
    world = World()
    world.see_run(run_of(10))
    world.see_run(run_of(9))
    entry = world.entry(KEY)
    assert entry is not None
    assert entry.raw is not None
    assert entry.raw["metadata"]["resourceVersion"] == "10"

    world.see_pod(raw_pod(6, exit_code=1), now=at(0))
    world.see_pod(raw_pod(5), now=at(0))
    assert only_pod(world).end.exit_code == 1


def test_a_vanished_pod_keeps_its_end_until_its_attempt_is_over() -> None:
    world = World()
    world.see_run(run_of(1))
    world.see_pod(raw_pod(5, exit_code=137), now=at(1))
    world.see_pod(raw_pod(6), is_deleted=True, now=at(9))
    gone = only_pod(world)
    assert (gone.is_gone, gone.end.exit_code, gone.failure_seen_at) == (True, 137, at(1))

    world.see_pod(raw_pod(5), now=at(0))
    assert only_pod(world).is_gone

    world.forget_pods(KEY, {"p"}, but_of=1)
    world.forget_pods(KEY, set(), but_of=None)
    assert only_pod(world).is_gone
    world.forget_pods(KEY, {"p"}, but_of=None)
    entry = world.entry(KEY)
    assert entry is not None
    assert not entry.pods


def test_a_pod_that_is_not_found_may_still_tell_its_last_words() -> None:
    world = World()
    world.see_run(run_of(1))
    world.see_pod(raw_pod(5), now=at(0))
    world.miss_pod(KEY, "p", at(0))
    world.miss_pod(KEY, "p", at(9))
    assert not only_pod(world).is_gone

    world.see_pod(raw_pod(6, exit_code=143), is_deleted=True, now=at(0))
    assert (only_pod(world).is_gone, only_pod(world).end.exit_code) == (True, 143)


def test_a_pod_of_which_the_watch_says_nothing_is_gone_in_the_end() -> None:
    world = World()
    world.see_run(run_of(1))
    world.see_pod(raw_pod(5), now=at(0))
    for second in (0, 5, 10):
        assert not only_pod(world).is_gone
        world.miss_pod(KEY, "p", at(second))
    assert only_pod(world).is_gone


def test_nothing_is_kept_of_a_run_that_is_gone() -> None:
    world = World()
    world.see_run(run_of(1))
    world.see_job(raw_job())
    world.see_pod(raw_pod(), now=at(0))
    world.see_run(run_of(2), is_deleted=True)
    assert world.find("TrainingRun", "team", "gpt") is None

    world.see_job(raw_job(6))
    world.see_pod(raw_pod(6), now=at(0))
    world.see_job(raw_job(7), is_deleted=True)
    world.see_pod(raw_pod(7), is_deleted=True, now=at(0))
    assert world.entry(KEY) is None


def test_a_new_run_of_the_same_name_is_another() -> None:
    world = World()
    world.see_run(run_of(1))
    second = run_of(5)
    second["metadata"] |= {"uid": "other"}
    world.see_run(second)
    world.see_run(run_of(2), is_deleted=True)
    found = world.find("TrainingRun", "team", "gpt")
    assert found is not None
    assert found["metadata"]["uid"] == "other"


def test_a_complete_list_tells_what_has_vanished_but_not_of_what_is_newer() -> None:
    world = World()
    world.see_run(run_of(1))
    world.see_job(raw_job(5))
    world.see_pod(raw_pod(5), now=at(0))
    assert world.lose_pods_but({"p"}, 9, at(0)) == []
    assert world.lose_pods_but(set(), 4, at(0)) == []
    assert world.lose_pods_but(set(), 5, at(0)) == [KEY]
    assert only_pod(world).is_gone
    assert world.lose_jobs_but(set(), 4) == []
    assert world.lose_jobs_but(set(), 5) == [KEY]
    assert world.lose_runs_but(set(), 9, "FineTuneJob") == []
    assert world.lose_runs_but(set(), 9, "TrainingRun") == [KEY]


def test_a_pod_that_is_gone_is_not_taken_for_a_newer_one_of_its_name() -> None:
    world = World()
    world.see_run(run_of(1))
    world.see_pod(raw_pod(5), now=at(0))
    newer = raw_pod(8)
    newer["metadata"]["uid"] = "p2"
    world.see_pod(newer, now=at(0))
    world.lose_pods_but(set(), 7, at(1))
    entry = world.entry(KEY)
    assert entry is not None
    assert {uid: pod.is_gone for uid, pod in entry.pods.items()} == {"p": True, "p2": False}


def test_what_a_deleted_run_leaves_is_known_until_it_is_gone() -> None:
    world = World()
    world.see_run(run_of(1))
    world.see_pod(raw_pod(5), now=at(0))
    world.see_run(run_of(2), is_deleted=True)
    assert list(world.entries()) == []
    assert not only_pod(world).is_gone
    assert world.knows_pod(raw_pod(5))
    world.see_pod(raw_pod(6), is_deleted=True, now=at(1))
    assert world.entry(KEY) is None


def test_objects_of_others_are_none_of_our_business() -> None:
    world = World()
    assert world.see_job(JOB) is None
    assert list(world.entries()) == []
