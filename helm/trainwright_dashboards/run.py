"""Dashboard Run: one run, or up to five beside each other."""

from grafana_foundation_sdk.builders import dashboard, timeseries, trend
from trainwright_api import metrics as m

from trainwright_dashboards.frame import annotation, namespace_choice, new_dashboard, run_choice
from trainwright_dashboards.gpus import gpu_row
from trainwright_dashboards.panels import (
    Query,
    Text,
    line_panel,
    stat_panel,
    trend_panel,
)
from trainwright_dashboards.promql import (
    FULL_NAME,
    by_full_name,
    by_rank,
    by_run,
    events,
    mean_over_pods,
    mean_seconds,
    of_run,
    with_run_info,
)

LEGEND = "{{namespace}}/{{run}}"
TOKEN_RATE, SEQUENCE_RATE = "count:tok/s", "count:seq/s"  # Grafana's form of a unit of one's own


def build_run_dashboard() -> dashboard.Dashboard:
    """Return the dashboard; restarts and checkpoints are annotations on every panel."""
    board = (
        new_dashboard(
            "run", "Run", "Loss, speed, hardware and checkpoints of one or more runs.", "now-30m"
        )
        .with_variable(namespace_choice())
        .with_variable(run_choice())
        .annotation(
            annotation(
                "Attempt started",
                _attempts(),
                f"Attempt {{{{attempt}}}} of {LEGEND} started",
                "red",
            )
        )
        .annotation(annotation("Checkpoint", _checkpoints(), f"Checkpoint of {LEGEND}", "green"))
    )
    _add_summary(board)
    _add_learning(board)
    _add_speed(board)
    _add_devices(board)
    _add_checkpoints(board)
    board.with_row(gpu_row())
    return board


def _attempts() -> str:
    """When the first pod of each attempt started (Unix seconds)."""
    attempt = f"max by (namespace, pod, attempt) ({of_run(m.RUN_INFO)})"
    started = f"{of_run(m.START_TIMESTAMP)} * on (namespace, pod) group_left (attempt) {attempt}"
    return f"min by (namespace, run, attempt) ({started})"


def _checkpoints() -> str:
    """When each run's newest checkpoint was made (Unix seconds)."""
    return by_run("max", m.CHECKPOINT_TIMESTAMP)


def _add_summary(board: dashboard.Dashboard) -> None:
    progress = f"{by_run('max', m.STEP)} / {by_run('max', m.TOTAL_STEPS)}"
    remaining = (
        f"({by_run('max', m.TOTAL_STEPS)} - {by_run('max', m.STEP)}) * "
        f"({mean_seconds(m.STEP_SECONDS, 'namespace, run', part='=total')})"
    )
    age = f"time() - {by_run('max', m.CHECKPOINT_TIMESTAMP)}"
    tiles = (
        (Text("Progress", "Steps done over steps planned.", "percentunit"), progress, 1),
        (
            Text("Time left", "Steps left times the mean seconds of recent steps.", "s"),
            remaining,
            0,
        ),
        (
            Text("Loss", "Mean loss per trained token of the last step.", "none"),
            by_run("max", m.LOSS),
            3,
        ),
        (
            Text("Tokens per second", "Input tokens per second over all workers.", TOKEN_RATE),
            by_run("max", m.TOKENS_PER_SECOND),
            0,
        ),
        (
            Text(
                "MFU", "Achieved model FLOPs over the assumed peak of the devices.", "percentunit"
            ),
            by_run("max", m.MFU),
            1,
        ),
        (
            Text(
                "Checkpoint age",
                "Time since the newest complete checkpoint: what a failure would cost now.",
                "s",
            ),
            age,
            0,
        ),
    )
    board.with_row(dashboard.Row("Now"))
    for text, expression, decimals in tiles:
        board.with_panel(
            stat_panel(text, Query(expression, LEGEND), decimals=decimals).span(4).height(4)
        )


def _add_learning(board: dashboard.Dashboard) -> None:
    board.with_row(dashboard.Row("Learning"))
    for panel in (*_loss_panels(), *_learning_panels()):
        board.with_panel(panel.span(8).height(8))


def _loss_panels() -> tuple[timeseries.Panel | trend.Panel, ...]:
    """Over time, with restarts and checkpoints marked, and over steps, where runs are to be compared."""
    loss = "Mean loss per trained token over all ranks and accumulation steps (nats)"
    validation = "Loss on the held-out data (nats), measured every validation.everySteps"
    return (
        line_panel(
            Text("Loss", f"{loss}.", "none"), Query(by_run("max", m.LOSS), LEGEND), decimals=3
        ),
        _over_steps(Text("Loss by step", f"{loss}, over steps.", "none"), m.LOSS),
        line_panel(
            Text("Validation loss", f"{validation}.", "none"),
            Query(by_run("max", m.VALIDATION_LOSS), LEGEND),
            decimals=3,
        ),
        _over_steps(
            Text("Validation loss by step", f"{validation}, over steps.", "none"), m.VALIDATION_LOSS
        ),
    )


