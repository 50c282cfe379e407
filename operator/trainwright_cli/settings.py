"""Everything the CLI reads from its environment; no other module does.

kubeconfig and AWS variables are read by the Kubernetes and AWS clients themselves, those of proxies by the
standard library for `proxies`.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Settings:
    """The CLI's environment."""

    is_debug: bool = False
    """TRAINWRIGHT_DEBUG=1: show the traceback of unexpected errors."""
    has_unicode: bool = True
    """Whether the locale (LC_ALL, else LC_CTYPE, else LANG) says UTF-8."""
    visible_gpus: str | None = None
    """CUDA_VISIBLE_DEVICES: GPUs that the trainer may use, as numbers or UUIDs; None: all."""
    inherited: dict[str, str] = field(default_factory=dict, repr=False)
    """The whole environment, for the trainer that `run --local` starts."""


def read_settings(environment: Mapping[str, str] = os.environ) -> Settings:
    """Return the settings of this process."""
    return Settings(
        is_debug=environment.get("TRAINWRIGHT_DEBUG", "") not in ("", "0"),
        has_unicode=_has_unicode(environment),
        visible_gpus=environment.get("CUDA_VISIBLE_DEVICES"),
        inherited=dict(environment),
    )


def _has_unicode(environment: Mapping[str, str]) -> bool:
    # Python itself takes the C locale for UTF-8, so its own encoding does not tell.
    names = ("LC_ALL", "LC_CTYPE", "LANG")
    locale = next((environment[name] for name in names if environment.get(name)), "C")
    return "utf" in locale.lower()
