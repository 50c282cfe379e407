"""The history of a run: one row per measured step, thinned so that it stays small.

The trainer's rank 0 serves it on GET /history and keeps it as history.jsonl beside the checkpoints;
`trainwright report` and `compare` draw it. A restart goes on after the rows up to the step that it
resumed from: rows of lost steps are dropped.
"""

from collections.abc import Sequence

from trainwright_api.base import Model

HISTORY_FILE = "history.jsonl"
MAXIMUM_ROWS = 2000


class HistoryRow(Model):
    """What was measured at one step; `time` is Unix time in seconds."""

    step: int
    time: float
    attempt: int = 1
    loss: float | None = None
    validation_loss: float | None = None
    learning_rate: float | None = None
    gradient_norm: float | None = None
    tokens_per_second: float | None = None
    mfu: float | None = None


def thin_rows(rows: Sequence[HistoryRow], limit: int = MAXIMUM_ROWS) -> list[HistoryRow]:
    """Return at most about `limit` rows: the first, the last, and every n-th between them.

    Rows with a validation loss are rare and always stay.
    """
    stride = max(1, -(-len(rows) // limit))
    last = len(rows) - 1
    return [
        row
        for index, row in enumerate(rows)
        if index % stride == 0 or index == last or row.validation_loss is not None
    ]


def rows_until(rows: Sequence[HistoryRow], step: int) -> list[HistoryRow]:
    """Return the rows that a run resumed at `step` still stands on."""
    return [row for row in rows if row.step <= step]


def dump_rows(rows: Sequence[HistoryRow]) -> bytes:
    """Return rows as JSON lines."""
    return b"".join(
        row.model_dump_json(by_alias=True, exclude_none=True).encode() + b"\n" for row in rows
    )


def parse_rows(data: bytes) -> list[HistoryRow]:
    """Return the rows of JSON lines; raises ValueError (pydantic's) on a line that is no row."""
    return [HistoryRow.model_validate_json(line) for line in data.splitlines() if line.strip()]
