"""Builds the reference page of the API from the same schemas as the CRDs.

What both kinds share is told once, then what each has of its own, the status, and the metrics. Called
by `generate`.
"""

import json
from collections.abc import Iterator
from typing import Any

from trainwright_api import metrics, names
from trainwright_api.crd import COLUMNS, build_crd
from trainwright_api.resources import KINDS
from trainwright_api.run_spec import RunSpec

_INTRODUCTION = """\
# Reference

Generated from the API's models. Group `{group}`, version `{version}`. `kubectl explain trainingrun.spec`
shows the same texts in a terminal. A field in **bold** must be given wherever the object around it is.
`trainwright validate` and the API server refuse what breaks a rule, in the same words.

After a run is created only `suspend`, `recovery`, `deadlineSeconds`, `ttlSecondsAfterFinished`, `utilization`,
`checkpoints.keepLast` and `checkpoints.keepBest` may change. For anything else create a new run, with
`checkpoints.resumeFrom` to go on from this one.
"""
_STATUS_INTRODUCTION = """\
Written by the operator; the same for both kinds. What stands in `reason`, in the conditions and in the events:
[what a run says](../operator/docs/reasons.md). `kubectl get` shows the columns below.
"""
_METRICS_INTRODUCTION = """\
Every trainer pod serves its own at `/metrics` on port {port}, the operator those that begin with `{prefix}` on port 8080.
A GPU's series are there only for what its driver offers. Whose figures they are, and how many series that makes:
[monitoring](../operator/docs/monitoring.md).
"""
_OPERATORS = "trainwright_operator_"
_SHARED = "Both kinds"
_STATUS = "Status"


def build_reference() -> str:
    """Return the page in Markdown."""
    schemas = {
        kind: build_crd(kind)["spec"]["versions"][0]["schema"]["openAPIV3Schema"] for kind in KINDS
    }
    shared = {field.alias or name for name, field in RunSpec.model_fields.items()}
    first = next(iter(schemas.values()))
    parts = [_INTRODUCTION.format(group=names.GROUP, version=names.VERSION)]
    parts += _build_chapter(_SHARED, first, "", shared)
    for kind, schema in schemas.items():
        own = set(schema["properties"]["spec"]["properties"]) - shared
        parts += _build_chapter(kind, schema, schema["description"], own)
    parts += [f"## {_STATUS}\n\n{_STATUS_INTRODUCTION}", _build_columns()]
    parts.append(_build_table(first["properties"]["status"], "status"))
    introduction = _METRICS_INTRODUCTION.format(port=names.TRAINER_PORT, prefix=_OPERATORS)
    parts += [f"## Metrics\n\n{introduction}", _build_metrics()]
    return "\n".join(parts)


def _build_columns() -> str:
    rows = ["| column | shown | |", "|---|---|---|"]
    for name, _, _, priority, text in COLUMNS:
        rows.append(f"| {name} | {'with `-o wide`' if priority else 'always'} | {text} |")
    return "\n".join(rows) + "\n"


def _build_metrics() -> str:
    rows = ["| metric | type | labels | |", "|---|---|---|---|"]
    for metric in metrics.ALL:
        labels = ", ".join(f"`{label}`" for label in metric.labels)
        rows.append(f"| `{metric.name}` | {metric.type} | {labels} | {metric.help} |")
    return "\n".join(rows) + "\n"


def _build_chapter(
    title: str, schema: dict[str, Any], text: str, chosen: set[str]
) -> Iterator[str]:
    """Yield the chapter of some blocks of the spec, the rules of each block below its fields."""
    spec = schema["properties"]["spec"]
    required = set(spec["required"])
    yield f"## {title}\n" + (f"\n{text}\n" if text else "")
    blocks = {name: node for name, node in spec["properties"].items() if name in chosen}
    plain = {name: node for name, node in blocks.items() if not _has_fields(node)}
    rules = [*_find_rules(schema, ""), *_find_rules(spec, "spec")]
    if plain:
        yield _build_table({"properties": plain, "required": list(required & set(plain))}, "spec")
        around = {f"spec.{name}" for name in plain}
        if title == _SHARED:
            around.add("metadata.name")
        yield _list_rules([rule for rule in rules if rule[0] in around])
    for name in (name for name in blocks if name not in plain):
        path = f"spec.{name}"
        yield f"### {path}\n\n{blocks[name]['description']}\n"
        yield _build_table(blocks[name], path)
        yield _list_rules([rule for rule in rules if rule[0].startswith(path)])


def _has_fields(node: dict[str, Any]) -> bool:
    return "properties" in node


def _list_rules(rules: list[tuple[str, str]]) -> str:
    unique = dict.fromkeys(f"- `{path}`: {message}\n" for path, message in rules)
    return "Rules:\n\n" + "".join(unique) if unique else ""


def _build_table(node: dict[str, Any], path: str) -> str:
    rows = ["| field | type | default | |", "|---|---|---|---|"]
    for child_path, child, is_required in _walk(node, path):
        name = f"**`{child_path}`**" if is_required else f"`{child_path}`"
        text = child.get("description", "").replace("|", "\\|")
        rows.append(f"| {name} | {_type(child)} | {_show_default(child)} | {text} |")
    return "\n".join(rows) + "\n"


def _show_default(node: dict[str, Any]) -> str:
    default = node.get("default")
    if default is None or isinstance(default, dict) or default == []:
        return ""
    if isinstance(default, float) and default.is_integer():
        default = int(default)
    return f"`{default if isinstance(default, str) else json.dumps(default)}`"


def _walk(node: dict[str, Any], path: str) -> Iterator[tuple[str, dict[str, Any], bool]]:
    required = set(node.get("required", ()))
    for name, child in node.get("properties", {}).items():
        child_path = f"{path}.{name}"
        yield child_path, child, name in required
        is_list = child.get("type") == "array"
        yield from _walk(child["items"] if is_list else child, child_path + "[]" * is_list)


def _type(node: dict[str, Any]) -> str:
    if node.get("x-kubernetes-int-or-string"):
        return "number or text"
    if "enum" in node:
        return " \\| ".join(node["enum"])
    if node.get("type") == "array":
        return f"list of {_type(node['items'])}"
    if values := node.get("additionalProperties"):
        return f"map to {_type(values)}"
    return str(node.get("type", "any"))


def _find_rules(node: dict[str, Any], path: str) -> Iterator[tuple[str, str]]:
    """Yield path and message of every rule that is not about changes, in the object and below."""
    for rule in node.get("x-kubernetes-validations", ()):
        if "oldSelf" not in rule["rule"]:
            yield (path + rule.get("fieldPath", "")).lstrip("."), rule["message"]
    if not path:
        return
    for name, child in node.get("properties", {}).items():
        is_list = child.get("type") == "array"
        child_path = f"{path}.{name}" + "[]" * is_list
        yield from _find_rules(child["items"] if is_list else child, child_path)
