"""Finds every panel and every query of every dashboard, those in closed rows included."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from trainwright_dashboards.generate import build_files

from tools.pictures.dashboard import fill_in

__all__ = ["PanelQuery", "fill_in", "find_panels", "find_queries", "load_dashboards"]


@dataclass(frozen=True)
class PanelQuery:
    """One query of one panel (or annotation) of one dashboard."""

    dashboard: str
    panel: str
    expression: str

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
            for target in panel["targets"]:
                yield PanelQuery(name, panel["title"], target["expr"])
        for annotation in dashboard.get("annotations", {}).get("list", ()):
            if "expr" in annotation:
                yield PanelQuery(name, f"annotation {annotation['name']}", annotation["expr"])
