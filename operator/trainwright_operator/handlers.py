"""kopf's part: watches runs, jobs and pods, and tells the reconciler what changed. Nothing else.

Only raw event handlers are used: they put no finalizer and no annotation on any object, so deleting a
run never waits for the operator. See operator/docs/decisions/0002-kopf.md.
"""

import asyncio
import logging
import time
from typing import Any

import kopf
from trainwright_api import names

from trainwright_operator.cluster import ClusterClient
from trainwright_operator.health import serve_health
from trainwright_operator.operator_metrics import OperatorMetrics
from trainwright_operator.reconcile import Reconciler
from trainwright_operator.settings import Settings
from trainwright_operator.sweep import Sweep
from trainwright_operator.world import World

LAG_SECONDS = 1.0
STALE_SECONDS = 60.0  # of a sweep or event loop that stands still
READY_SECONDS = 2.0  # after the watches began, what exists has been listed

logger = logging.getLogger(__name__)


class Operator:
    """The parts of the running operator, and the handlers that feed them."""

    def __init__(self, settings: Settings, version: str) -> None:
        self.settings = settings
        self.metrics = OperatorMetrics(version)
        self.world = World()
        self._started_at: float | None = None
        self._last_beat = time.monotonic()
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self, settings: kopf.OperatorSettings, **_: Any) -> None:
        """Configure kopf and start the background tasks."""
        settings.posting.enabled = False
        settings.networking.enforce_retry_after = True
        settings.networking.request_timeout = 60
        if self.settings.namespaces:
            settings.scanning.disabled = True
        self.client = ClusterClient(self.settings.api_threads, self.metrics)
        self.reconciler = Reconciler(self.world, self.client, self.settings, self.metrics)
        sweep = Sweep(self.world, self.reconciler, self.settings.sweep_seconds, self.metrics)
        self._started_at = time.monotonic()
        for work in (self.reconciler.run_workers(), sweep.run(), self._beat()):
            self._tasks.append(asyncio.create_task(work))
        self._server = serve_health(
            self.settings.metrics_port, self.metrics.render, self.is_alive, self.is_ready
        )
        logger.info("operator started, %s", self.settings.namespaces or "all namespaces")

    async def stop(self, **_: Any) -> None:
        """End the background tasks."""
        for task in self._tasks:
            task.cancel()
        self._server.shutdown()

    async def _beat(self) -> None:
        """Measure how late the event loop is."""
        while True:
            before = time.monotonic()
            await asyncio.sleep(LAG_SECONDS)
            self._last_beat = time.monotonic()
            self.metrics.set_loop_lag(max(0.0, self._last_beat - before - LAG_SECONDS))

    def is_alive(self) -> bool:
        """Whether event loop and sweep move on and no background task has died."""
        is_beating = time.monotonic() - self._last_beat < STALE_SECONDS
        return (
            is_beating
            and self.metrics.sweep_age_seconds < STALE_SECONDS
            and not any(t.done() for t in self._tasks)
        )

    def is_ready(self) -> bool:
        """Whether what exists has been read."""
        return self._started_at is not None and time.monotonic() - self._started_at > READY_SECONDS

    async def see_run(self, event: kopf.RawEvent, **_: Any) -> None:
        """A run appeared, changed or went."""
        raw = dict(event["object"])
        uid = self.world.see_run(raw, is_deleted=event["type"] == "DELETED")
        self.reconciler.mark(uid)

    async def see_job(self, event: kopf.RawEvent, **_: Any) -> None:
        """A PyTorchJob of ours appeared, changed or went."""
        raw = dict(event["object"])
        self.reconciler.mark(self.world.see_job(raw, is_deleted=event["type"] == "DELETED"))

    async def see_pod(self, event: kopf.RawEvent, **_: Any) -> None:
        """A pod of ours appeared, changed or went."""
        raw = dict(event["object"])
        self.reconciler.mark(self.world.see_pod(raw, is_deleted=event["type"] == "DELETED"))


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
