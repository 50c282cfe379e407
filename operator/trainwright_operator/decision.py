"""The values that a decision is made of: what to do, what is true from here on, what to tell people."""

from dataclasses import dataclass

from trainwright_api.status import RunStatus


@dataclass(frozen=True, slots=True)
class Timing:
    """Times that settings may change (unit: seconds)."""

    collect_seconds: float = 4.0
    pod_grace_seconds: float = 75.0


@dataclass(frozen=True, slots=True)
class Notice:
    """An event for people, posted after the status is written."""

    type: str
    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class Decision:
    """What is to be done, and what is true from here on.

    `start_attempt`: create config map and job of this attempt (again, if they exist). `delete_jobs`,
    `delete_pods` (name, by force): what has to go. `again_seconds`: when to look again at the latest.
    """

    reason: str
    status: RunStatus
    start_attempt: int | None = None
    delete_jobs: tuple[str, ...] = ()
    delete_pods: tuple[tuple[str, bool], ...] = ()
    delete_run: bool = False
    notices: tuple[Notice, ...] = ()
    again_seconds: float | None = None
