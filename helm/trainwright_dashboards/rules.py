"""Recording rules and alerts: page for the right thing and nothing else.

Severity `critical` wants somebody now, `warning` today, `info` is for the run's owner. Each alert has
a summary with values and a runbook of its own below operator/docs/runbooks/.
"""

from dataclasses import dataclass, field
from typing import Any, Literal

from trainwright_api import metrics as m
from trainwright_api.names import WAITING_FOR_RUN, Cause

from trainwright_dashboards.promql import (
    events,
    gained,
    had_devices,
    lifetime,
    new_events,
    recent_mean,
    series,
    with_namespace,
)

GOODPUT = "trainwright:goodput:ratio"
UTILIZATION = "trainwright:device_utilization:ratio"
WASTED_ACCELERATORS = "trainwright:wasted_devices:count"
COST_PER_HOUR = "trainwright:cost:usd_per_hour"
DEVICES = "trainwright:devices:count"
GOODPUT_SECONDS = 300
RUNBOOK_BASE = "RUNBOOK_BASE_URL"  # the chart puts its value monitoring.runbookBaseUrl here
OF_RUN = "namespace, run"


@dataclass(frozen=True, slots=True)
class Alert:
    """One alert; `expression` holds for `for_minutes` before it fires."""

    name: str
    expression: str
    severity: Literal["critical", "warning", "info"]
    summary: str
    description: str
    for_minutes: float = 0
    labels: dict[str, str] = field(default_factory=dict)

    def to_rule(self, runbook_base_url: str = "") -> dict[str, Any]:
        """Return the alert as a Prometheus rule; without a base URL it leads to no runbook."""
        link = {"runbook_url": f"{runbook_base_url.rstrip('/')}/{self.name}.md"}
        return {
            "alert": self.name,
            "expr": self.expression,
            "for": f"{round(self.for_minutes * 60)}s",
            "labels": {"severity": self.severity} | self.labels,
            "annotations": {"summary": self.summary, "description": self.description}
            | (link if runbook_base_url else {}),
        }


def build_recording_rules() -> list[dict[str, Any]]:
    """Return the series that dashboards and alerts share."""
    started, info = series(m.START_TIMESTAMP), series(m.GPU_INFO)
    without_gpu = f"unless on ({OF_RUN}) {had_devices(info)}"
    pods = f"count by ({OF_RUN}) ({started} {without_gpu})"
    # The driver tells no use of a part of a GPU (MIG): its run has no figure then, not that of its CPUs.
    gpus = f"avg by ({OF_RUN}) ({recent_mean(series(m.GPU_UTILIZATION))})"
    cpus = f"avg by ({OF_RUN}) ({recent_mean(series(m.CPU_UTILIZATION))} {without_gpu})"
    # Of a pod that tells nothing of its devices now. Another one of its name may have had others before.
    silent = f"{started} unless on (namespace, pod) {info}"
    held = f"{info} or ({had_devices(info)} and on (namespace, pod) ({silent}))"
    return [
        {"record": GOODPUT, "expr": _goodput(started)},
        {"record": UTILIZATION, "expr": f"{gpus} or {cpus}"},
        {"record": DEVICES, "expr": f"count by ({OF_RUN}) ({held}) or {pods}"},
        {
            "record": WASTED_ACCELERATORS,
            "expr": f"{DEVICES} * (1 - clamp_max({UTILIZATION}, 1))",
        },
        {
            "record": COST_PER_HOUR,
            "expr": f"sum by (run_namespace, team) ({series(m.RUN_COST_PER_HOUR)})",
        },
    ]


def _goodput(started: str) -> str:
    """Seconds in steps without checkpoints' stalls, over the seconds that the pods were there.

    Both of the pods that are there now, of the last GOODPUT_SECONDS or since the pod's trainer started:
    what it does before its first step counts as lost.
    """
    lived = f"sum by ({OF_RUN}) (clamp({lifetime(started)}, 0, {GOODPUT_SECONDS}))"
    steps, stalls = (
        f"(sum by ({OF_RUN}) ({gained(selector, started, GOODPUT_SECONDS)}) or 0 * {lived})"
        for part in ("total", "checkpoint")
        for selector in [series(m.STEP_SECONDS, "_sum", part=f"={part}")]
    )
    return f"clamp(({steps} - {stalls}) / ({lived} > 0), 0, 1)"


