"""A Prometheus beside the demo, and what its last lines say of the dashboards and their figures.

It starts in the background, so that the demo does not wait for it; where it cannot run, one line says
why and the demo goes on. The figures are asked of the server itself, as Grafana would.
"""

import math
import subprocess
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

from trainwright_api import metrics as m
from trainwright_dashboards.generate import CHART_FILES, DASHBOARDS
from trainwright_dashboards.promql import series
from trainwright_dashboards.rules import GOODPUT

from tests.cluster import Cluster, ClusterError
from tests.monitoring.server import Prometheus
from tools.machine import PROJECT
from tools.pictures.units import format_value
from tools.prometheus_api import PrometheusApi

FOLDER = PROJECT / CHART_FILES / "dashboards"
PRICES = ("prices.cpu=0.04",)
"""Chart values by which the demo's CPUs cost something (USD per core and hour)."""
SCRAPE_INTERVAL = "5s"
COST_STEP_SECONDS = 10

Monitoring = Callable[[], PrometheusApi | str]
"""Waits for the server; why there is none, if there is none."""


def start_monitoring(cluster: Cluster) -> Monitoring:
    """Start a Prometheus on the embedded cluster, in the background."""
    pool = ThreadPoolExecutor(1, thread_name_prefix="prometheus")
    future: Future[Prometheus] = pool.submit(Prometheus.start, cluster, SCRAPE_INTERVAL)
    pool.shutdown(wait=False)

    def wait() -> PrometheusApi | str:
        try:
            return future.result()
        except (ClusterError, OSError, subprocess.CalledProcessError) as problem:
            return str(problem).splitlines()[0]

    return wait


def use_prometheus(url: str) -> Monitoring:
    """The Prometheus that PROMETHEUS_URL names, on a cluster that is not ours."""
    if not url:
        return lambda: "it is only started on the demo's own cluster; PROMETHEUS_URL names yours"
    api = PrometheusApi(url)
    return lambda: api if api.is_ready() else f"{url} does not answer"


def describe_dashboards(
    monitoring: Monitoring, namespace: str, runs: Sequence[str], seconds: float
) -> str:
    """Where the dashboards are, how to import them, and what they show of the last `seconds`."""
    lines = [
        "Dashboards",
        f"  {FOLDER}/{{{','.join(DASHBOARDS)}}}.json",
        "  In Grafana: Dashboards > New > Import > Upload dashboard JSON file. Its sidecar finds them by itself",
        "  after `helm upgrade ... --set monitoring.dashboards.enabled=true`.",
    ]
    found = monitoring()
    if isinstance(found, str):
        return "\n".join([*lines, f"  No Prometheus: {found}"])
    lines.append(f"  Prometheus: {found.url} (Grafana: Connections > Data sources > Prometheus)")
    lines.append("  They show now:")
    try:
        lines += [f"    {line}" for line in describe_figures(found, namespace, runs, seconds)]
    except (OSError, ValueError) as problem:
        lines.append(f"    nothing: {problem}")
    return "\n".join(lines)


def describe_figures(
    api: PrometheusApi, namespace: str, runs: Sequence[str], seconds: float
) -> Iterator[str]:
    """A line per run, and one of what they cost; only figures that there are."""
    for run in runs:
        figures = build_figures(namespace, run, round(seconds))
        asked = ((title, ask(api, expression), unit) for title, expression, unit in figures)
        shown = [f"{title} {format_value(v, unit)}" for title, v, unit in asked if math.isfinite(v)]
        yield f"{run}: {', '.join(shown) or 'no data'}"
    cost = ask(api, build_cost(namespace, round(seconds)))
    if cost > 0:
        yield f"cost of all: {format_value(cost, 'currencyUSD', 4)} (Fleet, {PRICES[0]} USD an hour)"


def build_figures(namespace: str, run: str, seconds: int) -> list[tuple[str, str, str]]:
    """Title, query and unit of each figure of a run; pods of all its attempts count."""
    chosen = {"namespace": f"={namespace}", "run": f"={run}"}
    window = f"[{seconds}s]"
    goodput = f'{GOODPUT}{{namespace="{namespace}",run="{run}"}}'
    save_sum, save_count = (
        series(m.CHECKPOINT_SECONDS, suffix, part="=save", **chosen)
        for suffix in ("_sum", "_count")
    )
    return [
        ("goodput", f"avg(avg_over_time({goodput}{window}))", "percentunit"),
        ("peak tokens/s", _peak(m.TOKENS_PER_SECOND, window, chosen), "none"),
        ("peak MFU", _peak(m.MFU, window, chosen), "percentunit"),
        # Of the pods that live at each moment, so that the last attempt's comes last.
        ("last loss", f"last_over_time(min({series(m.LOSS, **chosen)})[{seconds}s:2s])", "none"),
        (
            "a checkpoint takes",
            f"sum(max_over_time({save_sum}{window})) / sum(max_over_time({save_count}{window}))",
            "s",
        ),
    ]


def _peak(metric: m.Metric, window: str, chosen: dict[str, str]) -> str:
    return f"max(max_over_time({series(metric, **chosen)}{window}))"


def build_cost(namespace: str, seconds: int) -> str:
    """The query for what a namespace's runs have cost in these seconds (USD)."""
    rate = series(m.RUN_COST_PER_HOUR, run_namespace=f"={namespace}")
    step = COST_STEP_SECONDS
    return f"sum_over_time(sum({rate})[{seconds}s:{step}s]) * {step} / 3600"


def ask(api: PrometheusApi, expression: str) -> float:
    """The one value of a query; NaN if it has none."""
    found = api.query(expression)
    return found[0].value if found else math.nan
