"""Trains one run on one rank; reading order is the architecture: preflight, build, train, export.

Every rank runs the same code in the same order: what only rank 0 does (weights, tokenizer, export) is
followed by an exchange, and errors of rank 0 reach all ranks.
"""

import logging
import math
import signal
import time

import torch
from trainwright_api import metrics as m
from trainwright_api.history import (
    HISTORY_FILE,
    HistoryRow,
    dump_rows,
    parse_rows,
    rows_until,
    thin_rows,
)
from trainwright_api.names import Cause, Outcome
from trainwright_api.report import TerminationMessage
from trainwright_api.run import Run
from trainwright_api.status import ModelStatus, Plan, Progress

from trainwright_trainer.build import BuiltRun, build_run
from trainwright_trainer.checkpoint import StepState
from trainwright_trainer.data.batch import SequenceSource
from trainwright_trainer.distributed import choose_device, join_group
from trainwright_trainer.errors import InterruptedRunError, NumericalError, TrainerError
from trainwright_trainer.export import export_model
from trainwright_trainer.objectives.base import DeviceBatch
from trainwright_trainer.report import Reporter
from trainwright_trainer.schedules import learning_rate
from trainwright_trainer.settings import Settings
from trainwright_trainer.store import MissingFileError

MAXIMUM_SKIPPED_STEPS = 20
FINAL_SAVE_SECONDS = 3600.0

logger = logging.getLogger(__name__)