def build_alerts() -> list[Alert]:
    """Return all alerts, most urgent first."""
    return [*_operator_alerts(), *_pod_alerts(), *_run_alerts(), *_gpu_alerts()]


def _operator_alerts() -> list[Alert]:
    return [
        Alert(
            "TrainwrightOperatorDown",
            f"absent({m.BUILD_INFO.name})",
            "critical",
            "No Trainwright operator reports.",
            "Runs go on, but nothing restarts them if they fail and their status does not move.",
            for_minutes=5,
        ),
        Alert(
            "TrainwrightOperatorLagging",
            f"max({m.QUEUE_AGE.name}) > 60 or max({m.SWEEP_AGE.name}) > 120",
            "warning",
            "The operator is {{ $value | humanizeDuration }} behind.",
            "Reconciliations or the progress sweep are late; restarts are delayed by as much.",
            for_minutes=5,
        ),
    ]


def _pod_alerts() -> list[Alert]:
    """What the pods of a run say themselves."""
    run = "{{ $labels.namespace }}/{{ $labels.run }}"
    return [
        Alert(
            "TrainwrightRunStalled",
            f"max by ({OF_RUN}) ({m.HEARTBEAT_AGE.name}) > 600",
            "critical",
            f"Run {run} has finished no step for {{{{ $value | humanizeDuration }}}}.",
            "A rank hangs, or an upload holds training up; devices are held and do nothing.",
            for_minutes=1,
        ),
        Alert(
            "TrainwrightCheckpointTooOld",
            _unsaved(),
            "warning",
            f"Run {run} has trained {{{{ $value | humanizeDuration }}}} without a checkpoint.",
            "A failure now would cost that much training.",
            for_minutes=5,
        ),
        Alert(
            "TrainwrightRunNotStarted",
            _not_started(),
            "warning",
            f"Run {run} has not begun to train in {{{{ $value | humanizeDuration }}}}.",
            "It joins, checks, builds or resumes and does no step; its devices are held and do nothing.",
            for_minutes=1,
        ),
        Alert(
            "TrainwrightCheckpointStoreFailing",
            f"sum by ({OF_RUN}) ({events(m.CHECKPOINT_FAILURES.name, '15m')}) > 0",
            "critical",
            f"Run {run} could not save {{{{ $value | humanize }}}} checkpoints in 15 minutes.",
            "The store refuses or loses writes; nothing new is safe.",
        ),
    ]


def _unsaved() -> str:
    """Time trained since the newest checkpoint, or in this attempt if it has saved none, where it is too long.

    That is more than an hour, and for a run that saves less often than that by its own settings, twice
    its mean pause between two checkpoints of this attempt. A start-up is no training, however long.
    """
    saved, started = m.CHECKPOINT_TIMESTAMP.name, m.START_TIMESTAMP.name
    count = series(m.CHECKPOINT_SECONDS, "_count", part="=save")
    age = f'time() - max by ({OF_RUN}) ({{__name__=~"{saved}|{started}"}})'
    trained = f"max by ({OF_RUN}) ({series(m.STEP_SECONDS, '_sum', part='=total')})"
    unsaved = f"(({age}) < {trained} or {trained})"
    pause = f"max by ({OF_RUN}) (({saved} - {started}) / ignoring (part) ({count} > 0))"
    return f"{unsaved} > 3600 unless {unsaved} < 2 * {pause}"


def _not_started() -> str:
    """For how long a run's pods have been there if it is too long and no rank has begun to train.

    Ranks have heartbeats once they begin to train, but not in the last upload and the export.
    """
    alive = f"max by ({OF_RUN}) ({lifetime(series(m.START_TIMESTAMP))})"
    is_training, has_trained = m.HEARTBEAT_AGE.name, f"{m.STEP.name} > 0"
    return f"{alive} > 3600 unless on ({OF_RUN}) {is_training} unless on ({OF_RUN}) {has_trained}"


