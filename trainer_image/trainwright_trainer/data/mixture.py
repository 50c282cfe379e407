"""Which sequence has which number: a weighted mixture in an order of its own for every epoch. Pure.

Definitions. Source i has s_i sequences and weight w_i. An epoch has S = s_1 + s_2 + ... sequences,
of which source i gives q_i = S * w_i s_i / (w_1 s_1 + w_2 s_2 + ...), rounded to whole sequences
that sum to S, at least one each. With equal weights q_i = s_i: an epoch is every sequence once.
With weight 2 against 1, a sequence of the first source comes twice as often as one of the second.

Source i is an endless stream: every sequence once in a shuffled order, then all again in another.
Each epoch takes the next q_i of each stream, so no sequence of a source is neglected, and shuffles
what it took. Number n belongs to epoch n // S; every step of the way is a function of the seed.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from trainwright_trainer.data.permutation import Int64Array, combine, permute

_EPOCH, _PASS = 1, 2  # keep the keys of the two shuffles apart


def plan_quotas(sizes: Sequence[int], weights: Sequence[float]) -> list[int]:
    """Return how many sequences of each source are in an epoch (largest remainders get the rest)."""
    total = sum(sizes)
    mass = [size * weight for size, weight in zip(sizes, weights, strict=True)]
    exact = [total * part / sum(mass) for part in mass]
    quotas = [max(1, int(share)) if size else 0 for share, size in zip(exact, sizes, strict=True)]
    while sum(quotas) != total:
        step = 1 if sum(quotas) < total else -1
        candidates = [i for i, size in enumerate(sizes) if size and (step > 0 or quotas[i] > 1)]
        best = max(candidates, key=lambda i: (step * (exact[i] - quotas[i]), -i))
        quotas[best] += step
    return quotas


@dataclass(frozen=True)
class Mixture:
    """The order of the sequences of several sources of `sizes` sequences."""

    sizes: tuple[int, ...]
    quotas: tuple[int, ...]
    seed: int

    @classmethod
    def build(cls, sizes: Sequence[int], weights: Sequence[float], seed: int) -> "Mixture":
        """Build the mixture of sources with these sizes and weights; sizes may be 0, not all."""
        return cls(tuple(sizes), tuple(plan_quotas(sizes, weights)), seed)

    def __len__(self) -> int:
        """Sequences per epoch."""
        return sum(self.sizes)

    def locate(self, numbers: Int64Array) -> tuple[Int64Array, Int64Array]:
        """Return source and sequence (within the source) of each number."""
        epochs, within = np.divmod(np.asarray(numbers, np.int64), len(self))
        places = permute(within, len(self), combine(self.seed, _EPOCH, epochs))
        ends = np.cumsum(self.quotas)
        sources = np.searchsorted(ends, places, side="right").astype(np.int64)
        quotas, sizes = np.array(self.quotas)[sources], np.array(self.sizes)[sources]
        in_stream = epochs * quotas + places - (ends[sources] - quotas)
        passes, in_pass = np.divmod(in_stream, sizes)
        return sources, permute(in_pass, sizes, combine(self.seed, _PASS, sources, passes))
