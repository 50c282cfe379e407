"""Brings runs from what is to what should be: one worker per run at a time, level-triggered.

Anything that happens marks a run dirty. A worker then looks at everything known of it, decides, does
it, writes the status once if it changed, and posts events after that write. Errors are retried with
a growing pause; what was done before them is done again, which changes nothing.
"""

import asyncio
import logging
import time
from datetime import UTC, datetime
from typing import Any

from pydantic import ValidationError
from trainwright_api.names import Phase
from trainwright_api.quantities import parse_quantity
from trainwright_api.resources import Resource

from trainwright_operator.build import build_config_map, build_job, object_name
from trainwright_operator.cluster import ClusterCallError, ClusterClient
from trainwright_operator.decide import decide
from trainwright_operator.decision import Decision, Timing
from trainwright_operator.facts import EventFacts, Observed, Problem, clean_text, format_time
from trainwright_operator.operator_metrics import OperatorMetrics
from trainwright_operator.resolving import Resolution, parse_run, resolve
from trainwright_operator.settings import Settings
from trainwright_operator.status_patch import build_status_patch
from trainwright_operator.world import Raw, RunEntry, Uid, World

NUM_WORKERS = 8
RETRY_SECONDS = (1.0, 2.0, 5.0, 10.0, 30.0)
WARNINGS_SECONDS = 4.0  # between two looks at the events of a run that does not start

logger = logging.getLogger(__name__)


