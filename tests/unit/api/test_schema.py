"""The schemas are such that any API server takes them; tests/apiserver shows that one does."""

from collections.abc import Iterator
from typing import Any

import pytest
from trainwright_api.crd import build_crd
from trainwright_api.resources import KINDS

Node = dict[str, Any]


def nodes(node: Node, path: str) -> Iterator[tuple[str, Node]]:
    yield path, node
    for name, child in node.get("properties", {}).items():
        yield from nodes(child, f"{path}.{name}")
    for part in ("items", "additionalProperties"):
        if isinstance(node.get(part), dict):
            yield from nodes(node[part], f"{path}[]")


@pytest.fixture(params=list(KINDS))
def schema(request: pytest.FixtureRequest) -> Node:
    version = build_crd(request.param)["spec"]["versions"][0]
    return dict(version["schema"]["openAPIV3Schema"])


def test_schema_is_structural(schema: Node) -> None:
    for path, node in nodes(schema, ""):
        assert not {"$ref", "anyOf", "oneOf", "allOf", "title", "const"} & set(node), path
        assert "type" in node or "x-kubernetes-int-or-string" in node, path


def test_everything_has_a_bound_so_that_the_cost_of_rules_is_known(schema: Node) -> None:
    for path, node in nodes(schema["properties"]["spec"], "spec"):
        kind = node.get("type")
        if kind == "string":
            assert "enum" in node or "maxLength" in node, path
        if kind == "array":
            assert "maxItems" in node, path
        if kind == "integer":
            assert {"minimum", "maximum"} <= set(node), path
        if "additionalProperties" in node:
            assert "maxProperties" in node, path


def test_required_fields_have_no_default(schema: Node) -> None:
    for path, node in nodes(schema["properties"]["spec"], "spec"):
        for name in node.get("required", ()):
            assert "default" not in node["properties"][name], f"{path}.{name}"


def test_lists_of_named_entries_are_merged_by_name(schema: Node) -> None:
    env = schema["properties"]["spec"]["properties"]["workers"]["properties"]["env"]
    conditions = schema["properties"]["status"]["properties"]["conditions"]
    for node, key in ((env, "name"), (conditions, "type")):
        assert (node["x-kubernetes-list-type"], node["x-kubernetes-list-map-keys"]) == (
            "map",
            [key],
        )


def test_only_open_objects_keep_what_they_do_not_know(schema: Node) -> None:
    keeps = {
        path for path, node in nodes(schema, "") if node.get("x-kubernetes-preserve-unknown-fields")
    }
    overrides = {f".spec.workers.podOverrides.{part}" for part in ("metadata", "spec")}
    assert keeps - {".spec.model.config"} == overrides


def test_the_status_has_no_defaults(schema: Node) -> None:
    for path, node in nodes(schema["properties"]["status"], "status"):
        assert "default" not in node, path
