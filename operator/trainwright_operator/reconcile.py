"""Brings runs from what is to what should be: one worker per run at a time, level-triggered.

Anything that happens marks a run dirty. A worker then looks at everything known of it, decides,
creates what is wanted, writes the status once if it changed, posts events and deletes what has to go.
In that order: a status never tells of a job that does not exist, and no evidence goes before it is
written down. Errors are retried with a growing pause; what is done twice changes nothing.
"""

import asyncio
import hashlib
import logging
import time
from collections import defaultdict
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from pydantic import ValidationError
from trainwright_api.names import Phase
from trainwright_api.resources import Resource
from trainwright_api.run import Run
from trainwright_api.summary import build_summary

from trainwright_operator.accounting import measure_run
from trainwright_operator.budget import NEWS_BURST, Budget
from trainwright_operator.build import build_config_map, build_job, object_name
from trainwright_operator.calls import ClusterCallError, ClusterCalls
from trainwright_operator.decide import decide
from trainwright_operator.decision import Decision, Policy, Timing
from trainwright_operator.facts import Problem, format_time
from trainwright_operator.links import build_dashboard_url
from trainwright_operator.merging import TOLD_BY_TRAINERS
from trainwright_operator.observing import Observer
from trainwright_operator.operator_metrics import OperatorMetrics
from trainwright_operator.refusals import build_invalid_status, describe_refusal
from trainwright_operator.resolving import parse_run
from trainwright_operator.run_queue import RunQueue
from trainwright_operator.settings import Settings
from trainwright_operator.status_patch import build_status_patch, is_news_only, is_progress_only
from trainwright_operator.world import Raw, RunEntry, RunKey, World

NUM_WORKERS = 8
STUCK_LOOK_SECONDS = 10.0
RETRY_SECONDS = (1.0, 2.0, 5.0, 10.0, 30.0)

logger = logging.getLogger(__name__)


