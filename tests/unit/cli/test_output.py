"""Data for machines: what is printed reads back as it was."""

import json

import pytest
from ruamel.yaml import YAML
from trainwright_cli.output import a_console, to_json, to_yaml

TEXTS = [
    "\tif x:\n\t\treturn 'y'  # " * 9,
    "C:\\data\\new and more " * 9,
    "größer ☃ 😀 " * 20,
    "\x1b[2J " * 30,
]


@pytest.mark.parametrize("is_ascii", [True, False])
@pytest.mark.parametrize("text", TEXTS, ids=["tabs", "backslashes", "Unicode", "escapes"])
def test_a_long_text_reads_back_as_it_was(text: str, is_ascii: bool) -> None:
    value = {"status": {"model": {"samples": [{"after": text}]}}}
    as_yaml, as_json = (write(value, is_ascii=is_ascii) for write in (to_yaml, to_json))
    assert YAML(typ="safe").load(as_yaml) == value
    assert json.loads(as_json) == value
    assert not is_ascii or (as_yaml + as_json).isascii()


def test_text_of_others_stays_text() -> None:
    console = a_console()
    with console.capture() as captured:
        console.print("registry:key:5000")
    assert captured.get() == "registry:key:5000\n"
