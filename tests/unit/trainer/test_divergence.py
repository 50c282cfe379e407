"""Which steps training goes on after, and which end it with what advice."""

import math

import pytest
from trainwright_api.training import Precision
from trainwright_trainer.divergence import MAXIMUM_SKIPPED_STEPS, DivergenceGuard
from trainwright_trainer.errors import NumericalError

NAN, INFINITE = math.nan, math.inf


@pytest.mark.parametrize(
    ("precision", "loss", "norm", "num_skipped", "words"),
    [
        (Precision.BF16, 2.0, 1.0, 0, None),
        (Precision.FP16, 2.0, INFINITE, 1, None),
        (Precision.FP16, INFINITE, INFINITE, 1, None),
        (Precision.BF16, 2.0, INFINITE, 1, None),
        (Precision.BF16, NAN, INFINITE, 1, "the loss of step 7 is nan"),
        (Precision.FP16, NAN, 1.0, 0, "the loss of step 7 is nan"),
        (Precision.FP32, 2.0, NAN, 0, "the gradient of step 7 is nan and has spoiled the weights"),
    ],
)
def test_one_step(
    precision: Precision, loss: float, norm: float, num_skipped: int, words: str | None
) -> None:
    guard = DivergenceGuard(precision)
    if words is None:
        guard.check(7, loss, norm, num_skipped)
        return
    with pytest.raises(NumericalError, match=words):
        guard.check(7, loss, norm, num_skipped)


@pytest.mark.parametrize(
    ("precision", "advice"),
    [(Precision.FP16, "learningRate, or use BF16$"), (Precision.BF16, "warm up longer$")],
)
def test_many_skipped_steps_in_a_row_end_training(precision: Precision, advice: str) -> None:
    guard = DivergenceGuard(precision)
    for step in range(1, MAXIMUM_SKIPPED_STEPS):
        guard.check(step, 2.0, INFINITE, 1)
    with pytest.raises(NumericalError, match=advice):
        guard.check(MAXIMUM_SKIPPED_STEPS, 2.0, INFINITE, 1)


def test_a_step_that_is_done_ends_the_row() -> None:
    guard = DivergenceGuard(Precision.FP16)
    for step in range(3 * MAXIMUM_SKIPPED_STEPS):
        is_done = step % MAXIMUM_SKIPPED_STEPS == MAXIMUM_SKIPPED_STEPS - 1
        guard.check(step, 2.0, 1.0 if is_done else INFINITE, int(not is_done))
