"""What a step reads, measures, counts and when it stops, on a trainer that has no engine to compute with."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from trainwright_api import metrics as m
from trainwright_api.data import Validation
from trainwright_api.names import Cause, Outcome
from trainwright_api.run import Run
from trainwright_api.status import Progress
from trainwright_api.training import Budget
from trainwright_trainer import train as train_module
from trainwright_trainer.data import Batch
from trainwright_trainer.errors import InterruptedRunError
from trainwright_trainer.groups import SingleGroup
from trainwright_trainer.report import Reporter
from trainwright_trainer.saving import TrainingState
from trainwright_trainer.schedules import total_steps
from trainwright_trainer.settings import Settings
from trainwright_trainer.train import Trainer
from trainwright_trainer.verdict import bounded_json

from tests.trainer.other_rank import OtherRank
from tests.trainer.run_builder import build_run, source
from tests.trainer.tiny_runs import tiny_run

STEPS = 8


class Sequences:
    """Data that notes what is read of it."""

    def __init__(self) -> None:
        self.read: list[tuple[int, int]] = []

    def __len__(self) -> int:
        return 80

    def sequences(self, first: int, count: int) -> Batch:
        self.read.append((first, count))
        return Batch(*(np.ones((count, 64), np.int64) for _ in range(4)))


class Saving:
    """Notes what is saved, and whether it was measured before."""

    def __init__(self, every_steps: int = 1000) -> None:
        self.saved: list[int] = []
        self.measured: list[int] = []
        self.last_saved_step = 0
        self._every_steps = every_steps

    def is_due_by_time(self) -> bool:
        return False

    def is_due(self, step: int, *, by_time: bool) -> bool:
        return by_time or step % self._every_steps == 0

    def save_if_due(self, state: TrainingState, *, is_due: bool) -> float:
        if is_due:
            self.save_last(state)
        return 0.0

    def save_last(self, state: TrainingState) -> None:
        self.saved.append(state.step)
        if state.validated_step == state.step:
            self.measured.append(state.step)


class Engine:
    """Skips every step."""

    loss_scale = 1.0
    num_skipped = 0

    def set_learning_rate(self, rate: float) -> None:
        pass

    def accumulate(self, *_: Any) -> tuple[torch.Tensor, float]:
        self.num_skipped += 1
        return torch.tensor(2.0), float("inf")


def trainer_at(
    folder: Path, state: TrainingState, *, run: Run | None = None, saving: Saving | None = None
) -> Trainer:
    """A trainer before a step of 8 sequences."""
    run, settings = run or tiny_run(folder), Settings(scratch_folder=folder)
    trainer = Trainer(run, settings, Reporter(run, settings))
    trainer.group, trainer.device, trainer.state = SingleGroup(), torch.device("cpu"), state
    trainer.prepared = SimpleNamespace(  # type: ignore[assignment]
        plan=SimpleNamespace(micro_sequences=2, accumulation_steps=4),
        data=SimpleNamespace(train=Sequences(), validation=Sequences()),
        total_steps=STEPS,
    )
    engine = Engine()
    trainer.built = SimpleNamespace(  # type: ignore[assignment]
        engine=engine, objective=SimpleNamespace(measure=dict), read_memory=dict
    )
    trainer._accumulate = engine.accumulate  # type: ignore[method-assign]
    trainer.saving = saving or Saving()  # type: ignore[assignment]
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


@pytest.mark.parametrize(("group", "counted"), [(SingleGroup(), 1), (OtherRank(), 0)])
def test_a_skipped_step_is_counted_by_the_first_rank_alone(
    tmp_path: Path, group: SingleGroup, counted: int
) -> None:
    trainer = trainer_at(tmp_path, TrainingState())
    trainer.group = group
    trainer.train_step()
    assert trainer.built.engine.num_skipped == 1
    found = trainer.reporter.metrics.registry.get_sample_value(m.SKIPPED_STEPS.name)
    assert (found or 0) == counted


def test_the_reporter_is_told_the_tokens_of_a_step_and_those_with_a_loss(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer, told = trainer_at(tmp_path, TrainingState()), []
    monkeypatch.setattr(trainer.reporter, "finish_step", lambda _, *counts: told.append(counts))
    trainer.train_step()
    assert told == [(8 * 64, 8 * 63)]


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> list[float | None]:
    """Losses that validations will find, in reverse; None: it was interrupted. Without any, 1.5."""
    losses: list[float | None] = []

    def measure(*_: Any, **__: Any) -> float | None:
        return losses.pop() if losses else 1.5

    monkeypatch.setattr(train_module, "measure_validation_loss", measure)
    return losses


def validated(folder: Path, *, every_steps: int, keep_best: int = 0) -> Run:
    run = tiny_run(folder, steps=STEPS)
    validation = Validation(every_steps=every_steps)
    return run.model_copy(
        update={
            "data": run.data.model_copy(update={"validation": validation}),
            "checkpoints": run.checkpoints.model_copy(update={"keep_best": keep_best}),
        }
    )


@pytest.mark.parametrize(("keep_best", "steps"), [(0, [6, 8]), (1, [2, 4, 6, 8])])
@pytest.mark.usefixtures("measured")
def test_a_checkpoint_that_may_be_the_best_is_measured_before_it_is_saved(
    tmp_path: Path, keep_best: int, steps: list[int]
) -> None:
    run, saving = validated(tmp_path, every_steps=3, keep_best=keep_best), Saving(every_steps=2)
    trainer = trainer_at(tmp_path, TrainingState(), run=run, saving=saving)
    while trainer.state.step < STEPS:
        trainer.train_step()
    assert (saving.saved, saving.measured) == ([2, 4, 6, 8], steps)


def test_what_is_due_by_time_is_measured_too(
    tmp_path: Path, measured: list[float | None], monkeypatch: pytest.MonkeyPatch
) -> None:
    saving = Saving()
    monkeypatch.setattr(saving, "is_due_by_time", lambda: True)
    run = validated(tmp_path, every_steps=100, keep_best=1)
    trainer = trainer_at(tmp_path, TrainingState(), run=run, saving=saving)
    measured[:] = [None]  # a save that is due is made although its validation was interrupted
    trainer.train_step()
    trainer.train_step()
    assert (saving.saved, saving.measured) == ([1, 2], [2])


def test_a_run_that_was_stopped_in_its_last_validation_makes_up_for_it(
    tmp_path: Path, measured: list[float | None], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = validated(tmp_path, every_steps=100)
    state = TrainingState(step=STEPS, tokens=4096, validation_loss=3.0, validated_step=4)
    trainer = trainer_at(tmp_path, state, run=run)
    logged: list[tuple[Progress, float | None]] = []
    monkeypatch.setattr(trainer.trackers, "log", lambda *told: logged.append(told[:2]))
    measured[:] = [1.25]
    trainer._validate_last()
    trainer._validate_last()
    assert (state.validation_loss, state.validated_step) == (1.25, STEPS)
    assert trainer.reporter.progress.validation_loss == 1.25
    assert logged == [(Progress(step=STEPS, tokens=4096), 1.25)]


@pytest.mark.parametrize("loss", [float("nan"), float("inf")])
def test_a_validation_loss_that_is_not_finite_is_shown_and_no_figure_of_the_status(
    tmp_path: Path, measured: list[float | None], loss: float
) -> None:
    trainer = trainer_at(tmp_path, TrainingState(), run=validated(tmp_path, every_steps=1))
    measured[:] = [loss, 3.5]
    trainer.train_step()
    trainer.train_step()
    assert (trainer.state.validation_loss, trainer.state.validated_step) == (None, 2)
    assert b"validation_loss " + str(loss).encode() in (
        trainer.reporter.render_metrics().lower().replace(b"+inf", b"inf")
    )
    assert trainer.reporter.history[-1].validation_loss is None
    end = trainer.describe_end(Outcome.FAILED, Cause.NUMERICAL_FAILURE, "diverged")
    assert "validationLoss" not in json.loads(bounded_json(end))["progress"]


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
