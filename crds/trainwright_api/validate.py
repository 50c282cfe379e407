"""Reads manifests as kubectl does and finds everything that is wrong with them, all at once.

Used by the CLI and the operator, and by tests that hold its verdicts to those of a real API server.
Numbers and words are read as kubectl reads them, keys may not repeat, unknown fields are errors.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from pydantic import ValidationError

from trainwright_api import names
from trainwright_api.base import Model
from trainwright_api.defaulting import fill_in, find_model
from trainwright_api.problems import Problem, TypeProblem, describe_errors, describe_metadata
from trainwright_api.resources import KINDS, Resource
from trainwright_api.rules import find_violations
from trainwright_api.schema import MAP_LISTS
from trainwright_api.yaml_reader import YamlError, read_yaml

__all__ = [
    "Document",
    "InvalidManifestError",
    "Problem",
    "load_documents",
    "parse_resource",
    "validate_document",
]

_GENERATED_SUFFIX = "xxxxx"  # the server appends as many characters to generateName


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
    """Return the documents of a YAML (or JSON) text; of a list, as kubectl prints some, its items.

    Raises InvalidManifestError for text that is no YAML, repeats a key or holds anything but objects.
    """
    try:
        return [
            document
            for read in read_yaml(text)
            if read.value is not None
            for document in _split(Document(read.value, source, read.lines))
        ]
    except YamlError as error:
        problem = Problem("", f"not valid YAML: {error.message}", error.line)
        raise InvalidManifestError([problem], source) from error


def _split(document: Document, path: str = "") -> Iterator[Document]:
    manifest = document.manifest
    if not isinstance(manifest, dict):
        what = f"got {type(manifest).__name__}, expected an object with apiVersion and kind"
        raise InvalidManifestError([Problem(path, f"{what}; correct the file")], document.source)
    items = manifest.get("items")
    if not isinstance(items, list):
        yield document
        return
    for index, item in enumerate(items):
        here = f"items[{index}]"
        below = {
            inner.removeprefix(f"{here}."): line
            for inner, line in document.lines.items()
            if inner.startswith(f"{here}.")
        }
        yield from _split(Document(item, document.source, below), here)


def validate_document(document: Document, old: dict[str, Any] | None = None) -> list[Problem]:
    """Return all problems of a manifest; an empty list means that the API server takes it.

    `old` is the manifest of the same object as it is in the cluster: then fields that may not change
    are checked too. Problems are in the order of their lines.
    """
    problems = _check_type(document.manifest) or list(_check_fields(document.manifest, old))
    placed = [replace(p, line=_find_line(document.lines, p.path)) for p in problems]
    return sorted(placed, key=lambda problem: problem.line or 0)


def parse_resource(manifest: dict[str, Any], old: dict[str, Any] | None = None) -> Resource:
    """Return the resource of a valid manifest; raises InvalidManifestError with all problems."""
    problems = validate_document(Document(manifest, ""), old)
    if problems:
        raise InvalidManifestError(problems)
    model = KINDS[manifest["kind"]]
    try:
        return model.model_validate(fill_in(model, manifest))
    except ValidationError as error:  # the status, which nobody but the operator writes
        found = describe_errors(error.errors(include_url=False), manifest, model)
        raise InvalidManifestError([each.problem for each in found]) from error


def _check_type(manifest: dict[str, Any]) -> list[Problem]:
    version, kind = manifest.get("apiVersion"), manifest.get("kind")
    problems = []
    if version != names.API_VERSION:
        what = f"got {version or 'nothing'}, expected {names.API_VERSION}; write that"
        problems.append(Problem("apiVersion", what))
    if not (isinstance(kind, str) and kind in KINDS):
        what = f"got {kind or 'nothing'}, expected {' or '.join(KINDS)}; write one of these"
        problems.append(Problem("kind", what))
    return problems


def _check_fields(manifest: dict[str, Any], old: dict[str, Any] | None) -> Iterator[Problem]:
    model = KINDS[manifest["kind"]]
    filled = fill_in(model, _as_created(manifest))
    broken: set[str] = set()
    for found in _check_values(model, filled):
        if found.breaks:
            broken.add(found.problem.path)
        yield found.problem
    before = None if old is None else fill_in(model, _as_created(old))
    for violation in find_violations(model, filled, before, frozenset(broken)):
        yield Problem(violation.path, violation.message)
    yield from _find_repeated(model, filled, "")


def _as_created(manifest: dict[str, Any]) -> dict[str, Any]:
    """Return what the server looks at: no status, and a name if one is to be generated."""
    looked_at = {key: value for key, value in manifest.items() if key != "status"}
    metadata = manifest.get("metadata")
    if isinstance(metadata, dict) and not metadata.get("name") and metadata.get("generateName"):
        name = f"{metadata['generateName']}{_GENERATED_SUFFIX}"
        looked_at["metadata"] = metadata | {"name": name}
    return looked_at


def _check_values(model: type[Model], filled: dict[str, Any]) -> Iterator[TypeProblem]:
    """Yield the problems of single values. Strict: the server takes no "2" for 2 either."""
    metadata = filled.get("metadata")
    if not isinstance(metadata, dict) or not metadata.get("name"):
        problem = Problem(
            "metadata.name", "got nothing, expected a name; add metadata: {name: ...}"
        )
        yield TypeProblem(problem)
    if isinstance(metadata, dict):
        yield from (TypeProblem(each, breaks=False) for each in describe_metadata(metadata))
    try:
        model.model_validate_json(json.dumps(filled), strict=True, by_alias=True, by_name=False)
    except ValidationError as error:
        found = describe_errors(error.errors(include_url=False), filled, model)
        yield from (each for each in found if not each.problem.path.startswith("metadata"))


def _find_repeated(model: type[Model], value: Any, path: str) -> Iterator[Problem]:
    """Yield the entries of lists by key (such as env, by name) that come twice."""
    if not isinstance(value, dict):
        return
    for name, field_info in model.model_fields.items():
        alias = field_info.alias or name
        here = f"{path}.{alias}" if path else alias
        child = find_model(field_info.annotation)
        if child is None:
            continue
        if key := MAP_LISTS.get(alias):
            yield from _find_repeated_entries(value.get(alias), key, here)
        else:
            yield from _find_repeated(child, value.get(alias), here)


def _find_repeated_entries(entries: Any, key: str, path: str) -> Iterator[Problem]:
    seen = set()
    for index, entry in enumerate(entries if isinstance(entries, list) else ()):
        value = entry.get(key) if isinstance(entry, dict) else None
        if not isinstance(value, str):
            continue
        if value in seen:
            what = f"got {value} a second time, expected each {key} once; remove one of them"
            yield Problem(f"{path}[{index}]", what)
        seen.add(value)


def _find_line(lines: dict[str, int], path: str) -> int | None:
    """Return the line of a path, or of the nearest object around it."""
    while path:
        if path in lines:
            return lines[path]
        cut = max(path.rfind("."), path.rfind("["))
        path = path[:cut] if cut > 0 else ""
    return None
