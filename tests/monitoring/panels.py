"""Finds every query of every dashboard and fills in the variables, as Grafana does."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from trainwright_dashboards.generate import build_files


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


def find_queries() -> Iterator[PanelQuery]:
    """Yield the queries of all panels and annotations."""
    for name, dashboard in load_dashboards().items():
        for panel in dashboard["panels"]:
            for target in panel.get("targets", ()):
                yield PanelQuery(name, panel["title"], target["expr"])
        for annotation in dashboard.get("annotations", {}).get("list", ()):
            if "expr" in annotation:
                yield PanelQuery(name, f"annotation {annotation['name']}", annotation["expr"])


def fill_in(expression: str, variables: Mapping[str, str]) -> str:
    """Return the expression with values for the variables, the longest names first."""
    for name in sorted(variables, key=len, reverse=True):
        expression = expression.replace(f"${name}", variables[name])
    return expression
