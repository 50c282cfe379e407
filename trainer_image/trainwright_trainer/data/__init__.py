"""Data: from the sources of a run to batches of packed token sequences.

    check_sources(run, settings)                      # first of all: seconds, no tokenizer needed
    data = prepare_data(run, tokenizer, settings, group)  # nodes share the work, ranks of a node wait
    batch = data.train.sequences(first_sample, count) # any position, any world size

The position in the data is a pure function of (seed, epoch, number): nothing has to be saved in a
checkpoint but the count of samples consumed.

To import this imports neither torch nor transformers: data is checked before them.
"""

from trainwright_trainer.data.batch import Batch, PreparedData, SequenceSource
from trainwright_trainer.data.checking import check_sources
from trainwright_trainer.data.preparing import prepare_data

__all__ = ["Batch", "PreparedData", "SequenceSource", "check_sources", "prepare_data"]
