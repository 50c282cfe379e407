"""Trains one run on one rank; reading order is the architecture: preflight, build, train, export.

Every rank runs the same code in the same order: what only rank 0 does (weights, tokenizer, export) is
followed by an exchange, and errors of rank 0 reach all ranks.
"""

import logging
import math
import signal
import time
from collections.abc import Mapping
from functools import partial
from typing import NoReturn

import torch
from trainwright_api import metrics as m
from trainwright_api.names import ACTIVITY_TRAIN, Cause, Outcome
from trainwright_api.report import TerminationMessage
from trainwright_api.run import Run
from trainwright_api.status import ModelStatus, Progress
from trainwright_planner.advice import largest_term

from trainwright_trainer.agreement import on_rank_0
from trainwright_trainer.build import BuiltRun, build_run
from trainwright_trainer.distributed import choose_device, join_group
from trainwright_trainer.divergence import DivergenceGuard
from trainwright_trainer.errors import InterruptedRunError, UserError
from trainwright_trainer.export import export_model
from trainwright_trainer.groups import Group
from trainwright_trainer.objectives.base import DeviceBatch
from trainwright_trainer.preflight import PreparedRun, prepare_run
from trainwright_trainer.report import Reporter
from trainwright_trainer.saving import Saving, TrainingState
from trainwright_trainer.schedules import learning_rate, total_steps
from trainwright_trainer.settings import Settings
from trainwright_trainer.stopwatch import EventStopwatch, StepWatch, Stopwatch
from trainwright_trainer.tracking import Trackers
from trainwright_trainer.tracking.sink import Beginning
from trainwright_trainer.validation import measure_validation_loss

MOST_STEPS_TOLD = 20  # of checkpoints, in a message of a few kB

logger = logging.getLogger(__name__)


