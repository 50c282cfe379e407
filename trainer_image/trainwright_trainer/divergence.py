"""Notices that training has diverged, before what it computed is saved. Pure.

DeepSpeed skips a step whose gradient is not finite and leaves the weights alone (so does the engine
without ZeRO); a few of these are normal with FP16, many in a row are not. A loss that is not finite
means that the weights themselves are bad, but with FP16 it may be one overflow.
"""

import math
from dataclasses import dataclass

from trainwright_api.training import Precision

from trainwright_trainer.errors import NumericalError

MAXIMUM_SKIPPED_STEPS = 20


@dataclass
class DivergenceGuard:
    """Counts skipped steps in a row."""

    precision: Precision
    num_in_a_row: int = 0

    def check(self, step: int, loss: float, norm: float, num_skipped: int) -> None:
        """Judge the step just done, of which `num_skipped` (0 or 1) were skipped.

        Raises NumericalError if training cannot go on from here.
        """
        self.num_in_a_row = self.num_in_a_row + num_skipped if num_skipped else 0
        if not math.isfinite(loss) and (self.precision is not Precision.FP16 or not num_skipped):
            raise NumericalError(
                f"the loss of step {step} is {loss}; lower optimizer.learningRate or warm up longer"
            )
        if not num_skipped and not math.isfinite(norm):
            raise NumericalError(
                f"the gradient of step {step} is {norm} and has spoiled the weights; lower "
                "optimizer.learningRate or warm up longer"
            )
        if self.num_in_a_row >= MAXIMUM_SKIPPED_STEPS:
            raise NumericalError(
                f"{self.num_in_a_row} steps in a row, up to {step}, were skipped because their gradients "
                f"are not finite; lower optimizer.learningRate{self._other_precision()}"
            )

    def _other_precision(self) -> str:
        return ", or use BF16" if self.precision is Precision.FP16 else " or warm up longer"