class Reconciler:
    """The queue of dirty runs and the workers on it."""

    def __init__(
        self, world: World, client: ClusterClient, settings: Settings, metrics: OperatorMetrics
    ) -> None:
        self._world, self._client, self._settings, self._metrics = world, client, settings, metrics
        self._timing = Timing(settings.collect_seconds, settings.pod_grace_seconds)
        self._queue: asyncio.Queue[Uid] = asyncio.Queue()
        self._waiting: dict[Uid, float] = {}
        self._busy: set[Uid] = set()
        self._again: set[Uid] = set()
        self._timers: dict[Uid, asyncio.TimerHandle] = {}
        self._failures: dict[Uid, int] = {}
        self._warnings: dict[Uid, tuple[float, tuple[EventFacts, ...]]] = {}
        self._job_problems: dict[Uid, Problem] = {}
        self._progress_written: dict[Uid, float] = {}
        self._last_reason: dict[Uid, str] = {}

    def mark(self, uid: Uid | None) -> None:
        """Have a run looked at soon."""
        if uid is None:
            return
        if uid in self._busy:
            self._again.add(uid)
        elif uid not in self._waiting:
            self._waiting[uid] = time.monotonic()
            self._queue.put_nowait(uid)
        oldest = min(self._waiting.values(), default=time.monotonic())
        self._metrics.set_queue(len(self._waiting), time.monotonic() - oldest)

    def mark_later(self, uid: Uid, seconds: float) -> None:
        """Have a run looked at after a while at the latest; the last call counts."""
        if uid in self._timers:
            self._timers[uid].cancel()
        self._timers[uid] = asyncio.get_running_loop().call_later(seconds, self.mark, uid)

    async def run_workers(self) -> None:
        """Work for ever."""
        await asyncio.gather(*(self._work() for _ in range(NUM_WORKERS)))

    async def _work(self) -> None:
        while True:
            uid = await self._queue.get()
            self._waiting.pop(uid, None)
            self._busy.add(uid)
            try:
                await self._reconcile_measured(uid)
            finally:
                self._busy.discard(uid)
                if uid in self._again:
                    self._again.discard(uid)
                    self.mark(uid)

    async def _reconcile_measured(self, uid: Uid) -> None:
        entry = self._world.entry(uid)
        if entry is None or entry.raw is None:
            self._forget(uid)
            return
        started, kind, outcome = time.monotonic(), entry.raw["kind"], "ok"
        try:
            await self._reconcile(uid, entry, entry.raw)
            self._failures.pop(uid, None)
        except ClusterCallError as error:
            outcome = "error"
            self._retry(uid, entry.raw, error)
        except Exception:
            outcome = "defect"
            logger.exception("reconciling %s failed", entry.raw["metadata"]["name"])
            self._retry(uid, entry.raw, None)
        self._metrics.observe_reconcile(kind, outcome, time.monotonic() - started)

    def _retry(self, uid: Uid, raw: Raw, error: ClusterCallError | None) -> None:
        count = self._failures.get(uid, 0)
        self._failures[uid] = count + 1
        pause = RETRY_SECONDS[min(count, len(RETRY_SECONDS) - 1)]
        if error is not None:
            name = raw["metadata"]["name"]
            logger.warning("run %s: %s; again in %.0f s", name, error, pause)
        self.mark_later(uid, pause)

    def _forget(self, uid: Uid) -> None:
        if timer := self._timers.pop(uid, None):
            timer.cancel()
        for memory in (
            self._failures,
            self._warnings,
            self._job_problems,
            self._progress_written,
            self._last_reason,
        ):
            memory.pop(uid, None)

    async def _reconcile(self, uid: Uid, entry: RunEntry, raw: Raw) -> None:
        """Observe, decide, act, report."""
        if raw["metadata"].get("deletionTimestamp"):
            return
        now = datetime.now(UTC)
        try:
            resource = parse_run(raw)
        except ValidationError as error:
            logger.error("run %s is not valid: %s", raw["metadata"]["name"], error)
            return
        number = (resource.status.attempt if resource.status else 0) + 1
        resolution = resolve(resource, number, self._world)
        observed = await self._observe(uid, entry, resource, resolution)
        decision = decide(resource, observed, now, self._timing)
        self._log(uid, resource, decision)
        decision = await self._act(uid, resource, resolution, decision)
        await self._report(uid, resource, raw, decision, resolution, now)
        if decision.again_seconds is not None:
            self.mark_later(uid, decision.again_seconds)

    async def _observe(
        self, uid: Uid, entry: RunEntry, resource: Resource, resolution: Resolution
    ) -> Observed:
        observed = Observed(
            jobs=tuple(entry.jobs.values()),
            pods=tuple(entry.pods.values()),
            report=entry.report,
            problem=resolution.problem or self._job_problems.get(uid),
        )
        warnings = await self._fetch_warnings(uid, resource, observed)
        return Observed(observed.jobs, observed.pods, warnings, observed.report, observed.problem)

    async def _fetch_warnings(
        self, uid: Uid, resource: Resource, observed: Observed
    ) -> tuple[EventFacts, ...]:
        """Read the events of an attempt that does not start, now and then; else none."""
        status = resource.status
        if (
            status is None
            or status.phase not in (Phase.STARTING, Phase.PENDING)
            or not status.attempt
        ):
            self._warnings.pop(uid, None)
            return ()
        read_at, known = self._warnings.get(uid, (0.0, ()))
        if time.monotonic() - read_at < WARNINGS_SECONDS:
            return known
        namespace = resource.metadata.namespace or "default"
        waiting = [pod.name for pod in observed.pods_of(status.attempt) if pod.phase == "Pending"]
        targets = [object_name(resource, status.attempt), *waiting[:3]]
        found: list[EventFacts] = []
        for target in targets:
            found += await self._client.fetch_warnings(namespace, target)
        self._warnings[uid] = (time.monotonic(), tuple(found))
        return tuple(found)

    def _log(self, uid: Uid, resource: Resource, decision: Decision) -> None:
        """One line per decision; unchanged cycles are silent."""
        if self._last_reason.get(uid) == decision.reason:
            return
        self._last_reason[uid] = decision.reason
        meta = resource.metadata
        logger.info("%s %s/%s: %s", resource.kind, meta.namespace, meta.name, decision.reason)

    async def _act(
        self, uid: Uid, resource: Resource, resolution: Resolution, decision: Decision
    ) -> Decision:
        """Do what was decided; children come before the status that speaks of them."""
        meta = resource.metadata
        namespace = meta.namespace or "default"
        for job in decision.delete_jobs:
            await self._client.delete_job(namespace, job)
        for pod, is_forced in decision.delete_pods:
            await self._client.delete_pod(namespace, pod, is_forced=is_forced)
        if decision.delete_run:
            await self._client.delete_run(resource.kind, namespace, meta.name, meta.uid or "")
        if decision.start_attempt is not None:
            await self._start(uid, resource, decision.start_attempt)
        return decision

    async def _start(self, uid: Uid, resource: Resource, attempt: int) -> None:
        """Create config map and job; a missing PyTorchJob kind is remembered as the run's problem."""
        run = resolve(resource, attempt, self._world).run
        if run is None:
            return
        namespace = resource.metadata.namespace or "default"
        await self._client.apply_config_map(build_config_map(resource, run))
        job = build_job(resource, run, self._settings)
        try:
            await self._client.apply_job(namespace, object_name(resource, attempt), job)
        except ClusterCallError as error:
            if error.status == 404:
                message = (
                    "the cluster has no PyTorchJob kind; install the Kubeflow training operator v1 and the run "
                    "starts by itself"
                )
                self._job_problems[uid] = Problem("MissingPyTorchJobKind", message)
            elif error.status in (400, 403, 422):
                message = f"the PyTorchJob was refused: {error.message}"
                self._job_problems[uid] = Problem("JobRefused", clean_text(message))
            else:
                raise
            self.mark_later(uid, 2.0)
        else:
            self._job_problems.pop(uid, None)

    async def _report(
        self,
        uid: Uid,
        resource: Resource,
        raw: Raw,
        decision: Decision,
        resolution: Resolution,
        now: datetime,
    ) -> None:
        """Write the status if it changed (progress alone not too often), then post the events."""
        if decision.delete_run:
            return
        status = decision.status
        if status.plan is None and resolution.plan is not None:
            status = status.model_copy(update={"plan": resolution.plan})
        old = raw.get("status", {})
        new = status.to_manifest()
        if build_status_patch(old, new) and self._is_due(uid, old, new):
            patch = build_status_patch(old, new)
            meta = resource.metadata
            answer = await self._client.write_status(
                resource.kind, meta.namespace or "default", meta.name, patch
            )
            self._progress_written[uid] = time.monotonic()
            self._world.see_run(answer, is_deleted=False)
            self._world.forget_attempts_before(uid, status.attempt)
            self._count_ends(resource, status)
            if old.get("phase") != new.get("phase") and new.get("phase") == Phase.SUCCEEDED:
                self._mark_dependants(resource)
        for notice in decision.notices:
            await self._client.post_event(
                raw, notice.type, notice.reason, notice.message, format_time(now)
            )

    def _is_due(self, uid: Uid, old: dict[str, Any], new: dict[str, Any]) -> bool:
        """Whether more than progress changed, or the last write of progress is old enough."""
        volatile = ("progress", "hardware")
        if any(old.get(key) != new.get(key) for key in {*old, *new} - set(volatile)):
            return True
        since = time.monotonic() - self._progress_written.get(uid, -1e9)
        if since >= self._settings.status_seconds:
            return True
        self.mark_later(uid, self._settings.status_seconds - since)
        return False

    def _count_ends(self, resource: Resource, status: Any) -> None:
        before = {
            a.number for a in (resource.status.attempts if resource.status else ()) if a.ended_at
        }
        for attempt in status.attempts:
            if attempt.ended_at and attempt.number not in before:
                self._metrics.count_attempt(attempt.outcome or "", attempt.cause or "")

    def _mark_dependants(self, resource: Resource) -> None:
        meta = resource.metadata
        for uid in self._world.dependants_of(resource.kind, meta.namespace or "default", meta.name):
            self.mark(uid)

    def measure_runs(self) -> None:
        """Bring the metrics of all runs up to date."""
        self._metrics.set_runs(
            _measure(entry.raw, self._settings.prices)
            for _, entry in self._world.entries()
            if entry.raw
        )


def _measure(raw: Raw, prices: dict[str, float]) -> tuple[str, str, str, int, float]:
    """Return (kind, namespace, phase, accelerators held, USD per hour) of a run."""
    meta, workers = raw["metadata"], raw.get("spec", {}).get("workers", {})
    phase = raw.get("status", {}).get("phase", Phase.PENDING.value)
    if phase not in (Phase.STARTING, Phase.RUNNING):
        return raw["kind"], meta["namespace"], phase, 0, 0.0
    nodes = workers.get("nodes", 1)
    amounts = {
        name: parse_quantity(amount) for name, amount in workers.get("resources", {}).items()
    }
    accelerator = workers.get("accelerator", "nvidia.com/gpu")
    held = 0 if accelerator == "None" else nodes * workers.get("acceleratorsPerNode", 1)
    if held:
        amounts[accelerator] = held / nodes
    price = nodes * sum(amount * prices.get(name, 0.0) for name, amount in amounts.items())
    return raw["kind"], meta["namespace"], phase, held, price
