"""What is wrong with a manifest, told as `path: got ..., expected ...; <remedy>`.

Turns pydantic's errors into our sentences; rules in CEL bring their own. Used by `validate`.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from pydantic_core import ErrorDetails
from typing_extensions import is_typeddict

from trainwright_api.base import Model
from trainwright_api.defaulting import find_model, leaves

_MAXIMUM_SHOWN = 80
_QUOTES = "write it in quotes"
_NO_QUOTES = "write it without quotes"
_IN_BOUNDS = "change it"
# Of every object in Kubernetes.
_METADATA = [
    "annotations",
    "creationTimestamp",
    "deletionGracePeriodSeconds",
    "deletionTimestamp",
    "finalizers",
    "generateName",
    "generation",
    "labels",
    "managedFields",
    "name",
    "namespace",
    "ownerReferences",
    "resourceVersion",
    "selfLink",
    "uid",
]
_METADATA_LISTS = {"finalizers", "managedFields", "ownerReferences"}
_METADATA_TEXTS = {"generateName", "namespace", "resourceVersion", "selfLink", "uid"}
# As the server has them for every kind of object.
_NAMESPACE = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_LABEL_VALUE = re.compile(r"([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?")
_DOMAIN = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*"
_LABEL_NAME = re.compile(rf"((?=[^/]{{1,253}}/){_DOMAIN}/)?(?=.){_LABEL_VALUE.pattern}")
_QUOTED = re.compile(r"'([^']*)'")

# Expectation by pydantic's type of error, with the values of its context.
_EXPECTATIONS = {
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "string_type": "text",
    "list_type": "a list",
    "dict_type": "an object",
    "model_type": "an object",
    "model_attributes_type": "an object",
    "greater_than": "more than {gt}",
    "greater_than_equal": "at least {ge}",
    "less_than": "less than {lt}",
    "less_than_equal": "at most {le}",
    "too_short": "at least {min_length} entries",
    "too_long": "at most {max_length} entries",
    "string_too_short": "at least {min_length} characters",
    "string_too_long": "at most {max_length} characters",
    "enum": "one of {expected}",
    "literal_error": "one of {expected}",
}


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong: where, what, and the line of the file if it is known (from 1)."""

    path: str
    message: str
    line: int | None = None

    def __str__(self) -> str:
        return f"{self.path}: {self.message}" if self.path else self.message


@dataclass(frozen=True, slots=True)
class TypeProblem:
    """A problem of one field's own value; `breaks` says that rules cannot use the field."""

    problem: Problem
    breaks: bool = True


def describe_errors(
    errors: list[ErrorDetails], manifest: dict[str, Any], model: type[Model]
) -> Iterator[TypeProblem]:
    """Yield a problem for every path that pydantic finds wrong.

    A number or word that may be either (`Auto`) is left out: the field has a rule that says what it
    may be.
    """
    by_path: dict[tuple[int | str, ...], list[ErrorDetails]] = {}
    for details in errors:
        by_path.setdefault(_drop_union_marks(details["loc"], manifest), []).append(details)
    for location, found in by_path.items():
        path = join_path(location)
        if len(found) == 1:
            message = _describe(found[0], location, model)
            yield TypeProblem(Problem(path, message), found[0]["type"] != "extra_forbidden")
        elif not _is_number_or_word(found[0]["input"]):
            got = _show(found[0]["input"])
            message = f"got {got}, expected a whole number or text; {_QUOTES}"
            yield TypeProblem(Problem(path, message))


def describe_metadata(metadata: dict[str, Any]) -> Iterator[Problem]:
    """Yield what is wrong with an object's metadata but for its name, which has a rule."""
    for name, value in metadata.items():
        if name not in _METADATA:
            yield Problem(f"metadata.{name}", f"unknown field; {_suggest(name, _METADATA)}")
        elif name in ("labels", "annotations"):
            yield from _describe_texts(f"metadata.{name}", value, are_labels=name == "labels")
        elif name in _METADATA_LISTS and not isinstance(value, list | None):
            remedy = _remedy("list_type", value, [])
            yield Problem(f"metadata.{name}", f"got {_show(value)}, expected a list; {remedy}")
        elif name in _METADATA_TEXTS and not isinstance(value, str | None):
            remedy = _remedy("string_type", value, [])
            yield Problem(f"metadata.{name}", f"got {_show(value)}, expected text; {remedy}")
        elif name == "namespace" and value and not _NAMESPACE.fullmatch(value):
            what = "up to 63 lower-case letters, digits and dashes; write the name of a namespace"
            yield Problem("metadata.namespace", f"got {_show(value)}, expected {what}")


