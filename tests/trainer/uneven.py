"""Sequences with few trained tokens beside such with many, as a fine-tuning's answers are.

With as many in each, a mean of the ranks' or the accumulation steps' means would pass for the mean of all
tokens.
"""

from dataclasses import dataclass

from trainwright_trainer.data.batch import IGNORED_LABEL, Batch, SequenceSource


@dataclass(frozen=True)
class UnevenSequences:
    """A source's sequences, each without a part of its labels that depends on its number alone."""

    source: SequenceSource

    def __len__(self) -> int:
        return len(self.source)

    def sequences(self, first_sample: int, count: int) -> Batch:
        batch = self.source.sequences(first_sample, count)
        for row, labels in enumerate(batch.labels):
            num_kept = 1 + (first_sample + row) % (len(labels) - 1)
            labels[:-num_kept] = IGNORED_LABEL
        return batch
