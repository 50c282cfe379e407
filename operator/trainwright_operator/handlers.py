"""kopf's part: watches runs, jobs and pods, and tells the reconciler what changed. Nothing else.

Only raw event handlers are used: they put no finalizer and no annotation on any object, so deleting a
run never waits for the operator. See operator/docs/decisions/0002-kopf.md.
"""

import asyncio
import functools
import logging
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import kopf
from trainwright_api import names
from trainwright_api.otlp import NOT_INSTALLED, OtlpExport

from trainwright_operator.cluster import ClusterClient
from trainwright_operator.health import serve_health
from trainwright_operator.operator_metrics import OperatorMetrics
from trainwright_operator.reconcile import Reconciler
from trainwright_operator.resync import Resync
from trainwright_operator.settings import Settings
from trainwright_operator.sweep import Sweep
from trainwright_operator.world import RunKey, World

BEAT_SECONDS = 1.0
STALE_SECONDS = 60.0  # of a sweep or event loop that stands still
LIST_CHUNK = 500

logger = logging.getLogger(__name__)


class Operator:
    """The parts of the running operator, and the handlers that feed them."""

    def __init__(self, settings: Settings, version: str) -> None:
        self.settings = settings
        self.metrics = OperatorMetrics(version)
        self._version = version
        self._otlp: OtlpExport | None = None
        self.world = World()
        self._last_beat = time.monotonic()
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self, settings: kopf.OperatorSettings, **_: Any) -> None:
        """Configure kopf and start the background tasks."""
        configure(settings, self.settings)
        client = ClusterClient(self.settings.api_threads, self.metrics)
        self.reconciler = Reconciler(self.world, client, self.settings, self.metrics)
        self.resync = Resync(
            self.world,
            self.reconciler.mark,
            client,
            self.settings.namespaces,
            self.settings.resync_seconds,
        )
        self.sweep = Sweep(
            self.world,
            self.reconciler.mark,
            self.settings.sweep_seconds,
            self.metrics,
            figures_seconds=self.settings.status_seconds,
        )
        works = (
            self.resync.run(),
            self.reconciler.run_workers(self.resync.is_complete),
            self.sweep.run(),
            self._beat(),
        )
        for work in works:
            task = asyncio.create_task(work)
            task.add_done_callback(log_death)
            self._tasks.append(task)
        self._server = serve_health(
            self.settings.metrics_port, self.metrics.render, self.is_alive, self.is_ready
        )
        self.start_otlp()
        logger.info("operator started, %s", self.settings.namespaces or "all namespaces")

    def start_otlp(self) -> None:
        """Send metrics by OTLP, too, if an endpoint is set."""
        if not self.settings.exports_otlp:
            return
        resource = {"service.name": "trainwright-operator", "service.version": self._version}
        try:
            self._otlp = OtlpExport(
                self.metrics.collect, resource, self.settings.otlp_interval_seconds
            )
        except ImportError:
            logger.warning(NOT_INSTALLED)

    def close_otlp(self) -> None:
        """Send the last values."""
        if self._otlp is not None:
            self._otlp.close()

    async def stop(self, **_: Any) -> None:
        """End the background tasks."""
        await asyncio.to_thread(self.close_otlp)
        for task in self._tasks:
            task.cancel()
        self._server.shutdown()

    async def _beat(self) -> None:
        """Measure how late the event loop is, and what waits and runs."""
        while True:
            before = time.monotonic()
            await asyncio.sleep(BEAT_SECONDS)
            self._last_beat = time.monotonic()
            self.metrics.set_loop_lag(max(0.0, self._last_beat - before - BEAT_SECONDS))
            self.reconciler.measure()

    def is_alive(self) -> bool:
        """Whether event loop, sweep and watches move on and no background task has died."""
        is_beating = time.monotonic() - self._last_beat < STALE_SECONDS
        return (
            is_beating
            and self.sweep.idle_seconds < STALE_SECONDS + self.settings.sweep_seconds
            and not self.resync.is_deaf
            and not any(task.done() for task in self._tasks)
        )

    def is_ready(self) -> bool:
        """Whether what exists has been read."""
        return self.resync.is_complete.is_set()

    async def see_run(self, event: kopf.RawEvent, **_: Any) -> None:
        """A run appeared, changed or went."""
        self._see(self.world.see_run, event)

    async def see_job(self, event: kopf.RawEvent, **_: Any) -> None:
        """A PyTorchJob of ours appeared, changed or went."""
        self._see(self.world.see_job, event)

    async def see_pod(self, event: kopf.RawEvent, **_: Any) -> None:
        """A pod of ours appeared, changed or went."""
        self._see(functools.partial(self.world.see_pod, now=datetime.now(UTC)), event)

    def _see(self, see: Callable[..., RunKey | None], event: kopf.RawEvent) -> None:
        is_deleted = event["type"] == "DELETED"
        self.reconciler.mark(see(dict(event["object"]), is_deleted=is_deleted))


def configure(settings: kopf.OperatorSettings, own: Settings) -> None:
    """Set what kopf is to do and not to do."""
    settings.posting.enabled = False
    settings.networking.enforce_retry_after = True
    settings.networking.request_timeout = 60
    # No limit of workers: handlers only take notes. An idle one lingers for 5 s by default.
    settings.queueing.idle_timeout = 0.1
    settings.watching.chunk_size = LIST_CHUNK
    # The server sends only what is ours: a cluster may have very many other pods.
    settings.watching.label_selectors["", "v1", "pods"] = names.LABEL_RUN_UID
    settings.watching.label_selectors["kubeflow.org", "v1", "pytorchjobs"] = names.LABEL_RUN_UID
    if own.namespaces:
        settings.scanning.disabled = True


def log_death(task: asyncio.Task[None]) -> None:
    """Say why a background task ended that never should."""
    if not task.cancelled() and task.exception() is not None:
        logger.error("a background task has died", exc_info=task.exception())


def log_in(**kwargs: Any) -> kopf.ConnectionInfo | None:
    """Use the pod's service account, or outside a cluster the user's kubeconfig."""
    return kopf.login_with_service_account(**kwargs) or kopf.login_with_kubeconfig(**kwargs)


def build_registry(operator: Operator) -> kopf.OperatorRegistry:
    """Return kopf's registry with all handlers of an operator."""
    registry = kopf.OperatorRegistry()
    ours = {names.LABEL_RUN_UID: kopf.PRESENT}
    kopf.on.login(registry=registry)(log_in)
    kopf.on.startup(registry=registry)(operator.start)
    kopf.on.cleanup(registry=registry)(operator.stop)
    for plural in names.PLURALS.values():
        kopf.on.event(names.GROUP, names.VERSION, plural, registry=registry)(operator.see_run)
    kopf.on.event("kubeflow.org", "v1", "pytorchjobs", labels=ours, registry=registry)(
        operator.see_job
    )
    kopf.on.event("", "v1", "pods", labels=ours, registry=registry)(operator.see_pod)
    return registry
