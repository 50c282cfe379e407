"""What tests of the data pipeline share: texts, a tokenizer of bytes, and what holds for any batch."""

import numpy as np
from trainwright_api.data import Packing
from trainwright_api.run import Run
from trainwright_trainer.data import Batch, PreparedData, SequenceSource, prepare_data
from trainwright_trainer.data.batch import IGNORED_LABEL
from trainwright_trainer.settings import Settings

from tests.trainer.tokenizer_builder import byte_tokenizer

END = 256
TOKENIZER = byte_tokenizer()


def texts(count: int, seed: int = 0, longest: int = 90) -> list[str]:
    """Return texts that are all different, so that each can be found again."""
    chance = np.random.default_rng(seed)
    return [f"{seed}:{n}:" + "x" * int(chance.integers(1, longest)) for n in range(count)]


def prepare(run: Run, settings: Settings) -> PreparedData:
    return prepare_data(run, TOKENIZER, settings)


def segments(batch: Batch) -> list[list[int]]:
    """Return the tokens of every segment of a batch."""
    found = []
    for tokens, ids in zip(batch.input_ids, batch.segment_ids, strict=True):
        found += [tokens[ids == number].tolist() for number in range(1, ids.max() + 1)]
    return found


def epoch(source: SequenceSource, number: int = 0) -> Batch:
    return source.sequences(number * len(source), len(source))


def check_form(batch: Batch, sequence_length: int, packing: Packing) -> None:
    """What holds for every batch, whatever is in it."""
    for array in (batch.input_ids, batch.labels, batch.position_ids, batch.segment_ids):
        assert array.dtype == np.int64
        assert array.shape[1] == sequence_length
    for row in range(len(batch.input_ids)):
        ids, labels = batch.segment_ids[row], batch.labels[row]
        size = int((ids != 0).sum())
        assert (ids[:size] > 0).all()
        assert (ids[size:] == 0).all()
        assert (np.diff(ids[:size]) >= 0).all()
        assert sorted(set(ids[:size].tolist())) == list(range(1, int(ids.max()) + 1))
        assert (labels[size:] == IGNORED_LABEL).all()
        assert (batch.position_ids[row][size:] == 0).all()
        is_trained = labels != IGNORED_LABEL
        assert (labels[is_trained] == batch.input_ids[row][is_trained]).all()
        for number in range(1, int(ids.max()) + 1):
            places = np.flatnonzero(ids == number)
            assert batch.position_ids[row][places].tolist() == list(range(len(places)))
            assert labels[places[0]] == IGNORED_LABEL
    assert (batch.labels != IGNORED_LABEL).any(axis=1).all()
    if packing is not Packing.ISOLATED:
        assert batch.segment_ids.max() == 1
