"""Reads YAML as kubectl does, and remembers the line of every value.

kubectl's reader is neither YAML 1.1 nor 1.2: `1e-4` is a number and `yes` is true, `010` is eight,
dates are text, and keys are text. A test holds this table to kubectl itself. Called by `validate`.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from math import isinf
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode
from ruamel.yaml.resolver import VersionedResolver
from ruamel.yaml.tag import Tag

_MERGE = "<<"
_PLAIN = "plain"  # our mark of a scalar without quotes and without a tag
_PARSED_TAGS = {f"tag:yaml.org,2002:{name}" for name in ("int", "float", "bool", "null")}
_BOOLEANS = {
    spelling: word in ("y", "yes", "on", "true")
    for word in ("y", "yes", "on", "true", "n", "no", "off", "false")
    for spelling in (word, word.capitalize(), word.upper())
}
_NULLS = {"", "~", "null", "Null", "NULL"}
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_INTEGER = re.compile(
    r"(?P<sign>[-+]?)(0[xX](?P<hex>[0-9a-fA-F]+)|0[bB](?P<bin>[01]+)|0[oO]?(?P<oct>[0-7]+)|(?P<dec>[0-9]+))"
)
_BASES = {"hex": 16, "bin": 2, "oct": 8, "dec": 10}
_MAXIMUM_WHOLE_FLOAT = 1e21  # from here on, Go writes floats with an exponent


class YamlError(ValueError):
    """A text that is no YAML; `line` (from 1) is where, if it is known."""

    def __init__(self, message: str, line: int | None) -> None:
        self.message, self.line = message, line
        super().__init__(message)


@dataclass(frozen=True, slots=True)
class ReadDocument:
    """One document: plain values, and the line (from 1) of each path such as `spec.workers.env[0]`."""

    value: Any
    lines: dict[str, int] = field(default_factory=dict)


def read_yaml(text: str) -> Iterator[ReadDocument]:
    """Yield the documents of a YAML or JSON text; empty ones too, with the value None.

    Raises YamlError for what is no YAML, a key that is given twice, and an alias within its own anchor.
    """
    yaml = YAML(typ="safe", pure=True)
    yaml.Resolver = _NoResolver
    try:
        for node in yaml.compose_all(text):
            lines: dict[str, int] = {}
            yield ReadDocument(None if node is None else _Reader(lines).read(node, ""), lines)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        what = error.problem or error.context or "cannot be read"
        raise YamlError(what, mark.line + 1 if mark else None) from error


class _NoResolver(VersionedResolver):
    """Leaves plain scalars to `parse_scalar`."""

    def resolve(self, kind: Any, value: Any, implicit: Any) -> Any:
        if kind is ScalarNode and implicit[0]:
            return Tag(suffix=_PLAIN)
        return super().resolve(kind, value, implicit)


class _Reader:
    """Turns the nodes of one document into plain values."""

    def __init__(self, lines: dict[str, int], open_nodes: set[int] | None = None) -> None:
        self._lines = lines
        self._open = set() if open_nodes is None else open_nodes

    def read(self, node: Node, path: str) -> Any:
        if isinstance(node, ScalarNode):
            return _read_scalar(node)
        if id(node) in self._open:
            raise YamlError("an alias within its own anchor", _line(node))
        self._open.add(id(node))
        try:
            if isinstance(node, MappingNode):
                return self._read_mapping(node, path)
            return [
                self._note(f"{path}[{index}]", item, item) for index, item in enumerate(node.value)
            ]
        finally:
            self._open.discard(id(node))

    def _read_mapping(self, node: MappingNode, path: str) -> dict[str, Any]:
        values: dict[str, Any] = {}
        merged: list[Node] = []
        for key_node, value_node in node.value:
            if isinstance(key_node, ScalarNode) and _is_merge(key_node):
                merged.append(value_node)
                continue
            key = _read_key(key_node)
            if key in values:
                raise YamlError(f"the key {key} is given twice", _line(key_node))
            values[key] = self._note(f"{path}.{key}" if path else key, key_node, value_node)
        for source in merged:
            for mapping in self._read_merged(source):
                values = mapping | values
        return values

    def _read_merged(self, node: Node) -> list[dict[str, Any]]:
        mappings = node.value if isinstance(node, SequenceNode) else [node]
        if not all(isinstance(mapping, MappingNode) for mapping in mappings):
            raise YamlError("<< takes an object or a list of objects", _line(node))
        # Their lines are elsewhere: a problem in them is told with the line of the object around it.
        return [_Reader({}, self._open).read(mapping, "") for mapping in mappings]

    def _note(self, path: str, at: Node, node: Node) -> Any:
        self._lines[path] = _line(at)
        return self.read(node, path)


def _line(node: Node) -> int:
    line: int = node.start_mark.line
    return line + 1


def _is_merge(node: ScalarNode) -> bool:
    return node.value == _MERGE and not node.style


def _read_key(node: Node) -> str:
    if not isinstance(node, ScalarNode):
        raise YamlError("a key that is a list or an object", _line(node))
    value = _read_scalar(node)
    if isinstance(value, bool):
        return str(value).lower()
    return "null" if value is None else str(value)


def _read_scalar(node: ScalarNode) -> Any:
    tag = str(node.tag)
    if tag == _PLAIN or tag in _PARSED_TAGS:
        return parse_scalar(node.value)
    return node.value


def parse_scalar(text: str) -> Any:
    """Return the value of an unquoted scalar."""
    if text in _BOOLEANS:
        return _BOOLEANS[text]
    if text in _NULLS:
        return None
    if text[0] not in "+-.0123456789":
        return text
    digits = text.replace("_", "")
    if match := _INTEGER.fullmatch(digits):
        for kind, base in _BASES.items():
            if match[kind]:
                return int(match["sign"] + match[kind], base)
    if _FLOAT.fullmatch(digits) and not isinf(number := float(digits)):
        # As kubectl hands it on: JSON knows no difference between 2 and 2.0.
        is_whole = number.is_integer() and abs(number) < _MAXIMUM_WHOLE_FLOAT
        return int(number) if is_whole else number
    return text
