"""What the environment tells the demo; the only place where it is read.

`make demo NAME=value` puts these names there.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field

from demo.errors import DemoError


@dataclass(frozen=True, slots=True)
class Settings:
    """The choices of one call."""

    current: bool = False
    """CLUSTER=current: use the cluster that kubectl points at."""
    cluster_name: str = "demo"
    """DEMO_CLUSTER: the name of the demo's own cluster; clusters of different names live side by side."""
    registry: str = ""
    """REGISTRY: where images are pushed to, and where that cluster pulls them from."""
    operator_image: str = ""
    """OPERATOR_IMAGE, NAME:TAG below the registry: is there already, is neither built nor pushed."""
    trainer_image: str = ""
    """TRAINER_IMAGE, likewise."""
    namespace: str = "default"
    """NAMESPACE of the two runs; created if it is not there."""
    s3_endpoint: str = ""
    """AWS_ENDPOINT_URL: the S3 store as this machine reaches it; empty: AWS."""
    s3_endpoint_of_pods: str = ""
    """S3_ENDPOINT: the same store as pods reach it; default: as this machine does."""
    access_key: str = field(default="", repr=False)
    """AWS_ACCESS_KEY_ID."""
    secret_key: str = field(default="", repr=False)
    """AWS_SECRET_ACCESS_KEY."""
    session_token: str = field(default="", repr=False)
    """AWS_SESSION_TOKEN, where the keys are for a while only."""
    region: str = "us-east-1"
    """AWS_REGION, else AWS_DEFAULT_REGION: that of the buckets."""
    bucket: str = ""
    """S3_BUCKET: one bucket for all; default: the buckets datasets, models and checkpoints."""
    prometheus_url: str = ""
    """PROMETHEUS_URL: one that scrapes the current cluster, for the figures at the end."""
    kills: bool = True
    """DEMO_KILL=0: do not kill a worker on the way."""
    fine_tunes: bool = True
    """DEMO_FINE_TUNE=0: pretrain only."""
    num_steps: int | None = None
    """DEMO_STEPS: at most so many optimizer steps of each run, for a quick look; default: the examples' budgets."""
    is_agreed: bool = False
    """YES=1: do not ask before touching the current cluster."""


def read_settings(environment: Mapping[str, str] = os.environ) -> Settings:
    """The settings of this call; raises DemoError for a value that means nothing."""
    cluster = environment.get("CLUSTER", "")
    if cluster not in ("", "current"):
        raise DemoError(f"CLUSTER: got {cluster!r}, expected `current` or nothing")
    endpoint = environment.get("AWS_ENDPOINT_URL", "")
    return Settings(
        current=cluster == "current",
        cluster_name=environment.get("DEMO_CLUSTER") or "demo",
        registry=environment.get("REGISTRY", "").rstrip("/"),
        operator_image=environment.get("OPERATOR_IMAGE", ""),
        trainer_image=environment.get("TRAINER_IMAGE", ""),
        namespace=environment.get("NAMESPACE") or "default",
        s3_endpoint=endpoint,
        s3_endpoint_of_pods=environment.get("S3_ENDPOINT") or endpoint,
        access_key=environment.get("AWS_ACCESS_KEY_ID", ""),
        secret_key=environment.get("AWS_SECRET_ACCESS_KEY", ""),
        session_token=environment.get("AWS_SESSION_TOKEN", ""),
        region=environment.get("AWS_REGION")
        or environment.get("AWS_DEFAULT_REGION")
        or "us-east-1",
        bucket=environment.get("S3_BUCKET", ""),
        prometheus_url=environment.get("PROMETHEUS_URL", ""),
        fine_tunes=_read_choice(environment, "DEMO_FINE_TUNE", default=True),
        num_steps=_read_steps(environment.get("DEMO_STEPS", "")),
        kills=_read_choice(environment, "DEMO_KILL", default=True),
        is_agreed=_read_choice(environment, "YES", default=False),
    )


def _read_choice(environment: Mapping[str, str], name: str, *, default: bool) -> bool:
    """Whether something is wanted; a word that is no clear answer, such as YES=never, is none."""
    text = environment.get(name) or ("1" if default else "0")
    if text.lower() not in ("1", "yes", "true", "0", "no", "false"):
        raise DemoError(f"{name}: got {text!r}, expected 1 or 0")
    return text.lower() in ("1", "yes", "true")


def _read_steps(text: str) -> int | None:
    if text and not (text.isdecimal() and int(text) > 0):
        raise DemoError(f"DEMO_STEPS: got {text!r}, expected a number of steps such as 20")
    return int(text) if text else None
