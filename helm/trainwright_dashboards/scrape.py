"""How pods are scraped: the labels that every series of a trainer gets, in one place.

Used for the chart's PodMonitor and for a plain Prometheus configuration, so that queries see the same
labels either way.
"""

from typing import Any

from trainwright_api import names

_META = "__meta_kubernetes_pod_"


def _pod_label(label: str) -> str:
    return f"{_META}label_" + "".join(char if char.isalnum() else "_" for char in label)


TARGET_LABELS = {
    "namespace": "__meta_kubernetes_namespace",
    "pod": f"{_META}name",
    "node": f"{_META}node_name",
    "run": _pod_label(names.LABEL_RUN),
    "kind": _pod_label(names.LABEL_KIND),
}


def build_pod_monitor_relabelings() -> list[dict[str, Any]]:
    """Return the relabelings of a PodMonitor's endpoint."""
    return [
        {"sourceLabels": [source], "targetLabel": target}
        for target, source in TARGET_LABELS.items()
    ]


def build_scrape_configs(interval: str = "15s") -> list[dict[str, Any]]:
    """Return scrape configurations of a plain Prometheus for trainers and the operator."""
    return [
        _scrape_config(
            "trainwright-trainer",
            interval,
            _pod_label(names.LABEL_RUN),
            ".+",
            names.TRAINER_PORT_NAME,
        ),
        _scrape_config(
            "trainwright-operator",
            interval,
            # Not `name`, which the chart's nameOverride replaces.
            _pod_label("app.kubernetes.io/part-of"),
            "trainwright",
            "metrics",
        ),
    ]


def _scrape_config(job: str, interval: str, label: str, value: str, port: str) -> dict[str, Any]:
    keep = [
        {"source_labels": [label], "regex": value, "action": "keep"},
        {"source_labels": [f"{_META}container_port_name"], "regex": port, "action": "keep"},
        {"source_labels": [f"{_META}phase"], "regex": "Running", "action": "keep"},
    ]
    set_labels = [
        {"source_labels": [source], "target_label": target}
        for target, source in TARGET_LABELS.items()
    ]
    return {
        "job_name": job,
        "scrape_interval": interval,
        "kubernetes_sd_configs": [{"role": "pod"}],
        "relabel_configs": keep + set_labels,
    }
