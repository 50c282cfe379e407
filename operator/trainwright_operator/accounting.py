"""What runs hold and cost: for the metrics, and for each run's status; pure.

A run's cost so far is the time in which it held pods, summed over all attempts, at the prices of
today. The time is kept in the status and grows from one decision to the next, so neither a restart of
the operator nor an attempt that drops out of the status' list loses any of it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
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
PRICED_BY_GIB = ("memory", "ephemeral-storage")  # as clouds' price lists have them; others by unit
GIB = 2**30
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
    """One run: its phase, the accelerators it holds, and their price with all else (USD per hour).

    `is_silent`: its trainer should answer and does not.
    """

    kind: str
    namespace: str
    name: str
    team: str
    phase: str
    accelerators: int = 0
    price: float = 0.0
    waiting: Waiting | None = None
    underuse: Underuse | None = None
    is_silent: bool = False


def measure_run(raw: dict[str, Any], prices: Mapping[str, float], now: datetime) -> Holding:
    """Return what a run holds, which is nothing unless it has pods, and what it waits for."""
    meta, status = raw["metadata"], raw.get("status", {})
    phase = status.get("phase", Phase.PENDING.value)
    team = meta.get("labels", {}).get(names.LABEL_TEAM, "")
    holding = Holding(raw["kind"], meta["namespace"], meta["name"], team, phase)
    if phase == Phase.PENDING:
        holding = replace(holding, waiting=_measure_wait(meta, status, now))
    workers = raw.get("spec", {}).get("workers", {})
    nodes = workers.get("nodes", 1)
    share = _count_held(phase, nodes, status.get("cost", {}).get("heldPods") or 0) / nodes
    if not share:
        return holding
    accelerators, price = _measure_workers(workers, prices)
    return replace(
        holding,
        accelerators=round(accelerators * share),
        price=(price or 0.0) * share,
        underuse=_find_underuse(status) if phase == Phase.RUNNING else None,
    )


def _count_held(phase: str, nodes: int, num_bound: int) -> int:
    """Return how many pods a run holds: all, or while something keeps some from starting, those with a node."""
    if phase in HOLDING_PHASES:
        return nodes
    return min(num_bound, nodes) if phase == Phase.PENDING else 0


def _find_underuse(status: dict[str, Any]) -> Underuse | None:
    percent = status.get("hardware", {}).get("utilizationPercent")
    for condition in status.get("conditions", ()):
        is_under = condition["type"] == Condition.UNDERUTILIZED and condition["status"] == "True"
        if is_under and percent is not None:
            return Underuse(condition["reason"], percent / 100)
    return None


def _measure_wait(meta: dict[str, Any], status: dict[str, Any], now: datetime) -> Waiting:
    """A run waits since it was made, accepted (which it is once no other run is waited for), last ran, or
    was resumed."""
    changes = [
        condition.get("lastTransitionTime")
        for condition in status.get("conditions", ())
        if condition["type"] in (Condition.ACCEPTED, Condition.RUNNING, Condition.SUSPENDED)
    ]
    times = [parse_time(text) for text in (meta.get("creationTimestamp"), *changes)]
    since = max((at for at in times if at), default=now)
    return Waiting(status.get("reason", ""), max(0.0, (now - since).total_seconds()))


def _measure_workers(
    workers: dict[str, Any], prices: Mapping[str, float]
) -> tuple[int, float | None]:
    """Return the accelerators of all pods and the price of all that they ask for (USD per hour).

    There is no price without one for the accelerator: the rest alone would look like the whole.
    """
    nodes = workers.get("nodes", 1)
    amounts = {
        name: parse_quantity(amount) for name, amount in workers.get("resources", {}).items()
    }
    accelerator, per_node = workers.get("accelerator", "nvidia.com/gpu"), 0
    if accelerator != NO_ACCELERATOR:
        per_node = workers.get("acceleratorsPerNode", 1)
        amounts[accelerator] = per_node
    if not prices or (per_node and accelerator not in prices):
        return nodes * per_node, None
    price = sum(
        prices.get(name, 0.0) * amount / (GIB if name in PRICED_BY_GIB else 1)
        for name, amount in amounts.items()
    )
    return nodes * per_node, nodes * price


def count_cost(
    old: RunStatus,
    new: RunStatus,
    workers: Workers,
    prices: Mapping[str, float],
    now: datetime,
    *,
    num_bound: int = 0,
) -> Cost | None:
    """Return the cost of a run whose status goes from old to new; None before its first attempt.

    `num_bound` pods of its attempt have a node. What happened while nobody looked counts to the phase
    that the run was last seen in. While no pods are held, nothing changes; while nothing else does, it
    is counted once a minute.
    """
    nodes, known = workers.nodes, old.cost or Cost()
    was_held = _count_held(old.phase, nodes, known.held_pods or 0)
    held = _count_held(new.phase, nodes, num_bound)
    if not was_held and not held:
        return _settle(old.cost) if new.phase.has_ended else old.cost
    now = parse_time(format_time(now)) or now  # the status holds whole seconds
    since = parse_time(known.counted_until) or parse_time(old.started_at) or now
    passed = max(0, round((now - since).total_seconds())) if was_held else 0
    held_pods = held or None if new.phase is Phase.PENDING else None
    has_news = (
        old.phase != new.phase or old.progress != new.progress or held_pods != known.held_pods
    )
    if not has_news and passed < QUIET_SECONDS and old.cost is not None:
        return old.cost
    counted = passed * was_held // nodes
    # What is less than a second of all pods is counted the next time.
    rest = passed - counted * nodes // was_held if was_held else 0
    held_seconds = known.held_seconds + counted
    accelerators, price = _measure_workers(workers.to_manifest(), prices)
    hours = held_seconds / SECONDS_PER_HOUR
    cost = known.model_copy(
        update={
            "held_seconds": held_seconds,
            "held_pods": held_pods,
            "accelerator_hours": round(accelerators * hours, 3),
            "usd_per_hour": None if price is None else round(price, 4),
            "so_far_usd": None if price is None else round(price * hours, 4),
            "counted_until": format_time(now - timedelta(seconds=rest)),
        }
    )
    return printable_cost(cost.model_copy(update={"projected_usd": _project(known, cost, new)}))


def _settle(cost: Cost | None) -> Cost | None:
    """Return the cost of a run that ended while it held nothing: no more will come."""
    if cost is None or cost.projected_usd == cost.so_far_usd:
        return cost
    return printable_cost(cost.model_copy(update={"projected_usd": cost.so_far_usd}))


def _project(known: Cost, cost: Cost, status: RunStatus) -> float | None:
    """Return the cost at the end, as far as that can be told (unit: USD).

    An attempt that starts does not know yet how long the rest takes: what was known of it last holds on.
    """
    if cost.so_far_usd is None or cost.usd_per_hour is None or status.phase.has_ended:
        return cost.so_far_usd
    seconds = status.progress.eta_seconds if status.progress else None
    if status.phase is Phase.RUNNING and seconds is not None:
        return round(cost.so_far_usd + cost.usd_per_hour * seconds / SECONDS_PER_HOUR, 4)
    if known.projected_usd is None or known.so_far_usd is None:
        return None
    return round(cost.so_far_usd + known.projected_usd - known.so_far_usd, 4)
