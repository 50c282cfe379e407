"""Collects progress: asks rank 0 of every live run for its report, again and again.

One background task with bounded concurrency. Trainers are not trusted: an answer has so many bytes
and seconds in all and leads nowhere else, and what is of another form than agreed is left aside. A
report that changed marks its run dirty: at once if there is more to tell than figures, which change all
the time, else as often as a status is written for them.
"""

import asyncio
import logging
import math
import time
from collections.abc import Callable, Mapping

import aiohttp
from trainwright_api import names
from trainwright_api.report import RunReport

from trainwright_operator.facts import SILENT_SECONDS, PodFacts
from trainwright_operator.operator_metrics import OperatorMetrics
from trainwright_operator.untrusted import parse_report
from trainwright_operator.world import RunEntry, RunKey, World

MAXIMUM_REPORT_BYTES = 256 * 1024
TIMEOUT_SECONDS = 2.0
CONCURRENCY = 32

logger = logging.getLogger(__name__)


class Sweep:
    """The background task."""

    def __init__(
        self,
        world: World,
        mark: Callable[[RunKey | None], None],
        interval_seconds: float,
        metrics: OperatorMetrics,
        *,
        figures_seconds: float,
        port: int = names.TRAINER_PORT,
    ) -> None:
        self._world, self._mark, self._metrics = world, mark, metrics
        self._interval_seconds, self._port = interval_seconds, port
        self._slots = asyncio.Semaphore(CONCURRENCY)
        self._figures_seconds = figures_seconds
        self._marked_at: dict[RunKey, float] = {}
        self._odd_pods: set[str] = set()
        self._unanswered_since: dict[str, float] = {}  # by the pod's uid
        self._moved_at = time.monotonic()

    @property
    def idle_seconds(self) -> float:
        """Since when nothing was asked or answered; many pods that do not answer only make a sweep long."""
        return time.monotonic() - self._moved_at

    async def run(self) -> None:
        """Sweep for ever."""
        timeout = aiohttp.ClientTimeout(total=TIMEOUT_SECONDS)
        async with aiohttp.ClientSession(
            timeout=timeout, cookie_jar=aiohttp.DummyCookieJar()
        ) as session:
            while True:
                await self.ask_all(session)
                await asyncio.sleep(self._interval_seconds)

    async def ask_all(self, session: aiohttp.ClientSession) -> None:
        """Ask the master of every live run once."""
        started = time.monotonic()
        live = [
            (key, entry, master)
            for key, entry in self._world.entries()
            if (master := _find_master(entry)) is not None
        ]
        self._odd_pods &= {master.uid for _, _, master in live}
        keys = {key for key, _, _ in live}
        self._marked_at = {key: at for key, at in self._marked_at.items() if key in keys}
        self._moved_at = started
        await asyncio.gather(*(self._ask(session, *each) for each in live))
        self._note_silence({key: master.uid for key, _, master in live})
        self._metrics.observe_sweep(time.monotonic() - started)

    def _note_silence(self, masters: Mapping[RunKey, str]) -> None:
        """Mark the runs whose masters stopped to answer a while ago, and those that answer again."""
        since = self._unanswered_since
        self._unanswered_since = {uid: since[uid] for uid in masters.values() if uid in since}
        latest = time.monotonic() - SILENT_SECONDS
        for key, entry in self._world.entries():
            is_silent = self._unanswered_since.get(masters.get(key, ""), math.inf) <= latest
            if is_silent != entry.is_silent:
                entry.is_silent = is_silent
                self._mark(key)

    async def _ask(
        self, session: aiohttp.ClientSession, key: RunKey, entry: RunEntry, master: PodFacts
    ) -> None:
        async with self._slots:
            body = await fetch_report(session, master.ip or "", self._port)
        self._moved_at = time.monotonic()
        report = parse_report(body) if body is not None else None
        if report is None or report.attempt != master.attempt:
            self._unanswered_since.setdefault(master.uid, self._moved_at)
            if body is not None and master.uid not in self._odd_pods:
                logger.warning("pod %s: its report is not of the agreed form", master.name)
                self._odd_pods.add(master.uid)
            return
        self._unanswered_since.pop(master.uid, None)
        known = entry.report
        if known is None or (known.attempt, known.sequence) != (report.attempt, report.sequence):
            entry.report = report
            self._mark_changed(key, has_news=known is None or _news_of(known) != _news_of(report))

    def _mark_changed(self, key: RunKey, *, has_news: bool) -> None:
        """Mark a run at once if there is news; figures alone wait, or are seen when it is looked at anyway."""
        now = time.monotonic()
        if has_news or now - self._marked_at.get(key, -math.inf) >= self._figures_seconds:
            self._marked_at[key] = now
            self._mark(key)


def _news_of(report: RunReport) -> tuple[object, ...]:
    """What a report tells besides figures."""
    return (
        report.attempt,
        report.progress.activity,
        report.resumed_from_step,
        report.checkpoints[:1],
        report.best_checkpoint,
        report.model,
        report.plan,
        report.warnings,
    )


def _find_master(entry: RunEntry) -> PodFacts | None:
    return next(
        (
            pod
            for pod in entry.pods.values()
            if pod.is_master and pod.phase == "Running" and not pod.is_gone and pod.ip
        ),
        None,
    )


async def fetch_report(session: aiohttp.ClientSession, address: str, port: int) -> bytes | None:
    """Return the report that a pod serves, or None if it does not answer in time or says too much."""
    host = f"[{address}]" if ":" in address else address
    try:
        async with session.get(f"http://{host}:{port}/status", allow_redirects=False) as answer:
            body = bytearray()
            async for chunk in answer.content.iter_any():
                body += chunk
                if len(body) > MAXIMUM_REPORT_BYTES:
                    return None
            return bytes(body) if answer.status == 200 else None
    except (aiohttp.ClientError, TimeoutError, OSError, ValueError):
        return None
