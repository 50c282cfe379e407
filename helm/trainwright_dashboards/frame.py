"""What all four dashboards share: data source, variables, links, time range, tags."""

from grafana_foundation_sdk.builders import dashboard
from grafana_foundation_sdk.models import dashboard as model
from trainwright_api import metrics, names

from trainwright_dashboards.panels import DATASOURCE

TAG = "trainwright"
UIDS = {
    "run": names.RUN_DASHBOARD_UID,
    "fleet": "trainwright-fleet",
    "hardware": "trainwright-hardware",
    "operator": "trainwright-operator",
}


def new_dashboard(key: str, title: str, description: str, time_from: str) -> dashboard.Dashboard:
    """Return an empty dashboard with the shared frame; times are in the browser's zone."""
    return (
        dashboard.Dashboard(f"Trainwright / {title}")
        .uid(UIDS[key])
        .description(description)
        .tags([TAG])
        .refresh("10s")
        .time(time_from, "now")
        .timezone("browser")
        .tooltip(model.DashboardCursorSync.CROSSHAIR)
        .link(
            dashboard.DashboardLink("Trainwright")
            .type(model.DashboardLinkType.DASHBOARDS)
            .tags([TAG])
            .as_dropdown(True)
            .include_vars(True)
            .keep_time(True)
        )
        .with_variable(
            dashboard.DatasourceVariable("datasource").label("Data source").type("prometheus")
        )
    )


def choice(name: str, label: str, query: str, *, multi: bool = True) -> dashboard.QueryVariable:
    """Return a drop-down filled by a query of label values, with All where several may be chosen."""
    variable = (
        dashboard.QueryVariable(name)
        .label(label)
        .datasource(DATASOURCE)
        .query(query)
        .refresh(model.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(model.VariableSort.ALPHABETICAL_ASC)
        .multi(multi)
    )
    return variable.include_all(True).all_value(".+") if multi else variable


def namespace_choice(
    metric: metrics.Metric = metrics.RUN_INFO, label: str = "namespace"
) -> dashboard.QueryVariable:
    """Return the drop-down of namespaces that have runs: those that train, or those that a metric names."""
    return choice("namespace", "Namespace", f"label_values({metric.name}, {label})")


def run_choice() -> dashboard.QueryVariable:
    """Return the drop-down of runs in the chosen namespaces; up to five compare well."""
    return choice(
        "run", "Runs", f'label_values({metrics.RUN_INFO.name}{{namespace=~"$namespace"}}, run)'
    )


class _Event(model.AnnotationQuery):
    """An annotation with the fields of the Prometheus data source, which the SDK does not know."""

    title_format = ""

    def to_json(self) -> dict[str, object]:
        """Return what Grafana reads.

        A value is the time (milliseconds) of its event; events less than a `step` apart are shown as one.
        """
        return super().to_json() | {
            "titleFormat": self.title_format,
            "useValueForTime": True,
            "step": "5s",
        }


class _EventBuilder(dashboard.AnnotationQuery):
    def __init__(self) -> None:
        super().__init__()
        self._internal: _Event = _Event()

    def build(self) -> _Event:
        return self._internal


def annotation(name: str, times: str, title: str, color: str) -> dashboard.AnnotationQuery:
    """Return marks at the times that a query's values are (Unix seconds), titled with its labels."""
    builder = _EventBuilder()
    builder.build().title_format = title
    return (
        builder.name(name)
        .datasource(DATASOURCE)
        .expr(f"1000 * {times}")
        .icon_color(color)
        .enable(True)
    )
