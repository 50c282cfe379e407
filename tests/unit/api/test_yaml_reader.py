"""Reading YAML; tests/apiserver holds the table of scalars to kubectl itself."""

from typing import Any

import pytest
from trainwright_api.yaml_reader import YamlError, parse_scalar, read_yaml


def read(text: str) -> Any:
    (document,) = read_yaml(text)
    return document.value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-4", 0.0001),
        ("1e6", 1000000),
        ("2.0", 2),
        (".5", 0.5),
        ("-.5", -0.5),
        ("1e400", "1e400"),
        ("400k", "400k"),
        ("3Gi", "3Gi"),
        ("010", 8),
        ("08", 8),
        ("0o17", 15),
        ("0x1F", 31),
        ("-0x10", -16),
        ("0b11", 3),
        ("1_000", 1000),
        ("_1", "_1"),
        ("+5", 5),
        ("yes", True),
        ("Off", False),
        ("None", "None"),
        ("~", None),
        ("", None),
        ("2024-01-01", "2024-01-01"),
        ("1:30", "1:30"),
    ],
)
def test_parse_scalar_takes_what_kubectl_takes(text: str, value: Any) -> None:
    found = parse_scalar(text)
    assert (found, type(found)) == (value, type(value))


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("'1'", "1"),
        ('"yes"', "yes"),
        ("!!str 5", "5"),
        ('!!int "5"', 5),
        ("|\n a\n b\n", "a\nb\n"),
        ("[1, two, [3]]", [1, "two", [3]]),
        ('{"a": {"b": null}}', {"a": {"b": None}}),
        ("5: a\ntrue: b\n~: c", {"5": "a", "true": "b", "null": "c"}),
        ("a: &x {b: 1}\nc: *x", {"a": {"b": 1}, "c": {"b": 1}}),
        ("a: &x {b: 1, c: 2}\nd: {<<: *x, c: 3}", {"a": {"b": 1, "c": 2}, "d": {"b": 1, "c": 3}}),
        ("d: {<<: [{a: 1}, {a: 2, b: 2}]}", {"d": {"a": 1, "b": 2}}),
    ],
)
def test_read_yaml_returns_plain_values(text: str, value: Any) -> None:
    assert read(text) == value


def test_read_yaml_yields_every_document_and_numbers_lines_through() -> None:
    first, empty, last = read_yaml("a: 1\n---\n---\n# a comment\nb:\n  - c: 2\n")
    assert (first.lines, empty.value) == ({"a": 1}, None)
    assert last.lines == {"b": 5, "b[0]": 6, "b[0].c": 6}


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        ("a: 1\nb: 2\na: 3\n", 3, "the key a is given twice"),
        ("a:\n  b: 1\n  b: 2\n", 3, "the key b is given twice"),
        ("a: [1, 2", 1, "expected ',' or ']'"),
        ("a: b: c", 1, "mapping values are not allowed here"),
        ("a: 1\n\tb: 2", 2, "found character"),
        ("a: *nobody", 1, "undefined alias"),
        ("a: &x [*x]", 1, "an alias within its own anchor"),
        ("a: {<<: 3}", 1, "<< takes an object"),
        ("? [a]\n: 1", 1, "a key that is a list or an object"),
    ],
)
def test_read_yaml_names_the_line_of_an_error(text: str, line: int, said: str) -> None:
    with pytest.raises(YamlError) as caught:
        list(read_yaml(text))
    assert said in caught.value.message
    assert caught.value.line == line
