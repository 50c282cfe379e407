"""Lists all that exists, at the start and now and then: what watches miss is made up for.

At the start nothing may be decided before everything is known: a run whose pods have not been listed
yet looks like one that has lost them. Later, kopf's watches tell what happens; but after a broken
connection they do not tell what has vanished meanwhile, and a kind that was installed later may not
be watched at all. A watch that misses things again and again makes the operator unhealthy.
"""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
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
        num_missed = 0
        for listed in self._kinds():
            num_missed += await self._list_kind(listed)
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
            Listed(pods, "pods", ours, world.see_pod, world.knows_pod, world.lose_pods_but),
        ]

    def _runs(self, kind: str, plural: str) -> Listed:
        def lose_others(uids: set[str], version: int) -> list[RunKey]:
            return self._world.lose_runs_but(uids, version, kind)

        path = f"/apis/{names.API_VERSION}"
        return Listed(path, plural, "", self._world.see_run, self._world.knows_run, lose_others)

    async def _list_kind(self, listed: Listed) -> int:
        """Take in all objects of a kind; return how many the watches had missed."""
        places = [f"/namespaces/{name}" for name in self._namespaces] or [""]
        found: list[Raw] = []
        versions: list[int] = []
        for place in places:
            answer = await self._lists.list_objects(
                f"{listed.api}{place}/{listed.plural}", listed.selector
            )
            if answer is None:
                return 0
            found += answer[0]
            versions.append(answer[1])
        if self.is_complete.is_set():  # a watch also tells a pod's last words, a list does not
            await asyncio.sleep(LAG_SECONDS)
        missed = [raw for raw in found if not listed.is_known(raw)]
        for raw in missed:
            self._mark(listed.see(raw))
        lost = listed.lose_others({raw["metadata"]["uid"] for raw in found}, min(versions))
        for key in lost:
            self._mark(key)
        return len(missed)
