"""Evaluates the API's CEL rules as the API server does, over an object and all objects in it.

The expressions are the very ones that the CRDs carry; a test feeds the same manifests to both. Used
by `validate`.
"""

from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import cel

from trainwright_api.base import Model, Rule


@lru_cache(maxsize=512)
def _compile(expression: str) -> Any:
    return cel.compile(expression)


def find_violations(value: Model, old: Model | None, path: str = "") -> Iterator[tuple[str, str]]:
    """Yield (path, message) for every rule that the object or one within it breaks.

    `old` is the object before an update: without it, transition rules are not looked at, as on the
    server.
    """
    for rule in value.RULES:
        if message := _check(rule, value, old):
            yield path + (rule.field_path or ""), message
    for name, field in type(value).model_fields.items():
        alias = field.alias or name
        child_path = f"{path}.{alias}" if path else alias
        yield from _find_below(getattr(value, name), getattr(old, name, None), child_path)


def _find_below(value: Any, old: Any, path: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, Model):
        yield from find_violations(value, old if isinstance(old, Model) else None, path)
    elif isinstance(value, list):
        # Like the server, which does not match the entries of plain lists to older ones.
        for index, item in enumerate(value):
            yield from _find_below(item, None, f"{path}[{index}]")


def _check(rule: Rule, value: Model, old: Model | None) -> str | None:
    if "oldSelf" in rule.expression and old is None:
        return None
    context = {"self": value.to_manifest()}
    if old is not None:
        context["oldSelf"] = old.to_manifest()
    if _compile(rule.expression).execute(context):
        return None
    if rule.message_expression is None:
        return rule.message
    return str(_compile(rule.message_expression).execute(context))
