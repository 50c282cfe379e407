"""Holds the docs' commands to the table of how each is run, and runs those that need no cluster."""

import ast
import os
import re
import subprocess
import zipfile
from pathlib import Path

import pytest
from trainwright_api.names import (
    SECRET_ACCESS_KEY_ID,
    SECRET_ENDPOINT_URL,
    SECRET_SECRET_ACCESS_KEY,
)

from tests.docs.pages import (
    PROJECT,
    find_pages,
    parse_commands,
    read_commands,
    read_secret_file,
)
from tests.docs.table import PLACEHOLDERS, RUN, RUN_BY, SECRET_FILE, WATCHED
from tools.docs import fill_examples
from tools.images.environment import find_uv
from tools.tiers import TIERS

LINK = re.compile(r"\]\((?!https?://|#)([^)#]+)")
ANCHOR = re.compile(r"\]\((?!https?://)([^)#]*)#([^)]+)\)")
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)


def test_commands_are_parsed_line_by_line_with_continuations_joined() -> None:
    page = "text\n```sh\n# a comment\nhelm install x \\\n  --wait\n\nmake test\n```\n```yaml\na: b\n```\n"
    assert list(parse_commands(page)) == ["helm install x --wait", "make test"]


def test_every_command_of_the_docs_has_a_test_and_every_entry_a_command() -> None:
    in_docs = {command.text for command in read_commands()}
    in_table = {*RUN, *RUN_BY}
    assert in_docs - in_table == set(), "commands that no test runs"
    assert in_table - in_docs == set(), "entries of the table that no page shows"
    assert set(RUN) >= WATCHED


def test_the_secret_of_the_readme_holds_keys_and_no_command_line_does() -> None:
    """Read as kubectl reads it; the values are the placeholders' alone."""
    entries = dict(line.split("=", 1) for line in read_secret_file().splitlines())
    expected = [SECRET_ACCESS_KEY_ID, SECRET_SECRET_ACCESS_KEY, SECRET_ENDPOINT_URL]
    assert list(entries) == expected
    assert all(shown in read_secret_file() for shown in PLACEHOLDERS)
    commands = [command.text for command in read_commands()]
    assert [text for text in commands if "KEY" in text] == []
    assert sum(SECRET_FILE in text for text in commands) == 1


@pytest.mark.parametrize("command", RUN_BY)
def test_the_test_that_runs_a_command_exists(command: str) -> None:
    name, _, function = RUN_BY[command].partition("::")
    tree = ast.parse((PROJECT / name).read_text())
    functions = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
    assert any(known.startswith("test_") for known in functions)
    assert not function or function in functions


def test_make_runs_what_the_docs_say() -> None:
    """Shown by make itself: a run within this run would never end."""
    names = [tier.name for tier in TIERS]
    for target, expected in [
        ("test", "-m tools.tiers"),
        ("demo", "-m demo"),
        ("demo-down", "-m demo down"),
        ("images", "-m tools.images all"),
        (
            "images REGISTRY=registry.example/team TRACKERS=1",
            "-m tools.images all trainer-trackers --registry registry.example/team --push",
        ),
        ("clean", "find . -name __pycache__ -type d -prune -exec rm -rf {} +"),
        ("generate", "demo tests"),
        ("bench", "-m pytest -q -s tests/bench"),
        *((name, f"-m tools.tiers {name}") for name in names),
    ]:
        shown = subprocess.run(
            ["make", "--no-print-directory", "--dry-run", *target.split()],
            cwd=PROJECT,
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        assert shown.splitlines()[-1].strip().endswith(expected)


def test_ci_runs_make_test_and_nothing_else() -> None:
    lines = (PROJECT / ".ci" / "run").read_text().splitlines()
    make = 'exec make --no-print-directory -C "$(dirname "$0")/.." test'
    assert lines == ["#!/usr/bin/env bash", make]


def test_make_help_names_every_target() -> None:
    shown = subprocess.run(
        ["make", "--no-print-directory", "help"],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    phony = re.findall(r"^\.PHONY: (\S+)$", (PROJECT / "Makefile").read_text(), re.MULTILINE)
    targets = {*phony, *(tier.name for tier in TIERS)} - {"$(TIERS)"}
    assert targets == {*re.findall(r"(?:make|\|) ([a-z0-9-]+)", shown)}


def test_the_wheel_has_all_packages_and_commands(tmp_path: Path) -> None:
    subprocess.run(
        [find_uv(), "build", "--quiet", "--wheel", "--out-dir", str(tmp_path), str(PROJECT)],
        env={**os.environ, "UV_SYSTEM_CERTS": "1"},
        check=True,
    )
    (wheel,) = tmp_path.glob("trainwright-*.whl")
    with zipfile.ZipFile(wheel) as content:
        names = content.namelist()
        (entry_points,) = [name for name in names if name.endswith("entry_points.txt")]
        commands = content.read(entry_points).decode()
    folders = {name.split("/")[0] for name in names if name.endswith("__init__.py")}
    assert folders == {
        *("trainwright_api", "trainwright_planner", "trainwright_operator", "trainwright_cli"),
        *("trainwright_trainer", "trainwright_dashboards"),
    }
    assert "trainwright = trainwright_cli.__main__:main" in commands
    assert "kubectl-trainwright = trainwright_cli.__main__:main" in commands


@pytest.mark.parametrize("page", find_pages(), ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    broken = [link for link in LINK.findall(page.read_text()) if not (page.parent / link).exists()]
    assert broken == []


@pytest.mark.parametrize("page", find_pages(), ids=lambda page: page.name)
def test_anchors_are_headings(page: Path) -> None:
    links = ANCHOR.findall(page.read_text())
    assert [
        link
        for link in links
        if link[1] not in find_anchors(page.parent / link[0] if link[0] else page)
    ] == []


def find_anchors(page: Path) -> set[str]:
    """The anchors of a page, as GitHub makes them of its headings."""
    text = page.read_text() if page.is_file() else ""
    titles = (re.sub(r"[^\w -]", "", title).strip().lower() for title in HEADING.findall(text))
    return {title.replace(" ", "-") for title in titles}


def test_examples_are_filled_in_from_their_files(tmp_path: Path) -> None:
    (tmp_path / "run.yaml").write_text("kind: TrainingRun\n")
    page = "a\n<!-- example: run.yaml -->\nold\n<!-- end of example -->\nb\n"
    filled = fill_examples(page, tmp_path)
    assert filled == (
        "a\n<!-- example: run.yaml -->\n```yaml\nkind: TrainingRun\n```\n<!-- end of example -->\nb\n"
    )
    assert fill_examples(filled, tmp_path) == filled
