"""What runs hold and cost: for the metrics, and for each run's status; pure.

A run's cost so far is the time in which it held pods, summed over all attempts, at the prices of
today. The time is kept in the status and grows from one decision to the next, so neither a restart of
the operator nor an attempt that drops out of the status' list loses any of it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from trainwright_api import names
from trainwright_api.names import Condition, Phase
from trainwright_api.printable import printable_cost
from trainwright_api.quantities import parse_quantity
from trainwright_api.status import Cost, RunStatus
from trainwright_api.workers import Workers

from trainwright_operator.facts import format_time
from trainwright_operator.untrusted import parse_time

NO_ACCELERATOR = "None"
HOLDING_PHASES = (Phase.STARTING, Phase.RUNNING)
SECONDS_PER_HOUR = 3600
QUIET_SECONDS = 60  # time alone is a reason to write a status this often, not more


@dataclass(frozen=True, slots=True)
class Underuse:
    """Why a run's devices idle, as the reason of its condition, and how much they are used (0 to 1)."""

    reason: str
    utilization: float


@dataclass(frozen=True, slots=True)
class Waiting:
    """What a run waits for, as the reason of its phase, and for how long it has."""

    reason: str
    seconds: float


@dataclass(frozen=True, slots=True)
class Holding:
    """One run: its phase, the accelerators it holds, and their price with all else (USD per hour)."""

    kind: str
    namespace: str
    name: str
    team: str
    phase: str
    accelerators: int = 0
    price: float = 0.0
    waiting: Waiting | None = None
    underuse: Underuse | None = None


def measure_run(raw: dict[str, Any], prices: Mapping[str, float], now: datetime) -> Holding:
    """Return what a run holds, which is nothing unless it has pods, or what it waits for."""
    meta, status = raw["metadata"], raw.get("status", {})
    phase = status.get("phase", Phase.PENDING.value)
    team = meta.get("labels", {}).get(names.LABEL_TEAM, "")
    holding = Holding(raw["kind"], meta["namespace"], meta["name"], team, phase)
    if phase == Phase.PENDING:
        return replace(holding, waiting=_measure_wait(meta, status, now))
    if phase not in HOLDING_PHASES:
        return holding
    accelerators, price = _measure_workers(raw.get("spec", {}).get("workers", {}), prices)
    underuse = _find_underuse(status) if phase == Phase.RUNNING else None
    return replace(holding, accelerators=accelerators, price=price, underuse=underuse)


def _find_underuse(status: dict[str, Any]) -> Underuse | None:
    percent = status.get("hardware", {}).get("utilizationPercent")
    for condition in status.get("conditions", ()):
        is_under = condition["type"] == Condition.UNDERUTILIZED and condition["status"] == "True"
        if is_under and percent is not None:
            return Underuse(condition["reason"], percent / 100)
    return None


def _measure_wait(meta: dict[str, Any], status: dict[str, Any], now: datetime) -> Waiting:
    """A run waits since it was made, last ran, or was resumed."""
    changes = [
        condition.get("lastTransitionTime")
        for condition in status.get("conditions", ())
        if condition["type"] in (Condition.RUNNING, Condition.SUSPENDED)
    ]
    times = [parse_time(text) for text in (meta.get("creationTimestamp"), *changes)]
    since = max((at for at in times if at), default=now)
    return Waiting(status.get("reason", ""), max(0.0, (now - since).total_seconds()))


def _measure_workers(workers: dict[str, Any], prices: Mapping[str, float]) -> tuple[int, float]:
    """Return the accelerators of all pods and the price of all that they ask for (USD per hour)."""
    nodes = workers.get("nodes", 1)
    amounts = {
        name: parse_quantity(amount) for name, amount in workers.get("resources", {}).items()
    }
    accelerator = workers.get("accelerator", "nvidia.com/gpu")
    held = 0
    if accelerator != NO_ACCELERATOR:
        amounts[accelerator] = workers.get("acceleratorsPerNode", 1)
        held = nodes * workers.get("acceleratorsPerNode", 1)
    return held, nodes * sum(amount * prices.get(name, 0.0) for name, amount in amounts.items())


def count_cost(
    old: RunStatus, new: RunStatus, workers: Workers, prices: Mapping[str, float], now: datetime
) -> Cost | None:
    """Return the cost of a run whose status goes from old to new; None before its first attempt.

    What happened while nobody looked counts to the phase that the run was last seen in. While no pods
    are held, nothing changes; while nothing else does, it is counted once a minute.
    """
    was_holding, is_holding = old.phase in HOLDING_PHASES, new.phase in HOLDING_PHASES
    if not was_holding and not is_holding:
        return old.cost
    known = old.cost or Cost()
    now = parse_time(format_time(now)) or now  # the status holds whole seconds
    since = parse_time(known.counted_until) or parse_time(old.started_at) or now
    passed = max(0, round((now - since).total_seconds())) if was_holding else 0
    has_news = old.phase != new.phase or old.progress != new.progress
    if not has_news and passed < QUIET_SECONDS and old.cost is not None:
        return old.cost
    held = known.held_seconds + passed
    accelerators, price = _measure_workers(workers.to_manifest(), prices)
    hours = held / SECONDS_PER_HOUR
    cost = Cost(
        held_seconds=held,
        accelerator_hours=round(accelerators * hours, 3),
        usd_per_hour=round(price, 4) if prices else None,
        so_far_usd=round(price * hours, 4) if prices else None,
        projected_usd=round(price * _total_hours(hours, new), 4) if prices else None,
        counted_until=format_time(now),
    )
    return printable_cost(cost)


def _total_hours(hours: float, status: RunStatus) -> float:
    """Return for how long the run will have held its pods at its end, as far as that can be told."""
    left = status.progress.eta_seconds if status.progress else None
    return hours + (left or 0.0) / SECONDS_PER_HOUR if status.phase is Phase.RUNNING else hours
