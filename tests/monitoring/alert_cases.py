"""For each alert, series that must make it fire and series that must not.

`values` are promtool's: `1x60` is 1 then sixty more times the same, `0+1x60` counts up, one per
minute; `_` is no sample.
"""

from dataclasses import dataclass

from trainwright_api.names import WAITING_FOR_RUN

Series = dict[str, str]


@dataclass(frozen=True)
class AlertCase:
    """One alert; `at` is the minute at which both sets of series are looked at."""

    alert: str
    summary: str
    at: int
    firing: Series
    quiet: Series


RUN = 'namespace="team",run="a"'
GPU = f'{RUN},node="n1",pod="a-1-worker-0",gpu="3",uuid="GPU-3",rank="3"'


def ended(cause: str, run: str = "a", outcome: str = "Failed") -> str:
    """The series of a run's attempts that ended for a cause."""
    labels = f'run_namespace="team",run="{run}",outcome="{outcome}",cause="{cause}"'
    return f"trainwright_operator_attempts_total{{{labels}}}"


def waits(reason: str) -> str:
    """The series of the longest wait of a namespace's runs for a reason."""
    labels = f'run_namespace="team",reason="{reason}"'
    return f"trainwright_operator_longest_wait_seconds{{{labels}}}"


def saves(started: str, count: str, saved: str = "_x400") -> Series:
    """The series of a pod that saves: when it started, its newest checkpoint's time, how many it saved."""
    return {
        f"trainwright_start_timestamp_seconds{{{RUN}}}": started,
        f"trainwright_checkpoint_timestamp_seconds{{{RUN}}}": saved,
        f'trainwright_checkpoint_seconds_count{{{RUN},part="save"}}': count,
    }


