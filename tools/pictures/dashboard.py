"""A dashboard's JSON as the renderer sees it: panels with their place, unit and queries; pure."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

ROW, LINES, STAT, TABLE, BARS = "row", "timeseries", "stat", "table", "bargauge"
TREND = "trend"
VALUE = "Value #"  # and the query's letter: what Grafana calls a column of values
KINDS = (ROW, LINES, STAT, TABLE, BARS, TREND)


@dataclass(frozen=True)
class Target:
    """One query of a panel; an instant one has one value per series."""

    letter: str
    expression: str
    legend: str
    is_instant: bool


@dataclass(frozen=True)
class Place:
    """Where a panel is, in Grafana's grid of 24 columns."""

    x: int
    y: int
    width: int
    height: int


@dataclass(frozen=True)
class Panel:
    """What is drawn of one panel."""

    title: str
    kind: str
    place: Place
    targets: tuple[Target, ...] = ()
    unit: str = "none"
    decimals: int | None = None
    minimum: float | None = None
    maximum: float | None = None
    is_stacked: bool = False
    thresholds: tuple[tuple[float | None, str], ...] = ()
    columns: Mapping[str, str] = field(default_factory=dict)
    """Of a table: the title of a column by its target's letter."""
    column_units: Mapping[str, str] = field(default_factory=dict)
    """Of a table: the unit of a column by its title, where it is not the panel's."""
    join: str = ""
    """Of a table, the label that its rows are joined by; of a trend, the label that tells its lines apart."""
    rows: str = ""
    """Of a table: the title of that label's column."""
    no_value: str = "No data"
    inside: tuple["Panel", ...] = ()
    """Of a closed row: its panels, where they are once it is opened."""


@dataclass(frozen=True)
class Mark:
    """An annotation: drawn over all lines at the times that its query's values are (milliseconds)."""

    name: str
    expression: str
    color: str


def parse_panels(dashboard: Mapping[str, Any]) -> Iterator[Panel]:
    """The panels from top to bottom, those of closed rows inside these; raises ValueError on one that cannot be drawn."""
    return map(parse_panel, dashboard["panels"])


def parse_panel(panel: Mapping[str, Any]) -> Panel:
    """One panel; raises ValueError on a kind that cannot be drawn."""
    if panel["type"] not in KINDS:
        raise ValueError(f"{panel['title']}: got type {panel['type']}, expected one of {KINDS}")
    grid = panel["gridPos"]
    place = Place(grid.get("x", 0), grid["y"], grid["w"], grid["h"])
    if panel["type"] == ROW:
        return Panel(panel["title"], ROW, place, inside=tuple(map(parse_panel, panel["panels"])))
    defaults = panel["fieldConfig"]["defaults"]
    stacking = defaults.get("custom", {}).get("stacking", {}).get("mode", "none")
    options = {t["id"]: t["options"] for t in panel.get("transformations", ())}
    names = options.get("organize", {}).get("renameByName", {})
    return Panel(
        title=panel["title"],
        kind=panel["type"],
        place=place,
        targets=tuple(map(parse_target, panel["targets"])),
        unit=defaults.get("unit", "none"),
        decimals=defaults.get("decimals"),
        minimum=defaults.get("min"),
        maximum=defaults.get("max"),
        is_stacked=stacking != "none",
        thresholds=tuple(
            (step.get("value"), step["color"])
            for step in defaults.get("thresholds", {}).get("steps", ())
        ),
        columns={key.removeprefix(VALUE): names[key] for key in names if key.startswith(VALUE)},
        column_units=dict(_parse_overrides(panel["fieldConfig"].get("overrides", ()))),
        join=options.get("joinByField", {}).get("byField", "")
        or options.get("groupingToMatrix", {}).get("columnField", ""),
        rows=names.get(options.get("joinByField", {}).get("byField", ""), ""),
        no_value=defaults.get("noValue", "No data"),
    )


def _parse_overrides(overrides: Any) -> Iterator[tuple[str, str]]:
    for override in overrides:
        for setting in override["properties"]:
            if setting["id"] == "unit":
                yield override["matcher"]["options"], setting["value"]


def parse_target(target: Mapping[str, Any]) -> Target:
    """One query."""
    return Target(
        target["refId"],
        target["expr"],
        target.get("legendFormat", ""),
        bool(target.get("instant")),
    )


def parse_marks(dashboard: Mapping[str, Any]) -> list[Mark]:
    """The annotations that are queries; raises ValueError on one whose values are no times."""
    found = [a for a in dashboard.get("annotations", {}).get("list", ()) if "expr" in a]
    for other in found:
        if not other.get("useValueForTime"):
            raise ValueError(
                f"{other['name']}: got no useValueForTime, expected values that are times"
            )
    return [Mark(a["name"], a["expr"], a.get("iconColor", "gray")) for a in found]


def fill_in(expression: str, variables: Mapping[str, str]) -> str:
    """The expression with values for the variables, the longest names first, as Grafana does."""
    for name in sorted(variables, key=len, reverse=True):
        expression = expression.replace(f"${name}", variables[name])
    return expression


def fill_legend(legend: str, labels: Mapping[str, str]) -> str:
    """The legend of a series: `{{label}}` replaced; without one, the labels themselves."""
    if not legend:
        return ", ".join(f"{k}={v}" for k, v in labels.items() if k != "__name__")
    for name, value in labels.items():
        legend = legend.replace("{{" + name + "}}", value)
    # A label that the series does not have is empty.
    while "{{" in legend:
        before, _, rest = legend.partition("{{")
        legend = before + rest.partition("}}")[2]
    return legend.strip()
