"""The example manifests as the demo applies them: read from crds/examples, fitted to this place.

What may differ from what the files say is told to the person: the bucket, where there is one for all.
Pure but for the reading.
"""

import copy
import math
from typing import Any

from ruamel.yaml import YAML
from trainwright_api.quantities import parse_count

from tools.machine import PROJECT

EXAMPLES = PROJECT / "crds" / "examples"
PRETRAINING, FINE_TUNING = "stdlib-gpt", "smollm2-chat"

Manifest = dict[str, Any]


def read_example(name: str) -> Manifest:
    """One example as it stands in the file."""
    loaded: Manifest = YAML(typ="safe").load((EXAMPLES / f"{name}.yaml").read_text())
    return loaded


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
    """A copy with at most so many steps and two checkpoints on the way.

    None changes nothing, nor do more steps than the manifest's budget of tokens has.
    """
    if num_steps is None or num_steps >= _count_steps(manifest):
        return manifest
    changed = copy.deepcopy(manifest)
    changed["spec"]["budget"] = {"steps": num_steps}
    changed["spec"]["checkpoints"]["everySteps"] = max(1, num_steps // 3)
    return changed


def _count_steps(manifest: Manifest) -> int:
    """Return the steps of a budget of tokens, as examples have."""
    spec = manifest["spec"]
    per_step = spec["batch"]["globalSequences"] * spec["data"]["sequenceLength"]
    return math.ceil(parse_count(spec["budget"]["tokens"]) / int(per_step))


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