def _run_alerts() -> list[Alert]:
    """What the operator says of runs, those without pods included."""
    run = "{{ $labels.run_namespace }}/{{ $labels.run }}"
    diverged = new_events(series(m.ATTEMPTS, cause=f"={Cause.NUMERICAL_FAILURE}"), "1h")
    failed = new_events(series(m.ATTEMPTS, outcome="=Failed"), "1h")
    waits = series(m.LONGEST_WAIT, reason=f"!={WAITING_FOR_RUN}")
    return [
        Alert(
            "TrainwrightLossNotFinite",
            with_namespace(f"sum by (run_namespace, run) {diverged} > 0"),
            "critical",
            f"The loss of run {run} was not finite in {{{{ $value | humanize }}}} attempts within an hour.",
            "Training has diverged. The attempt has ended; the run's status names the step.",
        ),
        Alert(
            "TrainwrightRestartLoop",
            with_namespace(f"sum by (run_namespace, run) {failed} > 5"),
            "warning",
            f"{{{{ $value | humanize }}}} attempts of run {run} have failed within an hour.",
            "It starts again and again and gets nowhere; its status says why each attempt ended.",
            for_minutes=1,
        ),
        Alert(
            "TrainwrightUnderutilized",
            with_namespace(f"max by (run_namespace, run, reason) ({m.UNDERUTILIZED.name})"),
            "info",
            f"Devices of run {run} are used {{{{ $value | humanizePercentage }}}} only: {{{{ $labels.reason }}}}.",
            "The run's own bounds count; its condition Underutilized explains the reason.",
        ),
        Alert(
            "TrainwrightQuotaStuck",
            with_namespace(f"max by (run_namespace, reason) ({waits}) > 3600"),
            "warning",
            "A run in namespace {{ $labels.run_namespace }} has waited {{ $value | humanizeDuration }} to start: {{ $labels.reason }}.",
            "It waits for quota, nodes, a Secret, claim or image; kubectl describe says which.",
            for_minutes=1,
        ),
        Alert(
            "TrainwrightRunsSilent",
            with_namespace(f"max by (run_namespace) ({m.SILENT_RUNS.name}) > 0"),
            "warning",
            "Runs in namespace {{ $labels.run_namespace }} whose trainer does not answer the operator: {{ $value | humanize }}.",
            "Their status stands still, and a run that hangs looks like one that trains.",
            for_minutes=5,
        ),
    ]


def _gpu_alerts() -> list[Alert]:
    device = "GPU {{ $labels.gpu }} ({{ $labels.uuid }}) on {{ $labels.node }}"
    bad_reasons = "hw_slowdown|hw_thermal_slowdown|hw_power_brake_slowdown|sw_thermal_slowdown"
    return [
        Alert(
            "TrainwrightGPUXid",
            f"{new_events(m.GPU_XID_EVENTS.name, '15m')} > 0",
            "critical",
            f"{device} reported Xid {{{{ $labels.xid }}}}.",
            "The driver saw a fault of the device; the rank on it will fail or has failed.",
        ),
        Alert(
            "TrainwrightGPUMemoryErrors",
            f"{events(series(m.GPU_ECC_ERRORS, type='=uncorrected'), '15m')} > 0",
            "critical",
            f"{device} had {{{{ $value | humanize }}}} uncorrected memory errors.",
            "Results of this device cannot be trusted; drain the node.",
        ),
        Alert(
            "TrainwrightGPUThrottled",
            f"max by (namespace, run, node, gpu, uuid, reason) ({series(m.GPU_THROTTLED, reason=f'=~{bad_reasons}')}) == 1",
            "warning",
            f"{device} is throttled: {{{{ $labels.reason }}}}.",
            "One slow device slows the whole group; look at temperature and power.",
            for_minutes=5,
        ),
    ]


def build_rule_groups(runbook_base_url: str = "") -> dict[str, Any]:
    """Return the content of a rule file of Prometheus; the alerts lead to runbooks below the URL, if given."""
    alerts = [alert.to_rule(runbook_base_url) for alert in build_alerts()]
    return {
        "groups": [
            {"name": "trainwright.recording", "interval": "15s", "rules": build_recording_rules()},
            {"name": "trainwright.alerts", "rules": alerts},
        ]
    }
