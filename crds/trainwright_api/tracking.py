"""Trackers of experiments that a run reports to, beside the TensorBoard files that every run writes.

The names are those of the tools themselves: MLFLOW_TRACKING_URI, experiment; project, entity, mode.
"""

from enum import StrEnum
from typing import ClassVar

from pydantic import Field

from trainwright_api.base import Model, Rule, expects

_SECRET_RULE = expects(
    "!has(self.credentialsSecret) || self.credentialsSecret.matches('^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$')",
    "the name of a Secret in the run's namespace; make one and write its name here",
    at=".credentialsSecret",
    got="self.credentialsSecret",
)


class WandbMode(StrEnum):
    """Whether Weights & Biases is reached while training."""

    ONLINE = "Online"
    OFFLINE = "Offline"


class MLflowTracking(Model):
    """A run of an MLflow experiment."""

    RULES: ClassVar[tuple[Rule, ...]] = (
        expects(
            "self.trackingUri.matches('^https?://[^/@ ]+(/[^@ ]*)?$')",
            "a URL such as https://mlflow.tracking:5000 without user or password; write scheme, host and port",
            at=".trackingUri",
            said="something else in trackingUri",
        ),
        _SECRET_RULE,
    )

    tracking_uri: str = Field(
        max_length=512, description="URL of the MLflow tracking server. No default."
    )
    experiment: str | None = Field(
        None,
        min_length=1,
        max_length=250,
        description="Name of the experiment; made if it is not there. Default: the run's namespace.",
    )
    credentials_secret: str | None = Field(
        None,
        max_length=253,
        description="Name of a Secret in the run's namespace with MLFLOW_TRACKING_USERNAME and "
        "MLFLOW_TRACKING_PASSWORD, or with MLFLOW_TRACKING_TOKEN. No default.",
    )


class WandbTracking(Model):
    """A run of a Weights & Biases project."""

    RULES: ClassVar[tuple[Rule, ...]] = (
        expects(
            "self.project.matches('^[A-Za-z0-9_.-]+$')",
            "letters, digits, _, . and -; rename the project",
            at=".project",
            got="self.project",
        ),
        expects(
            "!has(self.entity) || self.entity.matches('^[A-Za-z0-9_.-]+$')",
            "the name of a user or team; write it as W&B does",
            at=".entity",
            got="self.entity",
        ),
        expects(
            "!has(self.baseUrl) || self.baseUrl.matches('^https?://[^/@ ]+/?$')",
            "a URL such as https://wandb.example without user or password; write scheme, host and port",
            at=".baseUrl",
            said="something else in baseUrl",
        ),
        expects(
            "self.mode == 'Offline' || has(self.credentialsSecret)",
            "credentialsSecret with it; name a Secret with WANDB_API_KEY, or set mode to Offline",
            at=".mode",
            said="Online without credentialsSecret",
        ),
        _SECRET_RULE,
    )

    project: str = Field(
        min_length=1, max_length=128, description="Name of the project. No default."
    )
    entity: str | None = Field(
        None,
        min_length=1,
        max_length=128,
        description="User or team that owns the project. Default: the API key's own.",
    )
    mode: WandbMode = Field(
        WandbMode.ONLINE,
        description="Online sends while training; Offline writes to wandb/ in the run's folder of the store, for "
        "`wandb sync`. Default Online.",
    )
    base_url: str | None = Field(
        None,
        max_length=512,
        description="URL of a W&B server of your own. Default: https://api.wandb.ai.",
    )
    credentials_secret: str | None = Field(
        None,
        max_length=253,
        description="Name of a Secret in the run's namespace with WANDB_API_KEY; needed when Online. No default.",
    )


class Tracking(Model):
    """Trackers beside TensorBoard; none of them can hold up or end a run."""

    mlflow: MLflowTracking | None = Field(None, description="Report to MLflow. Default: no.")
    wandb: WandbTracking | None = Field(
        None, description="Report to Weights & Biases. Default: no."
    )

    @property
    def secrets(self) -> list[str]:
        """The Secrets that the trackers name."""
        trackers = (self.mlflow, self.wandb)
        named = [tracker.credentials_secret for tracker in trackers if tracker is not None]
        return [secret for secret in named if secret is not None]