class Trainer:
    """One rank of a run, from start to end."""

    def __init__(self, run: Run, settings: Settings) -> None:
        self.run, self.settings = run, settings
        self.reporter = Reporter(run, settings)
        self.is_interrupted = False
        self.step = 0
        self.tokens = 0
        self._skipped_in_a_row = 0
        self._last_save_at = time.monotonic()
        self._last_saved_step = 0
        self._first_loss: float | None = None
        self._loss: float | None = None

    def run_to_end(self) -> TerminationMessage:
        """Train to the last step and export; raises TrainerError for every end but success."""
        signal.signal(signal.SIGTERM, self._interrupt)
        self.reporter.start()
        self.reporter.set_activity("preflight")
        self.group = join_group(self.run, self.settings)
        self.device = choose_device(self.run, self.settings)
        self.built: BuiltRun = build_run(self.run, self.settings, self.group, self.reporter)
        self._resume()
        self.reporter.set_activity("train")
        while self.step < self.built.total_steps:
            self._train_step()
        self._save(is_last=True)
        self.reporter.set_activity("export")
        model = self._export()
        self._write_history()
        return self.describe_end(Outcome.SUCCEEDED, None, "", model)

    def _interrupt(self, _number: int, _frame: object) -> None:
        self.is_interrupted = True

    def _resume(self) -> None:
        """Restore the newest verified checkpoint, if there is one."""
        checkpoints = self.built.checkpoints
        point = checkpoints.find_resume()
        fetched = checkpoints.fetch(point) if point is not None else None
        self.reporter.warn(checkpoints.warnings)
        if fetched is None:
            return
        manifest = fetched.point.manifest
        self.built.restore(fetched)
        checkpoints.release(fetched)
        self.step, self.tokens = manifest.step, manifest.tokens
        self._loss = manifest.loss
        self._last_saved_step = self.step if fetched.point.is_own else 0
        rows = self._read_history() if fetched.point.is_own else []
        self._first_loss = rows[0].loss if rows else None
        self.reporter.set_start(self.step, rows_until(rows, self.step))
        self.reporter.set_checkpoints(checkpoints.records, checkpoints.best, num_failed=0)
        logger.info("resumed from step %d of %s", self.step, fetched.point.uri)

    def _train_step(self) -> None:
        """One optimizer step from top to bottom."""
        started = time.perf_counter()
        plan, source = self.built.plan, self.built.data.train
        batches = self._load_batches(source, self.step, plan)
        counts = self._agree(batches)
        loaded = time.perf_counter()

        rate = learning_rate(
            self.run.schedule,
            self.run.optimizer.learning_rate,
            self.step + 1,
            self.built.total_steps,
        )
        self.built.engine.set_learning_rate(rate)
        loss_sum, norm, parts = self._accumulate(batches, counts["trained"])
        loss = self._sum_over_ranks(loss_sum) / counts["trained"]
        self._check_numbers(loss, norm)

        self.step += 1
        step_tokens = self.run.batch.global_sequences * self.run.data.sequence_length
        self.tokens += step_tokens
        self._loss = loss
        self._first_loss = loss if self._first_loss is None else self._first_loss
        self.reporter.finish_step(self._progress(loss, norm, rate), step_tokens)
        validation = self.run.data.validation
        is_last = self.step == self.built.total_steps
        if validation and (self.step % validation.every_steps == 0 or is_last):
            self._validate()
        stall = self._save_if_due(counts)
        parts |= {"data": loaded - started, "checkpoint": stall}
        self._observe(parts, time.perf_counter() - started, counts)
        if counts["interrupted"]:
            self._save(is_last=True)
            raise InterruptedRunError(f"stopped on request after step {self.step}, which is saved")

    def _load_batches(self, source: SequenceSource, step: int, plan: Plan) -> list[DeviceBatch]:
        """Return this rank's micro-batches of a step: a contiguous part of the step's sequences."""
        per_rank = plan.micro_sequences * plan.accumulation_steps
        first = step * self.run.batch.global_sequences + self.group.rank * per_rank
        whole = source.sequences(first, per_rank)
        self._num_unpadded = whole.num_tokens
        batch = DeviceBatch.of(whole, self.device)
        size = plan.micro_sequences
        return [
            DeviceBatch(
                batch.input_ids[i : i + size],
                batch.labels[i : i + size],
                batch.position_ids[i : i + size],
            )
            for i in range(0, per_rank, size)
        ]

    def _agree(self, batches: list[DeviceBatch]) -> dict[str, int]:
        """Exchange what all ranks must know of this step: counts, and whether to stop or to save."""
        trained = sum(int((batch.labels[:, 1:] >= 0).sum()) for batch in batches)
        is_due = self.group.rank == 0 and self._is_save_due_by_time()
        told = self.group.all_gather(
            (trained, self._num_unpadded, int(self.is_interrupted), int(is_due))
        )
        names = ("trained", "unpadded", "interrupted", "save_due")
        counts = {name: sum(row[index] for row in told) for index, name in enumerate(names)}
        if not counts["trained"]:
            raise TrainerError(
                f"step {self.step + 1} has no token to train on; check the chat template and the records",
                Cause.USER_ERROR,
            )
        return counts

    def _accumulate(
        self, batches: list[DeviceBatch], num_trained: int
    ) -> tuple[torch.Tensor, float, dict[str, float]]:
        """Forward, backward and update; return this rank's loss sum, the gradient norm, seconds by part.

        DeepSpeed divides by the accumulation steps and averages over ranks; multiplied back, the
        gradient is that of the sum of token losses over all trained tokens of the step.
        """
        scale = self.group.world_size * len(batches) / num_trained
        total = torch.zeros((), device=self.device, dtype=torch.float32)
        parts = dict.fromkeys(("forward", "backward", "optimizer"), 0.0)
        norm: float | None = None
        engine = self.built.engine
        for batch in batches:
            times = [time.perf_counter()]
            loss = self.built.objective.loss_sum(engine.model, batch)
            times.append(time.perf_counter())
            engine.backward(loss * scale)
            times.append(time.perf_counter())
            norm = engine.step()
            times.append(time.perf_counter())
            total += loss.detach()
            for name, begin, end in zip(parts, times, times[1:], strict=False):
                parts[name] += end - begin
        return total, math.nan if norm is None else norm, parts

    def _sum_over_ranks(self, value: torch.Tensor) -> float:
        if self.group.world_size > 1:
            torch.distributed.all_reduce(value)
        return float(value)

    def _check_numbers(self, loss: float, norm: float) -> None:
        """Stop a run that has diverged: at once if the loss says so, after many skipped steps if not."""
        skipped = self.built.engine.num_skipped
        newly = skipped - self._num_skipped_before
        self._num_skipped_before = skipped
        self._skipped_in_a_row = self._skipped_in_a_row + newly if newly else 0
        if newly:
            self.reporter.metrics.of(m.SKIPPED_STEPS).inc(newly)
        if not math.isfinite(loss):
            raise NumericalError(
                f"the loss of step {self.step + 1} is {loss}; lower optimizer.learningRate or warm up longer"
            )
        if self._skipped_in_a_row >= MAXIMUM_SKIPPED_STEPS:
            raise NumericalError(
                f"{self._skipped_in_a_row} steps in a row were skipped because gradients are not finite "
                f"(norm {norm}); lower optimizer.learningRate, or use BF16"
            )

    _num_skipped_before = 0

    def _progress(self, loss: float, norm: float, rate: float) -> Progress:
        total = self.built.total_steps
        samples = self.step * self.run.batch.global_sequences
        return self.reporter.progress.model_copy(
            update={
                "step": self.step,
                "total_steps": total,
                "tokens": self.tokens,
                "samples": samples,
                "epoch": round(samples / len(self.built.data.train), 4),
                "loss": round(loss, 6),
                "first_loss": None if self._first_loss is None else round(self._first_loss, 6),
                "learning_rate": rate,
                "gradient_norm": round(norm, 6) if math.isfinite(norm) else None,
                "percent": round(100 * self.step / total, 2),
            }
        )

    @torch.no_grad()
    def _validate(self) -> None:
        """Measure the loss on held-out data; memory does not grow with their number."""
        source, validation = self.built.data.validation, self.run.data.validation
        if source is None or validation is None:
            return
        model = self.built.engine.model
        model.eval()
        size, world = self.built.plan.micro_sequences, self.group.world_size
        count = min(len(source), validation.max_sequences)
        sums = torch.zeros(2, device=self.device, dtype=torch.float64)
        rounds = math.ceil(count / (size * world))  # as many on every rank: ZeRO 3 is collective
        for index in range(rounds):
            first = (index * world + self.group.rank) * size
            batch = source.sequences(first % len(source), min(size, len(source)))
            valid = max(0, min(size, count - first))
            batch.labels[valid:] = -100
            moved = DeviceBatch.of(batch, self.device)
            loss = self.built.objective.loss_sum(model, moved)
            trained = int((moved.labels[:, 1:] >= 0).sum())
            sums += torch.tensor([float(loss) if trained else 0.0, trained], dtype=torch.float64)
        if world > 1:
            torch.distributed.all_reduce(sums)
        model.train()
        if sums[1] > 0:
            self._validation_loss = round(float(sums[0] / sums[1]), 6)
            self.reporter.finish_validation(self._validation_loss)

    _validation_loss: float | None = None

    def _is_save_due_by_time(self) -> bool:
        minutes = self.run.checkpoints.every_minutes
        return minutes is not None and time.monotonic() - self._last_save_at >= 60 * minutes

    def _save_if_due(self, counts: dict[str, int]) -> float:
        every = self.run.checkpoints.every_steps
        is_due = bool(counts["save_due"]) or (every is not None and self.step % every == 0)
        stall = self._save() if is_due and not counts["interrupted"] else 0.0
        self._poll_saves()
        return stall

    def _save(self, *, is_last: bool = False) -> float:
        """Save a checkpoint of the current step; return how long training stood still (seconds)."""
        checkpoints = self.built.checkpoints
        stall = 0.0
        if self._last_saved_step != self.step:
            state = StepState(
                step=self.step,
                samples=self.step * self.run.batch.global_sequences,
                tokens=self.tokens,
                epoch=self.step * self.run.batch.global_sequences / len(self.built.data.train),
                facts=self.built.facts,
                loss=self._loss,
                validation_loss=self._validation_loss,
            )
            stall = checkpoints.save(state, self.built.write_shards)
            self._last_saved_step, self._last_save_at = self.step, time.monotonic()
            self.reporter.metrics.of(m.CHECKPOINT_SECONDS, part="stall").observe(stall)
            self._write_history()
        if is_last:
            checkpoints.wait(FINAL_SAVE_SECONDS)
            self._poll_saves()
        return stall

    def _poll_saves(self) -> None:
        outcomes = self.built.checkpoints.poll()
        if not outcomes:
            return
        for outcome in outcomes:
            if outcome.error is not None:
                logger.warning("checkpoint of step %d failed: %s", outcome.step, outcome.error)
                self.reporter.warn([f"checkpoint of step {outcome.step} failed: {outcome.error}"])
            elif outcome.record is not None and outcome.record.save_seconds is not None:
                seconds = outcome.record.save_seconds
                self.reporter.metrics.of(m.CHECKPOINT_SECONDS, part="save").observe(seconds)
        checkpoints = self.built.checkpoints
        num_failed = sum(outcome.error is not None for outcome in outcomes)
        self.reporter.set_checkpoints(checkpoints.records, checkpoints.best, num_failed=num_failed)

    def _observe(self, parts: dict[str, float], total: float, counts: dict[str, int]) -> None:
        of = self.reporter.metrics.of
        for name, seconds in {**parts, "total": total}.items():
            of(m.STEP_SECONDS, part=name).observe(seconds)
        all_tokens = self.run.batch.global_sequences * self.run.data.sequence_length
        of(m.TRAINED_TOKEN_RATIO).set(counts["trained"] / all_tokens)
        of(m.PACKING_UTILIZATION).set(counts["unpadded"] / all_tokens)
        of(m.LOSS_SCALE).set(self.built.engine.loss_scale)
        rank = str(self.settings.rank)
        for state, num_bytes in self.built.read_memory().items():
            of(m.MEMORY_BYTES, rank=rank, state=state).set(num_bytes)

    def _export(self) -> ModelStatus | None:
        """Gather the weights (collective), let rank 0 write and upload the model, tell all of it."""
        built = self.built
        weights = built.engine.gather_weights(keep=self.group.rank == 0)
        told: ModelStatus | TrainerError | None = None
        if self.group.rank == 0:
            try:
                told = export_model(
                    self.run,
                    built.config,
                    weights,
                    built.tokenizer,
                    built.output_store,
                    self.settings.scratch_folder,
                    built.samples_before,
                )
            except TrainerError as error:
                told = error
        told = self.group.broadcast(told)
        if isinstance(told, TrainerError):
            raise told
        if told is not None:
            self.reporter.set_model(told)
        return told

    def _write_history(self) -> None:
        if self.group.rank == 0:
            rows = thin_rows(self.reporter.history)
            self.built.store.write_bytes(HISTORY_FILE, dump_rows(rows))

    def _read_history(self) -> list[HistoryRow]:
        if self.group.rank != 0:
            return []
        try:
            return parse_rows(self.built.store.read_bytes(HISTORY_FILE))
        except (MissingFileError, ValueError):
            return []

    def describe_end(
        self, outcome: Outcome, cause: Cause | None, text: str, model: ModelStatus | None = None
    ) -> TerminationMessage:
        """Return what this rank says of its end."""
        report = self.reporter.report
        return TerminationMessage(
            outcome=outcome,
            cause=cause,
            message=text[:2000],
            step=self.step,
            checkpoint=report.checkpoints[0] if report.checkpoints else None,
            rank=self.settings.rank,
            node=self.settings.node_name,
            resumed_from_step=report.resumed_from_step,
            progress=report.progress,
            model=model,
        )
