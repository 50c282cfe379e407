"""The merge patch between two versions of a status, and what kind of change it is; pure."""

from typing import Any

from trainwright_api.names import Condition

_VOLATILE = ("progress", "hardware", "cost", "summary")
# What a trainer's report may change as often as it likes: fields, and parts of conditions and attempts.
_TOLD = (*_VOLATILE, "message", "checkpoints", "model", "plan", "warnings")
_TOLD_CONDITIONS = (Condition.CHECKPOINT_READY, Condition.UNDERUTILIZED)
_TOLD_OF_CONDITION = ("message", "lastTransitionTime")
_TOLD_OF_ATTEMPT = ("resumedFromStep", "stepsLost")


def build_status_patch(old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    """Return the JSON merge patch (RFC 7386) that turns old into new; empty if they are equal."""
    patch: dict[str, Any] = {}
    for key in old.keys() - new.keys():
        patch[key] = None
    for key, value in new.items():
        before = old.get(key)
        if before == value:
            continue
        if isinstance(before, dict) and isinstance(value, dict):
            patch[key] = build_status_patch(before, value)
        else:
            patch[key] = value
    return patch


def is_progress_only(old: dict[str, Any], new: dict[str, Any]) -> bool:
    """Whether nothing differs between two versions of a status but how far training is."""
    keys = (old.keys() | new.keys()) - set(_VOLATILE)
    return all(old.get(key) == new.get(key) for key in keys)


def is_news_only(old: dict[str, Any], new: dict[str, Any]) -> bool:
    """Whether nothing differs between two versions of a status but what a running trainer tells."""
    return _without_news(old) == _without_news(new)


def _without_news(status: dict[str, Any]) -> dict[str, Any]:
    kept = _without(status, _TOLD)
    conditions = [c for c in status.get("conditions", ()) if c["type"] not in _TOLD_CONDITIONS]
    return kept | {
        "conditions": [_without(each, _TOLD_OF_CONDITION) for each in conditions],
        "attempts": [_without(each, _TOLD_OF_ATTEMPT) for each in status.get("attempts", ())],
    }


def _without(value: dict[str, Any], keys: tuple[str, ...]) -> dict[str, Any]:
    return {key: item for key, item in value.items() if key not in keys}
