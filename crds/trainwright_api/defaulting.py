"""Brings a manifest into the form that the API server validates: nulls dropped, defaults filled in.

Values that are of the wrong type pass through; `validate` finds them. Called by `validate` before it
looks at types and rules, so that both see what the server sees.
"""

from collections.abc import Iterator
from typing import Any, get_args, get_origin

from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined
from typing_extensions import is_typeddict

from trainwright_api.base import SAID_IF_WRITTEN, Model


def fill_in(model: type[Model], value: dict[str, Any]) -> dict[str, Any]:
    """Return an object of this model with the server's defaults; fields that it does not have stay.

    So do those that are null: the server drops a null of its own fields only.
    """
    own = {field.alias or name for name, field in model.model_fields.items()}
    filled = {alias: v for alias, v in value.items() if v is not None or alias not in own}
    for name, field in model.model_fields.items():
        alias = field.alias or name
        if alias in filled:
            filled[alias] = _fill(field.annotation, filled[alias])
        elif (default := find_default(field)) is not None:
            filled[alias] = default
    return filled


def find_default(field: FieldInfo) -> Any:
    """Return the default that the server fills in, as it is written in YAML; None if there is none."""
    if field.json_schema_extra == SAID_IF_WRITTEN:
        return None
    default = field.get_default(call_default_factory=True)
    if default is None or default is PydanticUndefined:
        return None
    if isinstance(default, Model):
        return default.to_manifest()
    return default.value if hasattr(default, "value") else default


def find_model(annotation: Any) -> type[Model] | None:
    """Return the model in an annotation such as `list[TextSource]` or `Tokenizer | None`."""
    if isinstance(annotation, type) and issubclass(annotation, Model):
        return annotation
    return next((found for arg in get_args(annotation) if (found := find_model(arg))), None)


def leaves(annotation: Any) -> Iterator[Any]:
    """Yield the types that an annotation allows, such as int and str for `int | str | None`."""
    arguments = get_args(annotation)
    if not arguments or get_origin(annotation) in (list, dict):
        yield annotation
    else:
        for argument in arguments:
            yield from leaves(argument)


def _fill(annotation: Any, value: Any) -> Any:
    if isinstance(value, dict):
        if model := find_model(annotation):
            return fill_in(model, value)
        known = next(
            (leaf.__annotations__ for leaf in leaves(annotation) if is_typeddict(leaf)), None
        )
        return {k: v for k, v in value.items() if v is not None or (known and k not in known)}
    if isinstance(value, list):
        item = next((get_args(leaf)[0] for leaf in leaves(annotation) if get_args(leaf)), Any)
        return [_fill(item, element) for element in value]
    if isinstance(value, int) and not isinstance(value, bool) and float in leaves(annotation):
        return float(value)  # so that rules see a number of the same kind as on the server
    return value
