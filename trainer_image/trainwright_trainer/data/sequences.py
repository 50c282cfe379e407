"""Batches out of packed documents: the SequenceSource that the training loop reads."""

from dataclasses import dataclass

import numpy as np
from trainwright_api.data import Packing

from trainwright_trainer.data.batch import IGNORED_LABEL, Batch
from trainwright_trainer.data.documents import Documents
from trainwright_trainer.data.mixture import Mixture
from trainwright_trainer.data.packing import PackingPlan


@dataclass(frozen=True)
class PackedSequences:
    """Sequences of several sources in the order of a mixture; `plans[i]` is of `documents[i]`."""

    documents: list[Documents]
    plans: list[PackingPlan]
    mixture: Mixture
    sequence_length: int
    packing: Packing
    padding_token: int

    def __len__(self) -> int:
        """Sequences per epoch."""
        return len(self.mixture)

    def sequences(self, first_sample: int, count: int) -> Batch:
        """Return sequences number first_sample to first_sample + count - 1, see SequenceSource."""
        shape = (count, self.sequence_length)
        batch = Batch(
            input_ids=np.full(shape, self.padding_token, np.int64),
            labels=np.full(shape, IGNORED_LABEL, np.int64),
            position_ids=np.zeros(shape, np.int64),
            segment_ids=np.zeros(shape, np.int64),
        )
        numbers = np.arange(first_sample, first_sample + count, dtype=np.int64)
        sources, indices = self.mixture.locate(numbers)
        for row, (source, index) in enumerate(zip(sources.tolist(), indices.tolist(), strict=True)):
            self._fill(batch, row, self.documents[source], self.plans[source], index)
        return batch

    def _fill(
        self, batch: Batch, row: int, documents: Documents, plan: PackingPlan, index: int
    ) -> None:
        """Write one sequence into a row of the batch."""
        is_joined = self.packing is Packing.CONTIGUOUS
        begin = 0
        pieces = range(int(plan.offsets[index]), int(plan.offsets[index + 1]))
        for segment, piece in enumerate(pieces, 1):
            length = int(plan.pieces.length[piece])
            first = int(documents.offsets[plan.pieces.document[piece]] + plan.pieces.start[piece])
            place, run = slice(begin, begin + length), slice(first, first + length)
            batch.input_ids[row, place] = documents.tokens[run]
            labels = batch.labels[row, place]
            labels[:] = batch.input_ids[row, place]
            if documents.trained is not None:
                labels[documents.trained[run] == 0] = IGNORED_LABEL
            if begin == 0 or not is_joined:
                labels[0] = IGNORED_LABEL
            batch.segment_ids[row, place] = 1 if is_joined else segment
            batch.position_ids[row, place] = np.arange(length) + (begin if is_joined else 0)
            begin += length
