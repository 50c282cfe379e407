"""The values that a decision is made of: what to do, what is true from here on, what to tell people."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from trainwright_api.status import RunStatus
from trainwright_api.utilization import DEFAULT_MINIMUM_PERCENT, DEFAULT_MINUTES


@dataclass(frozen=True, slots=True)
class Timing:
    """Times that settings may change (unit: seconds); see there."""

    collect_seconds: float = 4.0
    failed_grace_seconds: int = 15
    stuck_seconds: float = 30.0


@dataclass(frozen=True, slots=True)
class Policy:
    """What settings say of all runs; see there."""

    prices: Mapping[str, float] = field(default_factory=dict)
    minimum_utilization_percent: float = DEFAULT_MINIMUM_PERCENT
    underutilized_minutes: float = DEFAULT_MINUTES


@dataclass(frozen=True, slots=True)
class Notice:
    """An event for people, posted after the status is written."""

    type: str
    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class PodRemoval:
    """A pod that has to go; `grace_seconds` None leaves it its own grace, 0 removes it by force."""

    name: str
    grace_seconds: int | None = None


@dataclass(frozen=True, slots=True)
class Decision:
    """What is to be done, and what is true from here on.

    `start_attempt`: create config map and job of this attempt, before the status tells of it; they may
    exist. All that is deleted goes after the status is written: evidence first. `again_seconds`: when
    to look again at the latest. `suspend_run`: set the run's own suspend, as its spec asks for.
    """

    reason: str
    status: RunStatus
    start_attempt: int | None = None
    delete_jobs: tuple[str, ...] = ()
    delete_pods: tuple[PodRemoval, ...] = ()
    delete_run: bool = False
    suspend_run: bool = False
    notices: tuple[Notice, ...] = ()
    again_seconds: float | None = None

    @property
    def acts(self) -> bool:
        """Whether anything is to be done beside telling: a status that says why has to stand before it."""
        return bool(
            self.start_attempt
            or self.delete_jobs
            or self.delete_pods
            or self.delete_run
            or self.suspend_run
        )
