"""Collects progress: asks rank 0 of every live run for its report, again and again.

One background task with bounded concurrency. A report is untrusted: its size is bounded and it is
parsed strictly; one that does not parse is left aside. Only a changed report marks its run dirty.
"""

import asyncio
import logging
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor

from pydantic import ValidationError
from trainwright_api import names
from trainwright_api.report import RunReport

from trainwright_operator.operator_metrics import OperatorMetrics
from trainwright_operator.reconcile import Reconciler
from trainwright_operator.world import RunEntry, Uid, World

MAXIMUM_REPORT_BYTES = 256 * 1024
TIMEOUT_SECONDS = 2.0
CONCURRENCY = 16

logger = logging.getLogger(__name__)


class Sweep:
    """The background task."""

    def __init__(
        self,
        world: World,
        reconciler: Reconciler,
        interval_seconds: float,
        metrics: OperatorMetrics,
    ) -> None:
        self._world, self._reconciler, self._metrics = world, reconciler, metrics
        self._interval_seconds = interval_seconds
        self._pool = ThreadPoolExecutor(CONCURRENCY, thread_name_prefix="sweep")

    async def run(self) -> None:
        """Sweep for ever."""
        while True:
            started = time.monotonic()
            await asyncio.gather(*(self._ask(uid, entry) for uid, entry in self._world.entries()))
            self._reconciler.measure_runs()
            self._metrics.observe_sweep(time.monotonic() - started)
            await asyncio.sleep(self._interval_seconds)

    async def _ask(self, uid: Uid, entry: RunEntry) -> None:
        master = next(
            (
                p
                for p in entry.pods.values()
                if p.is_master and p.phase == "Running" and not p.is_gone and p.ip
            ),
            None,
        )
        if master is None or master.ip is None:
            return
        loop = asyncio.get_running_loop()
        body = await loop.run_in_executor(self._pool, fetch_report, master.ip)
        if body is None:
            return
        try:
            report = RunReport.model_validate_json(body)
        except ValidationError as error:
            logger.warning("pod %s: report of another form: %s", master.name, str(error)[:300])
            return
        known = entry.report
        if report.attempt == master.attempt and (
            known is None or (known.attempt, known.sequence) != (report.attempt, report.sequence)
        ):
            entry.report = report
            self._reconciler.mark(uid)


def fetch_report(address: str) -> bytes | None:
    """Return the report that a pod serves, or None if it does not answer or says too much."""
    host = f"[{address}]" if ":" in address else address
    url = f"http://{host}:{names.TRAINER_PORT}/status"
    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT_SECONDS) as answer:
            body: bytes = answer.read(MAXIMUM_REPORT_BYTES + 1)
    except (OSError, ValueError):
        return None
    return body if len(body) <= MAXIMUM_REPORT_BYTES else None
