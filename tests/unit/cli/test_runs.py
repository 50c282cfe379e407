"""Runs as the cluster returns them, and how users name them."""

from typing import Any

import pytest
from trainwright_api.names import FINE_TUNE_JOB, TRAINING_RUN, Phase
from trainwright_cli.run_names import KINDS, RunName, parse_run_name
from trainwright_cli.runs import parse_run, parse_time

from tests.unit.cli.manifests import a_training_run


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("gpt", RunName("gpt", KINDS)),
        ("tr/gpt", RunName("gpt", (TRAINING_RUN,))),
        ("TrainingRun/gpt", RunName("gpt", (TRAINING_RUN,))),
        ("finetunejobs/gpt", RunName("gpt", (FINE_TUNE_JOB,))),
        ("ftj/gpt", RunName("gpt", (FINE_TUNE_JOB,))),
    ],
)
def test_names_are_read_as_kubectl_reads_them(text: str, expected: RunName) -> None:
    assert parse_run_name(text) == expected


@pytest.mark.parametrize("text", ["", "UPPER", "pod/gpt", "tr/", "a b"])
def test_other_names_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="expected"):
        parse_run_name(text)


def test_fields_of_a_newer_operator_are_left_out_at_every_depth() -> None:
    status: dict[str, Any] = {
        "phase": "Running",
        "fromTheFuture": {"x": 1},
        "progress": {"step": 3, "totalSteps": 9, "fromTheFuture": 1},
        "checkpoints": {"items": [_checkpoint(3) | {"fromTheFuture": 1}]},
    }
    view = parse_run(a_training_run() | {"status": status})
    assert view.status.phase is Phase.RUNNING
    assert view.status.progress is not None
    assert view.status.progress.step == 3
    assert view.status.checkpoints is not None
    assert view.status.checkpoints.items[0].step == 3
    assert view.manifest["status"] == status, "machines get the object as it is"


def test_a_run_without_status_is_pending() -> None:
    view = parse_run(a_training_run())
    assert (view.status.phase, view.has_ended, view.namespace) == (Phase.PENDING, False, "default")


def _checkpoint(step: int) -> dict[str, Any]:
    return {"step": step, "uri": "s3://c/", "sizeBytes": 1, "savedAt": "2026", "verified": True}


def test_words_of_a_newer_operator_are_left_out_and_the_rest_is_read() -> None:
    attempt = {"number": 1, "job": "j", "startedAt": "2026", "cause": "CosmicRay", "lastStep": 7}
    view = parse_run(
        a_training_run()
        | {"status": {"phase": "Paused", "reason": "ByHand", "attempts": [attempt]}}
    )
    assert view.status.reason == "ByHand"
    assert (view.status.attempts[0].cause, view.status.attempts[0].last_step) == (None, 7)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-01-02T03:04:05Z", "2026-01-02T03:04:05+00:00"),
        ("2026-01-02T03:04:05", "2026-01-02T03:04:05+00:00"),
        ("2026-01-02T03:04:05+01:00", "2026-01-02T03:04:05+01:00"),
    ],
)
def test_a_time_without_a_zone_is_of_utc(text: str, expected: str) -> None:
    moment = parse_time(text)
    assert moment is not None
    assert moment.isoformat() == expected
    assert [parse_time(text) for text in ("yesterday", "", None)] == [None] * 3
