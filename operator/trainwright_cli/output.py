"""Printing for people and for machines."""

import json
import sys
from collections.abc import Mapping, Sequence
from io import StringIO
from typing import Any

import click
from rich.console import Console

JsonValue = Mapping[str, Any] | Sequence[Any]


def print_data(value: JsonValue, output: str) -> None:
    """Print a value as JSON or YAML, in escapes where the locale lacks a character."""
    write = to_json if output == "json" else to_yaml
    text = write(value)
    try:
        text.encode(sys.stdout.encoding or "utf-8")
    except UnicodeEncodeError:
        text = write(value, is_ascii=True)
    click.echo(text)


def to_json(value: JsonValue, *, is_ascii: bool = False) -> str:
    """Return a value as JSON."""
    return json.dumps(value, indent=2, ensure_ascii=is_ascii)


def to_yaml(value: JsonValue, *, is_ascii: bool = False) -> str:
    """Return a value as YAML 1.2, as kubectl would read it."""
    from ruamel.yaml import YAML

    writer, text = YAML(), StringIO()
    writer.allow_unicode = not is_ascii
    writer.width = sys.maxsize  # ruamel breaks long texts inside of words, and adds a blank to some
    writer.dump(value, text)
    return text.getvalue().rstrip("\n")


class PipedConsole(Console):
    """A console that leaves it to the command line to end when its reader, such as `head`, has gone."""

    def on_broken_pipe(self) -> None:
        """Raise what was caught: Rich's own way is to end the process as if it had failed."""
        raise BrokenPipeError


def a_console(*, stderr: bool = False) -> Console:
    """Return a console that uses the terminal's width, and 120 columns where there is none."""
    # No emoji: texts of others, such as an image's name, may hold `:key:`.
    console = PipedConsole(stderr=stderr, highlight=False, soft_wrap=False, emoji=False)
    if not console.is_terminal and "COLUMNS" not in console._environ:
        console.width = 120
    return console