class Reconciler:
    """The workers on the queue of dirty runs."""

    def __init__(
        self, world: World, calls: ClusterCalls, settings: Settings, metrics: OperatorMetrics
    ) -> None:
        self._world, self._calls, self._settings, self._metrics = world, calls, settings, metrics
        self._timing = Timing(
            settings.collect_seconds, settings.failed_grace_seconds, settings.stuck_seconds
        )
        self._policy = Policy(
            settings.prices, settings.minimum_utilization_percent, settings.underutilized_minutes
        )
        self._observer = Observer(world, calls)
        self.queue = RunQueue()
        self._failures: dict[RunKey, int] = {}
        self._job_problems: dict[RunKey, Problem] = {}
        self._progress_written: dict[RunKey, float] = {}
        self._last_reason: dict[RunKey, str] = {}
        self._event_budgets: defaultdict[RunKey, Budget] = defaultdict(Budget)
        self._news_budgets: defaultdict[RunKey, Budget] = defaultdict(
            lambda: Budget(NEWS_BURST, settings.status_seconds)
        )

    def mark(self, key: RunKey | None) -> None:
        """Have a run looked at soon."""
        if key is not None:
            self.queue.mark(key)

    async def run_workers(self, can_begin: asyncio.Event) -> None:
        """Work for ever, once all that exists has been seen."""
        await can_begin.wait()
        self._metrics.begin_acting()
        await asyncio.gather(*(self._work() for _ in range(NUM_WORKERS)))

    async def _work(self) -> None:
        while True:
            key = await self.queue.get()
            try:
                await self._reconcile_measured(key)
            finally:
                self.queue.done(key)

    async def _reconcile_measured(self, key: RunKey) -> None:
        entry = self._world.entry(key)
        if entry is None or entry.raw is None:
            self._forget(key)
            if entry is not None:
                await self._remove_stuck(key, entry, datetime.now(UTC))
            return
        started, kind, outcome = time.monotonic(), entry.raw["kind"], "ok"
        try:
            await self.reconcile(key, datetime.now(UTC))
            self._failures.pop(key, None)
        except ClusterCallError as error:
            outcome = "error"
            self._retry(key, entry.raw, error)
        except Exception:  # a defect in one run's decision must not end the others' worker
            outcome = "defect"
            logger.exception("reconciling %s failed", entry.raw["metadata"]["name"])
            self._retry(key, entry.raw, None)
        self._metrics.observe_reconcile(kind, outcome, time.monotonic() - started)

    def _retry(self, key: RunKey, raw: Raw, error: ClusterCallError | None) -> None:
        count = self._failures.get(key, 0)
        self._failures[key] = count + 1
        pause = RETRY_SECONDS[min(count, len(RETRY_SECONDS) - 1)]
        if error is not None:
            name = raw["metadata"]["name"]
            logger.warning("run %s: %s; again in %.0f s", name, error, pause)
        self.queue.mark_later(key, pause)

    async def _remove_stuck(self, key: RunKey, entry: RunEntry, now: datetime) -> None:
        """Remove by force what pods a deleted run has left on nodes that do not answer."""
        stuck_after = timedelta(seconds=self._timing.stuck_seconds)
        for pod in list(entry.pods.values()):
            if pod.is_gone or pod.deleted_at is None:
                continue
            left = (pod.deleted_at + stuck_after - now).total_seconds()
            if left > 0:
                self.queue.mark_later(key, left)
                continue
            try:
                is_gone = await self._calls.delete_pod(key.partition("/")[0], pod.name, 0, pod.uid)
            except ClusterCallError as error:
                logger.warning("pod %s of a deleted run is not removed: %s", pod.name, error)
                is_gone = False
            if is_gone:
                self._world.miss_pod(key, pod.name, now)
            self.queue.mark_later(key, STUCK_LOOK_SECONDS)

    def _forget(self, key: RunKey) -> None:
        self.queue.forget(key)
        self._observer.forget(key)
        for memory in (
            self._failures,
            self._job_problems,
            self._progress_written,
            self._last_reason,
            self._event_budgets,
            self._news_budgets,
        ):
            memory.pop(key, None)

    async def reconcile(self, key: RunKey, now: datetime) -> Decision | None:
        """Observe, decide, act, report; return what was decided, None if there was nothing to decide."""
        entry = self._world.entry(key)
        if entry is None or entry.raw is None:
            return None
        if entry.raw["metadata"].get("deletionTimestamp"):  # it waits for its children to go
            await self._remove_stuck(key, entry, now)
            return None
        raw = entry.raw
        try:
            resource = parse_run(raw)
        except ValidationError as error:
            await self._write_status(key, raw, build_invalid_status(raw, error, now))
            return None
        gone = {uid for uid, pod in entry.pods.items() if pod.is_gone}
        decision = await self._decide_and_create(key, entry, resource, now)
        self._log(key, resource, decision)
        status = self._complete_status(resource, decision)
        if self._is_due(key, raw, status, decision):
            if not await self._report(key, raw, resource, decision, status):
                return None
            self._forget_pods(key, decision, gone)
            await self._tell(key, raw, decision, now)
        await self._delete(key, raw, decision, now)
        if decision.suspend_run:
            await self._calls.suspend_run(raw)
        if decision.again_seconds is not None:
            self.queue.mark_later(key, decision.again_seconds)
        return decision

    async def _decide_and_create(
        self, key: RunKey, entry: RunEntry, resource: Resource, now: datetime
    ) -> Decision:
        """Decide; if an attempt is to start, create it. Should that be refused, decide with that known."""
        known = self._job_problems.get(key)
        seen = await self._observer.observe(key, entry, resource, known, now)
        decision = decide(resource, seen.observed, now, self._timing, self._policy)
        if decision.start_attempt is None or seen.run is None:
            return decision
        problem = await self._create_attempt(key, entry, resource, seen.run)
        if problem is None:
            self._job_problems.pop(key, None)
        else:
            self._job_problems[key] = problem
        if problem == known:
            return decision
        known_problem = replace(seen.observed, job_problem=problem)
        return decide(resource, known_problem, now, self._timing, self._policy)

    async def _create_attempt(
        self, key: RunKey, entry: RunEntry, resource: Resource, run: Run
    ) -> Problem | None:
        """Create config map and job of an attempt; return why the API server refuses them, if it does."""
        namespace = resource.metadata.namespace or "default"
        if object_name(resource, run.attempt) in entry.jobs:
            return None  # made before the operator ended, or before its status could be written
        job = build_job(resource, run, self._settings)
        try:
            await self._calls.create_config_map(build_config_map(resource, run))
            answer = await self._calls.create_job(namespace, job)
        except ClusterCallError as error:
            told = resource.status.reason if resource.status else None
            problem = describe_refusal(error, num_failures=self._failures.get(key, 0), told=told)
            if problem is None:
                raise
            return problem
        self._world.see_job(answer)
        return None

    def _log(self, key: RunKey, resource: Resource, decision: Decision) -> None:
        """One line per decision; unchanged cycles are silent."""
        if self._last_reason.get(key) == decision.reason:
            return
        self._last_reason[key] = decision.reason
        meta = resource.metadata
        logger.info("%s %s/%s: %s", resource.kind, meta.namespace, meta.name, decision.reason)

    def _complete_status(self, resource: Resource, decision: Decision) -> Raw:
        """Return the status as it is to be written, with what is derived from it."""
        link = build_dashboard_url(self._settings.grafana_url, resource, decision.status)
        texts = {"dashboard_url": link, "summary": build_summary(decision.status)}
        return decision.status.model_copy(update=texts).to_manifest()

    async def _report(
        self, key: RunKey, raw: Raw, resource: Resource, decision: Decision, new: Raw
    ) -> bool:
        """Write the status if it changed; False if the run is gone or not as seen any more."""
        if not await self._write_status(key, raw, new):
            return False
        self._count_ends(resource, decision)
        old = raw.get("status", {})
        if new["phase"] == Phase.SUCCEEDED != old.get("phase"):
            meta = raw["metadata"]
            for other in self._world.dependants_of(raw["kind"], meta["namespace"], meta["name"]):
                self.mark(other)
        return True

    async def _write_status(self, key: RunKey, raw: Raw, new: Raw) -> bool:
        """Bring the status to this if it differs; False if the run is gone or not as seen any more."""
        patch = build_status_patch(raw.get("status", {}), new)
        if not patch:
            return True
        answer = await self._calls.write_status(raw, patch)
        if answer is None:
            await self._read_again(key, raw)
            return False
        self._progress_written[key] = time.monotonic()
        self._world.see_run(answer)
        return True

    async def _read_again(self, key: RunKey, raw: Raw) -> None:
        """Look at a run that changed meanwhile, whenever its watch may tell, and decide anew."""
        found = await self._calls.read_run(raw)
        if found is None:
            self._world.lose_run(key)
        else:
            self._world.see_run(found)
        self.mark(key)

    def _forget_pods(self, key: RunKey, decision: Decision, uids: set[str]) -> None:
        """Forget vanished pods that no attempt needs any more.

        `uids` are those of which was decided: what went while the status was written may have left last
        words that nobody has read yet.
        """
        last = decision.status.attempts[-1] if decision.status.attempts else None
        current = last.number if last and not last.ended_at else None
        self._world.forget_pods(key, uids, but_of=current)

    def _is_due(self, key: RunKey, raw: Raw, new: Raw, decision: Decision) -> bool:
        """Whether to write the status now: what trainers tell of waits if too much was written for it."""
        old = raw.get("status", {})
        if decision.delete_run:
            return False
        if is_progress_only(old, new):
            since = time.monotonic() - self._progress_written.get(key, float("-inf"))
            left = self._settings.status_seconds - since
            if old == new or left <= 0:
                return True
        elif decision.acts or not is_news_only(old, new) or self._news_budgets[key].take():
            return True
        else:
            left = self._settings.status_seconds
        self.queue.mark_later(key, left)
        return False

    def _count_ends(self, resource: Resource, decision: Decision) -> None:
        before = {
            a.number for a in (resource.status.attempts if resource.status else ()) if a.ended_at
        }
        for attempt in decision.status.attempts:
            if attempt.ended_at and attempt.number not in before:
                outcome, cause = attempt.outcome or "", attempt.cause or ""
                meta = resource.metadata
                self._metrics.count_attempt(meta.namespace or "", meta.name, outcome, cause)

    async def _delete(self, key: RunKey, raw: Raw, decision: Decision, now: datetime) -> None:
        """Delete what has to go; what turns out to be gone already is taken in.

        A pod that is gone may have left its last words: its watch is given time to tell them.
        """
        namespace = raw["metadata"]["namespace"]
        for pod in decision.delete_pods:
            if await self._calls.delete_pod(namespace, pod.name, pod.grace_seconds):
                self._world.miss_pod(key, pod.name, now)
        for job in decision.delete_jobs:
            if await self._calls.delete_job(namespace, job):
                self._world.lose_job(key, job)
            await self._calls.delete_config_map(namespace, job, raw["metadata"]["uid"])
        if decision.delete_run:
            await self._calls.delete_run(raw)

    async def _tell(self, key: RunKey, raw: Raw, decision: Decision, now: datetime) -> None:
        """Post the events; one that cannot be posted, or is one too many, stops nothing."""
        meta = raw["metadata"]
        for notice in decision.notices:
            if notice.reason in TOLD_BY_TRAINERS and not self._event_budgets[key].take():
                logger.warning("run %s: too many events; left out: %s", meta["name"], notice.reason)
                continue
            text = f"{meta['uid']}/{decision.status.attempt}/{notice.reason}/{notice.message}"
            name = f"{meta['name']}.{hashlib.sha256(text.encode()).hexdigest()[:16]}"
            try:
                await self._calls.post_event(raw, notice, name, format_time(now))
            except ClusterCallError as error:
                logger.warning(
                    "run %s: event %s not posted: %s", meta["name"], notice.reason, error
                )

    def measure(self) -> None:
        """Bring the metrics of the queue and of all runs up to date."""
        self._metrics.set_queue(*self.queue.measure())
        now = datetime.now(UTC)
        self._metrics.set_runs(
            replace(measure_run(entry.raw, self._settings.prices, now), is_silent=entry.is_silent)
            for _, entry in self._world.entries()
            if entry.raw
        )
