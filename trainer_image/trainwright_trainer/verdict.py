"""Judges how a pod's ranks ended: what the termination message says. Pure.

Of several ranks that fell, the culprit is the first that did not merely follow another: a rank that
lost contact to its peers, or that the launcher itself ended, tells nothing of the cause.
"""

import json
import signal
from collections.abc import Sequence
from dataclasses import dataclass

from trainwright_api.names import Cause, Outcome
from trainwright_api.report import TERMINATION_MESSAGE_LIMIT_BYTES, TerminationMessage

from trainwright_trainer.errors import LOST_CONTACT

_CRASHES = (signal.SIGSEGV, signal.SIGBUS, signal.SIGABRT, signal.SIGILL, signal.SIGFPE)
_SHORTEST_TEXT = 100


@dataclass(frozen=True, slots=True)
class RankEnd:
    """How one rank's process ended. `told` is its own outcome file, `order` when it was seen to end.

    `exit_code` is as subprocess has it: negative for a signal. `was_ended` says that the launcher
    sent it a signal because another rank had fallen.
    """

    rank: int
    exit_code: int
    told: TerminationMessage | None
    order: int
    was_ended: bool = False

    @property
    def has_fallen(self) -> bool:
        """Whether it ended badly; a rank that stopped on request and said so did not."""
        return self.exit_code != 0 and not self.has_stopped

    @property
    def has_stopped(self) -> bool:
        """Whether it saved and stopped because it was asked to."""
        return self.told is not None and self.told.outcome is Outcome.INTERRUPTED

    @property
    def is_follower(self) -> bool:
        """Whether another end explains this one."""
        return self.was_ended or (self.told is not None and is_lost_contact(self.told))


def is_lost_contact(message: TerminationMessage) -> bool:
    """Whether a message only says that another rank was lost."""
    return message.message.startswith(LOST_CONTACT)


def judge_ends(
    ends: Sequence[RankEnd], *, was_asked_to_stop: bool, num_oom_kills: int, lost_peer: str | None
) -> TerminationMessage:
    """Return what is to be said of a pod's end.

    `lost_peer` is what the launcher knows of another pod's end; it explains ranks that it had to end.
    """
    fallen = [end for end in ends if end.has_fallen]
    if not fallen:
        first = min(ends, key=lambda end: (not end.has_stopped, end.rank))
        return first.told or TerminationMessage(outcome=Outcome.SUCCEEDED)
    culprit = min(fallen, key=lambda end: (end.is_follower, end.order, end.rank))
    if was_asked_to_stop and culprit.exit_code == -signal.SIGTERM:
        return TerminationMessage(
            outcome=Outcome.INTERRUPTED,
            message="stopped on request before the first step; there was nothing new to save",
            rank=culprit.rank,
            exit_code=128 + signal.SIGTERM,
            signal="SIGTERM",
        )
    if culprit.is_follower and lost_peer is not None and culprit.told is None:
        return TerminationMessage(
            outcome=Outcome.FAILED,
            cause=Cause.INFRASTRUCTURE,
            message=lost_peer,
            rank=culprit.rank,
        )
    if culprit.told is not None:
        return culprit.told.model_copy(
            update={"rank": culprit.rank, "exit_code": culprit.exit_code}
        )
    if culprit.exit_code < 0:
        return _judge_signal(culprit.rank, -culprit.exit_code, num_oom_kills)
    return TerminationMessage(
        outcome=Outcome.FAILED,
        cause=Cause.UNKNOWN,
        message=f"rank {culprit.rank} ended with exit code {culprit.exit_code} and left no message; see its log",
        rank=culprit.rank,
        exit_code=culprit.exit_code,
    )


def _judge_signal(rank: int, number: int, num_oom_kills: int) -> TerminationMessage:
    known = {each.value: each.name for each in signal.Signals}
    name = known.get(number, f"signal {number}")  # most of the real-time ones have no name
    cause, why = Cause.INFRASTRUCTURE, "something outside of it ended it"
    if number == signal.SIGKILL and num_oom_kills:
        cause, why = (
            Cause.OUT_OF_MEMORY,
            "the container's memory limit was reached; raise resources.memory",
        )
    elif number in _CRASHES:
        cause, why = Cause.UNKNOWN, "it crashed; see its log"
    return TerminationMessage(
        outcome=Outcome.FAILED,
        cause=cause,
        message=f"rank {rank} was ended by {name}: {why}",
        rank=rank,
        exit_code=128 + number,
        signal=name,
    )


def bounded_json(message: TerminationMessage) -> str:
    """Return the message as JSON that the kubelet keeps whole, cutting what matters least first."""
    while True:
        text = json.dumps(message.to_manifest())
        excess = len(text.encode()) - TERMINATION_MESSAGE_LIMIT_BYTES
        if excess <= 0:
            return text
        if message.model is not None and message.model.samples:
            message = message.model_copy(
                update={"model": message.model.model_copy(update={"samples": []})}
            )
        elif len(message.message) > _SHORTEST_TEXT:
            keep = max(_SHORTEST_TEXT, len(message.message) - excess - 16)
            message = message.model_copy(update={"message": message.message[: keep - 3] + "..."})
        else:
            message = TerminationMessage(
                outcome=message.outcome, cause=message.cause, message=message.message
            )
