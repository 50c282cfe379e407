"""Everything the CLI reads from its environment; no other module does.

kubeconfig and AWS variables are read by the Kubernetes and AWS clients themselves.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Settings:
    """The CLI's environment."""

    is_debug: bool = False
    """TRAINWRIGHT_DEBUG=1: show the traceback of unexpected errors."""
    inherited: Mapping[str, str] = field(default_factory=dict, repr=False)
    """The whole environment, for the trainer that `run --local` starts."""


def read_settings(environment: Mapping[str, str] = os.environ) -> Settings:
    """Return the settings of this process."""
    return Settings(
        is_debug=environment.get("TRAINWRIGHT_DEBUG", "") not in ("", "0"),
        inherited=dict(environment),
    )
