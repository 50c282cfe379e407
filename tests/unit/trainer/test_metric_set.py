"""What a scrape sees before and after a metric is set."""

from prometheus_client import generate_latest
from trainwright_api import metrics as m
from trainwright_trainer.metric_set import MetricSet


def scrape(metrics: MetricSet) -> dict[str, float]:
    lines = generate_latest(metrics.registry).decode().splitlines()
    return {name: float(value) for name, value in (x.rsplit(" ", 1) for x in lines if x[0] != "#")}


def test_a_gauge_shows_only_once_it_is_set() -> None:
    metrics = MetricSet()
    gauge = metrics.of(m.CHECKPOINT_TIMESTAMP)
    assert m.CHECKPOINT_TIMESTAMP.name not in scrape(metrics)
    for value in (5.0, 7.0):
        gauge.set(value)
        assert scrape(metrics)[m.CHECKPOINT_TIMESTAMP.name] == value


def test_a_counter_begins_at_zero() -> None:
    assert scrape(MetricSet())[m.CHECKPOINT_FAILURES.name] == 0


def test_series_that_are_set_no_more_go() -> None:
    metrics = MetricSet()
    for values in ({("0",): 1.0, ("1",): 2.0}, {("1",): 3.0}):
        metrics.set_series(m.HEARTBEAT_AGE, values)
        name = m.HEARTBEAT_AGE.name
        found = {key: value for key, value in scrape(metrics).items() if key.startswith(name)}
        assert found == {f'{name}{{rank="{rank}"}}': value for (rank,), value in values.items()}
