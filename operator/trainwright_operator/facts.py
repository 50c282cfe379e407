"""What the operator needs to know of Kubernetes objects, as frozen values; pure parsing.

Texts go through `untrusted`: pods, their messages and what Kubernetes says of them hold what users
wrote.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from trainwright_api import names
from trainwright_api.names import Outcome
from trainwright_api.report import RunReport, TerminationMessage
from trainwright_api.status import Plan, SourceStatus

from trainwright_operator.untrusted import clean_text, parse_termination, parse_time

Raw = Mapping[str, Any]

SILENT_SECONDS = 60.0  # after which a trainer that does not answer is said not to
_WAIT_THEIR_TURN = ("PodInitializing", "ContainerCreating")


def format_time(moment: datetime) -> str:
    """Return a moment as the API writes it, in whole seconds."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


@dataclass(frozen=True, slots=True)
class ContainerEnd:
    """How a container ended; `text` is its message where that is not a trainer's last words."""

    exit_code: int
    reason: str
    finished_at: datetime | None
    message: TerminationMessage | None
    text: str = ""

    @property
    def is_good(self) -> bool:
        """Whether it ended well, and says so if it says anything."""
        told = self.message is None or self.message.outcome is Outcome.SUCCEEDED
        return self.exit_code == 0 and told


@dataclass(frozen=True, slots=True)
class PodFacts:
    """One pod of an attempt.

    `is_gone`: it was seen before and does not exist any more. `missed_since`: when it was first not
    found, while no watch has told of its end yet. `failure_seen_at`: when the operator
    first saw that it had failed, by its own clock; nodes' clocks may differ. `deleted_at` is the end
    of the grace that its deletion leaves it, `grace_seconds`: as everywhere in Kubernetes, but the world
    counts it by the operator's own clock. `waiting_*`: the container
    that does not start, whichever it is. `init_end`: how an init container failed, `init_container`.
    """

    name: str
    uid: str
    version: int
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
    waiting_container: str
    waiting_reason: str
    waiting_message: str
    unschedulable: str | None
    disruption: str | None
    init_container: str = ""
    init_end: ContainerEnd | None = None
    grace_seconds: int | None = None
    failure_seen_at: datetime | None = None
    missed_since: datetime | None = None

    @property
    def is_live(self) -> bool:
        """Whether a container of it runs or may still run."""
        return not self.is_gone and self.phase not in ("Succeeded", "Failed")

    @property
    def has_failed(self) -> bool:
        """Whether it ended, or was taken away, without success."""
        if self.end is not None:
            return not self.end.is_good
        return self.phase == "Failed" or self.is_gone or self.deleted_at is not None

    @property
    def has_succeeded(self) -> bool:
        """Whether its trainer ended well."""
        return self.end is not None and self.end.is_good


def parse_pod(raw: Raw, *, is_gone: bool = False) -> PodFacts:
    """Return the facts of a pod."""
    metadata, status = raw["metadata"], raw.get("status", {})
    labels = metadata.get("labels", {})
    inits: Sequence[Raw] = status.get("initContainerStatuses") or ()
    others: Sequence[Raw] = status.get("containerStatuses") or ()
    container: Raw = next((c for c in others if c["name"] == names.TRAINER_CONTAINER), {})
    stuck, waiting = _find_waiting([container, *inits, *others])
    init_container, init_end = _find_failed_init(inits)
    conditions = {c["type"]: c for c in status.get("conditions", ())}
    return PodFacts(
        name=metadata["name"],
        uid=metadata["uid"],
        version=parse_version(raw),
        attempt=_parse_attempt(labels),
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
        waiting_container=stuck,
        waiting_reason=clean_text(waiting.get("reason"), 100),
        waiting_message=clean_text(waiting.get("message")),
        unschedulable=_parse_unschedulable(conditions.get("PodScheduled")),
        disruption=_parse_disruption(conditions.get("DisruptionTarget")),
        init_container=init_container,
        init_end=init_end,
        grace_seconds=metadata.get("deletionGracePeriodSeconds"),
    )


def _find_waiting(statuses: Iterable[Raw]) -> tuple[str, Raw]:
    """Return the container that does not start and why; one that has an obstacle before all that wait their turn."""
    waiting = [(c["name"], w) for c in statuses if (w := c.get("state", {}).get("waiting"))]
    waiting.sort(key=lambda each: each[1].get("reason") in _WAIT_THEIR_TURN)
    return waiting[0] if waiting else ("", {})


def _find_failed_init(statuses: Iterable[Raw]) -> tuple[str, ContainerEnd | None]:
    """Return the init container that failed, and how; it keeps the trainer from starting."""
    for container in statuses:
        end = _parse_end(container.get("state", {}).get("terminated"))
        if end is not None and end.exit_code != 0:
            return container["name"], end
    return "", None


