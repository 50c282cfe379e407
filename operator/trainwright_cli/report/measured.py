"""Plan against measured, hardware and environment of one run, as rows of tables. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from trainwright_api.resources import Resource
from trainwright_api.status import Attempt, Plan, Progress, RunStatus

from trainwright_cli.runs import parse_time
from trainwright_cli.tables import NOTHING, format_number

TERA = 1e12


@dataclass(frozen=True, slots=True)
class Software:
    """What the newest checkpoint's manifest says of the software; empty where it cannot be read."""

    versions: Mapping[str, str]
    price_per_device_hour: float | None = None
    """USD; without it, the cost is that of the operator's price table, if it has one."""


def build_plan_rows(
    status: RunStatus, software: Software, now: datetime
) -> list[tuple[str, str, str]]:
    """Return what was planned against what was measured: label, planned, measured."""
    plan, progress = status.plan, status.progress or Progress()
    if plan is None:
        return []
    used = status.hardware.memory_used_gib if status.hardware else None
    hours = _held_hours(status, plan.num_devices, now)
    left = (
        (progress.eta_seconds or 0.0) / 3600 * plan.num_devices
        if not status.phase.has_ended
        else 0.0
    )
    return [
        ("Memory per device", f"{plan.memory_gib:.2f} GiB", f"{format_number(used, '.2f')} GiB" if used else NOTHING),
        ("Steps", _count(plan.total_steps), f"{progress.step:,}"),
        ("Input tokens", _count(plan.total_tokens), f"{progress.tokens:,}"),
        ("Throughput", f"{plan.flops_per_token / 1e9:.3g} GFLOP per token", _throughput(plan, progress)),
        ("Device-hours", f"{hours + left:.2f} (projected)", f"{hours:.2f}"),
        *_cost_rows(status, hours, hours + left, software),
    ]  # fmt: skip


def _held_hours(status: RunStatus, num_devices: int, now: datetime) -> float:
    """By the operator's account, which knows attempts that the status' list has dropped; else by that list."""
    if status.cost is not None:
        return status.cost.held_seconds / 3600 * num_devices
    return device_hours(status.attempts, num_devices, now)


def device_hours(attempts: Sequence[Attempt], num_devices: int, now: datetime) -> float:
    """Return the hours of all attempts, times devices; an attempt that runs counts until `now`."""
    spans = [
        (parse_time(attempt.started_at), parse_time(attempt.ended_at) or now)
        for attempt in attempts
    ]
    seconds = sum(
        max((end - start).total_seconds(), 0) for start, end in spans if start is not None
    )
    return seconds / 3600 * num_devices


def build_hardware_rows(status: RunStatus) -> list[tuple[str, str]]:
    """Return what is known of the devices; nothing before the first report."""
    hardware = status.hardware
    if hardware is None:
        return []
    rows = [
        ("Devices", f"{hardware.accelerators} x {hardware.device}"),
        ("Utilisation, mean", _unit(hardware.utilization_percent, ".0f", "%")),
        ("Memory, largest use", _unit(hardware.memory_used_gib, ".2f", "GiB")),
        ("Memory per device", _unit(hardware.memory_total_gib, ".1f", "GiB")),
        ("Power, all devices", _unit(hardware.power_watts, ".0f", "W")),
        ("Temperature, hottest", _unit(hardware.temperature_celsius, ".0f", "\N{DEGREE SIGN}C")),
        ("Rank with the lowest use", _unit(hardware.worst_rank, "d", "")),
    ]
    return [(label, value) for label, value in rows if value]


def build_environment_rows(resource: Resource, software: Software) -> list[tuple[str, str]]:
    """Return image, layout, precision, store, and versions of the software that trained."""
    spec: Any = resource.spec
    workers = spec.workers
    rows = [
        ("Image", workers.image or "the operator's default"),
        ("Nodes", str(workers.nodes)),
        ("Accelerator", str(workers.accelerator)),
        ("Precision", str(spec.precision)),
        ("Seed", str(spec.seed)),
        ("Store", spec.checkpoints.store.uri),
    ]
    return [*rows, *sorted(software.versions.items())]


def _cost_rows(
    status: RunStatus, hours: float, projected_hours: float, software: Software
) -> list[tuple[str, str, str]]:
    """By the price that was given, else by the operator's price table."""
    price, cost = software.price_per_device_hour, status.cost
    if price is not None:
        return [_cost_row(hours * price, projected_hours * price)]
    if cost is None or cost.so_far_usd is None:
        return []
    return [_cost_row(cost.so_far_usd, cost.projected_usd)]


def _cost_row(so_far: float, projected: float | None) -> tuple[str, str, str]:
    planned = NOTHING if projected is None else f"{projected:,.2f} USD (projected)"
    return "Cost", planned, f"{so_far:,.2f} USD"


def _throughput(plan: Plan, progress: Progress) -> str:
    rate = progress.tokens_per_second
    if rate is None:
        return NOTHING
    work = rate * plan.flops_per_token / TERA
    mfu = f", MFU {progress.mfu:.1%}" if progress.mfu is not None else ""
    return f"{rate:,.0f} tokens/s = {work:.3g} TFLOP/s by the plan{mfu}"


def _count(value: int | None) -> str:
    return NOTHING if value is None else f"{value:,}"


def _unit(value: float | None, form: str, unit: str) -> str:
    return "" if value is None else f"{format(value, form)} {unit}".strip()
