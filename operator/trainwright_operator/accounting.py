"""What runs hold and cost, for the metrics; pure."""

from dataclasses import dataclass
from typing import Any

from trainwright_api.names import Phase
from trainwright_api.quantities import parse_quantity

NO_ACCELERATOR = "None"


@dataclass(frozen=True, slots=True)
class Holding:
    """One run: its phase, the accelerators it holds, and their price with all else (USD per hour)."""

    kind: str
    namespace: str
    phase: str
    accelerators: int = 0
    price: float = 0.0


def measure_run(raw: dict[str, Any], prices: dict[str, float]) -> Holding:
    """Return what a run holds; nothing unless it has pods."""
    meta, workers = raw["metadata"], raw.get("spec", {}).get("workers", {})
    phase = raw.get("status", {}).get("phase", Phase.PENDING.value)
    if phase not in (Phase.STARTING, Phase.RUNNING):
        return Holding(raw["kind"], meta["namespace"], phase)
    nodes = workers.get("nodes", 1)
    amounts = {
        name: parse_quantity(amount) for name, amount in workers.get("resources", {}).items()
    }
    accelerator = workers.get("accelerator", "nvidia.com/gpu")
    held = 0
    if accelerator != NO_ACCELERATOR:
        amounts[accelerator] = workers.get("acceleratorsPerNode", 1)
        held = nodes * workers.get("acceleratorsPerNode", 1)
    price = nodes * sum(amount * prices.get(name, 0.0) for name, amount in amounts.items())
    return Holding(raw["kind"], meta["namespace"], phase, held, price)
