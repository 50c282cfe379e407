"""Whether this machine can run the cluster, and everything it must have before the first start."""

from __future__ import annotations

import time

from tests.cluster.binaries import (
    HELM,
    HELM_UNITTEST,
    KUBERNETES,
    TOOLBOX,
    TRAINING_OPERATOR,
    ensure_binaries,
)
from tests.cluster.cache import Report
from tests.cluster.errors import UnsupportedMachineError
from tests.cluster.images import ensure_images
from tests.cluster.kubeflow import ensure_manifests
from tests.cluster.node_disk import ensure_disk
from tests.cluster.packages import ensure_system_packages
from tests.cluster.spec import ClusterSpec
from tools.machine import find_namespace_obstacle


def check_machine() -> None:
    """Raise UnsupportedMachineError unless namespaces and cgroups can be made here."""
    obstacle = find_namespace_obstacle()
    if obstacle:
        raise UnsupportedMachineError(obstacle.replace("it", "the embedded cluster", 1))


def ensure_parts(spec: ClusterSpec, report: Report = print) -> None:
    """Have what this cluster is made from; takes milliseconds when everything is there."""
    ensure_system_packages(report)
    ensure_binaries(TOOLBOX, report)
    ensure_binaries(KUBERNETES, report)
    ensure_manifests(report)
    if not spec.control_plane_only:
        ensure_images(report)


def build_chart_tools(report: Report = print) -> None:
    """Build what the tests of the chart need; that works without root, too."""
    for module in (HELM, HELM_UNITTEST):
        ensure_binaries(module, report)


def build_everything(report: Report = print, *, for_chart_tests: bool = True) -> None:
    """Install and build all that clusters and chart tests need, on a machine that has none of it."""
    started = time.monotonic()
    check_machine()
    ensure_system_packages(report)
    modules = [TOOLBOX, KUBERNETES, TRAINING_OPERATOR, HELM]
    for module in [*modules, HELM_UNITTEST] if for_chart_tests else modules:
        ensure_binaries(module, report)
    ensure_manifests(report)
    ensure_disk(ensure_images(report), report)
    report(f"everything for the cluster is there ({time.monotonic() - started:.1f} s)")
