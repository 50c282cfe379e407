"""The inputs of one decision, and the status and notices as they become: what all deciders share."""

from datetime import datetime, timedelta
from typing import Any

from trainwright_api.names import Condition, Outcome, Phase
from trainwright_api.report import TerminationMessage
from trainwright_api.resources import Resource
from trainwright_api.status import Attempt, RunStatus
from trainwright_planner.advice import fit_message

from trainwright_operator.accounting import count_cost
from trainwright_operator.conditions import find_condition, set_condition
from trainwright_operator.decision import Decision, Notice, PodRemoval, Policy, Timing
from trainwright_operator.ends import AttemptEnd
from trainwright_operator.facts import Observed, PodFacts, format_time
from trainwright_operator.merging import (
    clear_speed,
    merge_report,
    merge_termination,
    tell_of_checkpoint,
    tell_of_warnings,
)
from trainwright_operator.untrusted import MAXIMUM_MESSAGE, clean_text, parse_time


class RunState:
    """One run at one moment; the methods change only `status`, which starts as the old one, and `notices`."""

    def __init__(
        self,
        resource: Resource,
        observed: Observed,
        now: datetime,
        timing: Timing,
        policy: Policy,
    ) -> None:
        self.resource, self.observed, self.now = resource, observed, now
        self.timing, self.policy = timing, policy
        self.spec, self.uid = resource.spec, resource.metadata.uid or ""
        self.generation = resource.metadata.generation
        self.old = resource.status or RunStatus()
        self.notices: list[Notice] = []
        known = {
            "observed_generation": self.generation,
            "plan": self.old.plan or observed.plan,  # the trainer's own, if it has reported one
        }
        self.status = merge_report(self.old.model_copy(update=known), observed.report)

    # What is

    def current(self) -> Attempt | None:
        """The attempt that has no end yet; its job has been created."""
        last = self.status.attempts[-1] if self.status.attempts else None
        return last if last is not None and last.ended_at is None else None

    def deadline(self) -> datetime | None:
        """When the run fails if it has not ended."""
        created, seconds = (
            parse_time(self.resource.metadata.creation_timestamp),
            self.spec.deadline_seconds,
        )
        return created + timedelta(seconds=seconds) if created and seconds else None

    def last_words(self, number: int) -> TerminationMessage | None:
        """What the pods of an attempt said at their end; the one with the furthest checkpoint counts."""
        told = [
            pod.end.message for pod in self.observed.pods_of(number) if pod.end and pod.end.message
        ]
        return max(told, key=lambda t: t.checkpoint.step if t.checkpoint else -1, default=None)

    def removals(
        self, pods: list[PodFacts], grace_seconds: int | None = None
    ) -> tuple[PodRemoval, ...]:
        """Pods to delete: those not being deleted yet, and by force those that outlived their grace."""
        return tuple(
            PodRemoval(pod.name, grace_seconds if pod.deleted_at is None else 0)
            for pod in pods
            if self.is_due_to_go(pod.deleted_at)
        )

    def is_due_to_go(self, deleted_at: datetime | None) -> bool:
        """Whether something that should go is to be deleted now: for the first time, or as it is stuck."""
        return deleted_at is None or self.now >= deleted_at + timedelta(
            seconds=self.timing.stuck_seconds
        )

    # What becomes

    def change(self, **changes: Any) -> None:
        """Change fields of the status."""
        self.status = self.status.model_copy(update=changes)

    def set(self, type_: Condition, is_true: bool | None, reason: str, message: str) -> None:
        """Set a condition."""
        self.change(
            conditions=set_condition(
                self.status.conditions,
                type_,
                is_true,
                reason,
                clean_text(message, MAXIMUM_MESSAGE),
                now=self.now,
                generation=self.generation,
            )
        )

    def set_phase(self, phase: Phase, reason: str, message: str) -> None:
        """Set the phase and the conditions that go with it."""
        self.change(
            phase=phase, reason=reason, message=clean_text(message, MAXIMUM_MESSAGE) or None
        )
        self.set(Condition.RUNNING, phase is Phase.RUNNING, reason, message)
        self.set(Condition.SUSPENDED, phase is Phase.SUSPENDED, reason, message)
        self.note_checkpoint()

    def note_checkpoint(self) -> None:
        """Set the condition that tells of the newest checkpoint."""
        latest = self.status.checkpoints.latest if self.status.checkpoints else None
        if latest is None:
            self.set(Condition.CHECKPOINT_READY, False, "NoneYet", "no checkpoint has been saved")
            return
        self.set(Condition.CHECKPOINT_READY, True, "Saved", f"step {latest.step} at {latest.uri}")

    def accept(self) -> None:
        """Say that the run is valid; the first time with its plan and, if it seems too large, a warning."""
        known = find_condition(self.old.conditions, Condition.ACCEPTED)
        if known is not None and known.status == "True":
            self.set(Condition.ACCEPTED, True, known.reason, known.message)
            return
        plan = self.observed.plan
        text = "the run is valid"
        if plan is not None:
            text += (
                f"; {plan.num_devices} devices, ZeRO stage {plan.zero_stage}, micro-batch "
                f"{plan.micro_sequences}, accumulation {plan.accumulation_steps}, "
                f"{plan.memory_gib:.1f} GiB a device"
            )
        self.tell("Normal", "Accepted", text)
        if plan is not None and plan.fits is False:
            self.set(Condition.ACCEPTED, True, "MayNotFit", fit_message(plan))
            self.tell("Warning", "MayNotFit", fit_message(plan))
        else:
            self.set(Condition.ACCEPTED, True, "Valid", "the run is valid")

    def tell(self, type_: str, reason: str, message: str) -> None:
        """Add an event for people."""
        self.notices.append(Notice(type_, reason, message))

    def tell_once(self, type_: str, reason: str, message: str) -> None:
        """Add an event about something that lasts, when it begins."""
        if self.old.reason != reason:
            self.tell(type_, reason, message)

    def close_attempt(
        self, attempt: Attempt, *, outcome: str, message: str = "", end: AttemptEnd | None = None
    ) -> Attempt:
        """Write the end of an attempt into the status, with what its pods last said."""
        # The culprit may say nothing, or not know what was saved: what the others saved counts all the same.
        saved, told = self.last_words(attempt.number), end.told if end else None
        for words in (saved, told):
            self.status = merge_termination(self.status, words) if words else self.status
        told = told or saved
        resumed = attempt.resumed_from_step
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
                "last_step": self.last_step_of(attempt),
                "resumed_from_step": told.resumed_from_step
                if resumed is None and told
                else resumed,
            }
        )
        self.change(attempts=[*self.status.attempts[:-1], closed])
        if outcome != Outcome.SUCCEEDED:
            self.status = clear_speed(self.status)
        return closed

    def last_step_of(self, attempt: Attempt) -> int | None:
        """The last step that this attempt reported; an older one's progress stays in the status."""
        progress = self.status.progress
        if progress is None:
            return None
        if attempt.number == 1:
            return progress.step
        if (told := self._told_step(attempt.number)) is not None:
            return told
        # What is left of a report that another process has read: nodes' clocks may differ.
        updated, started = parse_time(progress.updated_at), parse_time(attempt.started_at)
        is_own = updated is None or started is None or updated >= started
        return progress.step if is_own else None

    def _told_step(self, number: int) -> int | None:
        """The last step of which a report, or last words, of an attempt tell; None before its first."""
        report, words = self.observed.report, self.last_words(number)
        told = [report.progress] if report is not None and report.attempt == number else []
        if words is not None and words.progress is not None:
            told.append(words.progress)
        return max((progress.step for progress in told), default=0) or None

    def conclude(self, reason: str, again_seconds: float | None = None, **actions: Any) -> Decision:
        """Return the decision; the deadline is looked at in time, whatever else is awaited."""
        waits = [] if again_seconds is None else [again_seconds]
        end = self.deadline()
        if end is not None and end > self.now and self.status.finished_at is None:
            waits.append((end - self.now).total_seconds())
        self._count_cost()
        if self.observed.problem is None:
            self._confirm_conditions()
        checkpoint = tell_of_checkpoint(self.old, self.status)
        return Decision(
            reason=reason,
            status=self.status,
            notices=(
                *((checkpoint,) if checkpoint else ()),
                *tell_of_warnings(self.old, self.status),
                *self.notices,
            ),
            again_seconds=max(0.1, min(waits)) if waits else None,
            **actions,
        )

    def _count_cost(self) -> None:
        current = self.current()
        pods = self.observed.pods_of(current.number) if current else ()
        num_bound = sum(pod.is_live and pod.node is not None for pod in pods)
        workers, prices = self.spec.workers, self.policy.prices
        cost = count_cost(self.old, self.status, workers, prices, self.now, num_bound=num_bound)
        self.change(cost=cost)

    def _confirm_conditions(self) -> None:
        """What this decision left as it was, such as Accepted at a deadline, holds for the spec of now."""
        confirmed = {"observed_generation": self.generation}
        self.change(conditions=[c.model_copy(update=confirmed) for c in self.status.conditions])
