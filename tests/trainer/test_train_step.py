"""What a step reads and when it stops, on a trainer that has no engine to compute with."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from trainwright_api.training import Budget
from trainwright_trainer.data import Batch
from trainwright_trainer.errors import InterruptedRunError
from trainwright_trainer.groups import SingleGroup
from trainwright_trainer.saving import TrainingState
from trainwright_trainer.schedules import total_steps
from trainwright_trainer.settings import Settings
from trainwright_trainer.train import Trainer

from tests.trainer.run_builder import build_run, source
from tests.trainer.tiny_runs import tiny_run


class Sequences:
    """Data that notes what is read of it."""

    def __init__(self) -> None:
        self.read: list[tuple[int, int]] = []

    def sequences(self, first: int, count: int) -> Batch:
        self.read.append((first, count))
        return Batch(*(np.ones((count, 64), np.int64) for _ in range(4)))


class Saving:
    """Notes what is saved at the end."""

    def __init__(self) -> None:
        self.saved: list[int] = []

    def is_due_by_time(self) -> bool:
        return False

    def save_last(self, state: TrainingState) -> None:
        self.saved.append(state.step)


def trainer_at(folder: Path, state: TrainingState) -> Trainer:
    """A trainer before a step of 8 sequences."""
    trainer = Trainer(tiny_run(folder), Settings(scratch_folder=folder))
    trainer.group, trainer.device, trainer.state = SingleGroup(), torch.device("cpu"), state
    trainer.prepared = SimpleNamespace(  # type: ignore[assignment]
        plan=SimpleNamespace(micro_sequences=2, accumulation_steps=4),
        data=SimpleNamespace(train=Sequences()),
        total_steps=8,
    )
    trainer.saving = Saving()  # type: ignore[assignment]
    return trainer


def test_data_goes_on_after_the_samples_seen_whatever_the_size_of_the_steps(tmp_path: Path) -> None:
    trainer = trainer_at(tmp_path, TrainingState(step=3, samples=100))
    trainer._load_batches()
    assert trainer.prepared.data.train.read == [(100, 8)]  # type: ignore[attr-defined]


@pytest.mark.parametrize(("step", "saved"), [(3, [3]), (0, [])])
def test_a_run_that_is_asked_to_stop_computes_nothing_more(
    tmp_path: Path, step: int, saved: list[int]
) -> None:
    trainer = trainer_at(tmp_path, TrainingState(step=step))
    trainer._interrupt(15, None)
    with pytest.raises(InterruptedRunError, match="stopped on request"):
        trainer.train_step()
    assert (trainer.state.step, trainer.saving.saved) == (step, saved)  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("budget", "planned", "expected"),
    [
        (Budget(steps=100), 100, 100),
        (Budget(tokens=400 * 32), 100, 100 + 10 - 20),  # 80 samples are done, in steps of 8 each
        (Budget(epochs=2.0), 100, 100 + 10 - 20),
    ],
)
def test_a_budget_counts_what_steps_of_another_size_have_done(
    budget: Budget, planned: int, expected: int
) -> None:
    run = build_run(source("file:///text/")).model_copy(update={"budget": budget})
    at = [
        total_steps(
            run, planned, step=10 + more, samples=80 + 4 * more, tokens=(80 + 4 * more) * 32
        )
        for more in (0, 1, 7)
    ]
    assert at == [expected] * 3
    assert total_steps(run, planned, step=10, samples=40, tokens=40 * 32) == planned
