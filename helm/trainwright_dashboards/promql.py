"""Small pieces of PromQL over declared metrics.

Used by the dashboards and the rules. A metric is passed as its declaration, so that a query can name
neither a metric nor a label that does not exist.
"""

from trainwright_api import metrics
from trainwright_api.metrics import Metric

FULL_NAME = "namespace_run"
# Labels that scraping adds to each series of a trainer pod (see scrape.py).
RUN_LABELS = ("namespace", "run", "kind", "pod", "node")
_HISTOGRAM_SUFFIXES = {"_sum", "_count", "_bucket"}


def series(metric: Metric, suffix: str = "", **matchers: str) -> str:
    """Return a selector such as `trainwright_loss{run=~"$run"}`.

    A matcher's value is an operator and a value, such as `=~$run` or `=total`. `suffix` is `_sum`,
    `_count` or `_bucket` of a histogram. Raises ValueError on a label that the metric does not have.
    """
    if suffix and (metric.type != "histogram" or suffix not in _HISTOGRAM_SUFFIXES):
        raise ValueError(f"{metric.name}: got suffix {suffix}, expected one of a histogram")
    known = {*metric.labels, *RUN_LABELS, "job", "le"}
    if unknown := set(matchers) - known:
        raise ValueError(f"{metric.name}: got labels {sorted(unknown)}, expected {sorted(known)}")
    parts = [f'{label}{_operator(text)}"{_value(text)}"' for label, text in matchers.items()]
    return f"{metric.name}{suffix}{{{','.join(parts)}}}" if parts else f"{metric.name}{suffix}"


def _operator(text: str) -> str:
    return next(operator for operator in ("=~", "!~", "!=", "=") if text.startswith(operator))


def _value(text: str) -> str:
    return text.removeprefix(_operator(text))


def of_run(metric: Metric, suffix: str = "", **matchers: str) -> str:
    """Return the selector of a metric for the runs that the dashboard's variables choose."""
    chosen = {"namespace": "=~$namespace", "run": "=~$run"}
    return series(metric, suffix, **chosen, **matchers)


def by_run(aggregation: str, metric: Metric, **matchers: str) -> str:
    """Return one series per chosen run, aggregated over its pods and ranks."""
    return f"{aggregation} by (namespace, run) ({of_run(metric, **matchers)})"


def by_full_name(aggregation: str, selector: str, *, keep: tuple[str, ...] = ()) -> str:
    """Return one series per run with the label `namespace_run`: two namespaces may have a run of one name.

    `keep` are labels that it has beside this one.
    """
    named = f'label_join({selector}, "{FULL_NAME}", "/", "namespace", "run")'
    return f"{aggregation} by ({', '.join((FULL_NAME, *keep))}) ({named})"


def by_rank(metric: Metric, **matchers: str) -> str:
    """Return one series per rank of the chosen runs; the pods of all attempts share it."""
    return f"max by (namespace, run, rank) ({of_run(metric, **matchers)})"


def with_run_info(aggregation: str, metric: Metric, *labels: str) -> str:
    """Return one series per chosen run and its metadata: `labels` are those of `trainwright_run_info`.

    Two pods of a name cannot be there at once, so each has one set of metadata.
    """
    if unknown := set(labels) - set(metrics.RUN_INFO.labels):
        raise ValueError(f"got labels {sorted(unknown)}, expected of {metrics.RUN_INFO.labels}")
    joined = f"{of_run(metric)} * on (namespace, pod) group_left ({', '.join(labels)}) {of_run(metrics.RUN_INFO)}"
    return f"{aggregation} by (namespace, run, {', '.join(labels)}) ({joined})"


def events(selector: str, window: str) -> str:
    """Return how often a counter of events rose in a window: a whole number, where `increase` extrapolates."""
    return f"round(increase({selector}[{window}]))"


def new_events(selector: str, window: str) -> str:
    """Return how often a counter of events rose in a window, the first time included.

    A series may begin with its first event, and end with it too: the pod has died of it. `increase`
    needs two samples and a rise between them, so a series that the window before has nothing of counts
    with its highest value instead, be it still there or not.
    """
    now, before = (
        f"max_over_time({selector}[{window}]{offset})" for offset in ("", f" offset {window}")
    )
    return f"({now} unless {before} or {events(selector, window)})"


def recent_mean(selector: str, window: str = "5m") -> str:
    """Return the mean of gauges over a window, of those alone that are there still.

    `avg_over_time` alone shows an ended pod for as long as the window is.
    """
    return f"(avg_over_time({selector}[{window}]) and {selector})"


def had_devices(info: str) -> str:
    """Return the devices that pods have had within the hour, those included that do not answer now.

    A trainer leaves out samples older than 30 seconds, all of them where a driver hangs: that makes no
    pod without a GPU of one that holds some.
    """
    return f"last_over_time({info}[1h])"


def with_namespace(selector: str) -> str:
    """Return series of the operator with the label `namespace` that those of a run's pods have.

    Scraping gives them the operator's own namespace, or none.
    """
    return f'label_replace({selector}, "namespace", "$1", "run_namespace", "(.*)")'


def gained(selector: str, started: str, seconds: int) -> str:
    """Return by how much counters of pods rose in so many seconds, since their start if that is later.

    `increase` extrapolates to the window's ends and does not see what a pod's first sample brings. A
    pod whose trainer started in between has counted from 0, whether or not it had an earlier one.
    """
    before = (
        f"{selector} offset {seconds}s and on (namespace, pod) ({lifetime(started)} >= {seconds})"
    )
    return f"({selector} - ({before} or 0 * {selector}))"


def lifetime(started: str) -> str:
    """Return for how long pods have been there, at the time of their samples as other series are (seconds)."""
    return f"(timestamp({started}) - {started})"


def mean_over_pods(metric: Metric, by: str, window: str, **matchers: str) -> str:
    """Return the mean of a histogram over all pods of a window, ended ones included (unit: seconds)."""
    total, count = (
        f"sum by ({by}) (max_over_time({of_run(metric, suffix, **matchers)}[{window}]))"
        for suffix in ("_sum", "_count")
    )
    return f"{total} / ({count} > 0)"


def mean_seconds(metric: Metric, by: str, **matchers: str) -> str:
    """Return the mean of a histogram over 5 minutes, by the given labels (unit: seconds).

    Over a window of a few scrapes, such as Grafana's own, steps that take longer would leave gaps.
    """
    total = f"sum by ({by}) (rate({of_run(metric, '_sum', **matchers)}[5m]))"
    count = f"sum by ({by}) (rate({of_run(metric, '_count', **matchers)}[5m]))"
    return f"{total} / ({count} > 0)"


def of_dcgm(name: str) -> str:
    """Return a series of DCGM-exporter for the devices of the chosen runs, with the label `run`.

    DCGM-exporter names the pod that holds a device; the trainer's own series say which run that is.
    Scraped without honorLabels, its `pod` and `namespace` arrive as `exported_pod` and
    `exported_namespace`.
    """
    exported = f'{name}{{exported_pod!=""}}'
    for label in ("pod", "namespace"):
        exported = f'label_replace({exported}, "{label}", "$1", "exported_{label}", "(.+)")'
    direct = f'{name}{{exported_pod="",pod!=""}}'
    runs = f"max by (namespace, pod, run) ({of_run(metrics.STEP)})"
    return f"({exported} or {direct}) * on (namespace, pod) group_left (run) (0 * {runs} + 1)"
