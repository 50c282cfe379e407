"""Lists all that exists, at the start and now and then: what watches miss is made up for.

At the start nothing may be decided before everything is known: a run whose pods have not been listed
yet looks like one that has lost them. Later, kopf's watches tell what happens; but after a broken
connection they do not tell what has vanished meanwhile, and a kind that was installed later may not
be watched at all. A watch that misses things again and again makes the operator unhealthy. What a list
holds and is not known yet counts as missed only if the watch has not told of it, or of its deletion, after
a while.
"""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol

from trainwright_api import names

from trainwright_operator.calls import ClusterCallError
from trainwright_operator.world import Raw, RunKey, World

FIRST_RETRY_SECONDS = 2.0
LAG_SECONDS = 15.0  # what a watch has not told after so long, it has missed
DEAF_ROUNDS = 2

logger = logging.getLogger(__name__)


class ClusterLists(Protocol):
    """The one call that is needed."""

    async def list_objects(
        self, path: str, label_selector: str = ""
    ) -> tuple[list[Raw], int] | None:
        """Return all objects below a path and the version of the list; None if there is no such kind."""


@dataclass(frozen=True, slots=True)
class Listed:
    """One kind of objects: where it is, and how the world takes it in."""

    api: str
    plural: str
    selector: str
    see: Callable[[Raw], RunKey | None]
    is_known: Callable[[Raw], bool]
    lose_others: Callable[[set[str], int], list[RunKey]]


@dataclass(frozen=True, slots=True)
class Found:
    """What a list of one kind tells: what is not known, and all uids as of a version."""

    kind: Listed
    unknown: list[Raw]
    uids: set[str]
    version: int


class Resync:
    """The background task; `is_complete` is set once all has been seen for the first time."""

    def __init__(
        self,
        world: World,
        mark: Callable[[RunKey | None], None],
        lists: ClusterLists,
        namespaces: tuple[str, ...],
        interval_seconds: float,
    ) -> None:
        self._mark, self._lists, self._world = mark, lists, world
        self._namespaces, self._interval_seconds = namespaces, interval_seconds
        self.is_complete = asyncio.Event()
        self._deaf_rounds = 0

    @property
    def is_deaf(self) -> bool:
        """Whether the watches have missed something several times in a row."""
        return self._deaf_rounds >= DEAF_ROUNDS

    async def run(self) -> None:
        """List for ever."""
        while True:
            try:
                await self.list_all()
            except ClusterCallError as error:
                logger.warning("cannot list what exists: %s", error)
                await asyncio.sleep(FIRST_RETRY_SECONDS)
                continue
            await asyncio.sleep(self._interval_seconds)

    async def list_all(self) -> None:
        """List every kind once, take it in, and mark the runs of which something was not known."""
        found = [each for kind in self._kinds() if (each := await self._list_kind(kind))]
        if self.is_complete.is_set():  # a watch also tells a pod's last words, a list does not
            await asyncio.sleep(LAG_SECONDS)
        num_missed = sum(self._take_in(each) for each in found)
        if self.is_complete.is_set():
            self._deaf_rounds = self._deaf_rounds + 1 if num_missed else 0
            if num_missed:
                logger.warning("the watches have missed %d changes", num_missed)
            return
        self.is_complete.set()
        for key, _ in self._world.entries():
            self._mark(key)

    def _kinds(self) -> list[Listed]:
        world, ours = self._world, names.LABEL_RUN_UID
        jobs, pods = "/apis/kubeflow.org/v1", "/api/v1"
        return [
            *(self._runs(kind, plural) for kind, plural in names.PLURALS.items()),
            Listed(jobs, "pytorchjobs", ours, world.see_job, world.knows_job, world.lose_jobs_but),
            Listed(pods, "pods", ours, self._see_pod, world.knows_pod, self._lose_pods_but),
        ]

    def _see_pod(self, raw: Raw) -> RunKey | None:
        return self._world.see_pod(raw, now=datetime.now(UTC))

    def _lose_pods_but(self, uids: set[str], version: int) -> list[RunKey]:
        return self._world.lose_pods_but(uids, version, datetime.now(UTC))

    def _runs(self, kind: str, plural: str) -> Listed:
        def lose_others(uids: set[str], version: int) -> list[RunKey]:
            return self._world.lose_runs_but(uids, version, kind)

        path = f"/apis/{names.API_VERSION}"
        return Listed(path, plural, "", self._world.see_run, self._world.knows_run, lose_others)

    async def _list_kind(self, kind: Listed) -> Found | None:
        """List all objects of a kind and keep those that are not known; None if there is no such kind."""
        places = [f"/namespaces/{name}" for name in self._namespaces] or [""]
        unknown: list[Raw] = []
        uids: set[str] = set()
        versions: list[int] = []
        for place in places:
            answer = await self._lists.list_objects(
                f"{kind.api}{place}/{kind.plural}", kind.selector
            )
            if answer is None:
                return None
            found, version = answer
            unknown += [raw for raw in found if not kind.is_known(raw)]
            uids.update(raw["metadata"]["uid"] for raw in found)
            versions.append(version)
        return Found(kind, unknown, uids, min(versions))

    def _take_in(self, found: Found) -> int:
        """Take in what is still not known and what is gone; return how many objects the watch had missed."""
        missed = 0
        for raw in found.unknown:
            if found.kind.is_known(raw):
                continue
            try:
                self._mark(found.kind.see(raw))
                missed += 1
            except Exception:  # a defect in reading one object must not hide all others
                logger.exception("%s %s is left aside", found.kind.plural, _full_name(raw))
        for key in found.kind.lose_others(found.uids, found.version):
            self._mark(key)
        return missed


def _full_name(raw: Raw) -> str:
    return f"{raw['metadata']['namespace']}/{raw['metadata']['name']}"
