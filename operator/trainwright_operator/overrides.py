"""Merges fields into a pod template as kubectl patches do: objects by key, named lists by name."""

from collections.abc import Mapping
from typing import Any

# Lists whose items are known by a key; other lists are replaced whole.
_MERGE_KEYS = {
    "containers": "name",
    "initContainers": "name",
    "volumes": "name",
    "env": "name",
    "ports": "containerPort",
    "volumeMounts": "mountPath",
    "imagePullSecrets": "name",
    "hostAliases": "ip",
    "topologySpreadConstraints": "topologyKey",
}


def merge_template(base: Mapping[str, Any], override: Mapping[str, Any]) -> dict[str, Any]:
    """Return base with override merged in; a null removes the field."""
    merged = dict(base)
    for key, value in override.items():
        if value is None:
            merged.pop(key, None)
        elif isinstance(value, Mapping) and isinstance(merged.get(key), Mapping):
            merged[key] = merge_template(merged[key], value)
        elif key in _MERGE_KEYS and isinstance(value, list) and isinstance(merged.get(key), list):
            merged[key] = _merge_list(merged[key], value, _MERGE_KEYS[key])
        else:
            merged[key] = value
    return merged


def _merge_list(base: list[Any], override: list[Any], merge_key: str) -> list[Any]:
    merged = list(base)
    places = {item.get(merge_key): index for index, item in enumerate(base)}
    for item in override:
        index = places.get(item.get(merge_key)) if isinstance(item, Mapping) else None
        if index is None:
            merged.append(item)
        else:
            merged[index] = merge_template(merged[index], item)
    return merged
