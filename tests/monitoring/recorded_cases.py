"""For each recording rule, series and the value that it makes of them, worked out by hand."""

from dataclasses import dataclass

from trainwright_dashboards.rules import COST_PER_HOUR, GOODPUT, UTILIZATION, WASTED_ACCELERATORS

from tests.monitoring.alert_cases import RUN, Series


@dataclass(frozen=True)
class RecordedCase:
    """One recorded series; `samples` are its values by labels at minute `at`."""

    expression: str
    series: Series
    samples: dict[str, float]
    at: int = 20


def of_pod(metric: str, pod: int, more: str = "") -> str:
    """A series of one of the pods of a run."""
    return f'{metric}{{{RUN},pod="a-1-worker-{pod}"{more}}}'


def recorded(name: str, labels: str = RUN) -> str:
    """The recorded series with its labels, as promtool writes it."""
    return f"{name}{{{labels}}}"


GPUS = {
    of_pod("trainwright_gpu_utilization_ratio", 0, ',gpu="0"'): "0.75x30",
    of_pod("trainwright_gpu_utilization_ratio", 0, ',gpu="1"'): "0.25x30",
}
TEAMS = 'run_namespace="team",team='

RECORDED = (
    RecordedCase(  # of 60 s, one pod steps 45 and stands still 15 of them, the other steps 30
        GOODPUT,
        {
            of_pod("trainwright_step", 0): "0+1x30",
            of_pod("trainwright_step", 1): "0+1x30",
            of_pod("trainwright_step_seconds_sum", 0, ',part="total"'): "0+45x30",
            of_pod("trainwright_step_seconds_sum", 0, ',part="checkpoint"'): "0+15x30",
            of_pod("trainwright_step_seconds_sum", 1, ',part="total"'): "0+30x30",
        },
        {recorded(GOODPUT): 0.5},
    ),
    RecordedCase(  # a pod that is two minutes old is judged by these
        GOODPUT,
        {
            of_pod("trainwright_step", 0): "_x18 0+1x30",
            of_pod("trainwright_step_seconds_sum", 0, ',part="total"'): "_x18 0+45x30",
            of_pod("trainwright_step_seconds_sum", 0, ',part="checkpoint"'): "_x18 0+15x30",
        },
        {recorded(GOODPUT): 0.5},
    ),
    RecordedCase(
        UTILIZATION,
        {**GPUS, of_pod("trainwright_cpu_utilization_ratio", 0): "0.125x30"},
        {recorded(UTILIZATION): 0.5},
    ),
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