def _describe_texts(path: str, value: Any, *, are_labels: bool) -> Iterator[Problem]:
    if not isinstance(value, dict):
        yield Problem(path, f"got {_show(value)}, expected an object; write name: value below it")
        return
    for key, text in value.items():
        # Of the names of annotations, the case does not matter.
        if not _LABEL_NAME.fullmatch(key if are_labels else key.lower()):
            what = "a name of up to 63 letters, digits, -, _ and ., after example.com/ if you like"
            yield Problem(path, f"got {_show(key)}, expected {what}; rename it")
        elif not isinstance(text, str):
            yield Problem(f"{path}.{key}", f"got {_show(text)}, expected text; {_QUOTES}")
        elif are_labels and not _LABEL_VALUE.fullmatch(text):
            what = "up to 63 letters, digits, -, _ and . that start and end with a letter or digit"
            yield Problem(f"{path}.{key}", f"got {_show(text)}, expected {what}; change it")


def join_path(location: tuple[int | str, ...]) -> str:
    """Return a location as it is written in messages: `spec.workers.env[0].name`."""
    path = ""
    for part in location:
        path += f"[{part}]" if isinstance(part, int) else f".{part}" if path else part
    return path


def _describe(details: ErrorDetails, location: tuple[int | str, ...], model: type[Model]) -> str:
    kind, got = details["type"], details["input"]
    if kind == "extra_forbidden":
        known = _field_names(model, location[:-1])
        return f"unknown field; {_suggest(str(location[-1]), known)}"
    if kind == "missing":
        return "got nothing, expected a value; add it"
    expectation = _EXPECTATIONS.get(kind)
    if expectation is None:
        return f"got {_show(got)}, expected another value ({details['msg']}); {_IN_BOUNDS}"
    context = {name: _show(bound) for name, bound in details.get("ctx", {}).items()}
    words = _QUOTED.findall(context.get("expected", ""))
    expected = expectation.format(**context | {"expected": ", ".join(words)})
    return f"got {_show(got)}, expected {expected}; {_remedy(kind, got, words)}"


def _remedy(kind: str, got: Any, words: list[str]) -> str:
    if words:
        return _suggest(str(got), words, otherwise="write one of these")
    remedies: dict[str, Callable[[], str]] = {
        "string_type": lambda: _QUOTES if _is_scalar(got) else "write a text",
        "list_type": lambda: f"write [{_show(got)}]" if _is_scalar(got) else "write - before each",
        "bool_type": lambda: _NO_QUOTES if isinstance(got, str) else "write true or false",
        "int_type": lambda: _NO_QUOTES if _is_numeral(got) else "write a number",
        "float_type": lambda: _NO_QUOTES if _is_numeral(got) else "write a number",
        "string_too_long": lambda: "shorten it",
        "too_long": lambda: "remove some",
        "too_short": lambda: "add one",
    }
    return remedies.get(kind, lambda: _IN_BOUNDS)()


def _suggest(word: str, known: list[str], otherwise: str = "") -> str:
    """Return `did you mean ...?`, also for words that differ in case or underscores only."""
    plain = {name.lower(): name for name in known}
    close = get_close_matches(word.replace("_", "").lower(), plain, n=1)
    if close:
        return f"did you mean {plain[close[0]]}?"
    return otherwise or f"known here: {', '.join(known)}"


def _is_number_or_word(value: Any) -> bool:
    return isinstance(value, int | str) and not isinstance(value, bool)


def _is_scalar(value: Any) -> bool:
    return isinstance(value, str | int | float)


def _is_numeral(value: Any) -> bool:
    try:
        float(value)
    except (TypeError, ValueError):
        return False
    return isinstance(value, str)


def _show(value: Any) -> str:
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict | list):
        return "an object" if isinstance(value, dict) else "a list"
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    text = f'"{value}"' if isinstance(value, str) and _is_numeral(value) else str(value)
    return text if len(text) <= _MAXIMUM_SHOWN else text[: _MAXIMUM_SHOWN - 3] + "..."


def _drop_union_marks(location: tuple[int | str, ...], manifest: Any) -> tuple[int | str, ...]:
    """Pydantic names the tried member of a union in a location; what the manifest has not is none."""
    kept: list[int | str] = []
    value = manifest
    for index, part in enumerate(location):
        is_last = index == len(location) - 1
        if isinstance(part, int) and isinstance(value, list) and part < len(value):
            value = value[part]
        elif isinstance(value, dict) and (part in value or is_last):
            value = value.get(part)
        elif not isinstance(value, dict):
            continue
        kept.append(part)
    return tuple(kept)


def _field_names(model: type[Model], location: tuple[int | str, ...]) -> list[str]:
    """Return the fields that the object at a location may have."""
    current: Any = model
    for part in location:
        if isinstance(part, int):
            continue
        field = next((f for n, f in current.model_fields.items() if (f.alias or n) == part), None)
        if field is None:
            return []
        current = find_model(field.annotation) or next(
            (leaf for leaf in leaves(field.annotation) if is_typeddict(leaf)), None
        )
        if current is None or is_typeddict(current):
            return sorted(getattr(current, "__annotations__", ()))
    return sorted(f.alias or name for name, f in current.model_fields.items())
