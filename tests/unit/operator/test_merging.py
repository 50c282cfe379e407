"""What trainers say, brought into a status."""

import pytest
from trainwright_api.report import TerminationMessage
from trainwright_api.status import RunStatus
from trainwright_operator.merging import merge_termination

from tests.unit.operator.builders import checkpoint


@pytest.mark.parametrize(
    ("known", "last", "left", "expected"),
    [
        ([75, 50, 25], 98, [98, 75, 50], [98, 75, 50]),
        ([75, 50], 98, None, [98, 75, 50]),
        ([98, 75], 98, [98], [98]),
        ([], 12, [12], [12]),
        ([50, 25], 25, None, [50, 25]),
    ],
)
def test_last_words_leave_the_checkpoints_that_are_in_the_store(
    known: list[int], last: int, left: list[int] | None, expected: list[int]
) -> None:
    items = [checkpoint(step) for step in known]
    before = {"checkpoints": {"latest": items[0], "items": items}} if items else {}
    status = RunStatus.model_validate(before)
    told = TerminationMessage.model_validate(
        {"outcome": "Succeeded", "checkpoint": checkpoint(last), "checkpointSteps": left}
    )
    merged = merge_termination(status, told).checkpoints
    assert merged is not None
    assert merged.latest is not None
    assert [item.step for item in merged.items] == expected
    assert merged.latest.step == expected[0]
