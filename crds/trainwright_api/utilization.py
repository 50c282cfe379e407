"""When a run counts as wasting its devices, and what follows.

The operator's settings have the same defaults. Dashboards and alert show the condition, so that they
agree with it whatever the run says.
"""

from enum import StrEnum

from pydantic import Field

from trainwright_api.base import Model

DEFAULT_MINIMUM_PERCENT = 30.0
DEFAULT_MINUTES = 30.0


class UtilizationAction(StrEnum):
    """What follows when a run is underutilized."""

    REPORT = "Report"
    SUSPEND = "Suspend"


class Utilization(Model):
    """How much of its devices a run has to use."""

    minimum_percent: float | None = Field(
        None,
        ge=0,
        le=100,
        description="Mean utilisation of the run's devices (of its CPUs, without accelerators) below which it "
        "counts as underutilized; 0: never (unit: percent). Default: the operator's setting, 30.",
    )
    minutes: float | None = Field(
        None,
        gt=0,
        le=100000,
        description="How long the utilisation has to stay below it (unit: minutes). Default: the operator's "
        "setting, 30.",
    )
    action: UtilizationAction = Field(
        UtilizationAction.REPORT,
        description="Report sets condition Underutilized; Suspend also suspends the run after a checkpoint, until "
        "suspend is set to false again. Default Report.",
    )