def _over_steps(text: Text, metric: m.Metric) -> trend.Panel:
    step, value = (by_full_name("max", of_run(shown)) for shown in (m.STEP, metric))
    label = f"{{{{{FULL_NAME}}}}}"
    return trend_panel(
        text, Query(step, label), Query(value, label), by=FULL_NAME, x_label="Step", decimals=3
    )


def _learning_panels() -> tuple[timeseries.Panel, ...]:
    settings = "namespace, run, objective, precision, zero_stage, attempt"
    return (
        line_panel(
            Text("Step", "Optimizer steps done; a drop is a restart from a checkpoint.", "none"),
            Query(by_run("max", m.STEP), LEGEND),
            minimum=0,
        ),
        line_panel(
            Text("Learning rate", "Learning rate of the last step.", "sci"),
            Query(by_run("max", m.LEARNING_RATE), LEGEND),
            minimum=0,
        ),
        line_panel(
            Text(
                "Gradient norm", "Global norm before clipping; spikes come before trouble.", "none"
            ),
            Query(by_run("max", m.GRADIENT_NORM), LEGEND),
            minimum=0,
            decimals=3,
        ),
        line_panel(
            Text(
                "Trained tokens",
                "Share of input tokens that the loss counts, and share that is not padding.",
                "percentunit",
            ),
            Query(by_run("avg", m.TRAINED_TOKEN_RATIO), LEGEND + " trained"),
            Query(by_run("avg", m.PACKING_UTILIZATION), LEGEND + " not padding"),
            minimum=0,
            maximum=1,
        ),
        line_panel(
            Text("Pods", "Pods that report, with what their attempt trains and how.", "short"),
            Query(
                f"count by ({settings}) ({of_run(m.RUN_INFO)})",
                LEGEND + " attempt {{attempt}}: {{objective}}, {{precision}}, ZeRO {{zero_stage}}",
            ),
            minimum=0,
            stacked=True,
        ),
    )


def _add_speed(board: dashboard.Dashboard) -> None:
    board.with_row(dashboard.Row("Speed"))
    widths = [8] * 6 + [6] * 4
    for panel, width in zip((*_speed_panels(), *_step_panels()), widths, strict=True):
        board.with_panel(panel.span(width).height(8))


def _speed_panels() -> tuple[timeseries.Panel, ...]:
    """How fast it is, and where the time goes."""
    parts = mean_seconds(m.STEP_SECONDS, "namespace, run, part", part="!=total")
    slowest = mean_seconds(m.STEP_SECONDS, "namespace, run, pod", part="=data")
    return (
        line_panel(
            Text("Throughput", "Input tokens per second over all workers.", TOKEN_RATE),
            Query(by_run("max", m.TOKENS_PER_SECOND), LEGEND),
            minimum=0,
        ),
        line_panel(
            Text(
                "Step time by part",
                f"Mean seconds of a step: {', '.join(m.STEP_PARTS[:-1])}.",
                "s",
            ),
            Query(parts, LEGEND + " {{part}}"),
            minimum=0,
        ),
        line_panel(
            Text(
                "MFU",
                "Model FLOPs utilisation, achieved over assumed peak, by how an attempt trains.",
                "percentunit",
            ),
            Query(
                with_run_info("max", m.MFU, "attempt", "precision", "zero_stage"),
                LEGEND + " attempt {{attempt}}: {{precision}}, ZeRO {{zero_stage}}",
            ),
            minimum=0,
        ),
        line_panel(
            Text("Data wait by pod", "Mean seconds a step waits for data, per pod.", "s"),
            Query(slowest, LEGEND + " {{pod}}"),
            minimum=0,
        ),
    )


