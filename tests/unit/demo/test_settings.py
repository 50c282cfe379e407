import pytest

from demo.errors import DemoError
from demo.settings import Settings, read_settings


def test_nothing_given_means_the_embedded_cluster_and_a_killed_worker() -> None:
    settings = read_settings({})
    assert settings == Settings()
    assert (settings.current, settings.kills, settings.namespace) == (False, True, "default")


def test_pods_reach_the_store_as_this_machine_does_unless_told_otherwise() -> None:
    here = {"CLUSTER": "current", "AWS_ENDPOINT_URL": "http://here:9000"}
    assert read_settings(here).s3_endpoint_of_pods == "http://here:9000"
    both = {**here, "S3_ENDPOINT": "http://inside:9000"}
    assert read_settings(both).s3_endpoint_of_pods == "http://inside:9000"
    assert read_settings(both).s3_endpoint == "http://here:9000"


@pytest.mark.parametrize(
    "environment",
    [
        {"CLUSTER": "kind"},
        {"DEMO_STEPS": "many"},
        {"DEMO_STEPS": "0"},
        {"YES": "never"},
        {"DEMO_KILL": "2"},
    ],
)
def test_a_value_that_means_nothing_is_refused(environment: dict[str, str]) -> None:
    (name,) = environment
    with pytest.raises(DemoError, match=f"^{name}: got"):
        read_settings(environment)


def test_kill_and_fine_tuning_can_be_turned_off() -> None:
    settings = read_settings({"DEMO_KILL": "0", "DEMO_FINE_TUNE": "0"})
    assert (settings.kills, settings.fine_tunes) == (False, False)


@pytest.mark.parametrize(
    ("said", "expected"),
    [("1", True), ("yes", True), ("True", True), ("", False), ("0", False), ("no", False)],
)
def test_only_a_yes_is_an_agreement(said: str, expected: bool) -> None:
    assert read_settings({"YES": said}).is_agreed is expected
    assert read_settings({"DEMO_KILL": said}).kills is (expected or not said)


def test_the_demos_cluster_has_a_name_of_its_own_if_wanted() -> None:
    assert read_settings({}).cluster_name == "demo"
    assert read_settings({"DEMO_CLUSTER": "mine"}).cluster_name == "mine"
