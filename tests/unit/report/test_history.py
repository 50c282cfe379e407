from itertools import pairwise

import pytest
from trainwright_api.history import HistoryRow, dump_rows, parse_rows, rows_until, thin_rows


def row(step: int, **fields: float) -> HistoryRow:
    return HistoryRow(step=step, time=100.0 + step, loss=3.0, **fields)


def test_thinning_keeps_first_last_and_validation() -> None:
    rows = [row(step) for step in range(1, 1000)] + [row(1000, validation_loss=2.0), row(1001)]
    thinned = thin_rows(rows, 100)
    assert len(thinned) <= 103
    assert thinned[0].step == 1
    assert thinned[-1].step == 1001
    assert any(r.validation_loss == 2.0 for r in thinned)


@pytest.mark.parametrize("validated_every", [49, 1])
def test_a_curve_that_grows_and_is_thinned_again_and_again_stays_even(validated_every: int) -> None:
    rows, last_measured = list[HistoryRow](), 50_000 - 50_000 % validated_every
    for step in range(1, 50_001):
        measured = {} if step % validated_every else {"validation_loss": 2.0}
        rows.append(row(step, **measured))
        if len(rows) > 200:
            rows = thin_rows(rows, 100)
    thinned = thin_rows(rows, 100)
    assert 50 <= len(thinned) <= 152
    steps = [each.step for each in thinned]
    assert (steps[0], steps[-1]) == (1, 50_000)
    assert [each.step for each in thinned if each.validation_loss][-1] == last_measured
    assert max(b - a for a, b in pairwise(steps)) <= 50_000 / 50


def test_few_rows_are_left_as_they_are() -> None:
    rows = [row(step) for step in (1, 2, 3, 5, 7)]
    assert thin_rows(rows, 5) == rows
    assert thin_rows([]) == []


def test_rows_survive_a_round_trip_and_a_restart() -> None:
    rows = [row(step) for step in range(1, 11)]
    assert rows_until(parse_rows(dump_rows(rows)), 7) == rows[:7]
