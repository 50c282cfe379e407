"""Kubeconfigs for tests that connect to no cluster."""

import json
from pathlib import Path
from typing import Any


def a_context(name: str, *, server: str = "https://10.0.0.1", **fields: str) -> dict[str, Any]:
    """Return a context with a cluster and a user of its name."""
    return {
        "context": {"name": name, "context": {"cluster": name, "user": name, **fields}},
        "cluster": {"name": name, "cluster": {"server": server}},
        "user": {"name": name, "user": {"token": name}},
    }


def write_kubeconfig(folder: Path, *contexts: dict[str, Any], current: str | None = None) -> str:
    """Write contexts into a file and return its path; `current` is the current one, if there is one."""
    config: dict[str, Any] = {"apiVersion": "v1", "kind": "Config"}
    for key in ("context", "cluster", "user"):
        config[f"{key}s"] = [context[key] for context in contexts]
    if current is not None:
        config["current-context"] = current
    path = folder / "kubeconfig"
    path.write_text(json.dumps(config))
    return str(path)
