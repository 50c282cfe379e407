"""Reads manifests as kubectl does and finds everything that is wrong with them, all at once.

Used by the CLI, and by tests that hold its verdicts to those of a real API server. YAML is 1.2
(`1e-3` is a number), keys may not repeat, unknown fields are errors.
"""

from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any, get_args

from pydantic import ValidationError
from pydantic_core import ErrorDetails
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.error import MarkedYAMLError

from trainwright_api import names
from trainwright_api.base import Model
from trainwright_api.resources import FineTuneJob, Resource, TrainingRun
from trainwright_api.rules import find_violations

_KINDS: dict[str, type[TrainingRun] | type[FineTuneJob]] = {
    names.TRAINING_RUN: TrainingRun,
    names.FINE_TUNE_JOB: FineTuneJob,
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
class Document:
    """One document of a file: plain values, and the line of each path."""

    manifest: dict[str, Any]
    source: str
    lines: dict[str, int] = field(default_factory=dict)


class InvalidManifestError(ValueError):
    """A manifest with problems; `problems` holds all of them."""

    def __init__(self, problems: list[Problem], source: str = "") -> None:
        self.problems, self.source = problems, source
        super().__init__("\n".join(str(problem) for problem in problems))


def load_documents(text: str, source: str) -> list[Document]:
    """Return the documents of a YAML (or JSON) text.

    Raises InvalidManifestError for text that is no YAML, repeats a key or holds anything but objects.
    """
    yaml = YAML(typ="rt")
    try:
        loaded = [item for item in yaml.load_all(text) if item is not None]
    except MarkedYAMLError as error:
        mark = error.problem_mark
        what = f"not valid YAML: {error.problem or error.context}"
        raise InvalidManifestError(
            [Problem("", what, mark.line + 1 if mark else None)], source
        ) from error
    documents = []
    for item in loaded:
        if not isinstance(item, CommentedMap):
            problem = Problem(
                "", f"got {type(item).__name__}, expected an object with apiVersion and kind"
            )
            raise InvalidManifestError([problem], source)
        lines: dict[str, int] = {}
        documents.append(Document(_to_plain(item, "", lines), source, lines))
    return documents


def _to_plain(value: Any, path: str, lines: dict[str, int]) -> Any:
    """Return plain Python values, noting the line of every path on the way."""
    if isinstance(value, CommentedMap):
        result = {}
        for key, item in value.items():
            child = f"{path}.{key}" if path else str(key)
            lines[child] = value.lc.key(key)[0] + 1
            result[str(key)] = _to_plain(item, child, lines)
        return result
    if isinstance(value, CommentedSeq):
        items = []
        for index, item in enumerate(value):
            lines[f"{path}[{index}]"] = value.lc.item(index)[0] + 1
            items.append(_to_plain(item, f"{path}[{index}]", lines))
        return items
    if isinstance(value, bool) or value is None:
        return value
    for plain in (int, float, str):
        if isinstance(value, plain):
            return plain(value)
    return str(value)


def validate_document(document: Document, old: dict[str, Any] | None = None) -> list[Problem]:
    """Return all problems of a manifest; an empty list means that the API server takes it.

    `old` is the manifest of the same object as it is in the cluster: then fields that may not change
    are checked too.
    """
    problems = _check_type(document.manifest)
    if not problems:
        problems = _check_fields(document.manifest, old)
    return [
        Problem(problem.path, problem.message, _find_line(document.lines, problem.path))
        for problem in problems
    ]


def parse_resource(manifest: dict[str, Any], old: dict[str, Any] | None = None) -> Resource:
    """Return the resource of a valid manifest; raises InvalidManifestError with all problems."""
    problems = validate_document(Document(manifest, ""), old)
    if problems:
        raise InvalidManifestError(problems)
    return _KINDS[manifest["kind"]].model_validate(manifest)


def _check_type(manifest: dict[str, Any]) -> list[Problem]:
    version, kind = manifest.get("apiVersion"), manifest.get("kind")
    problems = []
    if version != names.API_VERSION:
        problems.append(Problem("apiVersion", f"got {version}, expected {names.API_VERSION}"))
    if kind not in _KINDS:
        problems.append(Problem("kind", f"got {kind}, expected {' or '.join(_KINDS)}"))
    return problems


def _check_fields(manifest: dict[str, Any], old: dict[str, Any] | None) -> list[Problem]:
    model = _KINDS[manifest["kind"]]
    metadata = manifest.get("metadata")
    if not isinstance(metadata, dict) or not metadata.get("name"):
        return [Problem("metadata.name", "got nothing, expected a name; add it")]
    try:
        resource = model.model_validate(_without_nulls(manifest))
    except ValidationError as error:
        return [_describe(details, manifest, model) for details in error.errors(include_url=False)]
    before = model.model_validate(_without_nulls(old)) if old else None
    return [
        Problem(path, message.removeprefix(f"{path}: "))
        for path, message in (
            _split_path(path, message) for path, message in find_violations(resource, before)
        )
    ]


def _split_path(path: str, message: str) -> tuple[str, str]:
    """A rule on the whole object names its path in the message: the server knows no other way."""
    if path or not message.startswith("metadata.name: "):
        return path, message
    return "metadata.name", message


def _without_nulls(value: Any) -> Any:
    """Drop nulls, as the API server does before it fills in defaults."""
    if isinstance(value, dict):
        return {key: _without_nulls(item) for key, item in value.items() if item is not None}
    return [_without_nulls(item) for item in value] if isinstance(value, list) else value


def _describe(details: ErrorDetails, manifest: dict[str, Any], model: type[Model]) -> Problem:
    location = _drop_union_marks(details["loc"], manifest)
    path = _join(location)
    got = details["input"]
    kind = details["type"]
    if kind == "extra_forbidden":
        known = _field_names(model, location[:-1])
        close = get_close_matches(str(location[-1]), known, n=1)
        hint = f"did you mean {close[0]}?" if close else f"known here: {', '.join(known)}"
        return Problem(path, f"unknown field; {hint}")
    if kind == "missing":
        return Problem(path, "got nothing, expected a value; add it")
    if kind in ("enum", "literal_error"):
        return Problem(
            path, f"got {got}, expected one of {details['ctx']['expected']}".replace("'", "")
        )
    return Problem(path, f"got {_shorten(got)}, expected {_expectation(details)}")


def _expectation(details: ErrorDetails) -> str:
    message = details["msg"]
    for prefix in (
        "Input should be ",
        "Value should have ",
        "List should have ",
        "String should have ",
    ):
        if message.startswith(prefix):
            return message.removeprefix(prefix)
    return message[:1].lower() + message[1:]


def _shorten(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 80 else text[:77] + "..."


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


def _join(location: tuple[int | str, ...]) -> str:
    path = ""
    for part in location:
        path += f"[{part}]" if isinstance(part, int) else f".{part}" if path else part
    return path


def _field_names(model: type[Model], location: tuple[int | str, ...]) -> list[str]:
    """Return the fields that the object at a location may have."""
    current: Any = model
    for part in location:
        if isinstance(part, int):
            continue
        by_alias = {f.alias or name: f for name, f in current.model_fields.items()}
        current = _find_model(by_alias[part].annotation) if part in by_alias else None
        if current is None:
            return []
    return sorted(f.alias or name for name, f in current.model_fields.items())


def _find_model(annotation: Any) -> type[Model] | None:
    if isinstance(annotation, type) and issubclass(annotation, Model):
        return annotation
    return next((found for arg in get_args(annotation) if (found := _find_model(arg))), None)


def _find_line(lines: dict[str, int], path: str) -> int | None:
    """Return the line of a path, or of the nearest object around it."""
    while path:
        if path in lines:
            return lines[path]
        cut = max(path.rfind("."), path.rfind("["))
        path = path[:cut] if cut > 0 else ""
    return None
