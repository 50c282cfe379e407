"""Dashboard Fleet: all runs of the cluster, what they use, waste and cost."""

from grafana_foundation_sdk.builders import dashboard
from trainwright_api import metrics as m

from trainwright_dashboards.frame import namespace_choice, new_dashboard
from trainwright_dashboards.panels import Query, Text, line_panel, stat_panel, table_panel
from trainwright_dashboards.promql import FULL_NAME, by_full_name, new_events, series
from trainwright_dashboards.rules import COST_PER_HOUR, GOODPUT, UTILIZATION, WASTED_ACCELERATORS

CHOSEN = {"namespace": "=~$namespace"}
CHOSEN_RUNS = {"run_namespace": "=~$namespace"}


def build_fleet_dashboard() -> dashboard.Dashboard:
    """Return the dashboard of all runs."""
    board = new_dashboard(
        "fleet",
        "Fleet",
        "Which runs are healthy, fast, stuck or wasteful, and what they cost.",
        "now-6h",
    ).with_variable(namespace_choice())
    _add_summary(board)
    _add_runs(board)
    _add_use(board)
    return board


def _add_summary(board: dashboard.Dashboard) -> None:
    runs = series(m.RUNS, **CHOSEN_RUNS)
    live = series(m.RUNS, phase="=~Running|Starting|Restarting", **CHOSEN_RUNS)
    failed = series(m.RUNS, phase="=Failed", **CHOSEN_RUNS)
    tiles = (
        (Text("Live runs", "Runs that hold pods now.", "short"), f"sum({live}) or vector(0)"),
        (
            Text("Runs", "All runs that exist, finished ones included.", "short"),
            f"sum({runs}) or vector(0)",
        ),
        (
            Text("Failed runs", "Runs that failed and still exist.", "short"),
            f"sum({failed}) or vector(0)",
        ),
        (
            Text("Accelerators in use", "Accelerators that live attempts hold.", "short"),
            f"sum({series(m.RUN_ACCELERATORS, **CHOSEN_RUNS)})",
        ),
        (
            Text(
                "Goodput",
                "Share of pod time spent in steps, checkpoints' stalls taken off.",
                "percentunit",
            ),
            f'avg({GOODPUT}{{namespace=~"$namespace"}})',
        ),
        (
            Text(
                "Cost per hour",
                "Price of all that live attempts hold, by the operator's price table.",
                "currencyUSD",
            ),
            f'sum({COST_PER_HOUR}{{run_namespace=~"$namespace"}})',
        ),
    )
    board.with_row(dashboard.Row("Now"))
    for text, expression in tiles:
        board.with_panel(stat_panel(text, Query(expression, "")).span(4).height(4))


def _add_runs(board: dashboard.Dashboard) -> None:
    def latest(metric: m.Metric, aggregation: str = "max") -> str:
        return by_full_name(aggregation, series(metric, **CHOSEN))

    columns = {
        "Progress": Query(f"{latest(m.STEP)} / {latest(m.TOTAL_STEPS)}", ""),
        "Loss": Query(latest(m.LOSS), ""),
        "Tokens/s": Query(latest(m.TOKENS_PER_SECOND), ""),
        "MFU": Query(latest(m.MFU), ""),
        "Utilisation": Query(by_full_name("avg", f'{UTILIZATION}{{namespace=~"$namespace"}}'), ""),
        "Checkpoint age": Query(f"time() - {latest(m.CHECKPOINT_TIMESTAMP)}", ""),
        "Heartbeat age": Query(latest(m.HEARTBEAT_AGE), ""),
    }
    board.with_row(dashboard.Row("Runs")).with_panel(
        table_panel(
            Text(
                "Live runs",
                "One row per run that reports; sort by heartbeat age to find stuck ones.",
                "short",
            ),
            columns,
            join=FULL_NAME,
            units={
                "Progress": "percentunit",
                "MFU": "percentunit",
                "Utilisation": "percentunit",
                "Checkpoint age": "s",
                "Heartbeat age": "s",
            },
        )
        .span(24)
        .height(9)
    )


def _add_use(board: dashboard.Dashboard) -> None:
    panels = (
        line_panel(
            Text("Runs by phase", "Runs by phase over time.", "short"),
            Query(f"sum by (phase) ({series(m.RUNS, **CHOSEN_RUNS)})", "{{phase}}"),
            minimum=0,
            stacked=True,
        ),
        line_panel(
            Text("Accelerators by namespace", "Accelerators that live attempts hold.", "short"),
            Query(
                f"sum by (run_namespace) ({series(m.RUN_ACCELERATORS, **CHOSEN_RUNS)})",
                "{{run_namespace}}",
            ),
            minimum=0,
            stacked=True,
        ),
        line_panel(
            Text(
                "Wasted devices", "Devices held times the share of time they idle, by run.", "short"
            ),
            Query(f'{WASTED_ACCELERATORS}{{namespace=~"$namespace"}}', "{{namespace}}/{{run}}"),
            minimum=0,
        ),
        line_panel(
            Text(
                "Goodput",
                "Share of pod time spent in steps, checkpoints' stalls taken off.",
                "percentunit",
            ),
            Query(f'{GOODPUT}{{namespace=~"$namespace"}}', "{{namespace}}/{{run}}"),
            minimum=0,
            maximum=1,
        ),
        line_panel(
            Text("Cost per hour by namespace", "Price of what live attempts hold.", "currencyUSD"),
            Query(f'{COST_PER_HOUR}{{run_namespace=~"$namespace"}}', "{{run_namespace}}"),
            minimum=0,
            stacked=True,
        ),
        line_panel(
            Text(
                "Attempts that ended",
                "Ends of attempts in 30 minutes by outcome and cause.",
                "short",
            ),
            Query(
                f"sum by (outcome, cause) {new_events(series(m.ATTEMPTS), '30m')}",
                "{{outcome}} {{cause}}",
            ),
            minimum=0,
        ),
    )
    board.with_row(dashboard.Row("Use and cost"))
    for panel in panels:
        board.with_panel(panel.span(8).height(8))
