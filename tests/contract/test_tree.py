"""Rules about the tree itself that no linter knows; `make check` runs this file too."""

import ast
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[2]
PRODUCT = (
    "crds/trainwright_api",
    "operator/trainwright_planner",
    "operator/trainwright_operator",
    "operator/trainwright_cli",
    "trainer_image/trainwright_trainer",
    "helm/trainwright_dashboards",
)
MOST_LINES_OF_A_FILE = 400
MOST_LINES_OF_A_FUNCTION = 60


def tracked_files(*patterns: str) -> list[Path]:
    """Files that git knows or would take, so that drafts of a build do not count."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z", *patterns],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split("\0")
    return [PROJECT / name for name in listed if name and (PROJECT / name).is_file()]


def functions(tree: ast.AST) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def reads_environment(tree: ast.AST) -> bool:
    for node in ast.walk(tree):
        match node:
            case ast.Attribute(value=ast.Name(id="os"), attr="environ" | "getenv"):
                return True
            case ast.ImportFrom(module="os", names=names):
                if any(name.name in {"environ", "getenv"} for name in names):
                    return True
    return False


@pytest.mark.parametrize("folder", ["operator", "trainer_image"])
def test_project_folders_are_no_packages(folder: str) -> None:
    """A package named `operator` would shadow the standard library's and Python dies at start-up."""
    assert not (PROJECT / folder / "__init__.py").exists()


def test_only_settings_read_the_environment() -> None:
    readers = [
        str(path.relative_to(PROJECT))
        for path in tracked_files(*(f"{folder}/*.py" for folder in PRODUCT))
        if path.name != "settings.py" and reads_environment(ast.parse(path.read_text()))
    ]
    assert readers == []


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("import os\nos.environ['HOME']", True),
        ("from os import getenv", True),
        ("import os\nos.path.join('a')", False),
        ("environ = {}\nenviron['HOME']", False),
    ],
)
def test_reading_the_environment_is_seen(source: str, expected: bool) -> None:
    assert reads_environment(ast.parse(source)) is expected


def test_files_and_functions_hold_one_idea() -> None:
    too_long = []
    for path in tracked_files("*.py"):
        text = path.read_text()
        name = path.relative_to(PROJECT)
        # A table of cases may be long, code may not.
        is_code = name.parts[0] != "tests"
        if is_code and (lines := text.count("\n")) > MOST_LINES_OF_A_FILE:
            too_long.append(f"{name}: {lines} lines")
        for function in functions(ast.parse(text)):
            length = (function.end_lineno or function.lineno) - function.lineno + 1
            if length > MOST_LINES_OF_A_FUNCTION:
                too_long.append(f"{name}: {function.name} has {length} lines")
    assert too_long == []


def test_locks_name_no_package_index() -> None:
    naming = [
        path.name for path in tracked_files("requirements/*.lock") if "://" in path.read_text()
    ]
    assert naming == []
