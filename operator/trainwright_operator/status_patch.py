"""The merge patch between two versions of a status: what changed, with null for what is gone; pure."""

from typing import Any

_VOLATILE = ("progress", "hardware", "cost", "summary")


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
