"""Builds the reference page of the API from the same schemas as the CRDs."""

from collections.abc import Iterator
from typing import Any

from trainwright_api import names
from trainwright_api.crd import KINDS, build_crd

_INTRODUCTION = """\
# Reference

Generated from the API's models. Group `{group}`, version `{version}`. `kubectl explain trainingrun.spec`
shows the same texts in a terminal. A field in **bold** must be given. After a run is admitted only
`suspend`, `recovery`, `deadlineSeconds`, `ttlSecondsAfterFinished`, `checkpoints.keepLast` and
`checkpoints.keepBest` may change.
"""


def build_reference() -> str:
    """Return the page in Markdown: for each kind its fields, their rules and its status."""
    parts = [_INTRODUCTION.format(group=names.GROUP, version=names.VERSION)]
    for kind in KINDS:
        root = build_crd(kind)["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
        parts.append(f"## {kind}\n\n{root['description']}\n")
        for part, title in (("spec", "Fields"), ("status", "Status")):
            node = root["properties"][part]
            parts.append(f"### {title} of {kind}\n\n" + _build_table(node, part))
            if rules := list(_find_rules(node, part)):
                parts.append("Rules:\n\n" + "".join(f"- {rule}\n" for rule in rules))
    return "\n".join(parts)


def _build_table(node: dict[str, Any], path: str) -> str:
    rows = ["| field | type | default | |", "|---|---|---|---|"]
    for child_path, child, is_required in _walk(node, path):
        name = f"**`{child_path}`**" if is_required else f"`{child_path}`"
        default = child.get("default")
        shown = "" if default is None or isinstance(default, dict) else f"`{default}`"
        text = child.get("description", "").replace("|", "\\|")
        rows.append(f"| {name} | {_type(child)} | {shown} | {text} |")
    return "\n".join(rows) + "\n"


def _walk(node: dict[str, Any], path: str) -> Iterator[tuple[str, dict[str, Any], bool]]:
    required = set(node.get("required", ()))
    for name, child in node.get("properties", {}).items():
        child_path = f"{path}.{name}"
        yield child_path, child, name in required
        if child.get("type") == "array":
            yield from _walk(child["items"], f"{child_path}[]")
        else:
            yield from _walk(child, child_path)


def _type(node: dict[str, Any]) -> str:
    if node.get("x-kubernetes-int-or-string"):
        return "number or text"
    if "enum" in node:
        return " \\| ".join(node["enum"])
    if node.get("type") == "array":
        return f"list of {_type(node['items'])}"
    return str(node.get("type", "any"))


def _find_rules(node: dict[str, Any], path: str) -> Iterator[str]:
    for rule in node.get("x-kubernetes-validations", ()):
        yield f"`{path}{rule.get('fieldPath', '')}`: {rule['message']}"
    for name, child in node.get("properties", {}).items():
        if child.get("type") == "array":
            yield from _find_rules(child["items"], f"{path}.{name}[]")
        else:
            yield from _find_rules(child, f"{path}.{name}")
