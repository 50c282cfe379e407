"""Runs as the cluster holds them, read leniently: the operator may be newer than this CLI.

`cluster` makes them from the API server's answers; the commands show them. Pure.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum
from typing import Any, TypeVar, get_args

from pydantic import BaseModel
from trainwright_api.status import RunStatus

ClassT = TypeVar("ClassT")


@dataclass(frozen=True, slots=True)
class RunView:
    """One TrainingRun or FineTuneJob of a cluster; `manifest` is the whole object."""

    kind: str
    namespace: str
    name: str
    created_at: datetime | None
    is_suspended: bool
    status: RunStatus
    manifest: Mapping[str, Any]

    @property
    def title(self) -> str:
        """KIND/NAME, as kubectl prints it."""
        return f"{self.kind}/{self.name}"

    @property
    def has_ended(self) -> bool:
        """Whether nothing more will happen."""
        return self.status.phase.has_ended


def parse_run(manifest: Mapping[str, Any]) -> RunView:
    """Return the view of an object of the API server; fields unknown to this CLI are left out."""
    metadata = manifest.get("metadata", {})
    return RunView(
        kind=str(manifest.get("kind")),
        namespace=metadata.get("namespace", "default"),
        name=metadata.get("name", ""),
        created_at=parse_time(metadata.get("creationTimestamp")),
        is_suspended=bool(manifest.get("spec", {}).get("suspend")),
        status=RunStatus.model_validate(_known_fields(RunStatus, manifest.get("status") or {})),
        manifest=manifest,
    )


def parse_time(text: str | None) -> datetime | None:
    """Return a time of the API, taken as UTC if it says no zone; None for what is no time."""
    try:
        moment = datetime.fromisoformat(text or "")
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _known_fields(model: type[BaseModel], values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values whose fields the model has, at every depth."""
    known = {}
    for name, field in model.model_fields.items():
        key = field.alias or name
        if key in values and _is_known(field.annotation, values[key]):
            known[key] = _known_value(field.annotation, values[key])
    return known


def _is_known(annotation: Any, value: Any) -> bool:
    """Whether a value is none of an enum that only a newer operator has."""
    enums = _classes_in(annotation, Enum)
    return not enums or value is None or any(value in list(members) for members in enums)


def _known_value(annotation: Any, value: Any) -> Any:
    model = next(iter(_classes_in(annotation, BaseModel)), None)
    if model is None:
        return value
    if isinstance(value, list):
        return [_known_fields(model, item) for item in value]
    return _known_fields(model, value) if isinstance(value, Mapping) else value


def _classes_in(annotation: Any, base: type[ClassT]) -> list[type[ClassT]]:
    if isinstance(annotation, type) and issubclass(annotation, base):
        return [annotation]
    return [found for argument in get_args(annotation) for found in _classes_in(argument, base)]
