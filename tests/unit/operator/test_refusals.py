import pytest
from pydantic import ValidationError
from trainwright_operator.calls import ClusterCallError
from trainwright_operator.refusals import build_invalid_status, describe_refusal
from trainwright_operator.resolving import parse_run

from tests.unit.operator.builders import at, raw_run, running_status


@pytest.mark.parametrize(
    ("code", "message", "reason", "words"),
    [
        (404, "the server could not find it", "MissingPyTorchJobKind", "install the Kubeflow"),
        (403, "forbidden: exceeded quota: jobs", "QuotaExceeded", "raise the quota"),
        (422, "spec.x: Invalid value", "JobRefused", "spec.x: Invalid value"),
        (500, "failed calling webhook", "JobRefused", "failed calling webhook"),
    ],
)
def test_a_refusal_is_told(code: int, message: str, reason: str, words: str) -> None:
    problem = describe_refusal(ClusterCallError(code, "x", message), num_failures=0)
    assert problem is not None
    assert (problem.reason, problem.is_final) == (reason, False)
    assert words in problem.message


@pytest.mark.parametrize("code", [0, 409, 429])
def test_what_a_retry_cures_is_no_refusal(code: int) -> None:
    assert describe_refusal(ClusterCallError(code, "x", "y"), num_failures=9) is None


def test_a_name_in_use_is_told_once_it_stays_so() -> None:
    error = ClusterCallError(409, "AlreadyExists", 'pytorchjobs.kubeflow.org "a-1" already exists')
    assert describe_refusal(error, num_failures=2) is None
    problem = describe_refusal(error, num_failures=3)
    assert problem is not None
    assert problem.reason == "NameInUse"
    assert '"a-1" already exists, and is not this run\'s' in problem.message


def test_a_name_in_use_that_is_told_already_is_told_again_at_once() -> None:
    error = ClusterCallError(409, "AlreadyExists", 'pytorchjobs.kubeflow.org "a-1" already exists')
    problem = describe_refusal(error, num_failures=0, told="NameInUse")
    assert problem is not None
    assert problem.reason == "NameInUse"


def test_a_run_that_cannot_be_read_says_what_is_wrong_and_keeps_its_state() -> None:
    raw = raw_run(status=running_status(3), seed="many")
    raw["spec"]["batch"] = {"globalSequences": -1, "nonsense": True}
    with pytest.raises(ValidationError) as caught:
        parse_run(raw)
    status = build_invalid_status(raw, caught.value, at(5))
    assert status["attempt"] == 3
    assert (status["phase"], status["reason"]) == ("Running", "InvalidSpec")
    for path in ("spec.seed", "spec.batch.globalSequences", "spec.batch.nonsense"):
        assert path in status["message"]
    (accepted,) = status["conditions"]
    assert (accepted["type"], accepted["status"]) == ("Accepted", "False")
