"""One rank: `python -m trainwright_trainer.rank`, started by the launcher only.

Turns every end into an outcome file: what failed, why, at which step. Tracebacks go to the log.
"""

import argparse
import logging
import os
import sys
import time
import traceback
from pathlib import Path
from typing import TYPE_CHECKING

from trainwright_api.names import Cause, Outcome
from trainwright_api.report import TerminationMessage
from trainwright_api.run import Run

from trainwright_trainer.errors import (
    LOST_CONTACT,
    InterruptedRunError,
    PeerLostError,
    StoreError,
    TrainerError,
    is_out_of_memory,
    is_out_of_space,
)
from trainwright_trainer.imports import uncollected
from trainwright_trainer.outcome import EXIT_CODES, outcome_file, reserve_outcome, write_outcome
from trainwright_trainer.settings import Settings, read_settings

if TYPE_CHECKING:
    from trainwright_trainer.report import Reporter
    from trainwright_trainer.train import Trainer

logger = logging.getLogger("trainwright.rank")

# What gloo and NCCL say when the other side of a connection has gone.
_PEER_LOST = (
    "connection closed by peer",
    "connection reset by peer",
    "connection refused",
    "broken pipe",
    "socket timeout",
    "recvvalue failed",
    "failed to recv",
    "remote process exited",
    "nccl communicator was aborted",
    "ncclremoteerror",
    "gloo/transport/tcp",
)


def main() -> int:
    """Train as one rank; the exit code says how it ended."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", type=Path, required=True)
    settings = read_settings()
    level = logging.INFO if settings.rank == 0 else logging.WARNING
    logging.basicConfig(
        level=level, format=f"%(asctime)s %(levelname)s rank {settings.rank} %(name)s: %(message)s"
    )
    run = Run.model_validate_json(parser.parse_args().run.read_text())
    outcome = outcome_file(settings.scratch_folder, settings.rank)
    reserve_outcome(outcome)
    try:
        reporter = _start_reporter(run, settings)
        _check_access(run, settings)
        trainer = _build_trainer(run, settings, reporter)
    except Exception as error:  # such as a library that this image lacks
        message = _describe_no_start(error, settings)
        write_outcome(outcome, message)
        return EXIT_CODES[message.outcome, message.cause == Cause.USER_ERROR]
    message = _train(trainer)
    write_outcome(outcome, message)
    # After it: a tracker that does not answer must not cost the run its last words.
    trainer.trackers.close(message.outcome, message.step or 0, message.model)
    trainer.reporter.close_otlp()
    return EXIT_CODES[message.outcome, message.cause == Cause.USER_ERROR]


def _start_reporter(run: Run, settings: Settings) -> "Reporter":
    with uncollected():
        from trainwright_trainer.report import Reporter

    reporter = Reporter(run, settings)
    reporter.start()
    reporter.set_activity("preflight")
    return reporter


def _check_access(run: Run, settings: Settings) -> None:
    """Look at stores and data before the imports that take seconds."""
    if settings.rank == 0:
        with uncollected():
            from trainwright_trainer.access import check_access

        check_access(run, settings)


def _build_trainer(run: Run, settings: Settings, reporter: "Reporter") -> "Trainer":
    started = time.perf_counter()
    with uncollected():
        from trainwright_trainer.train import Trainer

    logger.info("imported in %.1f s", time.perf_counter() - started)
    return Trainer(run, settings, reporter)


def _describe_no_start(error: Exception, settings: Settings) -> TerminationMessage:
    if isinstance(error, TrainerError):
        known, text = error, error.message
        logger.error("%s", text)
    else:
        traceback.print_exc()
        known = classify(error)
        text = f"the trainer could not be started: {known.message}"
    return TerminationMessage(
        outcome=Outcome.FAILED,
        cause=known.cause,
        message=text[:2000],
        rank=settings.rank,
        node=settings.node_name,
    )


def _train(trainer: "Trainer") -> TerminationMessage:
    try:
        return trainer.run_to_end()
    except InterruptedRunError as error:
        outcome, cause, text = Outcome.INTERRUPTED, None, error.message
    except TrainerError as error:
        outcome, cause, text = Outcome.FAILED, error.cause, error.message
        logger.error("%s", error.message)
    except BaseException as error:
        traceback.print_exc()
        known = classify(error)
        outcome, cause, text = Outcome.FAILED, known.cause, known.message
    return trainer.describe_end(outcome, cause, text)


def classify(error: BaseException) -> TrainerError:
    """Return what an error that is none of ours means for the operator."""
    text = f"{type(error).__name__}: {error}"
    lowered = text.lower()
    if is_out_of_memory(error):
        return TrainerError(
            f"{text.splitlines()[0][:500]}; lower batch.microSequences or data.sequenceLength, or raise the memory",
            Cause.OUT_OF_MEMORY,
        )
    if is_out_of_space(error):
        return StoreError(
            f"{text.splitlines()[0][:500]}; request more ephemeral-storage in "
            "spec.workers.resources, or mount a larger volume at /scratch through podOverrides"
        )
    if any(sign in lowered for sign in _PEER_LOST):
        return PeerLostError(f"{LOST_CONTACT} to another rank ({text.splitlines()[0][:300]})")
    return TrainerError(text[:1500], Cause.UNKNOWN)


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    sys.stderr.flush()
    # Threads of gloo and of uploads must not hold up, or change, an end that is already told.
    os._exit(code)
