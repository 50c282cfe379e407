"""Every field says what it is, in which unit, and its default; every rule says what to do."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
from trainwright_api.base import Model, Rule
from trainwright_api.crd import build_crd
from trainwright_api.defaulting import find_model
from trainwright_api.resources import KINDS

Field = tuple[str, dict[str, Any]]
# Units, or what makes a unit needless.
UNIT = re.compile(r"\(unit: [^)]+\)|fraction|\b0 to 1\b|\bin \[0, 1\)")


def schemas() -> dict[str, dict[str, Any]]:
    return {
        kind: build_crd(kind)["spec"]["versions"][0]["schema"]["openAPIV3Schema"] for kind in KINDS
    }


def fields(part: str) -> list[Field]:
    """The fields of spec or status of both kinds, each path once."""
    found: dict[str, dict[str, Any]] = {}
    for schema in schemas().values():
        found |= dict(walk(schema["properties"][part], part))
    return sorted(found.items())


def walk(node: dict[str, Any], path: str) -> Iterator[Field]:
    for name, child in node.get("properties", {}).items():
        here = f"{path}.{name}"
        yield here, child
        yield from walk(child["items"] if child.get("type") == "array" else child, here)


def models(model: type[Model]) -> Iterator[type[Model]]:
    yield model
    for field in model.model_fields.values():
        if child := find_model(field.annotation):
            yield from models(child)


def rules() -> list[Rule]:
    found = {rule for kind in KINDS.values() for model in models(kind) for rule in model.RULES}
    return sorted(found, key=lambda rule: rule.expression)


@pytest.mark.parametrize("part", ["spec", "status"])
def test_every_field_has_a_description_that_is_a_sentence(part: str) -> None:
    texts = {path: node.get("description", "") for path, node in fields(part)}
    assert {path: text for path, text in texts.items() if not re.match(r"^\S.*\.$", text)} == {}


def test_defaults_are_in_the_description_as_they_are() -> None:
    silent = {}
    for path, node in fields("spec"):
        default = node.get("default")
        if default is None or isinstance(default, dict) or default == []:
            continue
        shown = str(default).lower() if isinstance(default, bool) else str(default)
        words = {shown, shown.removesuffix(".0"), shown.replace("'", "")}
        if not any(f"Default {word}" in node["description"] for word in words):
            silent[path] = (default, node["description"])
    assert silent == {}


def test_fields_without_a_default_say_what_happens_without_them() -> None:
    silent = [
        path
        for path, node in fields("spec")
        if "default" not in node
        and not path.startswith("spec.model.config.")
        and not re.search(r"\b[Dd]efault\b", node["description"])
    ]
    assert silent == []


@pytest.mark.parametrize("part", ["spec", "status"])
def test_numbers_have_a_unit(part: str) -> None:
    silent = [
        path
        for path, node in fields(part)
        if (node.get("type") in ("integer", "number") or "x-kubernetes-int-or-string" in node)
        and not UNIT.search(node["description"])
    ]
    assert silent == []


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: rule.expression[:60])
def test_rules_say_what_is_expected_and_what_to_do(rule: Rule) -> None:
    for text in (rule.message, rule.message_expression or rule.message):
        assert re.search(r"expected .+; .+", text)
    assert rule.message_expression or rule.message.startswith("got ")


def test_texts_bear_no_upper_bound_of_the_server() -> None:
    """The server takes messages of at most 2048 characters, without line breaks."""
    for rule in rules():
        assert len(rule.message) < 2048
        assert "\n" not in rule.message + (rule.message_expression or "")