def _parse_unschedulable(condition: Raw | None) -> str | None:
    if condition is None or condition.get("status") != "False":
        return None
    return clean_text(condition.get("message") or condition.get("reason"))


def _parse_disruption(condition: Raw | None) -> str | None:
    if condition is None or condition.get("status") != "True":
        return None
    reason, message = condition.get("reason"), condition.get("message")
    return clean_text(": ".join(text for text in (reason, message) if text)) or "unknown"


def _parse_attempt(labels: Raw) -> int:
    text = labels.get(names.LABEL_ATTEMPT, "")
    return int(text) if text.isdecimal() else 0


def _parse_end(terminated: Raw | None) -> ContainerEnd | None:
    if terminated is None:
        return None
    told = parse_termination(terminated.get("message"))
    return ContainerEnd(
        exit_code=int(terminated.get("exitCode", -1)),
        reason=clean_text(terminated.get("reason"), 100),
        finished_at=parse_time(terminated.get("finishedAt")),
        message=told,
        text=clean_text(terminated.get("message")) if told is None else "",
    )


@dataclass(frozen=True, slots=True)
class JobFacts:
    """The PyTorchJob of an attempt.

    `has_ended`: by Kubeflow's own account, so it makes no more pods. `is_noticed`: Kubeflow has written
    its status, however that is.
    """

    name: str
    uid: str
    version: int
    attempt: int
    deleted_at: datetime | None
    has_ended: bool = False
    is_noticed: bool = True


def parse_job(raw: Raw) -> JobFacts:
    """Return the facts of a PyTorchJob."""
    metadata, conditions = raw["metadata"], raw.get("status", {}).get("conditions") or ()
    ended = {c.get("type") for c in conditions if c.get("status") == "True"}
    return JobFacts(
        name=metadata["name"],
        uid=metadata["uid"],
        version=parse_version(raw),
        attempt=_parse_attempt(metadata.get("labels", {})),
        deleted_at=parse_time(metadata.get("deletionTimestamp")),
        has_ended=bool(ended & {"Succeeded", "Failed"}),
        is_noticed=bool(conditions),
    )


def parse_version(raw: Raw) -> int:
    """Return an object's resource version as a number, which grows with each write."""
    text = raw["metadata"].get("resourceVersion", "0")
    return int(text) if text.isdecimal() else 0


@dataclass(frozen=True, slots=True)
class EventFacts:
    """A warning that Kubernetes posted about a pod or a job; `at` is when it last did."""

    name: str
    reason: str
    message: str
    uid: str = ""
    at: datetime | None = None


def parse_events(items: Iterable[Raw]) -> list[EventFacts]:
    """Return the facts of events, newest first."""
    oldest = datetime.min.replace(tzinfo=UTC)
    events = [_parse_event(raw) for raw in items]
    return sorted(events, key=lambda event: event.at or oldest, reverse=True)


def _parse_event(raw: Raw) -> EventFacts:
    about = raw.get("involvedObject", {})
    times = (
        (raw.get("series") or {}).get("lastObservedTime"),
        raw.get("lastTimestamp"),
        raw.get("eventTime"),
        raw["metadata"].get("creationTimestamp"),
    )
    return EventFacts(
        name=about.get("name", ""),
        reason=clean_text(raw.get("reason"), 100),
        message=clean_text(raw.get("message")),
        uid=about.get("uid", ""),
        at=next((at for text in times if (at := parse_time(text))), None),
    )


@dataclass(frozen=True, slots=True)
class Problem:
    """Why a run cannot go on: a reason in CamelCase and a sentence. Final ones never pass by themselves."""

    reason: str
    message: str
    is_final: bool = False


@dataclass(frozen=True, slots=True)
class Observed:
    """All that is known of one run besides itself."""

    jobs: tuple[JobFacts, ...] = ()
    pods: tuple[PodFacts, ...] = ()
    warnings: tuple[EventFacts, ...] = ()
    report: RunReport | None = None
    is_silent: bool = False
    """Whether the trainer has not answered for a while: the report tells of the past."""
    problem: Problem | None = None
    """Why the run cannot be resolved."""
    job_problem: Problem | None = None
    """Why the job of the next attempt could not be created when it was last tried."""
    plan: Plan | None = None
    """What the planner decided; None where only the pod can know."""
    sources: tuple[SourceStatus, ...] = ()
    """What other runs give to the next attempt."""

    def pods_of(self, attempt: int) -> tuple[PodFacts, ...]:
        """The pods of one attempt, the master first."""
        chosen = [pod for pod in self.pods if pod.attempt == attempt]
        return tuple(sorted(chosen, key=lambda pod: (not pod.is_master, pod.name)))

    def job_of(self, attempt: int) -> JobFacts | None:
        """The job of one attempt."""
        return next((job for job in self.jobs if job.attempt == attempt), None)
