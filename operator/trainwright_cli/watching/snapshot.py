"""What the screen knows at one moment: runs, and the details of the one that is open. Frozen values."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from trainwright_api.history import HistoryRow

from trainwright_cli.cluster import EventView
from trainwright_cli.runs import RunView


@dataclass(frozen=True, slots=True)
class RankFigures:
    """What the device of one rank does; None where its driver does not tell."""

    rank: int
    device: str
    utilization: float | None = None
    """0 to 1."""
    memory_used_bytes: float | None = None
    memory_total_bytes: float | None = None
    power_watts: float | None = None
    temperature_celsius: float | None = None


@dataclass(frozen=True, slots=True)
class Detail:
    """What only the screen of one run shows; `log_title` names the pod, or says why there is no log."""

    key: str
    history: tuple[HistoryRow, ...] = ()
    ranks: tuple[RankFigures, ...] = ()
    events: tuple[EventView, ...] = ()
    log: tuple[str, ...] = ()
    log_title: str = ""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One answer of the cluster; `problem` is set while it gives none, and the rest is the last one."""

    taken_at: datetime
    views: tuple[RunView, ...] = ()
    detail: Detail | None = None
    problem: str = ""
    losses: Mapping[str, tuple[tuple[int, float], ...]] = field(default_factory=dict)
    """(step, loss) of each run as the polls have seen them, oldest first."""

    @property
    def has_namespaces(self) -> bool:
        """Whether runs of several namespaces are shown: their titles alone do not tell them apart."""
        return len({view.namespace for view in self.views}) > 1

    def title_of(self, view: RunView) -> str:
        """Return the run's title, with its namespace where there are several."""
        return f"{view.namespace}/{view.title}" if self.has_namespaces else view.title