class Trainer:
    """One rank of a run, from start to end."""

    def __init__(self, run: Run, settings: Settings, reporter: Reporter) -> None:
        self.run, self.settings, self.reporter = run, settings, reporter
        self.trackers = Trackers(self.reporter)
        self.state = TrainingState()
        self.is_interrupted = False
        self._guard = DivergenceGuard(run.precision)

    def run_to_end(self) -> TerminationMessage:
        """Train to the last step and export; raises TrainerError for every end but success."""
        startup = Stopwatch()
        group = join_group(self.run, self.settings)
        startup.lap("join")
        prepared = prepare_run(self.run, self.settings, group, self.reporter)
        startup.lap("preflight")
        self.reporter.set_activity("build")
        self.set_up(prepared, build_run(prepared, group, self.reporter), group)
        startup.lap("build")
        self.resume()
        self._start_trackers()
        startup.lap("resume")

        self.reporter.set_activity(ACTIVITY_TRAIN)
        signal.signal(signal.SIGTERM, self._interrupt)  # before, a rank just ends: nothing is lost
        while self.state.step < self.total_steps:
            self.train_step()
            if startup.is_running:
                startup.lap("first step")
                logger.info("started up in %s", startup.stop())
        self._validate_last()
        self.saving.save_last(self.state)
        self._stop_if_asked("the model is still to be exported")

        self.reporter.set_activity("export")
        model = self._export()
        self.saving.write_history()
        return self.describe_end(Outcome.SUCCEEDED, None, "", model)

    @property
    def total_steps(self) -> int:
        """The last step: what the budget leaves after the steps done, of whatever size."""
        state, planned = self.state, self.prepared.total_steps
        return total_steps(
            self.run, planned, step=state.step, samples=state.samples, tokens=state.tokens
        )

    def set_up(self, prepared: PreparedRun, built: BuiltRun, group: Group) -> None:
        """Take what the steps need."""
        self.prepared, self.built, self.group = prepared, built, group
        self.device = choose_device(self.run, self.settings)
        self.saving = Saving(built, group, self.reporter)

    def resume(self) -> None:
        """Go on from the newest checkpoint, and say where that is: it may be the last step already."""
        self.state = self.saving.resume()
        self.reporter.set_progress(self._progress(None, None))

    def _start_trackers(self) -> None:
        """Open the trackers of experiments; rank 0 has all that they show."""
        if self.group.rank == 0:
            self.trackers.start(
                Beginning(
                    run=self.run,
                    store=self.prepared.store,
                    scratch_folder=self.settings.scratch_folder,
                    credentials_folder=self.settings.credentials_folder,
                    first_step=self.state.step,
                    samples_before=self.built.samples_before,
                )
            )

    def _interrupt(self, _number: int, _frame: object) -> None:
        self.is_interrupted = True

    def train_step(self) -> None:
        """One optimizer step from top to bottom."""
        started, watch = time.perf_counter(), self._start_watch()
        batches = self._load_batches()
        watch.lap("data")
        counts = self._agree(batches)
        watch.lap("communication")
        if counts["interrupted"]:
            self._stop()

        step = self.state.step + 1
        peak = self.run.optimizer.learning_rate
        rate = learning_rate(self.run.schedule, peak, step, self.total_steps)
        self.built.engine.set_learning_rate(rate)
        num_skipped_before = self.built.engine.num_skipped
        loss_sum, norm = self._accumulate(batches, counts["trained"], watch)
        loss = self._sum_over_ranks(loss_sum, watch) / counts["trained"]
        parts = watch.seconds  # the sum has just been waited for, so the device has passed all laps
        measured = self.built.objective.measure()
        num_skipped = self.built.engine.num_skipped - num_skipped_before
        if self.group.rank == 0:  # what is one event of the run is counted once, whatever its pods
            self.reporter.metrics.of(m.SKIPPED_STEPS).inc(num_skipped)
        self._guard.check(step, loss, norm, num_skipped)

        step_tokens = self.run.batch.global_sequences * self.run.data.sequence_length
        self.state.step = step
        self.state.samples += self.run.batch.global_sequences
        self.state.tokens += step_tokens
        if math.isfinite(loss):
            self.state.loss = loss
            self.state.first_loss = loss if self.state.first_loss is None else self.state.first_loss
        self.reporter.finish_step(self._progress(norm, rate), step_tokens, counts["trained"])
        is_due = self.saving.is_due(step, by_time=bool(counts["save_due"]))
        validation_loss, parts["validation"] = self._validate_if_due(is_save_due=is_due)
        self.trackers.log(self.reporter.progress, validation_loss, measured)
        parts["checkpoint"] = self.saving.save_if_due(self.state, is_due=is_due)
        if self.saving.last_saved_step == step:
            self.trackers.save()
        self._observe({**parts, "total": time.perf_counter() - started}, counts, measured)

    def _start_watch(self) -> StepWatch:
        """Return what times a step: on a GPU by its own clock, whose events need no wait."""
        if self.device.type == "cuda":
            return EventStopwatch(partial(torch.cuda.Event, enable_timing=True))
        return Stopwatch()

    def _load_batches(self) -> list[DeviceBatch]:
        """Return this rank's micro-batches of the next step: a contiguous part of its sequences."""
        plan = self.prepared.plan
        per_rank = plan.micro_sequences * plan.accumulation_steps
        first = self.state.samples + self.group.rank * per_rank
        whole = self.prepared.data.train.sequences(first, per_rank)
        self._num_unpadded = whole.num_tokens
        return DeviceBatch.of(whole, self.device).split(plan.micro_sequences)

    def _agree(self, batches: list[DeviceBatch]) -> dict[str, int]:
        """Exchange what all ranks must know of this step: counts, and whether to stop or to save."""
        own = {
            "trained": sum(batch.num_trained for batch in batches),
            "unpadded": self._num_unpadded,
            "interrupted": int(self.is_interrupted),
            "save_due": int(self.saving.is_due_by_time()),
        }
        told = self.group.all_gather(own)
        counts = {name: sum(row[name] for row in told) for name in own}
        if not counts["trained"]:
            raise UserError(
                f"spec.data: got no token to train on in step {self.state.step + 1}, expected some in every "
                "batch; check the chat template and the records, or raise batch.globalSequences"
            )
        return counts

    def _accumulate(
        self, batches: list[DeviceBatch], num_trained: int, watch: StepWatch
    ) -> tuple[torch.Tensor, float]:
        """Forward, backward and update; return this rank's loss sum and the gradient norm.

        DeepSpeed divides by the accumulation steps and averages over ranks; multiplied back, the
        gradient is that of the sum of token losses over all trained tokens of the step.
        """
        engine = self.built.engine
        scale = self.group.world_size * len(batches) / num_trained
        total = torch.zeros((), device=self.device, dtype=torch.float32)
        norm: float | None = None
        for batch in batches:
            loss = self.built.objective.loss_sum(engine.model, batch)
            watch.lap("forward")
            engine.backward(loss * scale)
            watch.lap("backward")
            norm = engine.step()
            watch.lap("optimizer")
            total += loss.detach()
        return total, math.nan if norm is None else norm

    def _sum_over_ranks(self, value: torch.Tensor, watch: StepWatch) -> float:
        """Return the sum of all ranks' values; on a GPU this is where the host waits for the step."""
        if self.group.world_size > 1:
            torch.distributed.all_reduce(value)
        watch.lap("communication")
        return float(value)

    def _progress(self, norm: float | None, rate: float | None) -> Progress:
        state, total = self.state, self.total_steps
        return self.reporter.progress.model_copy(
            update={
                "step": state.step,
                "total_steps": total,
                "tokens": state.tokens,
                "samples": state.samples,
                "epoch": round(state.samples / len(self.prepared.data.train), 4),
                "loss": _rounded(state.loss),
                "first_loss": _rounded(state.first_loss),
                "validation_loss": state.validation_loss,
                "learning_rate": rate,
                "gradient_norm": _rounded(norm),
                "percent": round(min(100.0, 100 * state.step / total), 2),
            }
        )

    def _validate_if_due(self, *, is_save_due: bool) -> tuple[float | None, float]:
        """Measure every n-th step, at the last one, and what is about to be saved where the best is kept.

        Return the validation loss if it was measured, and the seconds that it took. All ranks decide alike.
        """
        settings, step = self.run.data.validation, self.state.step
        is_due = settings is not None and (
            step % settings.every_steps == 0
            or step == self.total_steps
            or (is_save_due and self.run.checkpoints.keep_best > 0)
        )
        return self._validate() if is_due else (None, 0.0)

    def _validate_last(self) -> None:
        """Measure the last step if that is still to be done: a run may have been asked to stop meanwhile."""
        # Rank 0 decides for all: what the history tells, it alone knows.
        if self.group.broadcast(self.state.validated_step == self.state.step):
            return
        loss, _ = self._validate()
        if loss is not None:  # the other figures of this step were logged when it was trained
            state = self.state
            self.trackers.log(Progress(step=state.step, tokens=state.tokens), loss, {})

    def _validate(self) -> tuple[float | None, float]:
        """Return the validation loss, None if there is none to measure, and the seconds that it took."""
        settings, source = self.run.data.validation, self.prepared.data.validation
        if settings is None or source is None:
            return None, 0.0
        started = time.perf_counter()
        loss = measure_validation_loss(
            *(self.built, source, settings, self.group, self.device),
            finish_batch=self.reporter.heartbeats.beat,
            is_interrupted=lambda: self.is_interrupted,
        )
        if loss is not None:
            self.reporter.finish_validation(loss)
            loss = _rounded(loss)
            self.state.validation_loss, self.state.validated_step = loss, self.state.step
        return loss, time.perf_counter() - started

    def _observe(
        self, parts: dict[str, float], counts: dict[str, int], measured: Mapping[m.Metric, float]
    ) -> None:
        of = self.reporter.metrics.of
        self.reporter.finish_parts(parts)
        for metric, value in measured.items():
            of(metric).set(value)
        all_tokens = self.run.batch.global_sequences * self.run.data.sequence_length
        of(m.TRAINED_TOKEN_RATIO).set(counts["trained"] / all_tokens)
        of(m.PACKING_UTILIZATION).set(counts["unpadded"] / all_tokens)
        of(m.LOSS_SCALE).set(self.built.engine.loss_scale)
        self.reporter.heartbeats.tell_memory(self.built.read_memory())

    def _stop(self) -> NoReturn:
        """Save and end as asked, without the step that was about to begin: the time to end is short."""
        step = self.state.step
        if not step:
            raise InterruptedRunError("stopped on request before the first step; nothing to save")
        self.saving.save_last(self.state)
        raise InterruptedRunError(f"stopped on request after step {step}, which is saved")

    def _stop_if_asked(self, rest: str) -> None:
        if any(self.group.all_gather(self.is_interrupted)):
            raise InterruptedRunError(
                f"stopped on request after step {self.state.step}, which is saved; {rest}"
            )

    def _export(self) -> ModelStatus:
        """Gather the weights (collective), let rank 0 write and upload the model, tell all of it."""
        weights = self.built.engine.gather_weights(keep=self.group.rank == 0)
        model = on_rank_0(
            self.group,
            lambda: export_model(
                self.prepared, weights, self.state, samples_before=self.built.samples_before
            ),
        )
        self.reporter.set_model(model)
        return model

    def describe_end(
        self, outcome: Outcome, cause: Cause | None, text: str, model: ModelStatus | None = None
    ) -> TerminationMessage:
        """Return what this rank says of its end."""
        report = self.reporter.report
        if cause is Cause.OUT_OF_MEMORY and report.plan is not None and report.plan.memory:
            term = largest_term(report.plan)
            text = f"{text} (the largest term of the plan is {term.name}, {term.gib:.2f} GiB)"
        return TerminationMessage(
            outcome=outcome,
            cause=cause,
            message=text[:2000],
            step=self.state.step,
            checkpoint=report.checkpoints[0] if report.checkpoints else None,
            checkpoint_steps=[record.step for record in report.checkpoints[:MOST_STEPS_TOLD]]
            or None,
            rank=self.settings.rank,
            node=self.settings.node_name,
            resumed_from_step=report.resumed_from_step,
            progress=report.progress,
            model=model,
        )


def _rounded(value: float | None) -> float | None:
    return round(value, 6) if value is not None and math.isfinite(value) else None
