"""For each recording rule, series and the value that it makes of them, worked out by hand."""

from dataclasses import dataclass

from trainwright_dashboards.rules import (
    COST_PER_HOUR,
    DEVICES,
    GOODPUT,
    UTILIZATION,
    WASTED_ACCELERATORS,
)

from tests.monitoring.alert_cases import RUN, Series


@dataclass(frozen=True)
class RecordedCase:
    """One recorded series; `samples` are its values by labels, `at` so many seconds."""

    expression: str
    series: Series
    samples: dict[str, float]
    at: int = 1200
    interval: int = 60
    """Seconds between two values of a series."""
    evaluated: int = 60
    """Seconds between two evaluations of the rules."""


def of_pod(metric: str, pod: int, more: str = "") -> str:
    """A series of one of the pods of a run."""
    return f'{metric}{{{RUN},pod="a-1-worker-{pod}"{more}}}'


def recorded(name: str, labels: str = RUN) -> str:
    """The recorded series with its labels, as promtool writes it."""
    return f"{name}{{{labels}}}"


def device(pod: int, gpu: int, values: str = "1x30", mig: str = "disabled") -> Series:
    """A device that a pod holds."""
    return {of_pod("trainwright_gpu_info", pod, f',gpu="{gpu}",mig="{mig}"'): values}


GPUS = {
    **device(0, 0),
    **device(0, 1),
    of_pod("trainwright_gpu_utilization_ratio", 0, ',gpu="0"'): "0.75x30",
    of_pod("trainwright_gpu_utilization_ratio", 0, ',gpu="1"'): "0.25x30",
}
CPUS = {
    of_pod("trainwright_cpu_utilization_ratio", 0): "0.125x30",
    of_pod("trainwright_cpu_utilization_ratio", 1): "0.375x30",
}
MIG = {**device(0, 0, mig="enabled"), **device(0, 1, mig="enabled"), **device(1, 0, mig="enabled")}
# The driver has not answered for a minute: no sample of the devices is shown any more.
SILENT = {
    of_pod("trainwright_gpu_utilization_ratio", 0, ',gpu="0"'): "0.75x18 stale",
    **device(0, 0, "1x18 stale"),
    **device(0, 1, "1x18 stale"),
}
TEAMS = 'run_namespace="team",team='


def steps(pod: int, total: str, checkpoint: str = "") -> Series:
    """The seconds that a pod has spent in steps, and in checkpoints' stalls among these."""
    parts = {"total": total} | ({"checkpoint": checkpoint} if checkpoint else {})
    name = "trainwright_step_seconds_sum"
    return {of_pod(name, pod, f',part="{part}"'): values for part, values in parts.items()}


def started(pod: int, values: str) -> Series:
    """When a pod's trainer started."""
    return {of_pod("trainwright_start_timestamp_seconds", pod): values}


PODS = {**started(0, "0x30"), **started(1, "0x30")}


def goodput(series: Series, expected: float, at: int) -> RecordedCase:
    """A case as in life: scraped every 15 s, and evaluated at times of its own."""
    return RecordedCase(
        GOODPUT, series, {recorded(GOODPUT): expected}, at=at, interval=15, evaluated=7
    )


GOODPUTS = (
    RecordedCase(  # of 60 s, one pod steps 45 and stands still 15 of them, the other steps 30
        GOODPUT,
        {
            **started(0, "0x30"),
            **started(1, "0x30"),
            **steps(0, "0+45x30", "0+15x30"),
            **steps(1, "0+30x30"),
        },
        {recorded(GOODPUT): 0.5},
    ),
    # 13.5 s of 15 in steps: neither the window's ends nor the time of evaluation add to it
    goodput({**started(0, "0x200"), **steps(0, "0+13.5x200")}, 0.9, at=1200),
    # four minutes old, of which it took one to start
    goodput({**started(0, "_x40 600x100"), **steps(0, "_x44 0+15x100")}, 0.75, at=840),
    # a minute old: what it had done at its first sample counts
    goodput({**started(0, "_x40 600x100"), **steps(0, "_x41 13.5+13.5x100")}, 0.9, at=660),
    # the container began anew in the same pod: what it had done before is not taken off
    goodput({**started(0, "0x39 600x100"), **steps(0, "0+15x39 0+13.5x100")}, 0.9, at=750),
    # has not done a step yet
    goodput(started(0, "0x100"), 0, at=600),
    # one goes on, the other has ended and counts neither as useful nor as lost
    goodput(
        {
            **started(0, "0x200"),
            **started(1, "0x70 stale"),
            **steps(0, "0+7.5x200"),
            **steps(1, "0+15x70 stale"),
        },
        0.5,
        at=1200,
    ),
)

RECORDED = (
    *GOODPUTS,
    RecordedCase(
        UTILIZATION,
        {**GPUS, of_pod("trainwright_cpu_utilization_ratio", 0): "0.125x30"},
        {recorded(UTILIZATION): 0.5},
    ),
    RecordedCase(  # the second device's pod has ended a minute ago
        UTILIZATION,
        {
            of_pod("trainwright_gpu_utilization_ratio", 0): "0.75x30",
            of_pod("trainwright_gpu_utilization_ratio", 1): "0.25x18 stale",
        },
        {recorded(UTILIZATION): 0.75},
    ),
    RecordedCase(  # without GPUs, the pods' CPUs
        UTILIZATION, CPUS, {recorded(UTILIZATION): 0.25}
    ),
    RecordedCase(UTILIZATION, {**CPUS, **MIG}, {}),
    RecordedCase(UTILIZATION, {**CPUS, **SILENT}, {}),
    RecordedCase(DEVICES, {**GPUS, **started(0, "0x30")}, {recorded(DEVICES): 2.0}),
    RecordedCase(  # without GPUs, the pods
        DEVICES, PODS, {recorded(DEVICES): 2.0}
    ),
    RecordedCase(DEVICES, {**PODS, **MIG}, {recorded(DEVICES): 3.0}),
    RecordedCase(  # two devices that do not answer, and one of a pod that is gone
        DEVICES,
        {**started(0, "0x30"), **started(1, "0x18 stale"), **SILENT, **device(1, 0, "1x18 stale")},
        {recorded(DEVICES): 2.0},
    ),
    RecordedCase(  # deleted and made anew under its name: the same pods, other devices
        DEVICES,
        {**started(0, "0x30"), **device(0, 0, "1x10 stale"), **device(0, 5, "_x15 1x15")},
        {recorded(DEVICES): 1.0},
    ),
    RecordedCase(WASTED_ACCELERATORS, {**PODS, **CPUS, **MIG}, {}),
    RecordedCase(WASTED_ACCELERATORS, {**PODS, **CPUS, **SILENT}, {}),
    RecordedCase(WASTED_ACCELERATORS, GPUS, {recorded(WASTED_ACCELERATORS): 1.0}),
    RecordedCase(
        COST_PER_HOUR,
        {
            f'trainwright_operator_run_cost_usd_per_hour{{instance="1",{TEAMS}"red"}}': "4x30",
            f'trainwright_operator_run_cost_usd_per_hour{{instance="1",{TEAMS}"blue"}}': "0.5x30",
        },
        {
            recorded(COST_PER_HOUR, f'{TEAMS}"red"'): 4.0,
            recorded(COST_PER_HOUR, f'{TEAMS}"blue"'): 0.5,
        },
    ),
)
