"""The shape of what the data pipeline gives to the training loop."""

from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import numpy.typing as npt

IGNORED_LABEL = -100  # not trained: padding, prompts, and tokens with nothing before them

Int64Array = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Batch:
    """`count` sequences; every array is int64 of shape [count, sequence_length].

    `labels[s, t]` is token t itself (not shifted) or IGNORED_LABEL; it is to be predicted from
    position t-1. The first token of a segment is never trained, so the labels that are not ignored
    are exactly the terms of the loss. `segment_ids` number the documents of a sequence from 1
    (Contiguous: the whole sequence is segment 1) and are 0 on padding; attention stays inside a
    segment. `position_ids` count from 0 in each segment and are 0 on padding.
    """

    input_ids: Int64Array
    labels: Int64Array
    position_ids: Int64Array
    segment_ids: Int64Array

    @property
    def num_trained_tokens(self) -> int:
        """Terms of the loss."""
        return int((self.labels != IGNORED_LABEL).sum())

    @property
    def num_tokens(self) -> int:
        """Tokens that are not padding."""
        return int((self.segment_ids != 0).sum())


class SequenceSource(Protocol):
    """Sequences by number; the same number always gives the same sequence, on any rank."""

    def __len__(self) -> int:
        """Sequences per epoch, the same in every epoch."""

    def sequences(self, first_sample: int, count: int) -> Batch:
        """Return sequences number first_sample to first_sample + count - 1.

        Numbers go on across epochs: number n is number n % len(self) of epoch n // len(self).
        """


@dataclass(frozen=True, slots=True)
class PreparedData:
    """The data of a run, ready to be trained on.

    `num_tokens` are the tokens of one epoch without padding, `num_trained_tokens` those of them
    with a loss, `longest_text` the most positions that follow each other. `data_sha256` covers every
    token and the order: the same value means that the same sample number gives the same sequence.
    `warnings` are sentences for the user.
    """

    train: SequenceSource = field(repr=False)
    validation: SequenceSource | None = field(repr=False)
    num_tokens: int
    num_trained_tokens: int
    num_documents: int
    longest_text: int
    data_sha256: str
    template_sha256: str | None
    warnings: list[str] = field(default_factory=list)
