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
OPERATOR = 'namespace="system",pod="trainwright-0"'  # scraped, its series have its own namespace
NEXT_OPERATOR = 'namespace="system",pod="trainwright-1"'
GPU = f'{RUN},node="n1",pod="a-1-worker-0",gpu="3",uuid="GPU-3",rank="3"'


def ended(cause: str, run: str = "a", outcome: str = "Failed", by: str = OPERATOR) -> str:
    """The series of a run's attempts that ended for a cause, as an operator has counted them."""
    labels = f'{by},run_namespace="team",run="{run}",outcome="{outcome}",cause="{cause}"'
    return f"trainwright_operator_attempts_total{{{labels}}}"


def waits(reason: str) -> str:
    """The series of the longest wait of a namespace's runs for a reason."""
    labels = f'{OPERATOR},run_namespace="team",reason="{reason}"'
    return f"trainwright_operator_longest_wait_seconds{{{labels}}}"


def silent(values: str, by: str = OPERATOR) -> Series:
    """The number of a namespace's runs that do not answer, as an operator counts it."""
    return {f'trainwright_operator_silent_runs{{{by},run_namespace="team"}}': values}


def of_run(name: str, run: str, values: str, more: str = "") -> Series:
    """A series of the pod of one of several runs."""
    labels = f'namespace="team",run="{run}",pod="{run}-1-master-0"{more}'
    return {f"trainwright_{name}{{{labels}}}": values}


def saves(started: str, trained: str, count: str, saved: str = "_x400") -> Series:
    """The series of a pod that saves: when it started, how long it has trained, saves, the newest one's time."""
    return {
        f"trainwright_start_timestamp_seconds{{{RUN}}}": started,
        f'trainwright_step_seconds_sum{{{RUN},part="total"}}': trained,
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
        {
            f'trainwright_heartbeat_age_seconds{{{RUN},rank="1"}}': "5x20",
            # in its last upload for a quarter of an hour
            **of_run("heartbeat_age_seconds", "b", "5x5 stale", ',rank="0"'),
            **of_run("step", "b", "500x20"),
        },
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
    AlertCase(  # an operator has counted three, and the one after it three, or two
        "TrainwrightRestartLoop",
        "6 attempts of run team/a have failed within an hour.",
        60,
        {
            ended("Infrastructure"): "_x20 1+1x2 3x5 stale",
            ended("Infrastructure", by=NEXT_OPERATOR): "_x40 1 2 3x30",
        },
        {
            ended("Infrastructure"): "_x20 1+1x2 3x5 stale",
            ended("Infrastructure", by=NEXT_OPERATOR): "_x40 1 2x30",
        },
    ),
    AlertCase(  # it saved every minute, then no more
        "TrainwrightCheckpointTooOld",
        "Run team/a has trained 1h 59m 0s without a checkpoint.",
        180,
        saves(
            started="0x180", trained="0+60x180", saved="_ 0+60x60 3660x119", count="0+1x61 61x119"
        ),
        saves(started="0x180", trained="0+60x180", saved="_ 0+60x200", count="0+1x200"),
    ),
    AlertCase(  # it has never saved; the other goes on from an old checkpoint
        "TrainwrightCheckpointTooOld",
        "Run team/a has trained 1h 40m 0s without a checkpoint.",
        100,
        saves(started="0x100", trained="0+60x100", count="0x100"),
        saves("_x90 5400x30", trained="_x90 0+60x30", saved="_x90 60x30", count="_x90 0x30"),
    ),
    AlertCase(  # it saves every two hours: late after four
        "TrainwrightCheckpointTooOld",
        "Run team/a has trained 4h 10m 0s without a checkpoint.",
        370,
        saves(started="0x400", trained="0+60x400", saved="_x120 7200x280", count="0x119 1x280"),
        saves(
            started="0x400",
            trained="0+60x400",
            saved="_x120 7200x120 14400x160",
            count="0x119 1x120 2x160",
        ),
    ),
    AlertCase(  # its start-up took long, and that of the other even longer: that is no training
        "TrainwrightCheckpointTooOld",
        "Run team/a has trained 1h 10m 0s without a checkpoint.",
        140,
        saves(started="0x200", trained="_x71 60+60x100", count="0x200"),
        saves(started="0x200", trained="_x101 60+60x100", count="0x200"),
    ),
    AlertCase(  # nothing of it but that it is there
        "TrainwrightRunNotStarted",
        "Run team/a has not begun to train in 1h 20m 0s.",
        80,
        {f"trainwright_start_timestamp_seconds{{{RUN}}}": "0x100"},
        {
            # has been there for 55 minutes
            **of_run("start_timestamp_seconds", "b", "_x25 1500x80"),
            # began to train after 75 minutes, and has just finished its first step
            **of_run("start_timestamp_seconds", "c", "0x100"),
            **of_run("heartbeat_age_seconds", "c", "_x75 0+60x4 5x20", ',rank="0"'),
            **of_run("step", "c", "_x75 0x4 1x20"),
            # uploads its last checkpoint, or exports
            **of_run("start_timestamp_seconds", "d", "0x100"),
            **of_run("heartbeat_age_seconds", "d", "5x9 stale", ',rank="0"'),
            **of_run("step", "d", "500x100"),
            # has ended
            **of_run("start_timestamp_seconds", "e", "0x40 stale"),
        },
    ),
    AlertCase(  # it has begun from nothing and hangs; the other has all its steps and exports
        "TrainwrightRunNotStarted",
        "Run team/a has not begun to train in 1h 20m 0s.",
        80,
        {**of_run("start_timestamp_seconds", "a", "0x100"), **of_run("step", "a", "_x9 0x100")},
        {**of_run("start_timestamp_seconds", "a", "0x100"), **of_run("step", "a", "_x9 7x100")},
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
            f'trainwright_operator_underutilized_run_ratio{{{OPERATOR},run_namespace="team",run="a",reason="DataWait"}}': "_x20 0.1x40"
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
    AlertCase(  # one operator takes over from the other: the same run is not two
        "TrainwrightRunsSilent",
        "Runs in namespace team whose trainer does not answer the operator: 1.",
        10,
        {**silent("0x2 1x20"), **silent("_x8 1x20", by=NEXT_OPERATOR)},
        silent("0x2 1x3 0x1 1x3 0x20"),
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
    AlertCase(  # the rank dies of it: the series is seen once, in the other case more than 15 minutes ago
        "TrainwrightGPUXid",
        "GPU 3 (GPU-3) on n1 reported Xid 79.",
        20,
        {f'trainwright_gpu_xid_events_total{{{GPU},xid="79"}}': "_x10 1 stale"},
        {f'trainwright_gpu_xid_events_total{{{GPU},xid="79"}}': "_x2 1 stale"},
    ),
    AlertCase(  # it had another before, and dies of this one
        "TrainwrightGPUXid",
        "GPU 3 (GPU-3) on n1 reported Xid 31.",
        30,
        {f'trainwright_gpu_xid_events_total{{{GPU},xid="31"}}': "1x20 2 stale"},
        {f'trainwright_gpu_xid_events_total{{{GPU},xid="31"}}': "1x20 stale"},
    ),
    AlertCase(  # the pod goes after one scrape with the errors
        "TrainwrightGPUMemoryErrors",
        "GPU 3 (GPU-3) on n1 had 2 uncorrected memory errors.",
        20,
        {f'trainwright_gpu_ecc_errors_total{{{GPU},type="uncorrected"}}': "0x10 2 stale"},
        {f'trainwright_gpu_ecc_errors_total{{{GPU},type="uncorrected"}}': "2x10 stale"},
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
