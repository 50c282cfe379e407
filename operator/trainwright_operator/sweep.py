"""Collects progress: asks rank 0 of every live run for its report, again and again.

One background task with bounded concurrency. Trainers are not trusted: an answer has so many bytes
and seconds in all and leads nowhere else, and what is of another form than agreed is left aside. Only
a changed report marks its run dirty.
"""

import asyncio
import logging
import time
from collections.abc import Callable

import aiohttp
from trainwright_api import names

from trainwright_operator.facts import PodFacts
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
        port: int = names.TRAINER_PORT,
    ) -> None:
        self._world, self._mark, self._metrics = world, mark, metrics
        self._interval_seconds, self._port = interval_seconds, port
        self._slots = asyncio.Semaphore(CONCURRENCY)
        self._odd_pods: set[str] = set()

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
        await asyncio.gather(*(self._ask(session, *each) for each in live))
        self._metrics.observe_sweep(time.monotonic() - started)

    async def _ask(
        self, session: aiohttp.ClientSession, key: RunKey, entry: RunEntry, master: PodFacts
    ) -> None:
        async with self._slots:
            body = await fetch_report(session, master.ip or "", self._port)
        if body is None:
            return
        report = parse_report(body)
        if report is None or report.attempt != master.attempt:
            if master.uid not in self._odd_pods:
                logger.warning("pod %s: its report is not of the agreed form", master.name)
                self._odd_pods.add(master.uid)
            return
        known = entry.report
        if known is None or (known.attempt, known.sequence) != (report.attempt, report.sequence):
            entry.report = report
            self._mark(key)


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
