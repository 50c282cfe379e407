from types import SimpleNamespace

import pytest
from trainwright_operator import event_budget
from trainwright_operator.event_budget import BURST, REFILL_SECONDS, EventBudget


def test_events_come_in_a_burst_and_then_as_the_budget_refills(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = SimpleNamespace(now=100.0)
    monkeypatch.setattr(event_budget, "time", SimpleNamespace(monotonic=lambda: clock.now))
    budget = EventBudget(_filled_at=100.0)
    assert [budget.take() for _ in range(BURST + 5)] == [True] * BURST + [False] * 5
    clock.now += REFILL_SECONDS
    assert [budget.take() for _ in range(2)] == [True, False]
    clock.now += 1e6
    assert sum(budget.take() for _ in range(2 * BURST)) == BURST
