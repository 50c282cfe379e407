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
    """Return at most about one and a half times `limit` rows: the first, the last, and every n-th step.

    n is a power of two, the same for old steps and new ones: rows that were thinned before and have grown
    since come out evenly spread, however often that happens. Rows with a validation loss are kept apart
    from the others, half as many of them, and always the last one: a resumed run goes on from it.
    """
    measured = [row for row in rows if row.validation_loss is not None]
    every, every_measured = _find_stride(rows, limit), _find_stride(measured, limit // 2)
    ends = {row.step for row in (*rows[:1], *rows[-1:], *measured[-1:])}
    return [
        row
        for row in rows
        if row.step in ends
        or row.step % every == 0
        or (row.validation_loss is not None and row.step % every_measured == 0)
    ]


def _find_stride(rows: Sequence[HistoryRow], limit: int) -> int:
    """Return the smallest power of two whose multiples are the steps of at most `limit` rows."""
    stride = 1
    while sum(row.step % stride == 0 for row in rows) > limit:
        stride *= 2
    return stride


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
