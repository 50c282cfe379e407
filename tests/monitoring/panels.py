"""Finds every panel and every query of every dashboard, those in closed rows included."""

import json
import math
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from trainwright_dashboards.generate import build_files

from tools.pictures.dashboard import fill_in
from tools.prometheus_api import Sample

__all__ = [
    "PanelQuery",
    "describe_odd_values",
    "fill_in",
    "find_choices",
    "find_panels",
    "find_queries",
    "load_dashboards",
]

MOST_OF_A_SHARE = 1.5  # use over a limit, or over an assumed peak, may exceed it a little


@dataclass(frozen=True)
class PanelQuery:
    """One query of one panel (or annotation) of one dashboard."""

    dashboard: str
    panel: str
    expression: str
    is_hidden: bool = False
    """Whether its row is closed until somebody opens it."""
    unit: str = ""
    """The unit of all its values; empty where the columns of a table have units of their own."""

    def __str__(self) -> str:
        return f"{self.dashboard}/{self.panel}"


def load_dashboards() -> dict[str, dict[str, Any]]:
    """Return the dashboards' JSON by name."""
    files = build_files()
    return {
        name.removeprefix("dashboards/").removesuffix(".json"): json.loads(content)
        for name, content in files.items()
        if name.startswith("dashboards/")
    }


def find_panels(dashboard: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the panels that show something; those of closed rows lie inside the row."""
    for panel in dashboard["panels"]:
        if panel["type"] == "row":
            yield from panel["panels"]
        else:
            yield panel


def find_queries() -> Iterator[PanelQuery]:
    """Yield the queries of all panels and annotations."""
    for name, dashboard in load_dashboards().items():
        for panel in find_panels(dashboard):
            unit = panel["fieldConfig"]["defaults"]["unit"] if panel["type"] != "table" else ""
            is_hidden = panel not in dashboard["panels"]
            for target in panel["targets"]:
                yield PanelQuery(name, panel["title"], target["expr"], is_hidden, unit)
        for annotation in dashboard.get("annotations", {}).get("list", ()):
            if "expr" in annotation:
                yield PanelQuery(name, f"annotation {annotation['name']}", annotation["expr"])


def find_choices() -> Iterator[tuple[str, str, str]]:
    """Yield the dashboards' drop-downs: the variable, and the selector and label whose values it lists."""
    for dashboard in load_dashboards().values():
        for variable in dashboard["templating"]["list"]:
            if variable["type"] == "query":
                found = re.fullmatch(r"label_values\((.+), (\w+)\)", variable["query"])
                assert found, variable
                yield variable["name"], *found.groups()


def describe_odd_values(query: PanelQuery, samples: Iterable[Sample]) -> list[str]:
    """Return the values that nothing can have that a panel shows: none is negative or infinite, shares are at most 1."""
    highest = MOST_OF_A_SHARE if query.unit == "percentunit" else math.inf
    return [
        f"{query}: {sample.value:g} {query.unit} of {sample.labels}"
        for sample in samples
        if not (math.isfinite(sample.value) and 0 <= sample.value <= highest)
    ]
