"""The defaults that a manifest leaves to Trainwright, each with the API's own words on it. Pure."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Any

from pydantic.fields import FieldInfo
from trainwright_api.base import Model

_SAID = re.compile(r"\b[Dd]efault(?: is)?:? (.+?)(?:\.(?:\s|$)|$)")


@dataclass(frozen=True, slots=True)
class Default:
    """One omitted field. `value` is None where the value depends on something else; see `reason`."""

    path: str
    value: Any
    reason: str

    @property
    def shown(self) -> str:
        """The value as a person reads it: the value itself, or the words that the reason has for it."""
        if self.value is not None:
            return str(self.value)
        said = _SAID.search(self.reason)
        return said[1] if said else "-"


def list_defaults(model: Model, path: str = "spec") -> list[Default]:
    """Return every field that was not given and has a default, by path."""
    return list(_walk(model, path, is_given=True))


def _walk(model: Model, path: str, *, is_given: bool) -> Iterator[Default]:
    for name, field in type(model).model_fields.items():
        value, here = getattr(model, name), f"{path}.{field.alias or name}"
        given = is_given and name in model.model_fields_set
        if isinstance(value, Model):
            yield from _walk(value, here, is_given=given)
        elif isinstance(value, list) and value and isinstance(value[0], Model):
            for index, item in enumerate(value):
                yield from _walk(item, f"{here}[{index}]", is_given=given)
        elif not given and _has_default(field, value):
            yield Default(here, _plain(value), field.description or "")


def _has_default(field: FieldInfo, value: Any) -> bool:
    """A field without value is a default only if its description says what is taken instead."""
    if value is None:
        return bool(_SAID.search(field.description or ""))
    return value not in ({}, [])


def _plain(value: Any) -> Any:
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return value.value if isinstance(value, Enum) else value
