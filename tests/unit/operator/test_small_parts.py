import pytest
from trainwright_api.names import Cause
from trainwright_api.workers import Recovery
from trainwright_operator.facts import EventFacts, Observed
from trainwright_operator.pending import find_obstacle
from trainwright_operator.permissions import PERMISSIONS
from trainwright_operator.recovery import backoff_seconds, decide_retry
from trainwright_operator.settings import Settings, read_settings
from trainwright_operator.status_patch import build_status_patch

from tests.unit.operator.builders import pod


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


@pytest.mark.parametrize(
    ("observed", "reason", "word"),
    [
        (Observed(pods=(pod(0, phase="Pending", conditions=[{"type": "PodScheduled", "status": "False", "message": "Insufficient memory"}]),)), "Unschedulable", "memory"),
        (Observed(warnings=(EventFacts("gpt-1-master-0", "FailedMount", 'MountVolume.SetUp failed for volume "secret-s3" : secret "s3" not found'),)), "MissingSecret", "create the Secret"),
        (Observed(warnings=(EventFacts("gpt-1", "FailedCreatePod", 'pods "x" is forbidden: exceeded quota: small'),)), "QuotaExceeded", "raise the quota"),
    ],
)  # fmt: skip
def test_obstacle(observed: Observed, reason: str, word: str) -> None:
    obstacle = find_obstacle(observed, 1, 2)
    assert obstacle is not None
    assert obstacle.reason == reason
    assert word in obstacle.message


def test_image_that_cannot_be_pulled_is_named() -> None:
    waiting = {"name": "pytorch", "state": {"waiting": {"reason": "ImagePullBackOff", "message": "Back-off pulling x:1"}}}  # fmt: skip
    obstacle = find_obstacle(
        Observed(pods=(pod(0, phase="Pending", containerStatuses=[waiting]),)), 1, 2
    )
    assert obstacle is not None
    assert obstacle.reason == "ImagePullFailed"
    assert "x:1" in obstacle.message


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


def test_no_permission_reads_secrets_or_uses_wildcards() -> None:
    for permission in PERMISSIONS:
        assert "secrets" not in permission.resources
        assert "*" not in (*permission.resources, *permission.verbs, permission.api_group)
