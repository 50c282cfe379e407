"""The example manifests as the demo applies them: read from crds/examples, fitted to this place.

Two things may differ from what the files say, and both are told to the person: the number format,
where a CPU is slow in BF16, and the bucket, where there is one for all. Pure but for the reading.
"""

import copy
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from tools.machine import PROJECT

EXAMPLES = PROJECT / "crds" / "examples"
PRETRAINING, FINE_TUNING = "stdlib-gpt", "smollm2-chat"
_FAST_BF16 = {"amx_bf16", "avx512_bf16", "bf16"}  # the last is what ARM calls it
_CPU_INFO = Path("/proc/cpuinfo")

Manifest = dict[str, Any]


def read_example(name: str) -> Manifest:
    """One example as it stands in the file."""
    loaded: Manifest = YAML(typ="safe").load((EXAMPLES / f"{name}.yaml").read_text())
    return loaded


def choose_precision(cpu_info: str) -> str:
    """BF16 where the CPU multiplies in it, else FP32: without, BF16 is ten times slower."""
    flags = {
        word
        for line in cpu_info.splitlines()
        if line.startswith(("flags", "Features"))
        for word in line.split()
    }
    return "BF16" if flags & _FAST_BF16 else "FP32"


def read_precision() -> str:
    """The number format for this machine's CPU."""
    return choose_precision(_CPU_INFO.read_text()) if _CPU_INFO.exists() else "FP32"


def with_precision(manifest: Manifest, precision: str) -> Manifest:
    """The manifest with this number format."""
    return with_fields(manifest, {"precision": precision})


def with_fields(manifest: Manifest, fields: Manifest) -> Manifest:
    """A copy whose spec has these fields: nested objects are merged, None takes a field away."""
    changed = copy.deepcopy(manifest)
    _merge(changed["spec"], fields)
    return changed


def _merge(target: Manifest, fields: Manifest) -> None:
    for key, value in fields.items():
        if isinstance(value, dict) and isinstance(target.get(key), dict):
            _merge(target[key], value)
        elif value is None:
            target.pop(key, None)
        else:
            target[key] = value


def with_steps(manifest: Manifest, num_steps: int | None) -> Manifest:
    """A copy with a budget of so many steps and two checkpoints on the way; None changes nothing."""
    if num_steps is None:
        return manifest
    changed = copy.deepcopy(manifest)
    changed["spec"]["budget"] = {"steps": num_steps}
    changed["spec"]["checkpoints"]["everySteps"] = max(1, num_steps // 3)
    return changed


def with_bucket(manifest: Manifest, bucket: str) -> Manifest:
    """A copy in which every s3://NAME/... reads s3://bucket/NAME/..., unchanged for an empty bucket."""
    changed: Manifest = _replace_uris(manifest, "s3://", f"s3://{bucket}/" if bucket else "s3://")
    return changed


def _replace_uris(value: Any, old: str, new: str) -> Any:
    if isinstance(value, dict):
        return {key: _replace_uris(item, old, new) for key, item in value.items()}
    if isinstance(value, list):
        return [_replace_uris(item, old, new) for item in value]
    if isinstance(value, str) and value.startswith(old):
        return new + value.removeprefix(old)
    return value
