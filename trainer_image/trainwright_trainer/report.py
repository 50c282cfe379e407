"""What the trainer says of itself while it runs: /status, /metrics, /history and /healthz.

The first rank of each pod serves; rank 0's document is the run's. A thread of its own answers and
samples the host, so that a slow reader never holds up a step.
"""

import json
import logging
import math
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Any

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.metrics_core import Metric
from trainwright_api import metrics as m
from trainwright_api.history import MAXIMUM_ROWS, HistoryRow, dump_rows, thin_rows
from trainwright_api.names import ACTIVITY_TRAIN
from trainwright_api.otlp import NOT_INSTALLED, OtlpExport
from trainwright_api.pod_server import PodHandler, PodServer, open_server
from trainwright_api.report import RunReport
from trainwright_api.run import Run
from trainwright_api.status import CheckpointRecord, ModelStatus, Plan, Progress

from trainwright_trainer.gpu_metrics import GpuCollector, LatestSamples
from trainwright_trainer.hardware import HostMonitor
from trainwright_trainer.heartbeats import Heartbeats
from trainwright_trainer.metric_set import MetricSet
from trainwright_trainer.nvml import open_nvml
from trainwright_trainer.pod_hardware import MAXIMUM_BYTES, PATH, HardwareExchange
from trainwright_trainer.settings import Settings

SAMPLE_SECONDS = 2.0
RECENT_STEPS = 20
MAXIMUM_WARNINGS = 20

logger = logging.getLogger(__name__)


