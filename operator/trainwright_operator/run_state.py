"""The inputs of one decision and the status as it becomes: what `decide` reads and writes."""

from datetime import datetime, timedelta
from typing import Any

from trainwright_api.names import Condition, Phase
from trainwright_api.report import TerminationMessage
from trainwright_api.resources import Resource
from trainwright_api.status import Attempt, RunStatus

from trainwright_operator.conditions import set_condition
from trainwright_operator.decision import Notice, Timing
from trainwright_operator.ends import AttemptEnd
from trainwright_operator.facts import Observed, PodFacts, format_time, parse_time
from trainwright_operator.merging import merge_report, merge_termination


class RunState:
    """One run at one moment; the methods change only `status`, which starts as the old one."""

    def __init__(
        self, resource: Resource, observed: Observed, now: datetime, timing: Timing
    ) -> None:
        self.resource, self.observed, self.now, self.timing = resource, observed, now, timing
        self.spec = resource.spec
        self.old = resource.status or RunStatus()
        self.status = merge_report(
            self.old.model_copy(update={"observed_generation": resource.metadata.generation}),
            observed.report,
        )

    def _current(self) -> Attempt | None:
        """The attempt that has no end yet."""
        last = self.status.attempts[-1] if self.status.attempts else None
        return last if last is not None and last.ended_at is None else None

    def _set(self, type_: Condition, is_true: bool, reason: str, message: str) -> None:
        conditions = set_condition(
            self.status.conditions,
            type_,
            is_true,
            reason,
            message,
            now=self.now,
            generation=self.resource.metadata.generation,
        )
        self._change(conditions=conditions)

    def _change(self, **changes: Any) -> None:
        self.status = self.status.model_copy(update=changes)

    def _phase(self, phase: Phase, reason: str, message: str) -> None:
        self._change(phase=phase, reason=reason, message=message or None)
        is_running = phase is Phase.RUNNING
        self._set(
            Condition.RUNNING, is_running, reason if not is_running else "PodsRunning", message
        )
        self._set(Condition.SUSPENDED, phase is Phase.SUSPENDED, reason, message)
        latest = self.status.checkpoints.latest if self.status.checkpoints else None
        if latest is not None:
            self._set(
                Condition.CHECKPOINT_READY, True, "Saved", f"step {latest.step} at {latest.uri}"
            )
        else:
            self._set(Condition.CHECKPOINT_READY, False, "NoneYet", "no checkpoint has been saved")

    def _is_past_deadline(self) -> bool:
        created = parse_time(self.resource.metadata.creation_timestamp)
        seconds = self.spec.deadline_seconds
        return bool(seconds and created and self.now >= created + timedelta(seconds=seconds))

    def _again(self, *moments: float | None) -> float | None:
        """The soonest of some waits, and of the deadline."""
        waits = [seconds for seconds in moments if seconds is not None]
        created = parse_time(self.resource.metadata.creation_timestamp)
        if self.spec.deadline_seconds and created:
            end = created + timedelta(seconds=self.spec.deadline_seconds)
            waits.append((end - self.now).total_seconds())
        return max(0.1, min(waits)) if waits else None

    def _notice_once(self, type_: str, reason: str, message: str) -> tuple[Notice, ...]:
        """A notice of something that lasts is posted when it begins."""
        return (Notice(type_, reason, message),) if self.old.reason != reason else ()

    def _close(
        self, attempt: Attempt, *, outcome: str, message: str = "", end: AttemptEnd | None = None
    ) -> None:
        """Write the end of an attempt into the status, with what its pods last said."""
        told = end.told if end else self._last_words(attempt.number)
        if told is not None:
            self.status = merge_termination(self.status, told)
        progress = self.status.progress
        closed = attempt.model_copy(
            update={
                "ended_at": format_time(self.now),
                "outcome": outcome,
                "cause": end.cause if end else None,
                "pod": end.pod if end else None,
                "node": end.node if end else None,
                "rank": end.rank if end else None,
                "exit_code": end.exit_code if end else None,
                "message": (end.message if end else message) or None,
                "last_step": progress.step if progress else None,
                "resumed_from_step": self._resumed_from(attempt, told),
            }
        )
        self._change(attempts=[*self.status.attempts[:-1], closed])

    def _last_words(self, number: int) -> TerminationMessage | None:
        """What the pods of an attempt said at their end; the one with the furthest checkpoint counts."""
        told = [
            pod.end.message for pod in self.observed.pods_of(number) if pod.end and pod.end.message
        ]
        return max(told, key=lambda t: t.checkpoint.step if t.checkpoint else -1, default=None)

    def _resumed_from(self, attempt: Attempt, told: TerminationMessage | None) -> int | None:
        if attempt.resumed_from_step is not None:
            return attempt.resumed_from_step
        return told.resumed_from_step if told else None

    def _with_last_words(self, number: int) -> RunStatus:
        told = self._last_words(number)
        return self.status if told is None else merge_termination(self.status, told)

    def _overdue(self, pods: list[PodFacts]) -> tuple[tuple[str, bool], ...]:
        """Pods to delete: those not being deleted yet, and by force those long past their grace."""
        grace = timedelta(seconds=self.timing.pod_grace_seconds)
        return tuple(
            (pod.name, pod.deleted_at is not None)
            for pod in pods
            if pod.deleted_at is None or self.now > pod.deleted_at + grace
        )
