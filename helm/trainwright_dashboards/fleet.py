"""Dashboard Fleet: all runs of the cluster, what they use, waste and cost."""

from grafana_foundation_sdk.builders import bargauge, dashboard, timeseries
from trainwright_api import metrics as m

from trainwright_dashboards.frame import UIDS, namespace_choice, new_dashboard
from trainwright_dashboards.panels import (
    MOST_BARS,
    USED_THRESHOLDS,
    Query,
    RowLink,
    Text,
    bar_panel,
    line_panel,
    stat_panel,
    table_panel,
)
from trainwright_dashboards.promql import (
    FULL_NAME,
    by_full_name,
    new_events,
    series,
    with_namespace,
)
from trainwright_dashboards.rules import (
    COST_PER_HOUR,
    DEVICES,
    GOODPUT,
    UTILIZATION,
    WASTED_ACCELERATORS,
)

CHOSEN = {"namespace": "=~$namespace"}
CHOSEN_RUNS = {"run_namespace": "=~$namespace"}
RUN_PARTS = ("namespace", "run")
RUN_LINK = f"/d/{UIDS['run']}?${{datasource:queryparam}}&${{__url_time_range}}&" + "&".join(
    f"var-{label}=${{__data.fields.{label}}}" for label in RUN_PARTS
)
GOODPUT_TEXT = (
    "Share of the live pods' last 5 minutes spent in steps: start-up and checkpoints' stalls count as lost,"
    " steps done again after a restart do not."
)
NOBODY = 'label_replace(vector(0), "reason", "nobody", "", "")'


def build_fleet_dashboard() -> dashboard.Dashboard:
    """Return the dashboard of all runs."""
    board = new_dashboard(
        "fleet",
        "Fleet",
        "Which runs are healthy, fast, stuck or wasteful, and what they cost.",
        "now-6h",
    ).with_variable(namespace_choice(m.RUNS, "run_namespace"))  # runs that wait have no pods
    _add_summary(board)
    _add_runs(board)
    _add_use(board)
    _add_queue(board)
    _add_cost(board)
    return board


def _add_summary(board: dashboard.Dashboard) -> None:
    live = series(m.RUNS, phase="=~Running|Starting|Restarting", **CHOSEN_RUNS)
    failed = series(m.RUNS, phase="=Failed", **CHOSEN_RUNS)
    goodput = f'{GOODPUT}{{namespace=~"$namespace"}}'
    weighted = f"{goodput} * on (namespace, run) {DEVICES}"
    tiles = (
        (
            Text(
                "Live runs",
                "Runs that start, train or restart; one that waits to restart holds no pods.",
                "short",
            ),
            f"sum({live}) or vector(0)",
        ),
        (
            Text("Waiting runs", "Runs that cannot start yet.", "short"),
            f"sum({series(m.WAITING_RUNS, **CHOSEN_RUNS)}) or vector(0)",
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
            Text("Goodput", f"{GOODPUT_TEXT} Runs count by their devices.", "percentunit"),
            f"sum({weighted}) / sum({DEVICES} and on (namespace, run) {goodput})",
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
    # Rows are of the runs that have done a step: what else is known of others would make rows with gaps.
    steps = f"and on (namespace, run) {series(m.STEP, **CHOSEN)}"

    def latest(metric: m.Metric) -> str:
        return by_full_name("max", f"{series(metric, **CHOSEN)} {steps}")

    done, planned = (
        by_full_name("max", series(metric, **CHOSEN), keep=RUN_PARTS)
        for metric in (m.STEP, m.TOTAL_STEPS)
    )
    use = f'{UTILIZATION}{{namespace=~"$namespace"}} {steps}'
    columns = {
        "Progress": Query(f"{done} / {planned}", ""),
        "Loss": Query(latest(m.LOSS), ""),
        "Tokens/s": Query(latest(m.TOKENS_PER_SECOND), ""),
        "MFU": Query(latest(m.MFU), ""),
        "Utilisation": Query(by_full_name("avg", use), ""),
        "Checkpoint age": Query(f"time() - {latest(m.CHECKPOINT_TIMESTAMP)}", ""),
        "Heartbeat age": Query(latest(m.HEARTBEAT_AGE), ""),
    }
    board.with_row(dashboard.Row("Runs")).with_panel(
        table_panel(
            Text(
                "Live runs",
                "One row per run that trains; its name leads to its dashboard. Sort by heartbeat age to find stuck ones.",
                "short",
            ),
            columns,
            join=FULL_NAME,
            rows="Run",
            units={
                "Progress": "percentunit",
                "MFU": "percentunit",
                "Utilisation": "percentunit",
                "Checkpoint age": "s",
                "Heartbeat age": "s",
            },
            link=RowLink("Dashboard of this run", RUN_LINK, hidden=RUN_PARTS),
        )
        .span(24)
        .height(9)
    )


def _add_use(board: dashboard.Dashboard) -> None:
    board.with_row(dashboard.Row("Use"))
    for panel in (*_life_panels(), *_use_panels()):
        board.with_panel(panel.span(8).height(8))


def _life_panels() -> tuple[timeseries.Panel, ...]:
    return (
        line_panel(
            Text("Runs by phase", "Runs by phase over time.", "short"),
            Query(f"sum by (phase) ({series(m.RUNS, **CHOSEN_RUNS)})", "{{phase}}"),
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
                f"sum by (outcome, cause) {new_events(series(m.ATTEMPTS, **CHOSEN_RUNS), '30m')}",
                "{{outcome}} {{cause}}",
            ),
            minimum=0,
        ),
    )


def _use_panels() -> tuple[timeseries.Panel | bargauge.Panel, ...]:
    return (
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
            Text("Goodput", GOODPUT_TEXT, "percentunit"),
            Query(f'{GOODPUT}{{namespace=~"$namespace"}}', "{{namespace}}/{{run}}"),
            minimum=0,
            maximum=1,
        ),
        bar_panel(
            Text(
                "Least used runs",
                "Use of a run's devices, with the reason while its condition Underutilized holds.",
                "percentunit",
            ),
            Query(f"bottomk({MOST_BARS}, {_explained_use()})", "{{namespace}}/{{run}} {{reason}}"),
            maximum=1,
            thresholds=USED_THRESHOLDS,
        ),
    )


