"""Small pieces of PromQL over declared metrics.

Used by the dashboards and the rules. A metric is passed as its declaration, so that a query can name
neither a metric nor a label that does not exist.
"""

from trainwright_api.metrics import Metric

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


def mean_seconds(metric: Metric, by: str, window: str = "$__rate_interval", **matchers: str) -> str:
    """Return the mean of a histogram over a window, by the given labels (unit: seconds)."""
    total = f"sum by ({by}) (rate({of_run(metric, '_sum', **matchers)}[{window}]))"
    count = f"sum by ({by}) (rate({of_run(metric, '_count', **matchers)}[{window}]))"
    return f"{total} / {count}"
