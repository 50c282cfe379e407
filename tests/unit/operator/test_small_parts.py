from typing import Any

import pytest
from trainwright_api.names import Cause
from trainwright_api.workers import Recovery
from trainwright_operator.permissions import PERMISSIONS
from trainwright_operator.recovery import backoff_seconds, decide_retry
from trainwright_operator.settings import Settings, SettingsError, read_settings
from trainwright_operator.status_patch import build_status_patch, is_news_only, is_progress_only

RUNNING = {"type": "Running", "status": "True", "message": "attempt 1: train"}


@pytest.mark.parametrize(
    ("old", "new", "patch"),
    [
        ({}, {}, {}),
        ({"a": 1}, {"a": 1}, {}),
        ({"a": 1, "b": 2}, {"a": 3}, {"a": 3, "b": None}),
        ({"a": {"x": 1, "y": 2}}, {"a": {"x": 1}}, {"a": {"y": None}}),
        ({"a": [1]}, {"a": [1, 2]}, {"a": [1, 2]}),
    ],
)
def test_status_patch(old: dict, new: dict, patch: dict) -> None:
    assert build_status_patch(old, new) == patch


def test_pause_doubles_up_to_the_cap_and_is_the_same_each_time() -> None:
    recovery = Recovery.model_validate({"backoff": {"initialSeconds": 10, "maximumSeconds": 60}})
    pauses = [backoff_seconds(recovery, n, "seed") for n in range(1, 8)]
    assert pauses == [backoff_seconds(recovery, n, "seed") for n in range(1, 8)]
    for pause, whole in zip(pauses, [10, 20, 40, 60, 60, 60, 60], strict=True):
        assert 0.8 * whole <= pause <= whole


def test_preemption_has_a_budget_of_its_own() -> None:
    retry = decide_retry(
        Recovery(), {"Infrastructure": 10}, Cause.PREEMPTED, has_progressed=False, seed=""
    )
    assert retry.pause_seconds is not None


def test_settings_come_from_the_environment() -> None:
    settings = read_settings(
        {"TRAINWRIGHT_NAMESPACES": "a, b", "TRAINWRIGHT_POD_DEFAULTS": '{"spec": {"x": 1}}'}
    )
    assert settings.namespaces == ("a", "b")
    assert settings.pod_defaults == {"spec": {"x": 1}}
    assert read_settings({}) == Settings()


def test_progress_alone_is_told_from_all_else() -> None:
    old = {"phase": "Running", "progress": {"step": 1}}
    assert is_progress_only(old, {"phase": "Running", "progress": {"step": 2}, "hardware": {}})
    assert not is_progress_only(old, {"phase": "Failed", "progress": {"step": 1}})


@pytest.mark.parametrize(
    ("change", "is_news"),
    [
        ({"warnings": ["x"], "message": "attempt 1: export", "progress": {"step": 2}}, True),
        ({"attempts": [{"number": 1, "resumedFromStep": 5}]}, True),
        ({"attempts": [{"number": 1, "endedAt": "now"}]}, False),
        ({"attempts": [{"number": 1}, {"number": 2}]}, False),
        ({"conditions": [RUNNING | {"message": "attempt 1: export"}]}, True),
        ({"conditions": [RUNNING | {"status": "False"}]}, False),
        ({"conditions": [RUNNING, {"type": "CheckpointReady", "status": "True"}]}, True),
        ({"conditions": [RUNNING, {"type": "Failed", "status": "True"}]}, False),
        ({"reason": "PodFailed"}, False),
        ({"failures": {"Unknown": 1}}, False),
    ],
)
def test_what_a_running_trainer_tells_is_told_from_what_the_operator_decides(
    change: dict[str, Any], is_news: bool
) -> None:
    old = {"phase": "Running", "attempts": [{"number": 1}], "conditions": [RUNNING]}
    assert is_news_only(old, old | change) is is_news


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("SWEEP_SECONDS", "soon", "expected a number from 0.1 on"),
        ("SWEEP_SECONDS", "0", "expected a number from 0.1 on"),
        ("STATUS_SECONDS", "nan", "expected a number from 0 on"),
        ("LOG_LEVEL", "loud", "expected one of DEBUG, INFO"),
        ("TRAINER_IMAGE_PULL_POLICY", "Sometimes", "expected one of Always"),
        ("METRICS_PORT", "70000", "expected a whole number from 1 to 65535"),
        ("API_THREADS", "0", "expected a number from 1 on"),
        ("COLLECT_SECONDS", "-1", "expected a number from 0 on"),
        ("RESYNC_SECONDS", "inf", "expected a number from 1 on"),
        ("API_THREADS", "1.5", "expected a whole number"),
        ("POD_DEFAULTS", "[]", "expected an object in JSON"),
        ("PRICES", "{", "expected an object in JSON"),
        ("PRICES", '{"cpu": "cheap"}', "expected a number from 0 on, in USD per hour"),
        ("PRICES", '{"cpu": -1}', "expected a number from 0 on, in USD per hour"),
        ("PRICES", '{"cpu": NaN}', "expected a number from 0 on, in USD per hour"),
        ("PRICES", '{"cpu": true}', "expected a number from 0 on, in USD per hour"),
        ("SCRAPE_ANNOTATIONS", "yes", "expected true or false"),
    ],
)
def test_a_setting_that_cannot_be_read_is_named(name: str, value: str, expected: str) -> None:
    with pytest.raises(SettingsError, match=f"TRAINWRIGHT_{name}: .*got .*{expected}"):
        read_settings({f"TRAINWRIGHT_{name}": value})


def test_no_permission_reads_secrets_or_uses_wildcards() -> None:
    for permission in PERMISSIONS:
        assert "secrets" not in permission.resources
        assert "*" not in (*permission.resources, *permission.verbs, permission.api_group)
