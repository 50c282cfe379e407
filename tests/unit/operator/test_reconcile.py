"""What the reconciler does beside decisions: names in use, what deleted runs leave."""

import asyncio
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from trainwright_api import names
from trainwright_api.report import RunReport
from trainwright_api.status import RunStatus
from trainwright_operator.budget import EVENT_BURST, NEWS_BURST
from trainwright_operator.decision import Decision, Notice
from trainwright_operator.facts import format_time
from trainwright_operator.merging import TRAINER_WARNING
from trainwright_operator.operator_metrics import OperatorMetrics
from trainwright_operator.reconcile import Reconciler
from trainwright_operator.settings import Settings
from trainwright_operator.world import World

from tests.unit.operator.builders import KEY, UID, at, checkpoint, raw_run, running_status
from tests.unit.operator.small_cluster import Raw, SmallCluster, end


def make(cluster: SmallCluster, *, status_seconds: float = 0) -> tuple[World, Reconciler]:
    world = World()
    settings = Settings(status_seconds=status_seconds)
    return world, Reconciler(world, cluster, settings, OperatorMetrics("test"))


def test_a_config_map_of_somebody_else_is_left_alone_and_told_of_without_an_error() -> None:
    cluster = SmallCluster(lambda *_: None)
    theirs: Raw = {"metadata": {"name": "gpt-1"}, "data": {"theirs": "kept"}}
    cluster.config_maps["gpt-1"] = theirs
    cluster.runs["gpt"] = raw_run(status={"phase": "Pending", "reason": "NameInUse"})

    async def work() -> None:
        world, reconciler = make(cluster)
        for _ in range(3):
            cluster.tick(5)
            cluster.show(world)
            decision = await reconciler.reconcile(KEY, cluster.now)
            assert decision is not None
            assert decision.reason == "NameInUse"
        assert cluster.writes.count("write status Pending NameInUse") == 1
        assert cluster.config_maps["gpt-1"] == theirs
        del cluster.config_maps["gpt-1"]
        cluster.show(world)
        await reconciler.reconcile(KEY, cluster.now)

    asyncio.run(work())
    assert cluster.runs["gpt"]["status"]["phase"] == "Starting"
    assert list(cluster.jobs) == ["gpt-1"]


def terminating(seconds_ago: float) -> Raw:
    deleted_at = format_time(datetime.now(UTC) - timedelta(seconds=seconds_ago))
    labels = {names.LABEL_RUN_UID: UID, names.LABEL_ATTEMPT: "1"}
    meta = {"name": "p", "namespace": "team", "uid": "p", "resourceVersion": "1", "labels": labels}
    return {"metadata": meta | {"deletionTimestamp": deleted_at}, "status": {"phase": "Running"}}


def test_stuck_pods_of_a_deleted_run_go_by_force_and_others_get_their_time() -> None:
    async def removals(seconds_ago: float, **meta: str) -> list[str]:
        cluster = SmallCluster(lambda *_: None)
        world, reconciler = make(cluster)
        world.see_run(raw_run())
        world.see_pod(terminating(seconds_ago), now=datetime.now(UTC))
        run = raw_run()
        run["metadata"] |= meta
        world.see_run(run, is_deleted=not meta)
        await reconciler._reconcile_measured(KEY)
        return cluster.writes

    assert asyncio.run(removals(60)) == ["delete pod p 0"]
    assert asyncio.run(removals(20)) == []
    in_foreground = removals(60, deletionTimestamp=format_time(datetime.now(UTC)))
    assert asyncio.run(in_foreground) == ["delete pod p 0"]


def test_a_trainer_that_warns_without_end_leaves_room_for_the_operators_own_events() -> None:
    warnings = [Notice("Warning", TRAINER_WARNING, f"warning {number}") for number in range(100)]
    failed = Notice("Warning", "AttemptFailed", "attempt 1 failed")
    posted: list[str] = []

    class Events(SmallCluster):
        async def post_event(self, raw: Raw, notice: Notice, name: str, at: str) -> None:
            posted.append(notice.reason)

    _, reconciler = make(Events(lambda *_: None))
    decision = Decision(reason="x", status=RunStatus(), notices=(*warnings, failed))
    asyncio.run(reconciler._tell(KEY, raw_run(), decision, datetime.now(UTC)))
    assert posted == [TRAINER_WARNING] * EVENT_BURST + ["AttemptFailed"]


