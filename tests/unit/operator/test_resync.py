import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from trainwright_operator import resync as resync_module
from trainwright_operator.calls import ClusterCallError
from trainwright_operator.resync import Resync
from trainwright_operator.world import World

from tests.unit.operator.builders import KEY, at, raw_run
from tests.unit.operator.test_world import raw_job, raw_pod

Raw = dict[str, Any]


class Lists:
    """What exists, by the end of the path; None: there is no such kind."""

    def __init__(self, **found: list[Raw] | None) -> None:
        self.found, self.version, self.paths = found, 9, list[str]()

    async def list_objects(
        self, path: str, label_selector: str = ""
    ) -> tuple[list[Raw], int] | None:
        self.paths.append(f"{path} {label_selector}".strip())
        found = self.found.get(path.rpartition("/")[2], [])
        return None if found is None else (found, self.version)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resync_module, "LAG_SECONDS", 0.0)
    monkeypatch.setattr(resync_module, "FIRST_RETRY_SECONDS", 0.0)


def make(lists: Any, *namespaces: str) -> tuple[Resync, World, list[str | None]]:
    world, marked = World(), list[str | None]()
    return Resync(world, marked.append, lists, namespaces, 300), world, marked


def test_all_that_exists_is_taken_in_before_anything_is_decided() -> None:
    lists = Lists(trainingruns=[raw_run()], pytorchjobs=[raw_job()], pods=[raw_pod()])
    resync, world, marked = make(lists)
    assert not resync.is_complete.is_set()
    asyncio.run(resync.list_all())
    assert resync.is_complete.is_set()
    entry = world.entry(KEY)
    assert entry is not None
    assert (len(entry.jobs), len(entry.pods)) == (1, 1)
    assert KEY in marked
    assert lists.paths == [
        "/apis/trainwright.dev/v1alpha1/trainingruns",
        "/apis/trainwright.dev/v1alpha1/finetunejobs",
        "/apis/kubeflow.org/v1/pytorchjobs trainwright.dev/run-uid",
        "/api/v1/pods trainwright.dev/run-uid",
    ]


def test_an_object_that_cannot_be_read_hides_no_other(caplog: pytest.LogCaptureFixture) -> None:
    odd, good = raw_pod(), raw_pod()
    odd["metadata"] |= {"uid": "odd", "name": "odd"}
    odd["status"] = ["not", "an", "object"]
    resync, world, _ = make(Lists(trainingruns=[raw_run()], pods=[odd, good]))
    asyncio.run(resync.list_all())
    assert resync.is_complete.is_set()
    entry = world.entry(KEY)
    assert entry is not None
    assert list(entry.pods) == [good["metadata"]["uid"]]
    assert "pods team/odd is left aside" in caplog.text
    for _ in range(resync_module.DEAF_ROUNDS + 1):
        asyncio.run(resync.list_all())
    assert not resync.is_deaf, "no watch has missed it"


def test_namespaces_are_listed_one_by_one() -> None:
    lists = Lists(trainingruns=[raw_run()])
    resync, world, _ = make(lists, "a", "b")
    asyncio.run(resync.list_all())
    assert [p for p in lists.paths if p.endswith("trainingruns")] == [
        "/apis/trainwright.dev/v1alpha1/namespaces/a/trainingruns",
        "/apis/trainwright.dev/v1alpha1/namespaces/b/trainingruns",
    ]
    assert world.entry(KEY) is not None


def test_a_kind_that_is_not_installed_hides_nothing() -> None:
    resync, world, _ = make(Lists(trainingruns=[raw_run()], pytorchjobs=None))
    world.see_job(raw_job())
    asyncio.run(resync.list_all())
    assert resync.is_complete.is_set()
    entry = world.entry(KEY)
    assert entry is not None
    assert entry.jobs


def test_what_vanished_unseen_is_taken_in_later() -> None:
    lists = Lists(trainingruns=[raw_run()], pytorchjobs=[raw_job()], pods=[raw_pod()])
    resync, world, marked = make(lists)
    asyncio.run(resync.list_all())
    marked.clear()
    lists.found = {"trainingruns": [raw_run()]}
    asyncio.run(resync.list_all())
    entry = world.entry(KEY)
    assert entry is not None
    assert entry.jobs == {}
    assert [pod.is_gone for pod in entry.pods.values()] == [True]
    assert set(marked) == {KEY}


