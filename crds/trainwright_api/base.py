"""The base of all API models: camelCase outside, snake_case inside, unknown fields refused.

The descriptions given to `Field` are the only text about a field: they become the CRD's
descriptions, `kubectl explain` and the reference page. Rules across fields are declared beside the
model as CEL, the language the API server evaluates, so that one text serves server, CLI and tests.
"""

from dataclasses import dataclass
from typing import Any, ClassVar, Final

from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel

# For Field(json_schema_extra=...): an object that is written must say it, though code need not. The
# server fills in no default, and a rule of the model says what to write.
SAID_IF_WRITTEN: Final[dict[str, Any]] = {"x-said-if-written": True}


@dataclass(frozen=True, slots=True)
class Rule:
    """One validation rule in CEL, evaluated with `self` bound to the model's own object.

    `message` says what was got, what is expected and the remedy. `message_expression` is CEL that
    builds the message from the value; the API server falls back to `message` if it fails. `field_path`
    leads from the object to the field at fault. A rule that names `oldSelf` is about an update.
    """

    expression: str
    message: str
    message_expression: str | None = None
    field_path: str | None = None


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


def expects(
    expression: str, expectation: str, *, at: str = "", got: str = "", said: str = "", **values: str
) -> Rule:
    """Return the rule that an object fulfils, with its message `got ..., expected ...; <remedy>`.

    `expectation` goes on after `expected`. `at` is the field at fault, such as `.store.uri`; the
    object itself if empty. What was got is either `got`, a value in CEL, or `said`, fixed words.
    Further values in CEL fill their places in the expectation: `a multiple of {processes}`.
    """
    fixed = expectation
    for name in values:
        fixed = fixed.replace(f"{{{name}}}", "N")
    message = f"got {said}, expected {fixed}" if said else f"expected {fixed}"
    shown = _build_message_expression(got, expectation, values) if got else None
    return Rule(expression, message, shown, at or None)


def _build_message_expression(got: str, expectation: str, values: dict[str, str]) -> str:
    """Return the message in CEL. By `format`, as the server cannot bound the size of a sum of texts."""
    text = expectation.replace("%", "%%").replace("\\", "\\\\").replace("'", "\\'")
    for name in values:
        text = text.replace(f"{{{name}}}", "%s")
    shown = ", ".join(f"string({value})" for value in (got, *values.values()))
    return f"'got %s, expected {text}'.format([{shown}])"


def expects_one_of(*fields: str, remedy: str) -> Rule:
    """Return the rule that exactly one of these fields is given."""
    given = ", ".join(f"has(self.{field})" for field in fields)
    named = f"{', '.join(fields[:-1])} and {fields[-1]}"
    several = "both" if len(fields) == 2 else "several"
    return expects(
        f"[{given}].filter(x, x).size() == 1",
        f"exactly one; {remedy}",
        said=f"none or {several} of {named}",
    )


def immutable(*fields: str) -> tuple[Rule, ...]:
    """Return a rule for each field that it stays as it was when the object was created.

    An optional field is written with a question mark, such as `everySteps?`.
    """
    return tuple(_immutable(field.rstrip("?"), field.endswith("?")) for field in fields)


def _immutable(field: str, is_optional: bool) -> Rule:
    now, before = f"self.{field}", f"oldSelf.{field}"
    same = f"{now} == {before}"
    if is_optional:
        same = f"has({now}) == has({before}) && (!has({now}) || {same})"
    return Rule(
        same,
        f"got a change of {field}, expected what the run was created with; create a new run, with "
        "checkpoints.resumeFrom to go on from this one",
        field_path=f".{field}",
    )
