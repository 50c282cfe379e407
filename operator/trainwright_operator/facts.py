"""What the operator needs to know of Kubernetes objects, as frozen values; pure parsing.

Texts that come from pods are untrusted: they are bounded and stripped of control characters here.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from pydantic import ValidationError
from trainwright_api import names
from trainwright_api.report import TERMINATION_MESSAGE_LIMIT_BYTES, RunReport, TerminationMessage

Raw = Mapping[str, Any]

MAXIMUM_TEXT = 1024
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f\x80-\x9f]")


def clean_text(text: str | None, limit: int = MAXIMUM_TEXT) -> str:
    """Return a text without control characters, cut to a length that a status may hold."""
    plain = _CONTROL.sub(" ", text or "").strip()
    return plain if len(plain) <= limit else plain[: limit - 3] + "..."


def parse_time(text: str | None) -> datetime | None:
    """Return the moment of an RFC 3339 text."""
    return datetime.fromisoformat(text.replace("Z", "+00:00")) if text else None


def format_time(moment: datetime) -> str:
    """Return a moment as the API writes it, in whole seconds."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


@dataclass(frozen=True, slots=True)
class ContainerEnd:
    """How the trainer's container ended."""

    exit_code: int
    reason: str
    finished_at: datetime | None
    message: TerminationMessage | None


@dataclass(frozen=True, slots=True)
class PodFacts:
    """One pod of an attempt. `is_gone`: it was seen before and does not exist any more."""

    name: str
    uid: str
    attempt: int
    is_master: bool
    phase: str
    node: str | None
    ip: str | None
    reason: str
    message: str
    created_at: datetime | None
    deleted_at: datetime | None
    is_gone: bool
    end: ContainerEnd | None
    waiting_reason: str
    waiting_message: str
    unschedulable: str | None
    disruption: str | None

    @property
    def is_live(self) -> bool:
        """Whether a container of it runs or may still run."""
        return not self.is_gone and self.phase not in ("Succeeded", "Failed")

    @property
    def has_failed(self) -> bool:
        """Whether it ended, or was taken away, without success."""
        if self.end is not None:
            return self.end.exit_code != 0
        return self.phase == "Failed" or self.is_gone or self.deleted_at is not None

    @property
    def has_succeeded(self) -> bool:
        """Whether its trainer ended well."""
        return self.end is not None and self.end.exit_code == 0


def parse_pod(raw: Raw, *, is_gone: bool = False) -> PodFacts:
    """Return the facts of a pod."""
    metadata, status = raw["metadata"], raw.get("status", {})
    labels = metadata.get("labels", {})
    container: Raw = next(
        (c for c in status.get("containerStatuses", ()) if c["name"] == names.TRAINER_CONTAINER), {}
    )
    states = [container, *status.get("initContainerStatuses", ())]
    waiting: Raw = next((w for c in states if (w := c.get("state", {}).get("waiting"))), {})
    conditions = {c["type"]: c for c in status.get("conditions", ())}
    return PodFacts(
        name=metadata["name"],
        uid=metadata["uid"],
        attempt=int(labels.get(names.LABEL_ATTEMPT, 0)),
        is_master=labels.get(names.LABEL_REPLICA_TYPE) == "master",
        phase=status.get("phase", "Pending"),
        node=raw.get("spec", {}).get("nodeName"),
        ip=status.get("podIP"),
        reason=clean_text(status.get("reason"), 100),
        message=clean_text(status.get("message")),
        created_at=parse_time(metadata.get("creationTimestamp")),
        deleted_at=parse_time(metadata.get("deletionTimestamp")),
        is_gone=is_gone,
        end=_parse_end(container.get("state", {}).get("terminated")),
        waiting_reason=clean_text(waiting.get("reason"), 100),
        waiting_message=clean_text(waiting.get("message")),
        unschedulable=_parse_unschedulable(conditions.get("PodScheduled")),
        disruption=_parse_disruption(conditions.get("DisruptionTarget")),
    )


def _parse_unschedulable(condition: Raw | None) -> str | None:
    if condition is None or condition.get("status") != "False":
        return None
    return clean_text(condition.get("message") or condition.get("reason"))


def _parse_disruption(condition: Raw | None) -> str | None:
    if condition is None or condition.get("status") != "True":
        return None
    return clean_text(condition.get("reason"), 100)


def _parse_end(terminated: Raw | None) -> ContainerEnd | None:
    if terminated is None:
        return None
    return ContainerEnd(
        exit_code=int(terminated.get("exitCode", -1)),
        reason=clean_text(terminated.get("reason"), 100),
        finished_at=parse_time(terminated.get("finishedAt")),
        message=parse_termination(terminated.get("message")),
    )


def parse_termination(text: str | None) -> TerminationMessage | None:
    """Return the trainer's last words, or None where there are none or they are not its own."""
    if not text or len(text) > 2 * TERMINATION_MESSAGE_LIMIT_BYTES:
        return None
    try:
        message = TerminationMessage.model_validate_json(text)
    except ValidationError:
        return None
    return message.model_copy(update={"message": clean_text(message.message, 2000)})


@dataclass(frozen=True, slots=True)
class JobFacts:
    """The PyTorchJob of an attempt."""

    name: str
    attempt: int
    created_at: datetime | None
    deleted_at: datetime | None


def parse_job(raw: Raw) -> JobFacts:
    """Return the facts of a PyTorchJob."""
    metadata = raw["metadata"]
    return JobFacts(
        name=metadata["name"],
        attempt=int(metadata.get("labels", {}).get(names.LABEL_ATTEMPT, 0)),
        created_at=parse_time(metadata.get("creationTimestamp")),
        deleted_at=parse_time(metadata.get("deletionTimestamp")),
    )


@dataclass(frozen=True, slots=True)
class EventFacts:
    """A warning that Kubernetes posted about a pod or a job."""

    name: str
    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class Observed:
    """All that is known of one run besides itself."""

    jobs: tuple[JobFacts, ...] = ()
    pods: tuple[PodFacts, ...] = ()
    warnings: tuple[EventFacts, ...] = ()
    report: RunReport | None = None
    problem: "Problem | None" = None
    """Why the run cannot be resolved or its job not be created."""

    def pods_of(self, attempt: int) -> tuple[PodFacts, ...]:
        """The pods of one attempt, the master first."""
        chosen = [pod for pod in self.pods if pod.attempt == attempt]
        return tuple(sorted(chosen, key=lambda pod: (not pod.is_master, pod.name)))

    def job_of(self, attempt: int) -> JobFacts | None:
        """The job of one attempt."""
        return next((job for job in self.jobs if job.attempt == attempt), None)


@dataclass(frozen=True, slots=True)
class Problem:
    """Why a run cannot go on: a reason in CamelCase and a sentence. Final ones never pass by themselves."""

    reason: str
    message: str
    is_final: bool = False
    names: tuple[str, ...] = field(default=())