def test_a_watch_that_is_late_still_tells_the_last_words_of_a_pod(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lists = Lists(trainingruns=[raw_run()], pods=[raw_pod(5)])
    resync, world, _ = make(lists)
    asyncio.run(resync.list_all())
    lists.found = {"trainingruns": [raw_run()]}
    monkeypatch.setattr(resync_module, "LAG_SECONDS", 0.01)

    async def list_while_the_watch_is_late() -> None:
        listing = asyncio.create_task(resync.list_all())
        await asyncio.sleep(0)
        world.see_pod(raw_pod(6, exit_code=143), is_deleted=True, now=at(1))
        await listing

    asyncio.run(list_while_the_watch_is_late())
    entry = world.entry(KEY)
    assert entry is not None
    (pod,) = entry.pods.values()
    assert pod.end is not None
    assert pod.end.exit_code == 143


def test_watches_that_miss_changes_twice_in_a_row_are_deaf() -> None:
    lists = Lists(trainingruns=[raw_run()])
    resync, world, _ = make(lists)
    asyncio.run(resync.list_all())
    for version, is_deaf in ((20, False), (30, True), (30, False)):
        newer = raw_run()
        newer["metadata"]["resourceVersion"] = str(version)
        lists.found, lists.version = {"trainingruns": [newer]}, version
        asyncio.run(resync.list_all())
        assert resync.is_deaf == is_deaf
        entry = world.entry(KEY)
        assert entry is not None
        assert entry.raw == newer


class Meanwhile(Lists):
    """Things happen while lists are on their way, before the watch is given its time."""

    def __init__(self, happen: Callable[[], object], **found: list[Raw] | None) -> None:
        super().__init__(**found)
        self.happen, self.is_on = happen, False

    async def list_objects(self, path: str, label_selector: str = "") -> Any:
        answer = await super().list_objects(path, label_selector)
        if self.is_on and path.endswith("pods"):
            asyncio.get_running_loop().call_soon(self.happen)
        return answer


@pytest.mark.parametrize("is_known", [True, False], ids=["known before", "told of late"])
def test_what_is_deleted_after_the_list_was_made_is_neither_missed_nor_taken_in(
    is_known: bool,
) -> None:
    def delete_all() -> None:
        world.see_run(raw_run())
        world.see_job(raw_job(), is_deleted=True)
        world.see_pod(raw_pod(6, exit_code=0), is_deleted=True, now=at(1))
        world.forget_pods(KEY, {"p"}, but_of=None)
        world.see_run(raw_run(), is_deleted=True)

    found = {"trainingruns": [raw_run()], "pytorchjobs": [raw_job()], "pods": [raw_pod()]}
    lists = Meanwhile(delete_all, **(found if is_known else {}))
    resync, world, _ = make(lists)
    asyncio.run(resync.list_all())
    lists.found, lists.is_on = dict(found), True
    for _ in range(3):
        asyncio.run(resync.list_all())
        assert not resync.is_deaf
        assert world.entry(KEY) is None
        assert list(world.entries()) == []


def test_the_watches_are_given_their_time_once_for_all_kinds(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pauses: list[float] = []

    async def note(seconds: float) -> None:
        pauses.append(seconds)

    resync, _, _ = make(Lists())
    asyncio.run(resync.list_all())
    monkeypatch.setattr(resync_module.asyncio, "sleep", note)
    asyncio.run(resync.list_all())
    assert pauses == [resync_module.LAG_SECONDS]


def test_an_api_server_that_is_away_is_asked_again() -> None:
    class Away(Lists):
        failures = 2

        async def list_objects(self, path: str, label_selector: str = "") -> Any:
            if self.failures:
                self.failures -= 1
                raise ClusterCallError(0, "Unreachable", "connection refused")
            return await super().list_objects(path, label_selector)

    async def work() -> None:
        resync, _, _ = make(Away())
        task = asyncio.create_task(resync.run())
        await asyncio.wait_for(resync.is_complete.wait(), 5)
        task.cancel()

    asyncio.run(work())