def show_running(cluster: SmallCluster, world: World, **spec: Any) -> None:
    """Show a world a run whose only pod runs."""
    cluster.runs["gpt"] = raw_run(nodes=1, status=running_status(), **spec)
    labels = {names.LABEL_RUN_UID: UID, names.LABEL_ATTEMPT: "1"}
    meta = {"namespace": "team", "resourceVersion": "1", "labels": labels}
    cluster.jobs["gpt-1"] = {"metadata": meta | {"name": "gpt-1", "uid": "j"}}
    master = labels | {names.LABEL_REPLICA_TYPE: "master", "index": "0", "job": "gpt-1"}
    meta |= {"name": "m", "uid": "m", "labels": master, "creationTimestamp": format_time(at(0))}
    cluster.pods["m"] = {"metadata": meta, "status": {"phase": "Pending"}}
    cluster.tick(1)
    cluster.show(world)


def test_last_words_that_come_while_the_deadline_is_written_down_are_read() -> None:
    words = end(143, outcome="Interrupted", message="stopped", checkpoint=checkpoint(60))

    class SlowCluster(SmallCluster):
        """Its pod goes, with its last words, while the first status is being written."""

        async def write_status(self, run: Raw, patch: Raw) -> Raw | None:
            if pod := self.pods.pop("m", None):
                pod["status"]["containerStatuses"][0]["state"] = {"terminated": words}
                self.touch(pod)
                world.see_pod(json.loads(json.dumps(pod)), now=self.now, is_deleted=True)
            return await super().write_status(run, patch)

    cluster = SlowCluster(lambda *_: None)
    world, reconciler = make(cluster)
    show_running(cluster, world, deadlineSeconds=1)

    async def work() -> None:
        cluster.tick(5)
        await reconciler.reconcile(KEY, cluster.now)
        assert cluster.runs["gpt"]["status"]["reason"] == "DeadlineExceeded"
        await reconciler.reconcile(KEY, cluster.now)
        await reconciler.reconcile(KEY, cluster.now)

    asyncio.run(work())
    assert cluster.runs["gpt"]["status"]["checkpoints"]["latest"]["step"] == 60
    entry = world.entry(KEY)
    assert entry is not None
    assert not entry.pods


@pytest.mark.parametrize("field", ["warnings", "activity", "checkpoints", "resumedFromStep"])
def test_a_trainer_with_news_without_end_has_its_status_written_in_bounds(field: str) -> None:
    cluster = SmallCluster(lambda *_: None)
    world, reconciler = make(cluster, status_seconds=1000)
    show_running(cluster, world)

    def tell(number: int) -> None:
        told: Raw = {"attempt": 1, "sequence": number, "progress": {"step": number}}
        news = {
            "warnings": [f"warning {number}"],
            "checkpoints": [checkpoint(number)],
            "resumedFromStep": number,
        }
        if field == "activity":
            told["progress"]["activity"] = f"train {number}"
        else:
            told[field] = news[field]
        entry = world.entry(KEY)
        assert entry is not None
        entry.report = RunReport.model_validate(told)

    def steps() -> int:
        return int(cluster.runs["gpt"]["status"]["progress"]["step"])

    async def work() -> None:
        for number in range(1, 4 * NEWS_BURST):
            tell(number)
            await reconciler.reconcile(KEY, cluster.now)
        writes = [write for write in cluster.writes if write.startswith("write status")]
        assert NEWS_BURST <= len(writes) <= NEWS_BURST + 1
        events = [write for write in cluster.writes if write.startswith("post Trainer")]
        assert len(events) <= NEWS_BURST + 1, "nothing is told of that does not stand in the status"
        assert steps() < 4 * NEWS_BURST - 1
        cluster.runs["gpt"]["spec"]["suspend"] = True
        cluster.touch(cluster.runs["gpt"])
        cluster.show(world)
        await reconciler.reconcile(KEY, cluster.now)

    asyncio.run(work())
    assert cluster.runs["gpt"]["status"]["reason"] == "Suspending"
    assert steps() == 4 * NEWS_BURST - 1