def _step_panels() -> tuple[timeseries.Panel, ...]:
    """Whether steps go on, and what they do."""
    return (
        line_panel(
            Text(
                "Heartbeat age",
                "Seconds since each rank finished a step or a batch of a validation; one rank above the others is stuck.",
                "s",
            ),
            Query(by_rank(m.HEARTBEAT_AGE), LEGEND + " rank {{rank}}"),
            minimum=0,
        ),
        line_panel(
            Text(
                "Skipped steps",
                "Steps skipped in 10 minutes because gradients overflowed.",
                "short",
            ),
            Query(f"sum by (namespace, run) ({events(of_run(m.SKIPPED_STEPS), '10m')})", LEGEND),
            minimum=0,
        ),
        line_panel(
            Text(
                "Peak assumed",
                "Peak of one device that MFU assumes, and where it comes from.",
                "flops",
            ),
            Query(of_run(m.PEAK_FLOPS), "{{namespace}}/{{pod}} {{source}}"),
            minimum=0,
        ),
        line_panel(
            Text("Tokens done", "Input tokens per second, from the counter.", TOKEN_RATE),
            _rate(m.TOKENS),
            minimum=0,
        ),
        line_panel(
            Text("Sequences done", "Sequences per second, from the counter.", SEQUENCE_RATE),
            _rate(m.SAMPLES),
            minimum=0,
        ),
        line_panel(
            Text("Loss scale", "Scale of FP16 losses; 1 in other precisions.", "none"),
            Query(by_run("max", m.LOSS_SCALE), LEGEND),
            minimum=0,
        ),
    )


def _rate(metric: m.Metric) -> Query:
    return Query(f"max by (namespace, run) (rate({of_run(metric)}[$__rate_interval]))", LEGEND)


def _add_devices(board: dashboard.Dashboard) -> None:
    used = by_rank(m.MEMORY_BYTES, state="=allocated")
    host = f"{of_run(m.HOST_MEMORY_BYTES, state='=used')} / ignoring(state) {of_run(m.HOST_MEMORY_BYTES, state='=limit')}"
    panels = (
        line_panel(
            Text(
                "Device use",
                "Time with a kernel running per GPU; on CPU nodes, CPU use over the pod's limit.",
                "percentunit",
            ),
            Query(of_run(m.GPU_UTILIZATION), LEGEND + " rank {{rank}} gpu {{gpu}}"),
            Query(of_run(m.CPU_UTILIZATION), "{{namespace}}/{{pod}} CPU"),
            minimum=0,
        ),
        line_panel(
            Text(
                "Device memory",
                "Memory allocated per rank; CPU training: memory of the process.",
                "bytes",
            ),
            Query(used, LEGEND + " rank {{rank}}"),
            minimum=0,
        ),
        line_panel(
            Text(
                "Host memory",
                "Resident memory of the pod's processes over its limit, pages that they share counted for each;"
                " the kernel goes by its own count, which has files in memory (/dev/shm), too.",
                "percentunit",
            ),
            Query(host, "{{namespace}}/{{pod}}"),
            minimum=0,
        ),
    )
    board.with_row(dashboard.Row("Devices"))
    for panel in panels:
        board.with_panel(panel.span(8).height(8))


def _add_checkpoints(board: dashboard.Dashboard) -> None:
    window = "$__range"
    panels = (
        line_panel(
            Text(
                "Checkpoint time",
                "Mean seconds: stall is when training stood still, save is until the manifest.",
                "s",
            ),
            Query(
                mean_over_pods(m.CHECKPOINT_SECONDS, "namespace, run, part", window),
                LEGEND + " {{part}}",
            ),
            minimum=0,
        ),
        line_panel(
            Text(
                "Newest checkpoint",
                "Step of the newest complete checkpoint: a restart goes on from there.",
                "none",
            ),
            Query(by_run("max", m.CHECKPOINT_STEP), LEGEND),
            minimum=0,
        ),
        line_panel(
            Text("Checkpoint size", "Size of all files of the newest checkpoint.", "bytes"),
            Query(by_run("max", m.CHECKPOINT_SIZE), LEGEND),
            minimum=0,
        ),
        line_panel(
            Text(
                "Checkpoint failures",
                "Checkpoints that could not be saved, in the chosen time.",
                "short",
            ),
            Query(
                f"sum by (namespace, run) ({events(of_run(m.CHECKPOINT_FAILURES), window)})",
                LEGEND,
            ),
            minimum=0,
        ),
        line_panel(
            Text(
                "Points not tracked",
                "Points that a tracker did not take in time, in the chosen time; the run goes on.",
                "short",
            ),
            Query(
                "sum by (namespace, run, tracker)"
                f" ({events(of_run(m.TRACKER_DROPPED_POINTS), window)})",
                LEGEND + " {{tracker}}",
            ),
            minimum=0,
        ),
    )
    board.with_row(dashboard.Row("Checkpoints and trackers"))
    for panel, width in zip(panels, (8, 8, 8, 12, 12), strict=True):
        board.with_panel(panel.span(width).height(8))