CASES = (
    AlertCase(
        "TrainwrightOperatorDown",
        "No Trainwright operator reports.",
        10,
        {"other_series": "1x20"},
        {'trainwright_operator_build_info{version="1"}': "1x20"},
    ),
    AlertCase(
        "TrainwrightOperatorLagging",
        "The operator is 1m 30s behind.",
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
        "TrainwrightOperatorLagging",
        "The operator is 3m 0s behind.",
        20,
        {
            "trainwright_operator_queue_age_seconds": "2x30",
            "trainwright_operator_sweep_age_seconds": "180x30",
        },
        {
            "trainwright_operator_queue_age_seconds": "2x30",
            "trainwright_operator_sweep_age_seconds": "100x30",
        },
    ),
    AlertCase(
        "TrainwrightRunStalled",
        "Run team/a has finished no step for 20m 0s.",
        20,
        {
            f'trainwright_heartbeat_age_seconds{{{RUN},rank="0"}}': "5x20",
            f'trainwright_heartbeat_age_seconds{{{RUN},rank="1"}}': "0+60x20",
        },
        {f'trainwright_heartbeat_age_seconds{{{RUN},rank="1"}}': "5x20"},
    ),
    AlertCase(
        "TrainwrightLossNotFinite",
        "The loss of run team/a was not finite in 1 attempts within an hour.",
        5,
        {ended("NumericalFailure"): "_x2 1x10"},
        {ended("Infrastructure"): "_x2 1x10", ended("UserError"): "0+1x10"},
    ),
    AlertCase(
        "TrainwrightRestartLoop",
        "21 attempts of run team/a have failed within an hour.",
        60,
        {ended("Infrastructure"): "_x2 1+1x20 21x40"},
        {  # six runs that fail once each, one that failed on other days, one that was paused often
            **{ended("OutOfMemory", run): "_x20 1x50" for run in "bcdefg"},
            ended("Infrastructure", "h"): "30x70",
            ended("", "i", "Suspended"): "0+1x70",
        },
    ),
    AlertCase(  # it saved every minute, then no more
        "TrainwrightCheckpointTooOld",
        "Run team/a has trained 1h 59m 0s without a checkpoint.",
        180,
        saves(started="0x180", saved="_ 0+60x60 3660x119", count="0+1x61 61x119"),
        saves(started="0x180", saved="_ 0+60x200", count="0+1x200"),
    ),
    AlertCase(  # it has never saved; the other goes on from an old checkpoint
        "TrainwrightCheckpointTooOld",
        "Run team/a has trained 1h 40m 0s without a checkpoint.",
        100,
        saves(started="0x100", count="0x100"),
        saves(started="_x90 5400x30", saved="_x90 60x30", count="_x90 0x30"),
    ),
    AlertCase(  # it saves every two hours: late after four
        "TrainwrightCheckpointTooOld",
        "Run team/a has trained 4h 10m 0s without a checkpoint.",
        370,
        saves(started="0x400", saved="_x120 7200x280", count="0x119 1x280"),
        saves(started="0x400", saved="_x120 7200x120 14400x160", count="0x119 1x120 2x160"),
    ),
    AlertCase(
        "TrainwrightCheckpointStoreFailing",
        "Run team/a could not save 1 checkpoints in 15 minutes.",
        20,
        {f"trainwright_checkpoint_failures_total{{{RUN}}}": "_x8 0x2 1x10"},
        {f"trainwright_checkpoint_failures_total{{{RUN}}}": "3x20"},
    ),
    AlertCase(
        "TrainwrightUnderutilized",
        "Devices of run team/a are used 10% only: DataWait.",
        50,
        {
            'trainwright_operator_underutilized_run_ratio{run_namespace="team",run="a",reason="DataWait"}': "_x20 0.1x40"
        },
        {f"trainwright_gpu_utilization_ratio{{{GPU}}}": "0.1x60"},
    ),
    AlertCase(
        "TrainwrightQuotaStuck",
        "A run in namespace team has waited 1h 30m 0s to start: QuotaExceeded.",
        90,
        {waits("QuotaExceeded"): "0+60x100"},
        {
            waits("QuotaExceeded"): "0+60x50 0+60x50",
            waits("Unschedulable"): "600x100",
            waits(WAITING_FOR_RUN): "0+60x100",  # that run may well train for days
        },
    ),
    AlertCase(
        "TrainwrightGPUXid",
        "GPU 3 (GPU-3) on n1 reported Xid 79.",
        20,
        {f'trainwright_gpu_xid_events_total{{{GPU},xid="79"}}': "0x10 1x10"},
        {f'trainwright_gpu_xid_events_total{{{GPU},xid="79"}}': "1x20"},
    ),
    AlertCase(
        "TrainwrightGPUXid",  # a code's series begins with its first event
        "GPU 3 (GPU-3) on n1 reported Xid 31.",
        20,
        {f'trainwright_gpu_xid_events_total{{{GPU},xid="31"}}': "_x10 1x10"},
        {f'trainwright_gpu_xid_events_total{{{GPU},xid="31"}}': "_x2 1x20"},
    ),
    AlertCase(
        "TrainwrightGPUMemoryErrors",
        "GPU 3 (GPU-3) on n1 had 2 uncorrected memory errors.",
        20,
        {f'trainwright_gpu_ecc_errors_total{{{GPU},type="uncorrected"}}': "0x10 2x10"},
        {f'trainwright_gpu_ecc_errors_total{{{GPU},type="corrected"}}': "0+5x20"},
    ),
    AlertCase(
        "TrainwrightGPUThrottled",
        "GPU 3 (GPU-3) on n1 is throttled: hw_thermal_slowdown.",
        20,
        {f'trainwright_gpu_throttled{{{GPU},reason="hw_thermal_slowdown"}}': "0x5 1x20"},
        {
            f'trainwright_gpu_throttled{{{GPU},reason="sw_power_cap"}}': "1x30",
            f'trainwright_gpu_throttled{{{GPU},reason="hw_thermal_slowdown"}}': "0 1 0 0 0 1 0 0 0 1 0 0 1 0 0 1 0 0 0 1 0",
        },
    ),
)
