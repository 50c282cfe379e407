"""The operator's process may end after any write: a new one brings the run to the same end."""

import asyncio
import json
from dataclasses import dataclass, field
from typing import Any

import pytest
from trainwright_api.names import Phase
from trainwright_operator.operator_metrics import OperatorMetrics
from trainwright_operator.reconcile import Reconciler
from trainwright_operator.settings import Settings
from trainwright_operator.world import World

from tests.unit.operator.builders import KEY, raw_run
from tests.unit.operator.small_cluster import CutOffError, Raw, Script, SmallCluster, end

STEP_SECONDS = 1.0
LONGEST_SECONDS = 600
MODEL = {"uri": "s3://runs/team/gpt/model/"}
SUCCESS = end(0, reason="Completed", outcome="Succeeded", model=MODEL)


def all_succeed(attempt: int, index: int, age: float) -> Raw | None:
    return SUCCESS if age > 20 else None


def worker_is_killed(attempt: int, index: int, age: float) -> Raw | None:
    if attempt > 1:
        return all_succeed(attempt, index, age)
    if index == 1 and age > 10:
        return end(137)
    lost = "lost contact to another rank (closed)"
    told = {"outcome": "Failed", "cause": "Infrastructure", "message": lost}
    return end(1, **told) if age > 11 else None


def out_of_memory(attempt: int, index: int, age: float) -> Raw | None:
    return end(137, reason="OOMKilled") if index == 0 and age > 10 else None


def user_error(attempt: int, index: int, age: float) -> Raw | None:
    told = {"outcome": "Failed", "cause": "UserError", "message": "spec.data: got x, expected y"}
    return end(2, **told) if age > 5 else None


@dataclass
class Case:
    """A run's script, its spec, changes of the spec by second, and how it has to end."""

    script: Script
    phase: Phase
    outcomes: list[tuple[str, str | None]]
    spec: Raw = field(default_factory=dict)
    changes: dict[int, Raw] = field(default_factory=dict)


CASES = {
    "success": Case(all_succeed, Phase.SUCCEEDED, [("Succeeded", None)]),
    "worker killed": Case(
        worker_is_killed, Phase.SUCCEEDED, [("Failed", "Infrastructure"), ("Succeeded", None)]
    ),
    "memory": Case(
        out_of_memory, Phase.FAILED, [("Failed", "OutOfMemory"), ("Failed", "OutOfMemory")]
    ),
    "user error": Case(user_error, Phase.FAILED, [("Failed", "UserError")]),
    "suspended and resumed": Case(
        all_succeed,
        Phase.SUCCEEDED,
        [("Suspended", None), ("Succeeded", None)],
        changes={12: {"suspend": True}, 30: {"suspend": False}},
    ),
    "deadline": Case(
        lambda *_: None, Phase.FAILED, [("Deadline", None)], spec={"deadlineSeconds": 25}
    ),
}


@dataclass
class Story:
    """One run from its creation to its end."""

    case: Case
    cluster: SmallCluster
    world: World = field(default_factory=World)

    def restart_operator(self) -> None:
        settings = Settings(status_seconds=0)
        self.world = World()
        self.reconciler = Reconciler(self.world, self.cluster, settings, OperatorMetrics("test"))

    async def play(self) -> Raw:
        """Return the run after it has ended and all is quiet."""
        self.restart_operator()
        quiet = 0
        for second in range(LONGEST_SECONDS):
            if change := self.case.changes.get(second):
                run = self.cluster.runs["gpt"]
                run["spec"] |= change
                self.cluster.touch(run)
            self.cluster.tick(STEP_SECONDS)
            num_writes = len(self.cluster.writes)
            await self._reconcile()
            is_over = self.cluster.runs["gpt"].get("status", {}).get("phase") in (
                Phase.SUCCEEDED,
                Phase.FAILED,
            )
            quiet = quiet + 1 if is_over and len(self.cluster.writes) == num_writes else 0
            if quiet > 5:
                return self.cluster.runs["gpt"]
        raise AssertionError(f"no end: {json.dumps(self.cluster.runs['gpt']['status'], indent=1)}")

    async def _reconcile(self) -> None:
        """As at each event; one that was cut off goes on with a new process."""
        self.cluster.show(self.world)
        try:
            await self.reconciler.reconcile(KEY, self.cluster.now)
        except CutOffError:
            self.restart_operator()
            self.cluster.tick(STEP_SECONDS)
            self.cluster.show(self.world)
            await self.reconciler.reconcile(KEY, self.cluster.now)


def play(case: Case, cut_after: int | None = None, **options: Any) -> tuple[Raw, SmallCluster]:
    cluster = SmallCluster(case.script, cut_after=cut_after, **options)
    run = raw_run(recovery={"backoff": {"initialSeconds": 2}}, **json.loads(json.dumps(case.spec)))
    cluster.runs["gpt"] = run
    return asyncio.run(Story(case, cluster).play()), cluster


