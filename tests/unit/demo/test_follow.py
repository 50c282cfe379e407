import pytest

from demo.follow import describe_changes, describe_loss
from demo.place import JSON

CHECKPOINT = {"latest": {"step": 25, "sizeBytes": 3 << 20, "verified": True}}
FAILED = {
    "number": 1,
    "outcome": "Failed",
    "cause": "Infrastructure",
    "endedAt": "2026-01-01T00:00:00Z",
    "stepsLost": 7,
    "message": "rank 1 was killed by SIGKILL",
}


@pytest.mark.parametrize(
    ("before", "now", "expected"),
    [
        ({}, {"phase": "Pending", "message": "waiting"}, ["Pending - waiting"]),
        ({"phase": "Running"}, {"phase": "Running"}, []),
        (
            {"phase": "Running"},
            {"phase": "Running", "checkpoints": CHECKPOINT},
            ["checkpoint at step 25 (3.0 MiB, verified)"],
        ),
        (
            {"attempts": [{"number": 1}]},
            {"attempts": [FAILED]},
            ["attempt 1 ended: Failed, Infrastructure, rank 1 was killed by SIGKILL"],
        ),
        (
            {"attempts": [FAILED, {"number": 2}]},
            {"attempts": [FAILED, {"number": 2, "resumedFromStep": 25}]},
            ["attempt 2 resumed from the checkpoint of step 25: 7 steps lost"],
        ),
        (
            {"attempts": [{"number": 1}]},
            {"attempts": [{"number": 1, "resumedFromStep": 0}]},
            [],
        ),
    ],
)
def test_only_what_changed_is_told(before: JSON, now: JSON, expected: list[str]) -> None:
    assert list(describe_changes(before, now)) == expected


def test_loss_line_leaves_out_what_is_not_known_yet() -> None:
    assert describe_loss({}) == "0/0 steps"
    progress = {"step": 3, "totalSteps": 9, "loss": 4.5678, "tokensPerSecond": 1234.5}
    assert describe_loss({"progress": progress}) == "3/9 steps  loss 4.568  1,234 tokens/s"
