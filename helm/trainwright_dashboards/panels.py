"""One small builder per kind of panel; size and place are the caller's.

Every panel needs a title, a description and a unit: a panel that does not say what it shows does not
get built.
"""

from dataclasses import dataclass
from string import ascii_uppercase
from typing import Any

from grafana_foundation_sdk.builders import (
    bargauge,
    common,
    dashboard,
    prometheus,
    stat,
    table,
    timeseries,
    trend,
)
from grafana_foundation_sdk.models import dashboard as model
from grafana_foundation_sdk.models.common import (
    BigValueColorMode,
    BigValueGraphMode,
    LegendDisplayMode,
    LegendPlacement,
    StackingMode,
    VisibilityMode,
    VizOrientation,
)
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

DATASOURCE = model.DataSourceRef(type_val="prometheus", uid="${datasource}")


@dataclass(frozen=True, slots=True)
class Query:
    """One PromQL expression and the legend of its series (`{{label}}` is replaced)."""

    expression: str
    legend: str


@dataclass(frozen=True, slots=True)
class Text:
    """What a panel says of itself; `unit` is Grafana's id of the unit."""

    title: str
    description: str
    unit: str


Threshold = tuple[float | None, str]
USED_THRESHOLDS: tuple[Threshold, ...] = ((None, "red"), (0.4, "orange"), (0.8, "green"))
MOST_BARS = 16  # that stay legible at 1080p


def line_panel(
    text: Text,
    *queries: Query,
    minimum: float | None = None,
    maximum: float | None = None,
    decimals: int | None = None,
    stacked: bool = False,
    no_value: str | None = None,
) -> timeseries.Panel:
    """Return lines over time with a legend that shows the last value.

    `no_value` says why there may be nothing to show, such as that no pod has a GPU.
    """
    panel = (
        timeseries.Panel()
        .title(text.title)
        .description(text.description)
        .unit(text.unit)
        .datasource(DATASOURCE)
        .line_width(2)
        .fill_opacity(40 if stacked else 0)
        .show_points(VisibilityMode.NEVER)
        .legend(_table_legend())
    )
    if stacked:
        panel = panel.stacking(common.StackingConfig().mode(StackingMode.NORMAL).group("A"))
    if minimum is not None:
        panel = panel.min(minimum)
    if maximum is not None:
        panel = panel.max(maximum)
    if decimals is not None:
        panel = panel.decimals(decimals)
    if no_value is not None:
        panel = panel.no_value(no_value)
    for letter, query in zip(ascii_uppercase, queries, strict=False):
        panel = panel.with_target(_range_query(query, letter))
    return panel


def trend_panel(
    text: Text, x: Query, y: Query, *, by: str, x_label: str, decimals: int | None = None
) -> trend.Panel:
    """Return lines of one query over another instead of over time, one for each value of a label.

    Both queries have exactly the label `by`. Their values of one time become a row; the rows become a
    matrix with x down, the label across and y inside; x has to ascend.
    """
    field = f"Value #A\\{by}"  # what the matrix calls its first column
    matrix = {
        "columnField": by,
        "rowField": "Value #A",
        "valueField": "Value #B",
        "emptyValue": "null",
    }
    number = {"targetField": field, "destinationType": "number"}
    steps: tuple[tuple[str, dict[str, Any]], ...] = (
        ("merge", {}),
        ("groupingToMatrix", matrix),
        ("convertFieldType", {"conversions": [number], "fields": {}}),
        ("sortBy", {"sort": [{"field": field}]}),
    )
    panel = (
        trend.Panel()
        .title(text.title)
        .description(text.description)
        .unit(text.unit)
        .datasource(DATASOURCE)
        .x_field(field)
        .line_width(2)
        .fill_opacity(0)
        .show_points(VisibilityMode.NEVER)
        .span_nulls(True)  # runs report at steps of their own
        .override_by_name(
            field,
            [
                model.DynamicConfigValue(id_val="unit", value="none"),
                model.DynamicConfigValue(id_val="custom.axisLabel", value=x_label),
            ],
        )
        .legend(_table_legend())
        .with_target(_table_query(x, "A"))
        .with_target(_table_query(y, "B"))
        .transformations(
            [model.DataTransformerConfig(id_val=name, options=options) for name, options in steps]
        )
    )
    return panel if decimals is None else panel.decimals(decimals)