def outcomes(run: Raw) -> list[tuple[str, str | None]]:
    return [(a.get("outcome"), a.get("cause")) for a in run["status"]["attempts"]]


def summary(run: Raw, cluster: SmallCluster) -> dict[str, Any]:
    """What has to be the same whenever the operator was cut off: all but times."""
    status = run["status"]
    kept = ("number", "job", "outcome", "cause", "pod", "node", "exitCode", "message")
    return {
        "phase": status["phase"],
        "reason": status["reason"],
        "message": status["message"],
        "attempts": [{key: a.get(key) for key in kept} for a in status["attempts"]],
        "failures": status.get("failures"),
        "model": status.get("model"),
        "conditions": {c["type"]: c["status"] for c in status["conditions"]},
        "live pods": [n for n, p in cluster.pods.items() if p["status"]["phase"] == "Running"],
        "jobs": sorted(cluster.jobs),
    }


@pytest.mark.parametrize("name", CASES)
def test_a_run_ends_as_its_pods_do(name: str) -> None:
    case = CASES[name]
    run, cluster = play(case)
    assert run["status"]["phase"] == case.phase
    assert outcomes(run) == case.outcomes
    assert cluster.attempts_at_once == 1
    assert not summary(run, cluster)["live pods"]


@pytest.mark.parametrize("name", CASES)
def test_cut_off_after_any_write_the_run_ends_the_same(name: str) -> None:
    case = CASES[name]
    whole_run, whole = play(case)
    expected = summary(whole_run, whole)
    assert len(whole.writes) >= 5
    for number, write in enumerate(whole.writes):
        run, cluster = play(case, cut_after=number)
        assert summary(run, cluster) == expected, f"cut off after {number}: {write}"
        assert cluster.attempts_at_once == 1, f"cut off after {number}: {write}"


def test_an_attempt_waits_until_pods_of_a_dead_node_are_gone_by_force() -> None:
    case = CASES["worker killed"]

    def master_does_not_stop(attempt: int, index: int, age: float) -> Raw | None:
        return None if attempt == 1 and index == 0 else worker_is_killed(attempt, index, age)

    run, cluster = play(Case(master_does_not_stop, case.phase, case.outcomes), is_stuck=True)
    assert outcomes(run) == case.outcomes
    assert cluster.attempts_at_once == 1
    assert "delete pod gpt-1-master-0 15" in cluster.writes
    assert "delete pod gpt-1-master-0 0" in cluster.writes


@pytest.mark.parametrize(
    ("code", "reason"), [(404, "MissingPyTorchJobKind"), (422, "JobRefused"), (500, "JobRefused")]
)
def test_a_refused_job_is_told_and_tried_again(code: int, reason: str) -> None:
    cluster = SmallCluster(all_succeed, refuse_jobs=code)
    cluster.runs["gpt"] = raw_run()
    story = Story(CASES["success"], cluster)

    async def refuse_then_take() -> Raw:
        story.restart_operator()
        for _ in range(3):
            cluster.tick(STEP_SECONDS)
            await story._reconcile()
        status = cluster.runs["gpt"]["status"]
        assert (status["phase"], status["reason"]) == ("Pending", reason)
        assert not status["attempts"]
        cluster.refuse_jobs = 0
        return await story.play()

    run = asyncio.run(refuse_then_take())
    assert outcomes(run) == [("Succeeded", None)]
    reasons = [notice.reason for notice in cluster.events.values()]
    assert reasons.count(reason) == 1


def test_the_ttl_deletes_the_run_and_all_of_it() -> None:
    cluster = SmallCluster(all_succeed)
    cluster.runs["gpt"] = raw_run(ttlSecondsAfterFinished=10)
    story = Story(CASES["success"], cluster)

    async def live() -> None:
        story.restart_operator()
        for _ in range(60):
            cluster.tick(STEP_SECONDS)
            await story._reconcile()

    asyncio.run(live())
    assert not cluster.runs
    assert not cluster.pods
    assert cluster.writes[-1] == "delete run"


def test_events_are_posted_once_and_only_after_the_status_that_they_tell_of() -> None:
    _, cluster = play(CASES["worker killed"])
    reasons = [notice.reason for notice in cluster.events.values()]
    assert reasons == [
        "Accepted",
        "AttemptStarted",
        "Running",
        "AttemptFailed",
        "Restarting",
        "AttemptStarted",
        "Running",
        "Succeeded",
    ]
    for number, write in enumerate(cluster.writes):
        if write.startswith("post "):
            before = [w for w in cluster.writes[:number] if not w.startswith("post ")]
            assert before[-1].startswith("write status"), (number, write)
