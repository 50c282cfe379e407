"""The chart and the operator agree on the settings: every name, and every value as it arrives."""

from trainwright_operator.settings import Settings, read_settings

from tests.chart.rendering import EVERYTHING, render

FOR_EXTRA_ENV = {
    "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT",
    "OTEL_METRICS_EXPORTER",
    "OTEL_METRIC_EXPORT_INTERVAL",
    "OTEL_SDK_DISABLED",
    "TRAINWRIGHT_API_THREADS",
    "TRAINWRIGHT_COLLECT_SECONDS",
    "TRAINWRIGHT_FAILED_GRACE_SECONDS",
    "TRAINWRIGHT_RESYNC_SECONDS",
    "TRAINWRIGHT_STATUS_SECONDS",
    "TRAINWRIGHT_STUCK_SECONDS",
    "TRAINWRIGHT_SWEEP_SECONDS",
}
"""Settings that have no value of their own; `extraEnv` sets them."""


class AskedNames(dict[str, str]):
    """An environment that remembers which names it was asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: set[str] = set()

    def get(self, key: str, default: str | None = None) -> str | None:  # type: ignore[override]
        self.asked.add(key)
        return default


def names_that_the_operator_reads() -> set[str]:
    environment = AskedNames()
    read_settings(environment)
    return environment.asked


def own_environment(values: dict[str, object]) -> dict[str, str]:
    environment = render(values).environment()
    ours = ("TRAINWRIGHT_", "OTEL_")
    return {name: value for name, value in environment.items() if name.startswith(ours)}


def test_every_setting_of_the_operator_is_a_value_of_the_chart_and_no_other_exists() -> None:
    assert own_environment(EVERYTHING).keys() == names_that_the_operator_reads() - FOR_EXTRA_ENV


def test_values_arrive_in_the_operator_as_they_were_written() -> None:
    assert read_settings(own_environment(EVERYTHING)) == Settings(
        namespaces=("team-a", "on"),
        trainer_image="localhost/trainwright-trainer:0.1.0",
        trainer_image_pull_secrets=("pull-a", "pull-b"),
        s3_endpoint="http://minio.storage:9000",
        otlp_endpoint="http://collector:4318",
        exports_otlp=True,
        pod_defaults={"spec": {"hostIPC": True}},
        prices={"nvidia.com/gpu": 2.5, "cpu": 1000000},
        grafana_url="https://grafana.example/",
        minimum_utilization_percent=12.5,
        underutilized_minutes=90,
    )


def test_default_values_are_the_operators_defaults_but_for_the_image() -> None:
    settings = read_settings(own_environment({}))
    assert settings == Settings(trainer_image="localhost/trainwright-trainer:0.1.0")