def stat_panel(
    text: Text,
    query: Query,
    *,
    thresholds: tuple[Threshold, ...] = (),
    decimals: int | None = None,
    sparkline: bool = True,
) -> stat.Panel:
    """Return one big number, coloured by thresholds."""
    panel = (
        stat.Panel()
        .title(text.title)
        .description(text.description)
        .unit(text.unit)
        .datasource(DATASOURCE)
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
        .graph_mode(BigValueGraphMode.AREA if sparkline else BigValueGraphMode.NONE)
        .color_mode(BigValueColorMode.VALUE)
        .thresholds(_thresholds(thresholds))
        .with_target(_range_query(query))
    )
    return panel if decimals is None else panel.decimals(decimals)


def bar_panel(
    text: Text,
    *queries: Query,
    maximum: float | None = None,
    thresholds: tuple[Threshold, ...] = (),
    no_value: str | None = None,
) -> bargauge.Panel:
    """Return horizontal bars, one per series of the instant queries."""
    panel = (
        bargauge.Panel()
        .title(text.title)
        .description(text.description)
        .unit(text.unit)
        .datasource(DATASOURCE)
        .min(0)
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
        .orientation(VizOrientation.HORIZONTAL)
        .thresholds(_thresholds(thresholds))
    )
    for letter, query in zip(ascii_uppercase, queries, strict=False):
        panel = panel.with_target(_instant_query(query, PromQueryFormat.TIME_SERIES, letter))
    if no_value is not None:
        panel = panel.no_value(no_value)
    return panel if maximum is None else panel.max(maximum)


@dataclass(frozen=True, slots=True)
class RowLink:
    """Where a row of a table leads: `path` may name fields of the row, also those of `hidden` labels."""

    title: str
    path: str
    hidden: tuple[str, ...]


def table_panel(
    text: Text,
    columns: dict[str, Query],
    *,
    join: str,
    rows: str,
    units: dict[str, str],
    link: RowLink,
) -> table.Panel:
    """Return a table that joins instant queries on one label, one column per query.

    `rows` is the title of the label's column. `units` are those of columns whose unit is not the panel's.
    """
    panel = (
        table.Panel()
        .show_header(True)  # without any option of its own, the SDK writes `options: null`
        .title(text.title)
        .description(text.description)
        .unit(text.unit)
        .datasource(DATASOURCE)
    )
    names = {join: rows}
    for letter, (title, query) in zip(ascii_uppercase, columns.items(), strict=False):
        panel = panel.with_target(_instant_query(query, PromQueryFormat.TABLE, letter))
        names[f"Value #{letter}"] = title
    for title, unit in units.items():
        panel = panel.override_by_name(title, [model.DynamicConfigValue(id_val="unit", value=unit)])
    links = [{"title": link.title, "url": link.path}]
    panel = panel.override_by_name(rows, [model.DynamicConfigValue(id_val="links", value=links)])
    for label in link.hidden:
        hide = model.DynamicConfigValue(id_val="custom.hidden", value=True)
        panel = panel.override_by_name(label, [hide])
    excluded = {"Time": True} | {f"Time {index}": True for index in range(1, len(columns) + 1)}
    return panel.with_transformation(
        model.DataTransformerConfig(
            id_val="joinByField", options={"byField": join, "mode": "outer"}
        )
    ).with_transformation(
        model.DataTransformerConfig(
            id_val="organize",
            options={
                "renameByName": names,
                "excludeByName": excluded,
            },
        )
    )


def _table_legend() -> common.VizLegendOptions:
    return (
        common.VizLegendOptions()
        .display_mode(LegendDisplayMode.TABLE)
        .placement(LegendPlacement.BOTTOM)
        .show_legend(True)
        .calcs(["lastNotNull"])
    )


def _table_query(query: Query, letter: str) -> prometheus.Dataquery:
    """A query over the time range whose series come as rows with their labels."""
    return _range_query(query, letter).format(PromQueryFormat.TABLE)


def _range_query(query: Query, letter: str = "A") -> prometheus.Dataquery:
    return (
        prometheus.Dataquery()
        .ref_id(letter)
        .expr(query.expression)
        .legend_format(query.legend)
        .datasource(DATASOURCE)
    )


def _instant_query(
    query: Query, format_: PromQueryFormat, letter: str = "A"
) -> prometheus.Dataquery:
    return _range_query(query, letter).instant().format(format_)


def _thresholds(steps: tuple[Threshold, ...]) -> dashboard.ThresholdsConfig:
    chosen = steps or ((None, "blue"),)
    return (
        dashboard.ThresholdsConfig()
        .mode(model.ThresholdsMode.ABSOLUTE)
        .steps([model.Threshold(value=value, color=color) for value, color in chosen])
    )
