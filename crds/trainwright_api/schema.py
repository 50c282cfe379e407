"""From a pydantic model to the structural OpenAPI v3 schema that a CRD carries.

The API server takes a subset of JSON schema: no `$ref`, no `anyOf` beside `type`, a boolean
`exclusiveMinimum`, and marks of its own for free objects and numbers that may be words. Rules in CEL
are put on the objects that declare them. Called by `crd`.
"""

from typing import Any

from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from trainwright_api.base import SAID_IF_WRITTEN, Model, Rule

Schema = dict[str, Any]

_KEPT = (
    "type",
    "description",
    "enum",
    "minimum",
    "maximum",
    "minLength",
    "maxLength",
    "minItems",
    "maxItems",
    "pattern",
    "required",
    "default",
)
# Free texts and maps get bounds: the server estimates the cost of CEL rules from them.
_MAXIMUM_TEXT = 2048
_MAXIMUM_ITEMS = 256
_MAXIMUM_NUMBER = 32  # characters of a number that may be a word or a quantity
# Lists that the server merges by a key, so that several writers can own entries; no key comes twice.
MAP_LISTS = {"conditions": "type", "env": "name"}


def build_schema(model: type[Model], *, with_defaults: bool = True) -> Schema:
    """Return the structural schema of a model; without defaults for what only the operator writes."""
    json_schema = model.model_json_schema(by_alias=True)
    return _convert_object(model, json_schema, json_schema.get("$defs", {}), with_defaults)


def _convert_object(model: type[Model], node: Schema, defs: Schema, with_defaults: bool) -> Schema:
    properties = {}
    for name, field in model.model_fields.items():
        alias = field.alias or name
        child = _convert(node["properties"][alias], defs, with_defaults)
        child["description"] = node["properties"][alias].get("description", field.description or "")
        if with_defaults:
            _set_default(child, field)
        if alias in MAP_LISTS:
            child |= {
                "x-kubernetes-list-type": "map",
                "x-kubernetes-list-map-keys": [MAP_LISTS[alias]],
            }
        properties[alias] = {key: value for key, value in child.items() if value != ""}
    schema: Schema = {"type": "object", "properties": properties}
    if node.get("required"):
        schema["required"] = node["required"]
    if model.RULES:
        schema["x-kubernetes-validations"] = [build_rule(rule) for rule in model.RULES]
    return schema


def _set_default(child: Schema, field: FieldInfo) -> None:
    """Let the server fill in what the model would.

    An object's default is written out in full: the server checks it against the rules as it stands.
    """
    if field.json_schema_extra == SAID_IF_WRITTEN:
        return
    value = field.get_default(call_default_factory=True)
    if value is PydanticUndefined or value is None:
        return
    child["default"] = value.to_manifest() if isinstance(value, Model) else _plain(value)


def _plain(value: Any) -> Any:
    return value.value if hasattr(value, "value") else value


def build_rule(rule: Rule) -> Schema:
    """Return a rule as the CRD writes it."""
    fields = {
        "rule": rule.expression,
        "message": rule.message,
        "messageExpression": rule.message_expression,
        "fieldPath": rule.field_path,
    }
    return {key: value for key, value in fields.items() if value is not None}


def _convert(node: Schema, defs: Schema, with_defaults: bool) -> Schema:
    if "$ref" in node:
        return _convert_reference(node["$ref"], defs, with_defaults)
    if options := node.get("anyOf") or node.get("allOf"):
        return _convert_choice(options, defs, with_defaults)
    if "const" in node:
        return {"type": "string", "enum": [node["const"]]}
    schema = {key: node[key] for key in _KEPT if key in node and key not in ("default", "required")}
    for bound in ("Minimum", "Maximum"):
        if f"exclusive{bound}" in node:
            schema[bound.lower()] = node[f"exclusive{bound}"]
            schema[f"exclusive{bound}"] = True
    if node.get("type") == "array":
        schema["items"] = _convert(node["items"], defs, with_defaults)
        schema.setdefault("maxItems", _MAXIMUM_ITEMS)
    elif node.get("type") == "object":
        schema |= _free_object(node, defs, with_defaults)
    elif node.get("type") == "string" and "enum" not in schema:
        schema.setdefault("maxLength", _MAXIMUM_TEXT)
    return schema


def _free_object(node: Schema, defs: Schema, with_defaults: bool) -> Schema:
    """Convert an object without a model: a map, an open object, or one with some known fields."""
    values = node.get("additionalProperties")
    if isinstance(values, dict) and values:
        return {
            "additionalProperties": _convert(values, defs, with_defaults),
            "maxProperties": node.get("maxProperties", _MAXIMUM_ITEMS),
        }
    known = {
        name: _convert(child, defs, with_defaults)
        for name, child in node.get("properties", {}).items()
    }
    is_open: Schema = {"x-kubernetes-preserve-unknown-fields": True} if values else {}
    return is_open | ({"properties": known} if known else {})


def _convert_reference(reference: str, defs: Schema, with_defaults: bool) -> Schema:
    name = reference.rsplit("/", 1)[-1]
    node = defs[name]
    if model := _find_model(name):
        return _convert_object(model, node, defs, with_defaults)
    return _convert(
        {key: value for key, value in node.items() if key != "description"}, defs, with_defaults
    )


def _find_model(name: str) -> type[Model] | None:
    """Return the model of this name, if it is one; names are unique in the API."""
    pending = list(Model.__subclasses__())
    while pending:
        model = pending.pop()
        if model.__name__ == name:
            return model
        pending.extend(model.__subclasses__())
    return None


def _convert_choice(options: list[Schema], defs: Schema, with_defaults: bool) -> Schema:
    """Convert `X or null` to X, and a number or word to int-or-string; nothing else is a choice."""
    real = [option for option in options if option.get("type") != "null"]
    if len(real) == 1:
        return _convert(real[0], defs, with_defaults)
    types = {option.get("type", "string") for option in real}
    if types == {"integer", "string"}:
        return {"x-kubernetes-int-or-string": True, "maxLength": _MAXIMUM_NUMBER}
    raise ValueError(f"no structural schema for a choice of {sorted(types)}")
