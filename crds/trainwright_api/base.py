"""The base of all API models: camelCase outside, snake_case inside, unknown fields refused.

The descriptions given to `Field` are the only text about a field: they become the CRD's
descriptions, `kubectl explain` and the reference page. Rules across fields are declared beside the
model as CEL, the language the API server evaluates, so that one text serves server, CLI and tests.
"""

from dataclasses import dataclass
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel


@dataclass(frozen=True, slots=True)
class Rule:
    """One validation rule in CEL, evaluated with `self` bound to the model's own object.

    `message` says what was got, what is expected and the remedy. `message_expression` is CEL that
    builds the message from the value; the API server falls back to `message` if it fails.
    """

    expression: str
    message: str
    message_expression: str | None = None
    field_path: str | None = None
    optional_old_self: bool = False


class Model(BaseModel):
    """Base of every object of the API; strict about unknown fields, immutable once made."""

    model_config = ConfigDict(
        alias_generator=to_camel,
        populate_by_name=True,
        extra="forbid",
        frozen=True,
    )

    RULES: ClassVar[tuple[Rule, ...]] = ()

    def to_manifest(self) -> dict[str, Any]:
        """Return the object as it is written in YAML: camelCase, JSON types, unset fields left out."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)
