"""Odd values in every field of the API: the CLI and a real API server agree on each, crash on none.

Walks the schema, so that a new field is covered the day it is added.
"""

from collections.abc import Iterator
from functools import reduce
from typing import Any

import pytest
from trainwright_api.crd import build_crd
from trainwright_api.run_spec import RunSpec
from trainwright_api.validate import Document, validate_document

from tests.apiserver.kinds import Kinds
from tests.manifests.build import JOB, RUN, Kind, build, put

ODD_VALUES: tuple[Any, ...] = (None, "x", -1, 1.5, [{}], 10**12)
SHARED = {field.alias or name for name, field in RunSpec.model_fields.items()}


def walk(node: dict[str, Any], path: str = "") -> Iterator[str]:
    for name, child in node.get("properties", {}).items():
        here = f"{path}.{name}".lstrip(".")
        yield here
        if child.get("type") == "array":
            yield f"{here}.0"
            yield from walk(child["items"], f"{here}.0")
        else:
            yield from walk(child, here)


def fields() -> Iterator[tuple[Kind, str]]:
    """Each field's path below the spec, fields of both kinds once."""
    for kind in (RUN, JOB):
        root = build_crd(kind)["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
        for path in walk(root["properties"]["spec"]):
            if kind == RUN or path.split(".")[0] not in SHARED:
                yield kind, path


def with_value(kind: Kind, path: str, value: Any) -> dict[str, Any]:
    """A manifest with a value at a path; a list on the way gets one entry."""
    manifest = build(kind)
    around, is_in_list, _ = path.partition(".0")
    if is_in_list and not reduce(
        lambda node, key: node.get(key, {}), around.split("."), manifest["spec"]
    ):
        put(manifest, f"spec.{around}", [{}])
    put(manifest, f"spec.{path}", value)
    return manifest


@pytest.mark.parametrize(("kind", "path"), list(fields()), ids=lambda part: part)
def test_verdicts_on_odd_values_agree(kinds: Kinds, kind: Kind, path: str) -> None:
    for value in ODD_VALUES:
        manifest = with_value(kind, path, value)
        told = [str(problem) for problem in validate_document(Document(manifest, ""))]
        refused = kinds.create(manifest).message
        assert bool(told) == bool(refused), f"{path}={value!r}: we {told}, the server {refused!r}"
