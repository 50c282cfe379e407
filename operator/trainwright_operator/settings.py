"""Everything the operator reads from its environment; no other module does."""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Settings:
    """Settings of the operator; the chart sets them from its values."""

    namespaces: tuple[str, ...] = ()
    """Namespaces whose runs are served; empty: all."""
    log_level: str = "INFO"
    """Least severe lines that are logged."""
    metrics_port: int = 8080
    """Port of /metrics, /healthz and /readyz."""
    trainer_image: str = "localhost/trainwright-trainer:latest"
    """Image of trainer pods whose run names none."""
    trainer_image_pull_policy: str = "IfNotPresent"
    """When the kubelet pulls it."""
    trainer_image_pull_secrets: tuple[str, ...] = ()
    """Names of Secrets for pulling it."""
    s3_endpoint: str | None = None
    """Endpoint of s3:// addresses that name none; None: AWS."""
    pod_defaults: dict[str, Any] = field(default_factory=dict)
    """Fields of a pod template merged into every trainer pod before the run's podOverrides."""
    prices: dict[str, float] = field(default_factory=dict)
    """USD per hour of one unit of a resource, such as {"nvidia.com/gpu": 2.5, "cpu": 0.04}."""
    sweep_seconds: float = 2.0
    """Time between two collections of progress."""
    status_seconds: float = 10.0
    """Least time between two status writes of one run that only change its progress."""
    collect_seconds: float = 4.0
    """Time to read every pod's end after the first failed (before all are removed)."""
    pod_grace_seconds: float = 75.0
    """Time after which a pod that should be gone is removed by force; above the pods' own grace."""
    api_threads: int = 8
    """Calls of the API server at once."""


def read_settings(environment: Mapping[str, str] = os.environ) -> Settings:
    """Return the settings; raises ValueError on a value that cannot be read."""

    def get(name: str, default: str = "") -> str:
        return environment.get(f"TRAINWRIGHT_{name}", default)

    def names(name: str) -> tuple[str, ...]:
        return tuple(part.strip() for part in get(name).split(",") if part.strip())

    defaults = Settings()
    return Settings(
        namespaces=names("NAMESPACES"),
        log_level=get("LOG_LEVEL", defaults.log_level),
        metrics_port=int(get("METRICS_PORT", str(defaults.metrics_port))),
        trainer_image=get("TRAINER_IMAGE", defaults.trainer_image),
        trainer_image_pull_policy=get(
            "TRAINER_IMAGE_PULL_POLICY", defaults.trainer_image_pull_policy
        ),
        trainer_image_pull_secrets=names("TRAINER_IMAGE_PULL_SECRETS"),
        s3_endpoint=get("S3_ENDPOINT") or None,
        pod_defaults=json.loads(get("POD_DEFAULTS", "{}")),
        prices=json.loads(get("PRICES", "{}")),
        sweep_seconds=float(get("SWEEP_SECONDS", str(defaults.sweep_seconds))),
        status_seconds=float(get("STATUS_SECONDS", str(defaults.status_seconds))),
        collect_seconds=float(get("COLLECT_SECONDS", str(defaults.collect_seconds))),
        pod_grace_seconds=float(get("POD_GRACE_SECONDS", str(defaults.pod_grace_seconds))),
        api_threads=int(get("API_THREADS", str(defaults.api_threads))),
    )
