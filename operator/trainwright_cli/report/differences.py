"""What differs between the specs of runs: the first thing to know of two curves. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any

ABSENT = "-"


def build_differences(specs: Sequence[Mapping[str, Any]]) -> list[tuple[str, list[str]]]:
    """Return path and one text per run for each setting that is not the same in all of them."""
    flat = [dict(_flatten(spec, "spec")) for spec in specs]
    paths = sorted({path for one in flat for path in one})
    rows = [(path, [str(one.get(path, ABSENT)) for one in flat]) for path in paths]
    return [(path, values) for path, values in rows if len(set(values)) > 1]


def _flatten(value: Any, path: str) -> list[tuple[str, Any]]:
    if isinstance(value, Mapping) and value:
        return [leaf for key in value for leaf in _flatten(value[key], f"{path}.{key}")]
    if isinstance(value, list) and value:
        return [leaf for i, item in enumerate(value) for leaf in _flatten(item, f"{path}[{i}]")]
    return [(path, value)]
