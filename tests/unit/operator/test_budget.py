from types import SimpleNamespace

import pytest
from trainwright_operator import budget as budget_module
from trainwright_operator.budget import Budget


def test_things_happen_in_a_burst_and_then_as_the_budget_refills(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = SimpleNamespace(now=100.0)
    monkeypatch.setattr(budget_module, "time", SimpleNamespace(monotonic=lambda: clock.now))
    budget = Budget(burst=5, refill_seconds=10, _filled_at=100.0)
    assert [budget.take() for _ in range(8)] == [True] * 5 + [False] * 3
    clock.now += 10
    assert [budget.take() for _ in range(2)] == [True, False]
    clock.now += 1e6
    assert sum(budget.take() for _ in range(10)) == 5


def test_a_budget_that_refills_at_once_bounds_nothing() -> None:
    budget = Budget(burst=1, refill_seconds=0)
    assert all(budget.take() for _ in range(100))
