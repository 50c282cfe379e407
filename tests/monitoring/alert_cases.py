"""For each alert, series that must make it fire and series that must not.

`values` are promtool's: `1x60` is 1 then sixty more times the same, `0+1x60` counts up, one per
minute; `_` is no sample.
"""

from dataclasses import dataclass

Series = dict[str, str]


@dataclass(frozen=True)
class AlertCase:
    """One alert; `at` is the minute at which both sets of series are looked at."""

    alert: str
    at: int
    firing: Series
    quiet: Series


RUN = 'namespace="team",run="a"'
GPU = f'{RUN},node="n1",pod="a-1-worker-0",gpu="3",uuid="GPU-3",rank="3"'


def ended(cause: str) -> str:
    """The series of attempts that ended for a cause."""
    labels = f'run_namespace="team",outcome="Failed",cause="{cause}"'
    return f"trainwright_operator_attempts_total{{{labels}}}"


CASES = (
    AlertCase(
        "TrainwrightOperatorDown",
        10,
        {"other_series": "1x20"},
        {'trainwright_operator_build_info{version="1"}': "1x20"},
    ),
    AlertCase(
        "TrainwrightOperatorLagging",
        20,
        {
            "trainwright_operator_queue_age_seconds": "90x30",
            "trainwright_operator_sweep_age_seconds": "5x30",
        },
        {
            "trainwright_operator_queue_age_seconds": "2x30",
            "trainwright_operator_sweep_age_seconds": "5x30",
        },
    ),
    AlertCase(
        "TrainwrightRunStalled",
        20,
        {
            f'trainwright_heartbeat_age_seconds{{{RUN},rank="0"}}': "5x20",
            f'trainwright_heartbeat_age_seconds{{{RUN},rank="1"}}': "0+60x20",
        },
        {f'trainwright_heartbeat_age_seconds{{{RUN},rank="1"}}': "5x20"},
    ),
    AlertCase(
        "TrainwrightLossNotFinite",
        5,
        {ended("NumericalFailure"): "_x2 1x10"},
        {ended("Infrastructure"): "_x2 1x10", ended("UserError"): "0+1x10"},
    ),
    AlertCase(
        "TrainwrightRestartLoop",
        60,
        {
            f'trainwright_run_info{{{RUN},attempt="{number}"}}': f"_x{8 * number - 8} 1x5"
            for number in range(1, 8)
        },
        {  # six runs that fail once each, and one that has had many attempts on other days
            f'trainwright_run_info{{namespace="team",run="{run}",attempt="{number}"}}': f"_x{30 * number} 1x28"
            for run, numbers in {**dict.fromkeys("bcdefg", (0, 1)), "h": (0, 1)}.items()
            for number in numbers
        },
    ),
    AlertCase(
        "TrainwrightCheckpointTooOld",
        120,
        {f"trainwright_checkpoint_timestamp_seconds{{{RUN}}}": "60x120"},
        {f"trainwright_checkpoint_timestamp_seconds{{{RUN}}}": "0+60x120"},
    ),
    AlertCase(
        "TrainwrightCheckpointStoreFailing",
        20,
        {f"trainwright_checkpoint_failures_total{{{RUN}}}": "0x10 1x10"},
        {f"trainwright_checkpoint_failures_total{{{RUN}}}": "3x20"},
    ),
    AlertCase(
        "TrainwrightUnderutilized",
        50,
        {f"trainwright_gpu_utilization_ratio{{{GPU}}}": "0.1x60"},
        {f"trainwright_gpu_utilization_ratio{{{GPU}}}": "0.9x60"},
    ),
    AlertCase(
        "TrainwrightQuotaStuck",
        90,
        {
            'trainwright_operator_runs{kind="TrainingRun",run_namespace="team",phase="Pending"}': "2x100"
        },
        {
            'trainwright_operator_runs{kind="TrainingRun",run_namespace="team",phase="Pending"}': "2x20 0x80",
            'trainwright_operator_runs{kind="TrainingRun",run_namespace="team",phase="Running"}': "2x100",
        },
    ),
    AlertCase(
        "TrainwrightGPUXid",
        20,
        {f'trainwright_gpu_xid_events_total{{{GPU},xid="79"}}': "0x10 1x10"},
        {f'trainwright_gpu_xid_events_total{{{GPU},xid="79"}}': "1x20"},
    ),
    AlertCase(
        "TrainwrightGPUXid",  # a code's series begins with its first event
        20,
        {f'trainwright_gpu_xid_events_total{{{GPU},xid="31"}}': "_x10 1x10"},
        {f'trainwright_gpu_xid_events_total{{{GPU},xid="31"}}': "_x2 1x20"},
    ),
    AlertCase(
        "TrainwrightGPUMemoryErrors",
        20,
        {f'trainwright_gpu_ecc_errors_total{{{GPU},type="uncorrected"}}': "0x10 2x10"},
        {f'trainwright_gpu_ecc_errors_total{{{GPU},type="corrected"}}': "0+5x20"},
    ),
    AlertCase(
        "TrainwrightGPUThrottled",
        20,
        {f'trainwright_gpu_throttled{{{GPU},reason="hw_thermal_slowdown"}}': "0x5 1x20"},
        {
            f'trainwright_gpu_throttled{{{GPU},reason="sw_power_cap"}}': "1x30",
            f'trainwright_gpu_throttled{{{GPU},reason="hw_thermal_slowdown"}}': "0 1 0 0 0 1 0 0 0 1 0 0 1 0 0 1 0 0 0 1 0",
        },
    ),
)
