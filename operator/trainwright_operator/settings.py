"""Everything the operator reads from its environment; no other module does."""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from trainwright_api import otlp
from trainwright_api.utilization import DEFAULT_MINIMUM_PERCENT, DEFAULT_MINUTES

LOG_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
PULL_POLICIES = ("Always", "IfNotPresent", "Never")


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
    otlp_endpoint: str | None = None
    """URL of an OTLP/HTTP receiver of metrics, for trainers, too (OTEL_EXPORTER_OTLP_ENDPOINT); None: none."""
    exports_otlp: bool = False
    """Whether the operator sends its own metrics by OTLP."""
    otlp_interval_seconds: float = otlp.DEFAULT_INTERVAL_SECONDS
    """Time between two exports (OTEL_METRIC_EXPORT_INTERVAL)."""
    pod_defaults: dict[str, Any] = field(default_factory=dict)
    """Fields of a pod template merged into every trainer pod before the run's podOverrides."""
    prices: dict[str, float] = field(default_factory=dict)
    """USD per hour of one unit of a resource, such as {"nvidia.com/gpu": 2.5, "cpu": 0.04}."""
    scrape_annotations: bool = True
    """Whether trainer pods carry prometheus.io annotations, by which a plain Prometheus finds them."""
    grafana_url: str | None = None
    """Address of the Grafana that has the dashboards, for links to them; None: no links."""
    minimum_utilization_percent: float = DEFAULT_MINIMUM_PERCENT
    """Utilisation below which a run that says nothing else counts as underutilized; 0: never (unit: percent)."""
    underutilized_minutes: float = DEFAULT_MINUTES
    """How long it has to stay below (unit: minutes)."""
    sweep_seconds: float = 2.0
    """Time between two collections of progress (unit: seconds)."""
    status_seconds: float = 10.0
    """Least time between two status writes of one run for what its trainer tells; news have a few more (unit: seconds)."""
    collect_seconds: float = 4.0
    """Time to read every pod's end after the first failed, before all are removed (unit: seconds)."""
    failed_grace_seconds: int = 15
    """Grace of the other pods of a group in which one has failed: they wait for it in vain (unit: seconds)."""
    stuck_seconds: float = 30.0
    """Time after a deleted pod's grace at which it is removed by force, as on a dead node (unit: seconds)."""
    resync_seconds: float = 300.0
    """Time between two complete lists, which make up for what the watches missed (unit: seconds)."""
    api_threads: int = 8
    """Calls of the API server at once (unit: calls)."""


class SettingsError(ValueError):
    """A variable that cannot be read: `NAME: got X, expected Y`."""


def read_settings(environment: Mapping[str, str] = os.environ) -> Settings:
    """Return the settings; raises SettingsError on a value that cannot be read."""
    read = _Reader(environment)
    defaults = Settings()
    return Settings(
        namespaces=read.names("NAMESPACES"),
        log_level=read.choice("LOG_LEVEL", defaults.log_level, LOG_LEVELS),
        metrics_port=read.whole("METRICS_PORT", defaults.metrics_port, least=1, most=65535),
        trainer_image=read.text("TRAINER_IMAGE", defaults.trainer_image),
        trainer_image_pull_policy=read.choice(
            "TRAINER_IMAGE_PULL_POLICY", defaults.trainer_image_pull_policy, PULL_POLICIES
        ),
        trainer_image_pull_secrets=read.names("TRAINER_IMAGE_PULL_SECRETS"),
        s3_endpoint=read.text("S3_ENDPOINT") or None,
        otlp_endpoint=environment.get("OTEL_EXPORTER_OTLP_ENDPOINT") or None,
        exports_otlp=otlp.reads_endpoint(environment),
        otlp_interval_seconds=otlp.read_interval_seconds(environment),
        pod_defaults=read.json_object("POD_DEFAULTS"),
        prices=read.prices("PRICES"),
        scrape_annotations=read.flag("SCRAPE_ANNOTATIONS", defaults.scrape_annotations),
        grafana_url=read.text("GRAFANA_URL") or None,
        minimum_utilization_percent=read.number(
            "MINIMUM_UTILIZATION_PERCENT", defaults.minimum_utilization_percent
        ),
        underutilized_minutes=read.number("UNDERUTILIZED_MINUTES", defaults.underutilized_minutes),
        sweep_seconds=read.number("SWEEP_SECONDS", defaults.sweep_seconds, least=0.1),
        status_seconds=read.number("STATUS_SECONDS", defaults.status_seconds),
        collect_seconds=read.number("COLLECT_SECONDS", defaults.collect_seconds),
        failed_grace_seconds=read.whole("FAILED_GRACE_SECONDS", defaults.failed_grace_seconds),
        stuck_seconds=read.number("STUCK_SECONDS", defaults.stuck_seconds),
        resync_seconds=read.number("RESYNC_SECONDS", defaults.resync_seconds, least=1),
        api_threads=read.whole("API_THREADS", defaults.api_threads, least=1),
    )


class _Reader:
    """Reads variables with our prefix."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = environment

    def text(self, name: str, default: str = "") -> str:
        return self._environment.get(f"TRAINWRIGHT_{name}", default)

    def names(self, name: str) -> tuple[str, ...]:
        return tuple(part.strip() for part in self.text(name).split(",") if part.strip())

    def flag(self, name: str, default: bool) -> bool:
        text = self.text(name) or str(default).lower()
        if text not in ("true", "false"):
            raise SettingsError(f"TRAINWRIGHT_{name}: got {text!r}, expected true or false")
        return text == "true"

    def choice(self, name: str, default: str, known: Sequence[str]) -> str:
        text = self.text(name) or default
        if text not in known:
            expected = f"expected one of {', '.join(known)}"
            raise SettingsError(f"TRAINWRIGHT_{name}: got {text!r}, {expected}")
        return text

    def number(self, name: str, default: float, *, least: float = 0) -> float:
        text = self.text(name) or str(default)
        try:
            value = float(text)
        except ValueError:
            value = -1.0
        if not least <= value < float("inf"):
            expected = f"expected a number from {least:g} on"
            raise SettingsError(f"TRAINWRIGHT_{name}: got {text!r}, {expected}")
        return value

    def whole(self, name: str, default: int, *, least: int = 0, most: int = 2**31) -> int:
        value = self.number(name, default, least=least)
        if not value.is_integer() or value > most:
            expected = f"expected a whole number from {least} to {most}"
            raise SettingsError(f"TRAINWRIGHT_{name}: got {value:g}, {expected}")
        return int(value)

    def prices(self, name: str) -> dict[str, float]:
        prices = self.json_object(name)
        for resource, price in prices.items():
            is_number = isinstance(price, int | float) and not isinstance(price, bool)
            if not is_number or not 0 <= price < float("inf"):
                expected = "expected a number from 0 on, in USD per hour"
                raise SettingsError(
                    f"TRAINWRIGHT_{name}: {resource}: got {json.dumps(price)}, {expected}"
                )
        return {resource: float(price) for resource, price in prices.items()}

    def json_object(self, name: str) -> dict[str, Any]:
        text = self.text(name) or "{}"
        try:
            value = json.loads(text)
        except ValueError:
            value = None
        if not isinstance(value, dict):
            raise SettingsError(f"TRAINWRIGHT_{name}: got {text!r}, expected an object in JSON")
        return value
