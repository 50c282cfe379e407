"""Dashboard Operator: whether the operator itself keeps up."""

from grafana_foundation_sdk.builders import dashboard, timeseries
from trainwright_api import metrics as m

from trainwright_dashboards.frame import new_dashboard
from trainwright_dashboards.panels import Query, Text, line_panel, stat_panel
from trainwright_dashboards.promql import new_events, series


def build_operator_dashboard() -> dashboard.Dashboard:
    """Return the dashboard of the operator's health."""
    board = new_dashboard(
        "operator", "Operator", "Whether the operator keeps up with its runs.", "now-1h"
    )
    tiles = (
        (
            Text("Leader", "Operators that act; anything but 1 is wrong.", "short"),
            f"sum({series(m.LEADER)})",
        ),
        (
            Text("Queue", "Runs waiting for a reconciliation.", "short"),
            f"sum({series(m.QUEUE_DEPTH)})",
        ),
        (Text("Queue age", "How long the oldest waits.", "s"), f"max({series(m.QUEUE_AGE)})"),
        (
            Text("Sweep age", "Time since progress was last collected from all runs.", "s"),
            f"max({series(m.SWEEP_AGE)})",
        ),
        (
            Text("Loop lag", "Delay of the operator's event loop.", "s"),
            f"max({series(m.EVENT_LOOP_LAG)})",
        ),
        (
            Text("API errors", "Calls of the API server that failed, per second.", "reqps"),
            f"sum(rate({series(m.API_CALLS, code='=~4..|5..|error')}[5m])) or vector(0)",
        ),
    )
    board.with_row(dashboard.Row("Now"))
    for text, expression in tiles:
        board.with_panel(stat_panel(text, Query(expression, "")).span(4).height(4))
    board.with_row(dashboard.Row("Work"))
    for panel in _work_panels():
        board.with_panel(panel.span(8).height(8))
    for panel, width in zip(_state_panels(), (8, 8, 8, 12, 12), strict=True):
        board.with_panel(panel.span(width).height(8))
    return board


def _work_panels() -> list[timeseries.Panel]:
    bucket = series(m.RECONCILE_SECONDS, "_bucket")
    return [
        line_panel(
            Text("Reconciliations", "Reconciliations per second by kind and outcome.", "ops"),
            Query(
                f"sum by (kind, outcome) (rate({series(m.RECONCILE_SECONDS, '_count')}[5m]))",
                "{{kind}} {{outcome}}",
            ),
            minimum=0,
        ),
        line_panel(
            Text(
                "Reconciliation time",
                "Seconds of a reconciliation: median and 99th percentile.",
                "s",
            ),
            Query(f"histogram_quantile(0.5, sum by (le) (rate({bucket}[5m])))", "median"),
            Query(f"histogram_quantile(0.99, sum by (le) (rate({bucket}[5m])))", "99th percentile"),
            minimum=0,
        ),
        line_panel(
            Text("API calls", "Calls of the API server per second by verb and code.", "reqps"),
            Query(f"sum by (verb, code) (rate({series(m.API_CALLS)}[5m]))", "{{verb}} {{code}}"),
            minimum=0,
        ),
    ]


def _state_panels() -> list[timeseries.Panel]:
    return [
        line_panel(
            Text("Queue", "Runs waiting for a reconciliation.", "short"),
            Query(f"sum({series(m.QUEUE_DEPTH)})", "waiting"),
            minimum=0,
        ),
        line_panel(
            Text(
                "Delays",
                "How long the oldest run has waited, how long the last sweep took, and how long ago it was.",
                "s",
            ),
            Query(f"max({series(m.QUEUE_AGE)})", "oldest in the queue"),
            Query(f"max({series(m.SWEEP_SECONDS)})", "sweep took"),
            Query(f"max({series(m.SWEEP_AGE)})", "since the sweep"),
            minimum=0,
        ),
        line_panel(
            Text(
                "Silent runs",
                "Runs whose master pod runs and has not answered the operator for a minute.",
                "short",
            ),
            Query(f"max by (run_namespace) ({series(m.SILENT_RUNS)})", "{{run_namespace}}"),
            minimum=0,
        ),
        line_panel(
            Text(
                "Attempts that ended",
                "Ends of attempts in 10 minutes by outcome and cause.",
                "short",
            ),
            Query(
                f"sum by (outcome, cause) {new_events(series(m.ATTEMPTS), '10m')}",
                "{{outcome}} {{cause}}",
            ),
            minimum=0,
        ),
        line_panel(
            Text(
                "Versions", "Operators that report, by version; two while one takes over.", "short"
            ),
            Query(f"count by (version) ({series(m.BUILD_INFO)})", "{{version}}"),
            minimum=0,
        ),
    ]
