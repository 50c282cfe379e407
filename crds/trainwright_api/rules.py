"""Evaluates the API's CEL rules as the API server does, over an object and all objects in it.

The expressions are the very ones that the CRDs carry; a test feeds the same manifests to both. Used
by `validate`.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from importlib.machinery import PathFinder
from importlib.util import find_spec, module_from_spec
from types import ModuleType
from typing import Any

from trainwright_api.base import Model, Rule
from trainwright_api.defaulting import find_model

_MENTIONED = re.compile(r"\bself\.(\w+)")


@dataclass(frozen=True, slots=True)
class Violation:
    """A rule that an object breaks."""

    path: str
    message: str
    rule: Rule


def find_violations(
    model: type[Model],
    value: dict[str, Any],
    old: dict[str, Any] | None,
    broken: frozenset[str] = frozenset(),
    path: str = "",
) -> Iterator[Violation]:
    """Yield every rule that an object of this model, or one within it, breaks.

    `value` has its defaults filled in, `old` too; `old` is the object before an update: without it,
    transition rules are not looked at, as on the server. `broken` are paths whose values are of a
    wrong type: rules that need them are left out.
    """
    unusable = {_first_part(wrong, path) for wrong in broken if _is_below(wrong, path)}
    for rule in model.RULES:
        if unusable.isdisjoint(_MENTIONED.findall(rule.expression)) and (
            message := _check(rule, value, old)
        ):
            yield Violation((path + (rule.field_path or "")).lstrip("."), message, rule)
    for name, field in model.model_fields.items():
        alias = field.alias or name
        if child := find_model(field.annotation):
            before = None if old is None else old.get(alias)
            here = f"{path}.{alias}" if path else alias
            yield from _find_below(child, value.get(alias), before, broken, here)


def _find_below(
    model: type[Model], value: Any, old: Any, broken: frozenset[str], path: str
) -> Iterator[Violation]:
    if path in broken:
        return
    if isinstance(value, dict):
        yield from find_violations(
            model, value, old if isinstance(old, dict) else None, broken, path
        )
    elif isinstance(value, list):
        # Like the server, which does not match the entries of plain lists to older ones.
        for index, item in enumerate(value):
            yield from _find_below(model, item, None, broken, f"{path}[{index}]")


def _is_below(path: str, around: str) -> bool:
    return not around or path.startswith((f"{around}.", f"{around}["))


def _first_part(path: str, around: str) -> str:
    return re.split(r"[.\[]", path.removeprefix(around).lstrip("."), maxsplit=1)[0]


def _check(rule: Rule, value: dict[str, Any], old: dict[str, Any] | None) -> str | None:
    if "oldSelf" in rule.expression and old is None:
        return None
    context = {"self": value} if old is None else {"self": value, "oldSelf": old}
    try:
        if _compile(rule.expression).execute(context):
            return None
        if rule.message_expression is None:
            return rule.message
        expression = _compile(rule.message_expression)
        return str(expression.execute(_load_engine().Context(context, {"format": _format})))
    except (ArithmeticError, RuntimeError, TypeError, ValueError):
        return rule.message  # like the server, which refuses what a rule cannot be evaluated for


def _format(template: str, values: list[str]) -> str:
    """CEL's `template.format(values)` as the API server knows it, for texts."""
    return template % tuple(values)


@lru_cache(maxsize=512)
def _compile(expression: str) -> Any:
    return _load_engine().compile(expression)


@lru_cache(maxsize=1)
def _load_engine() -> ModuleType:
    """Return cel's compiled module. Its package also imports a command line: 0.3 s that nobody needs."""
    package = find_spec("cel")
    found = package and PathFinder.find_spec("cel.cel", package.submodule_search_locations)
    if not found or not found.loader:
        raise ImportError("cel.cel is missing; install common-expression-language")
    module = module_from_spec(found)
    found.loader.exec_module(module)
    return module
