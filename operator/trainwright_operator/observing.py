"""Gathers what a decision needs: the resolved run, children, warnings, problems.

Only what is needed is worked out: a run with a running attempt was resolved before, a finished one
never is again, and events are read only while pods do not start, less and less often. Those about pods
that Kubernetes does not repeat any more are of the past.
"""

import time
from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from trainwright_api.names import Phase
from trainwright_api.resources import Resource
from trainwright_api.run import Run
from trainwright_api.status import SourceStatus

from trainwright_operator.calls import ClusterCallError, ClusterCalls
from trainwright_operator.facts import EventFacts, Observed, Problem
from trainwright_operator.pending import VOLUME_REASONS
from trainwright_operator.resolving import Resolution, find_sources, resolve
from trainwright_operator.untrusted import parse_time
from trainwright_operator.world import RunEntry, RunKey, World

FIRST_LOOK_SECONDS = 4.0  # after an attempt began, its pods may still be on their way
LONGEST_WAIT_SECONDS = 30.0
PODS_ASKED_SINGLY = 3  # of more, the warnings of the whole namespace that tell of volumes are read
REPEATED_WITHIN = timedelta(seconds=150)  # a kubelet retries a volume every 2 minutes at the latest


@dataclass(frozen=True, slots=True)
class Observation:
    """What is known of a run, and the resolved run if another attempt may start."""

    observed: Observed
    run: Run | None


class Observer:
    """Observes one run at a time; remembers the warnings that it has read."""

    def __init__(self, world: World, calls: ClusterCalls) -> None:
        self._world, self._calls = world, calls
        self._warnings: dict[RunKey, tuple[float, tuple[EventFacts, ...]]] = {}

    async def observe(
        self,
        key: RunKey,
        entry: RunEntry,
        resource: Resource,
        job_problem: Problem | None,
        now: datetime,
    ) -> Observation:
        """Return all that is known of a run now."""
        resolution = Resolution()
        sources: list[SourceStatus] | Problem = []
        if may_start(resource):
            number = (resource.status.attempt if resource.status else 0) + 1
            resolution = resolve(resource, number, self._world)
            sources = find_sources(resource, self._world)
        observed = Observed(
            jobs=tuple(entry.jobs.values()),
            pods=tuple(entry.pods.values()),
            report=entry.report,
            is_silent=entry.is_silent,
            problem=resolution.problem,
            job_problem=job_problem,
            plan=resolution.plan,
            sources=() if isinstance(sources, Problem) else tuple(sources),
        )
        warnings = await self._fetch_warnings(key, resource, observed, now)
        return Observation(replace(observed, warnings=warnings), resolution.run)

    def forget(self, key: RunKey) -> None:
        """Drop what is remembered of a run that is gone."""
        self._warnings.pop(key, None)

    async def _fetch_warnings(
        self, key: RunKey, resource: Resource, observed: Observed, now: datetime
    ) -> tuple[EventFacts, ...]:
        """Read the events of an attempt that does not start; none if it runs or has just begun."""
        status = resource.status
        attempt = status.attempts[-1] if status and status.attempts else None
        if (
            status is None
            or attempt is None
            or attempt.ended_at
            or status.phase not in (Phase.STARTING, Phase.PENDING)
        ):
            self._warnings.pop(key, None)
            return ()
        started = parse_time(attempt.started_at) or now
        # Backwards, too: a clock that was set back must not keep anybody from reading.
        age_seconds = abs((now - started).total_seconds())
        read_at, known = self._warnings.get(key, (float("-inf"), ()))
        pause = min(LONGEST_WAIT_SECONDS, max(FIRST_LOOK_SECONDS, age_seconds / 4))
        if age_seconds < FIRST_LOOK_SECONDS or time.monotonic() - read_at < pause:
            return known
        found = await self._read(resource, observed, attempt.number, now)
        self._warnings[key] = (time.monotonic(), found)
        return found

    async def _read(
        self, resource: Resource, observed: Observed, attempt: int, now: datetime
    ) -> tuple[EventFacts, ...]:
        """Read the events about the job, however old, and the recent ones about pods that wait."""
        namespace = resource.metadata.namespace or "default"
        job = observed.job_of(attempt)
        pods = observed.pods_of(attempt)
        waiting = {pod.uid for pod in pods if pod.phase == "Pending" and not pod.is_gone}
        found: list[EventFacts] = []
        for selector in ([f"involvedObject.uid={job.uid}"] if job else []) + _select_pods(waiting):
            try:
                found += await self._calls.fetch_warnings(namespace, selector)
            except ClusterCallError as error:
                if error.status == 0:
                    raise
        return tuple(
            warning
            for warning in found
            if (job and warning.uid == job.uid)
            or (warning.uid in waiting and now - (warning.at or now) <= REPEATED_WITHIN)
        )


def _select_pods(uids: Collection[str]) -> list[str]:
    if len(uids) <= PODS_ASKED_SINGLY:
        return [f"involvedObject.uid={uid}" for uid in sorted(uids)]
    return [f"involvedObject.kind=Pod,reason={reason}" for reason in VOLUME_REASONS]


def may_start(resource: Resource) -> bool:
    """Whether a run has not ended and no attempt of it runs."""
    status = resource.status
    if status is None:
        return True
    if status.phase.has_ended:
        return False
    return not status.attempts or status.attempts[-1].ended_at is not None
