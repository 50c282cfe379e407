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


def test_rows_survive_a_round_trip_and_a_restart() -> None:
    rows = [row(step) for step in range(1, 11)]
    assert rows_until(parse_rows(dump_rows(rows)), 7) == rows[:7]
