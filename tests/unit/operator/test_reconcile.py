"""What the reconciler does beside decisions: names in use, what deleted runs leave."""

import asyncio
from datetime import UTC, datetime, timedelta

from trainwright_api import names
from trainwright_api.status import RunStatus
from trainwright_operator.decision import Decision, Notice
from trainwright_operator.event_budget import BURST
from trainwright_operator.facts import format_time
from trainwright_operator.merging import TRAINER_WARNING
from trainwright_operator.operator_metrics import OperatorMetrics
from trainwright_operator.reconcile import Reconciler
from trainwright_operator.settings import Settings
from trainwright_operator.world import World

from tests.unit.operator.builders import KEY, UID, raw_run
from tests.unit.operator.small_cluster import Raw, SmallCluster


def make(cluster: SmallCluster) -> tuple[World, Reconciler]:
    world = World()
    settings = Settings(status_seconds=0)
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
    assert posted == [TRAINER_WARNING] * BURST + ["AttemptFailed"]
