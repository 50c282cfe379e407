"""Each dependency has its reason in decision 1."""

import re
import tomllib

import pytest

from tests.docs.pages import PROJECT

DECISION = PROJECT / "operator" / "docs" / "decisions" / "0001-dependencies.md"
_NAME = re.compile(r"[A-Za-z0-9.-]+")


def read_dependencies() -> set[str]:
    """The names of all that pyproject.toml asks for."""
    with (PROJECT / "pyproject.toml").open("rb") as file:
        content = tomllib.load(file)
    lists = [content["project"]["dependencies"], content["dependency-groups"]["dev"]]
    lists += content["project"]["optional-dependencies"].values()
    names = (_NAME.match(entry) for entries in lists for entry in entries)
    return {name.group().lower() for name in names if name}


@pytest.mark.parametrize("name", sorted(read_dependencies()))
def test_dependency_is_in_the_table(name: str) -> None:
    rows = [line for line in DECISION.read_text().splitlines() if line.startswith("| ")]
    libraries = " ".join(row.split("|")[2] for row in rows).lower()
    libraries = libraries.replace(
        "opentelemetry-sdk, -exporter", "opentelemetry-sdk, opentelemetry-exporter"
    )
    assert re.search(rf"(?<![\w-]){re.escape(name)}(?![\w-])", libraries)
