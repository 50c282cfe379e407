"""Whether a dashboard's document is what Grafana's own schemas say, by the SDK that is made from these.

The SDK reads a document without looking at its values; here each value is compared with the type that
the SDK declares for its field, and what it does not know is told by reading and writing again.
"""

import copy
import json
import sys
import types
import typing
from collections.abc import Iterator
from enum import Enum
from typing import Any

from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models import dashboard as model

PROMETHEUS_ANNOTATION = {"titleFormat": str, "step": str, "useValueForTime": bool}
"""Fields of an annotation that its data source reads; the SDK does not know data sources' own."""
_PACKAGE = "grafana_foundation_sdk"


def find_faults(document: dict[str, Any]) -> list[str]:
    """What is wrong with a dashboard, each as `path: got X, expected Y`."""
    register_default_plugins()
    rest = copy.deepcopy(document)
    faults = list(_take_annotations_fields(rest))
    return [*faults, *_read_and_compare(rest, model.Dashboard, "dashboard")]


def _take_annotations_fields(document: dict[str, Any]) -> Iterator[str]:
    for index, annotation in enumerate(document.get("annotations", {}).get("list", ())):
        for name, kind in PROMETHEUS_ANNOTATION.items():
            value = annotation.pop(name, kind())
            if type(value) is not kind:
                yield f"dashboard.annotations[{index}].{name}: got {value!r}, expected {kind.__name__}"


def _read_and_compare(document: dict[str, Any], kind: Any, path: str) -> Iterator[str]:
    """The faults of a document of a class of the SDK, which leaves some inside others unread."""
    try:
        read = kind.from_json(copy.deepcopy(document))
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        yield f"{path}: cannot be read: {error!r}"
        return
    yield from _compare_object(read, path)
    if json.loads(JSONEncoder().encode(read)) != document:
        yield f"{path}: got fields that Grafana does not know"


def _compare_object(read: Any, path: str) -> Iterator[str]:
    """The faults of an object of the SDK, field by field."""
    module = vars(sys.modules[type(read).__module__])
    for name, hint in typing.get_type_hints(type(read), module).items():
        yield from _compare(getattr(read, name), hint, f"{path}.{name}")


def _compare(value: Any, hint: Any, path: str) -> Iterator[str]:
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if type(value).__module__.startswith(_PACKAGE) and not isinstance(value, Enum):
        # Options of a panel and queries are declared as anything: their own class says what they are.
        yield from _compare_object(value, path)
    elif isinstance(value, dict) and hasattr(hint, "from_json"):
        yield from _read_and_compare(value, hint, path)
    elif origin in (typing.Union, types.UnionType):
        options = [option for option in inner if option is not types.NoneType or value is None]
        tries = [list(_compare(value, option, path)) for option in options]
        yield from tries[0] if all(tries) else ()
    elif origin is list and isinstance(value, list):
        for index, item in enumerate(value):
            yield from _compare(item, inner[0], f"{path}[{index}]")
    elif origin is dict and isinstance(value, dict):
        for key, item in value.items():
            yield from _compare(item, inner[1], f"{path}.{key}")
    elif not _is_of(value, hint):
        yield f"{path}: got {value!r}, expected {hint}"


def _is_of(value: Any, hint: Any) -> bool:
    """Whether a plain value may stand where a type is declared."""
    if hint in (Any, object):
        return True
    if typing.get_origin(hint) is typing.Literal:
        return value in typing.get_args(hint)
    if isinstance(hint, type) and issubclass(hint, Enum):
        return value in [member.value for member in hint]
    if hint is float:
        return type(value) in (int, float)
    return type(value) is hint
