"""The short texts that `kubectl get` and the CLI show of a progress, of the hardware and of the cost.

A printer column shows a value as it stands, so numbers that people read are rounded here, once.
Called by the operator before it writes a status, and by the CLI for local runs.
"""

from trainwright_api.quantities import format_duration
from trainwright_api.status import Cost, Hardware, Progress


def printable_progress(progress: Progress) -> Progress:
    """Return the progress with its texts filled in."""
    rate, mfu, eta = progress.tokens_per_second, progress.mfu, progress.eta_seconds
    return progress.model_copy(
        update={
            "step_text": _format_steps(progress),
            "loss_text": None if progress.loss is None else f"{progress.loss:.4f}",
            "tokens_per_second_text": None if rate is None else f"{rate:.0f}",
            "mfu_text": None if mfu is None else f"{mfu:.1%}",
            "eta_text": None if eta is None else format_duration(eta),
        }
    )


def _format_steps(progress: Progress) -> str:
    """Return `120/400`, or `120` as long as the total is not known."""
    return f"{progress.step}/{progress.total_steps}" if progress.total_steps else f"{progress.step}"


def printable_hardware(hardware: Hardware) -> Hardware:
    """Return the hardware with its one-line summary: devices, use, memory, power, worst rank."""
    parts = [f"{hardware.accelerators}x {hardware.device}"]
    if hardware.utilization_percent is not None:
        parts.append(f"{hardware.utilization_percent:.0f}%")
    if hardware.memory_used_gib is not None:
        total = "" if hardware.memory_total_gib is None else f"/{hardware.memory_total_gib:.0f}"
        parts.append(f"{hardware.memory_used_gib:.1f}{total}GiB")
    if hardware.power_watts is not None:
        parts.append(f"{hardware.power_watts:.0f}W")
    if hardware.worst_rank is not None and hardware.worst_utilization_percent is not None:
        parts.append(f"worst rank {hardware.worst_rank} {hardware.worst_utilization_percent:.0f}%")
    return hardware.model_copy(update={"summary": " ".join(parts)})


def printable_cost(cost: Cost) -> Cost:
    """Return the cost with its one-line summary: so far, projected, per hour; without prices, the time."""
    held = format_duration(cost.held_seconds)
    if cost.so_far_usd is None:
        hours = (
            f"{cost.accelerator_hours:.2f} accelerator hours, " if cost.accelerator_hours else ""
        )
        return cost.model_copy(update={"summary": f"{hours}{held} held; no price set"})
    text = f"${cost.so_far_usd:.2f}"
    if cost.projected_usd is not None:
        text += f" of ${cost.projected_usd:.2f}"
    return cost.model_copy(update={"summary": f"{text} (${cost.usd_per_hour:.2f}/h, {held} held)"})