def now_text() -> str:
    """Return the time as the API writes it."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


class Reporter:
    """The run as others see it. Progress comes from the training loop's thread alone."""

    def __init__(self, run: Run, settings: Settings) -> None:
        self._run, self._settings = run, settings
        self._lock = threading.Lock()
        self._report = RunReport(attempt=run.attempt, sequence=0)
        self._history: list[HistoryRow] = []
        # When a step ended, its tokens, and those of them without a loss.
        self._recent: deque[tuple[float, int, int]] = deque(maxlen=RECENT_STEPS)
        self._recent_parts: deque[dict[str, float]] = deque(maxlen=RECENT_STEPS)
        self.heartbeats = Heartbeats(settings.scratch_folder, settings.rank)
        self._closed = threading.Event()
        self._server: PodServer | None = None
        self._otlp: OtlpExport | None = None
        self._peak_flops: float | None = None
        self._logit_flops = 0.0
        self.metrics = MetricSet()
        self._host = HostMonitor(run)
        self.exchange = HardwareExchange(run, settings)
        may_have_devices = run.workers.uses_accelerators or settings.has_given_devices
        # One rank serves for its pod; the others need no session with the driver.
        nvml = open_nvml() if may_have_devices and settings.local_rank == 0 else None
        self._gpus = LatestSamples(nvml) if nvml is not None else None
        self._first_rank = settings.node_rank * run.workers.processes_per_node
        if self._gpus is not None:
            self.metrics.registry.register(GpuCollector(self._gpus.read, self._first_rank))

    def start(self) -> None:
        """Serve on the pod's port; only the first rank of a pod does."""
        if self._settings.local_rank != 0:
            return
        self.metrics.of(m.START_TIMESTAMP).set(time.time())
        self._server = open_server(self._settings.port, _handler(self))
        threading.Thread(target=self._server.serve_forever, name="report", daemon=True).start()
        threading.Thread(target=self._sample, name="host-monitor", daemon=True).start()
        if self._settings.exports_otlp:
            self._start_otlp()

    def _start_otlp(self) -> None:
        run, settings = self._run, self._settings
        resource = {
            "service.name": "trainwright-trainer",
            "service.namespace": run.namespace,
            "service.instance.id": settings.pod_name or f"{run.name}-{settings.node_rank}",
            "trainwright.run": run.name,
            "trainwright.kind": run.kind,
            "trainwright.attempt": str(run.attempt),
            "k8s.namespace.name": run.namespace,
            "k8s.pod.name": settings.pod_name or "",
            "k8s.node.name": settings.node_name or "",
        }
        known = {name: value for name, value in resource.items() if value}
        try:
            self._otlp = OtlpExport(self.collect_metrics, known, settings.otlp_interval_seconds)
        except ImportError:
            logger.warning(NOT_INSTALLED)
            self.warn([NOT_INSTALLED])

    def close(self) -> None:
        """Stop serving."""
        self._closed.set()
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()

    def close_otlp(self) -> None:
        """Send the last metrics by OTLP; waits a moment only."""
        if self._otlp is not None:
            self._otlp.close()

    @property
    def report(self) -> RunReport:
        """The document as it is now."""
        with self._lock:
            return self._report

    @property
    def progress(self) -> Progress:
        """Where training stands."""
        return self.report.progress

    @property
    def history(self) -> list[HistoryRow]:
        """The rows measured so far."""
        with self._lock:
            return list(self._history)

    def _update(self, **changes: Any) -> None:
        with self._lock:
            changed = changes | {"sequence": self._report.sequence + 1}
            self._report = self._report.model_copy(update=changed)

    def set_activity(self, activity: str) -> None:
        """Say what the trainer does now: preflight, build, train, export."""
        logger.info("%s", activity)
        if activity == ACTIVITY_TRAIN:
            self.heartbeats.beat()  # a rank that hangs in its first step is to be seen too
        else:
            self.heartbeats.rest()
        progress = self.progress.model_copy(update={"activity": activity, "updated_at": now_text()})
        self._update(progress=progress)

    def set_plan(self, plan: Plan, *, logit_flops: float = 0.0) -> None:
        """Publish the plan and what follows from it.

        `logit_flops` of the plan's operations per token are left away where a token is not trained.
        """
        self._update(plan=plan)
        self._logit_flops = logit_flops
        info = {
            "run": self._run.name,
            "run_namespace": self._run.namespace,
            "kind": self._run.kind,
            "attempt": str(self._run.attempt),
            "node": self._settings.node_name or "",
            "objective": self._run.objective.value,
            "precision": self._run.precision.value,
            "zero_stage": str(plan.zero_stage),
        }
        self.metrics.of(m.RUN_INFO, **info).set(1)

    def set_peak(self, flops: float | None, source: str) -> None:
        """Say which peak MFU assumes of one process' device, and where the figure comes from."""
        self._peak_flops = flops
        if flops is not None:
            self.metrics.of(m.PEAK_FLOPS, source=source).set(flops)
        else:
            self.warn([f"the run has no MFU: its devices' peak is not known ({source})"])

    def warn(self, texts: list[str]) -> None:
        """Publish sentences for the user, newest last."""
        if not texts:
            return
        with self._lock:  # trackers warn from threads of their own
            report = self._report
            changed = {
                "warnings": [*report.warnings, *texts][-MAXIMUM_WARNINGS:],
                "sequence": report.sequence + 1,
            }
            self._report = report.model_copy(update=changed)

    def set_start(self, step: int, rows: list[HistoryRow]) -> None:
        """Say from which checkpoint training starts, with the history up to it."""
        with self._lock:
            self._history = list(rows)
        if step:
            self._update(resumed_from_step=step)

    def set_progress(self, progress: Progress) -> None:
        """Publish how far training is before its first step here."""
        self._update(progress=progress.model_copy(update={"updated_at": now_text()}))
        self._set_step_metrics(progress, step_tokens=0)

    def finish_step(
        self, progress: Progress, step_tokens: int, num_trained: int | None = None
    ) -> None:
        """Publish one optimizer step; speed, ETA and MFU are derived here.

        Of the step's tokens `num_trained` have a loss; all of them if it is not said.
        """
        num_idle = 0 if num_trained is None else step_tokens - num_trained
        self._recent.append((time.monotonic(), step_tokens, num_idle))
        self.heartbeats.beat()
        progress = self._with_speed(progress)
        row = HistoryRow(
            step=progress.step,
            time=time.time(),
            attempt=self._run.attempt,
            loss=progress.loss,
            validation_loss=None,
            learning_rate=progress.learning_rate,
            gradient_norm=progress.gradient_norm,
            tokens_per_second=progress.tokens_per_second,
            mfu=progress.mfu,
        )
        with self._lock:
            self._history.append(row)
            if len(self._history) > 2 * MAXIMUM_ROWS:
                self._history = thin_rows(self._history)
        self._update(progress=progress)
        self._set_step_metrics(progress, step_tokens)

    def _with_speed(self, progress: Progress) -> Progress:
        seconds = self._recent[-1][0] - self._recent[0][0]
        steps = len(self._recent) - 1
        if steps < 1 or seconds <= 0:
            return progress.model_copy(update={"updated_at": now_text()})
        _, num_tokens, num_idle = (sum(each) for each in zip(*list(self._recent)[1:], strict=True))
        rate = num_tokens / seconds
        left = (progress.total_steps - progress.step) * seconds / steps
        plan = self.report.plan
        mfu = None
        if plan is not None and self._peak_flops:
            flops = num_tokens * plan.flops_per_token - num_idle * self._logit_flops
            mfu = flops / seconds / (self._peak_flops * self._run.world_size)
        return progress.model_copy(
            update={
                "tokens_per_second": round(rate, 1),
                "mfu": None if mfu is None else round(mfu, 4),
                "eta_seconds": round(left, 1),
                "eta": datetime.fromtimestamp(time.time() + left, UTC).strftime(
                    "%Y-%m-%dT%H:%M:%SZ"
                ),
                "updated_at": now_text(),
            }
        )

    def _set_step_metrics(self, progress: Progress, step_tokens: int) -> None:
        of = self.metrics.of
        of(m.STEP).set(progress.step)
        of(m.TOTAL_STEPS).set(progress.total_steps)
        of(m.TOKENS).inc(step_tokens)
        of(m.SAMPLES).inc(step_tokens / self._run.data.sequence_length)
        # A gradient that is not finite must not show as the last one that was.
        of(m.GRADIENT_NORM).set(
            math.nan if progress.gradient_norm is None else progress.gradient_norm
        )
        for metric, value in (
            (m.LOSS, progress.loss),
            (m.LEARNING_RATE, progress.learning_rate),
            (m.TOKENS_PER_SECOND, progress.tokens_per_second),
            (m.MFU, progress.mfu),
        ):
            if value is not None:
                of(metric).set(value)

    def finish_parts(self, parts: dict[str, float]) -> None:
        """Publish how long the parts of one step took (unit: seconds)."""
        for name, seconds in parts.items():
            self.metrics.of(m.STEP_SECONDS, part=name).observe(seconds)
        self._recent_parts.append(parts)
        count = len(self._recent_parts)
        means = {name: sum(p.get(name, 0.0) for p in self._recent_parts) / count for name in parts}
        self._update(step_seconds={name: round(value, 6) for name, value in means.items()})

    def finish_validation(self, loss: float) -> None:
        """Publish a validation loss of the current step; JSON has no word for one that is not finite."""
        told = {"validation_loss": loss if math.isfinite(loss) else None}
        self._update(progress=self.progress.model_copy(update=told))
        self.metrics.of(m.VALIDATION_LOSS).set(loss)
        with self._lock:
            # A run killed after its last save may have kept a history that ends before that step.
            if self._history and self._history[-1].step == self._report.progress.step:
                self._history[-1] = self._history[-1].model_copy(update=told)

    def set_checkpoints(
        self, records: list[CheckpointRecord], best: CheckpointRecord | None, *, num_failed: int
    ) -> None:
        """Publish the checkpoints in the store and count those that failed since the last call."""
        self._update(checkpoints=records, best_checkpoint=best)
        if num_failed:
            self.metrics.of(m.CHECKPOINT_FAILURES).inc(num_failed)
        if records:
            newest = records[0]
            saved_at = datetime.fromisoformat(newest.saved_at.replace("Z", "+00:00"))
            self.metrics.of(m.CHECKPOINT_STEP).set(newest.step)
            self.metrics.of(m.CHECKPOINT_TIMESTAMP).set(saved_at.timestamp())
            self.metrics.of(m.CHECKPOINT_SIZE).set(newest.size_bytes)

    def set_model(self, model: ModelStatus) -> None:
        """Publish where the finished model is."""
        self._update(model=model)

    def _sample(self) -> None:
        """Look at host and devices every other second until closed; what fails once is tried again."""
        has_failed = False
        while not self._closed.wait(SAMPLE_SECONDS):
            try:
                self._sample_once()
            except (
                Exception
            ):  # else the thread would end unseen, and its last figures stay for good
                if not has_failed:
                    logger.exception("host and devices could not be sampled")
                has_failed = True

    def _sample_once(self) -> None:
        ratio = self._host.read_cpu_ratio()
        used, limit = self._host.read_memory()
        self.metrics.of(m.HOST_MEMORY_BYTES, state="used").set(used)
        self.metrics.of(m.HOST_MEMORY_BYTES, state="limit").set(limit)
        if ratio is not None:
            self.metrics.of(m.CPU_UTILIZATION).set(ratio)
        gpus = self._gpus.take() if self._gpus is not None else []
        own = self._host.summarize(gpus, self._first_rank, ratio)
        self._update(hardware=self.exchange.share(own))

    def collect_metrics(self) -> Iterable[Metric]:
        """Return the metrics as they are now."""
        self._ask_ranks()
        return self.metrics.registry.collect()

    def render_metrics(self) -> bytes:
        """Return the exposition text."""
        self._ask_ranks()
        return generate_latest(self.metrics.registry)

    def _ask_ranks(self) -> None:
        """Show what the ranks of this pod say of themselves."""
        ages: dict[tuple[str, ...], float] = {
            (str(rank),): age for rank, age in self.heartbeats.read_ages().items()
        }
        self.metrics.set_series(m.HEARTBEAT_AGE, ages)
        memory: dict[tuple[str, ...], float] = {
            (str(rank), state): num_bytes
            for rank, told in self.heartbeats.read_memory().items()
            for state, num_bytes in told.items()
        }
        self.metrics.set_series(m.MEMORY_BYTES, memory)


def _handler(reporter: Reporter) -> type[PodHandler]:
    class Handler(PodHandler):
        def handle_get(self) -> None:
            answers: dict[str, tuple[str, Callable[[], bytes]]] = {
                "/status": (
                    "application/json",
                    lambda: json.dumps(reporter.report.to_manifest()).encode(),
                ),
                "/history": ("application/jsonl", lambda: dump_rows(thin_rows(reporter.history))),
                "/metrics": (CONTENT_TYPE_LATEST, reporter.render_metrics),
                "/healthz": ("text/plain", lambda: b"ok\n"),
            }
            answer = answers.get(self.path.split("?")[0])
            if answer is None:
                self.send_error(404)
                return
            kind, build = answer
            self.answer(200, kind, build())

        def handle_post(self) -> None:
            length = self.headers.get("Content-Length", "")
            is_message = self.path == PATH and length.isascii() and length.isdigit()
            if not is_message or int(length) > MAXIMUM_BYTES:
                self.send_error(404)
                return
            if not reporter.exchange.receive(self.rfile.read(int(length))):
                self.send_error(400)
                return
            self.send_response(204)
            self.end_headers()

    return Handler