def _explained_use() -> str:
    """The use of each run's devices, with the label `reason` where the operator has one."""
    use = f'{UTILIZATION}{{namespace=~"$namespace"}}'
    # One reason each, also while two operators report.
    underused = f"topk by (run_namespace, run) (1, {series(m.UNDERUTILIZED, **CHOSEN_RUNS)})"
    reason = with_namespace(underused)
    explained = f"{use} * on (namespace, run) group_left (reason) (0 * {reason} + 1)"
    return f"({explained} or ({use} unless on (namespace, run) {reason}))"


def _add_queue(board: dashboard.Dashboard) -> None:
    panels = (
        line_panel(
            Text("Runs that wait", "Runs that cannot start, by what they wait for.", "short"),
            _waiting(m.WAITING_RUNS),
            minimum=0,
            stacked=True,
        ),
        line_panel(
            Text("Longest wait", "How long the first in the queue has waited, by reason.", "s"),
            _waiting(m.LONGEST_WAIT),
            minimum=0,
        ),
    )
    board.with_row(dashboard.Row("Queue"))
    for panel in panels:
        board.with_panel(panel.span(12).height(8))


def _waiting(metric: m.Metric) -> Query:
    """By reason; a zero where nobody waits, so that a panel without a queue is not taken for a broken one."""
    known = f"max by (run_namespace, reason) ({series(metric, **CHOSEN_RUNS)})"
    return Query(f"{known} or on () {NOBODY}", "{{run_namespace}} {{reason}}")


def _add_cost(board: dashboard.Dashboard) -> None:
    cost = f'{COST_PER_HOUR}{{run_namespace=~"$namespace"}}'
    by_namespace = f"sum by (run_namespace) ({cost})"
    by_team = f'label_replace(sum by (team) ({cost}), "team", "no team", "team", "")'
    total = f"sum_over_time(({by_namespace})[$__range:1m]) / 60"
    panels = (
        line_panel(
            Text("Cost per hour by namespace", "Price of what live attempts hold.", "currencyUSD"),
            Query(by_namespace, "{{run_namespace}}"),
            minimum=0,
            stacked=True,
        ),
        line_panel(
            Text(
                "Cost per hour by team",
                "Price of what live attempts hold, by the label trainwright.dev/team of the runs.",
                "currencyUSD",
            ),
            Query(by_team, "{{team}}"),
            minimum=0,
            stacked=True,
        ),
        bar_panel(
            Text("Cost", "What the runs of a namespace cost in the chosen time.", "currencyUSD"),
            Query(total, "{{run_namespace}}"),
        ),
    )
    board.with_row(dashboard.Row("Cost"))
    for panel in panels:
        board.with_panel(panel.span(8).height(8))
