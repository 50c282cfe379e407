"""Judges how an attempt ended: which pod fell first, and why; pure.

The pod that fell first is the culprit. Others follow it because they lose their peer: what they say
does not count as long as somebody says something better.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from trainwright_api.names import Cause, Outcome
from trainwright_api.report import TerminationMessage

from trainwright_operator.facts import ContainerEnd, PodFacts, Problem
from trainwright_operator.pending import find_pod_obstacle
from trainwright_operator.untrusted import clean_text

_LATEST = datetime.max.replace(tzinfo=UTC)
_KILLED = 137
_STOPPED = 143
_LACKS_PROGRAM = re.compile(
    r"executable file not found|no such file or directory|permission denied", re.IGNORECASE
)


@dataclass(frozen=True, slots=True)
class AttemptEnd:
    """How an attempt ended; `cause` None means success."""

    cause: Cause | None
    message: str
    pod: str | None = None
    node: str | None = None
    rank: int | None = None
    exit_code: int | None = None
    told: TerminationMessage | None = None
    at: datetime | None = None


def judge_success(pods: Sequence[PodFacts]) -> AttemptEnd | None:
    """Return the good end of an attempt whose master has succeeded, else None."""
    master = next((pod for pod in pods if pod.is_master), None)
    if master is None or not master.has_succeeded:
        return None
    told = master.end.message if master.end else None
    return AttemptEnd(
        cause=None, message="", told=told, at=master.end.finished_at if master.end else None
    )


def has_succeeded(pods: Sequence[PodFacts]) -> bool:
    """Whether an attempt is a success even if it is to be stopped now: a good end before that, or good words."""
    master = next((pod for pod in pods if pod.is_master and pod.has_succeeded), None)
    if master is None or master.end is None:
        return False
    return master.deleted_at is None or master.end.message is not None


def judge_failure(pods: Sequence[PodFacts], lack: Problem | None = None) -> AttemptEnd | None:
    """Return the bad end of an attempt of which a pod has failed, else None.

    `lack`: why some of its pods were never created.
    """
    failed = [pod for pod in pods if pod.has_failed]
    if not failed:
        return None
    culprit = min(failed, key=lambda pod: (_is_follower(pod), _fell_at(pod), pod.name))
    told = culprit.end.message if culprit.end else None
    cause, message = _explain(culprit, told)
    if _may_have_waited(culprit, cause):
        absent, why = _find_absent(pods, culprit) or (None, lack.message if lack else "")
        if why:
            text = clean_text(f"{why}; the others waited for it in vain: {message}", 2000)
            pod = absent.name if absent else None
            return AttemptEnd(Cause.PREEMPTED, text, pod=pod, told=told)
    return AttemptEnd(
        cause=cause,
        message=clean_text(message, 2000),
        pod=culprit.name,
        node=culprit.node,
        rank=told.rank if told else None,
        exit_code=culprit.end.exit_code if culprit.end else None,
        told=told,
    )


def _is_follower(pod: PodFacts) -> bool:
    """Whether the pod only says that it lost another one, or was told to stop."""
    told = pod.end.message if pod.end else None
    if told is None:
        return False
    lost_peer = (
        told.cause == Cause.INFRASTRUCTURE
        and told.signal is None
        and "lost contact" in told.message
    )
    return lost_peer or told.outcome is Outcome.INTERRUPTED


def _may_have_waited(pod: PodFacts, cause: Cause) -> bool:
    """Whether a pod may have failed only because others never came: it says nothing better itself."""
    told = pod.end.message if pod.end else None
    if told is None:
        return _failed_at_init(pod)
    return cause in (Cause.INFRASTRUCTURE, Cause.UNKNOWN) and told.signal is None


def _failed_at_init(pod: PodFacts) -> bool:
    """Whether an init container ended it; one that is deleted ends its init containers, too."""
    return pod.end is None and pod.init_end is not None and pod.deleted_at is None


def _find_absent(pods: Sequence[PodFacts], culprit: PodFacts) -> tuple[PodFacts, str] | None:
    """Return a pod of the group that never started, and why; a group needs all of them."""
    for pod in pods:
        if pod.is_gone or pod.deleted_at is not None or pod.phase != "Pending":
            continue
        if (obstacle := find_pod_obstacle(pod)) is not None:
            return pod, obstacle.message
        if _failed_at_init(culprit):
            return pod, f"pod {pod.name} has not started"
    return None


def _fell_at(pod: PodFacts) -> datetime:
    return (pod.end.finished_at if pod.end else None) or pod.failure_seen_at or _LATEST


def _explain(pod: PodFacts, told: TerminationMessage | None) -> tuple[Cause, str]:
    if pod.end is not None and pod.end.reason == "OOMKilled":
        return Cause.OUT_OF_MEMORY, (
            f"pod {pod.name} was killed at its memory limit; raise workers.resources.memory or lower "
            "batch.microSequences"
        )
    if pod.reason in ("Evicted", "Preempting") or pod.disruption:
        why = pod.message or pod.disruption or pod.reason
        return Cause.PREEMPTED, f"pod {pod.name} was evicted: {why}"
    # A success is what it said before it was ended.
    if told is not None and told.outcome is not Outcome.SUCCEEDED:
        if told.outcome is Outcome.INTERRUPTED:
            return Cause.PREEMPTED, f"pod {pod.name} was asked to stop; {told.message}"
        return told.cause or Cause.UNKNOWN, told.message
    where = f" on node {pod.node}" if pod.node else ""
    if _failed_at_init(pod) and (end := pod.init_end) is not None:
        return Cause.UNKNOWN, (
            f"pod {pod.name}: init container {pod.init_container} ended with exit code "
            f"{end.exit_code} ({end.reason}){_say(end)}; see its log"
        )
    if pod.end is None and pod.phase == "Failed" and pod.reason:
        why = pod.message or "no message"
        return Cause.INFRASTRUCTURE, f"pod {pod.name}{where} was refused ({pod.reason}): {why}"
    if pod.end is None:
        return Cause.INFRASTRUCTURE, f"pod {pod.name}{where} was deleted or lost"
    if pod.deleted_at is not None and pod.end.exit_code in (_KILLED, _STOPPED):
        return Cause.INFRASTRUCTURE, f"pod {pod.name}{where} was deleted"
    if pod.end.exit_code == _KILLED:
        return Cause.INFRASTRUCTURE, f"pod {pod.name} was killed (SIGKILL) from outside"
    if pod.end.reason in ("ContainerCannotRun", "StartError"):
        return _explain_start_error(pod.name, pod.end)
    words = "left no message" if told is None else "had said that all was well"
    return Cause.UNKNOWN, (
        f"pod {pod.name} ended with exit code {pod.end.exit_code} ({pod.end.reason}) and {words}; "
        "see its log"
    )


def _explain_start_error(pod: str, end: ContainerEnd) -> tuple[Cause, str]:
    """What an image lacks no other attempt mends; what else the container runtime says may pass."""
    message = f"pod {pod} could not start its container (exit code {end.exit_code}){_say(end)}"
    if _LACKS_PROGRAM.search(end.text):
        return Cause.USER_ERROR, f"{message}; check workers.image"
    return Cause.UNKNOWN, message


def _say(end: ContainerEnd) -> str:
    return f": {end.text}" if end.text else ""
