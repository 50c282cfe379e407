"""The value of a validation loss, on an objective whose losses are known."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from trainwright_api.data import Validation
from trainwright_trainer.data import Batch
from trainwright_trainer.data.batch import IGNORED_LABEL
from trainwright_trainer.groups import SingleGroup
from trainwright_trainer.objectives.base import DeviceBatch
from trainwright_trainer.validation import measure_validation_loss

LENGTH = 8


class HeldOut:
    """Sequence n trains n + 1 tokens, each of them labelled n."""

    def __len__(self) -> int:
        return 5

    def sequences(self, first: int, count: int) -> Batch:
        numbers = [(first + index) % len(self) for index in range(count)]
        labels = np.full((count, LENGTH), IGNORED_LABEL, np.int64)
        for row, number in zip(labels, numbers, strict=True):
            row[1 : number + 2] = number
        return Batch(labels.copy(), labels, labels.copy(), labels.copy())


def label_sum(model: torch.nn.Module, batch: DeviceBatch) -> torch.Tensor:
    assert not model.training
    return batch.labels[batch.labels != IGNORED_LABEL].sum().float()


def measure(max_sequences: int, **more: Any) -> tuple[float | None, bool]:
    """Return the loss, and whether the model trains on afterwards."""
    built: Any = SimpleNamespace(
        prepared=SimpleNamespace(plan=SimpleNamespace(micro_sequences=2)),
        engine=SimpleNamespace(model=torch.nn.Identity()),
        objective=SimpleNamespace(loss_sum=label_sum),
    )
    settings = Validation(fraction=0.1, max_sequences=max_sequences)
    loss = measure_validation_loss(
        *(built, HeldOut(), settings, SingleGroup(), torch.device("cpu"), lambda: None), **more
    )
    return loss, built.engine.model.training


@pytest.mark.parametrize("max_sequences", [5, 3, 1, 1000])
def test_it_is_the_mean_over_the_trained_tokens_of_each_sequence_once(max_sequences: int) -> None:
    numbers = range(min(5, max_sequences))
    total, num_tokens = sum(n * (n + 1) for n in numbers), sum(n + 1 for n in numbers)
    assert measure(max_sequences) == (round(total / num_tokens, 6), True)


def test_who_is_asked_to_stop_measures_nothing_more() -> None:
    asked = iter([False, True])
    assert measure(5, is_interrupted=lambda: next(asked)) == (None, True)
