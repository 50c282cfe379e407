"""One rank that trains runs one after another and writes when each step began, ended, and whether it saved.

Called by test_checkpoint_by_time, in processes of its own: `FILE` holds a list of {name, run, until_saves,
until_step}; what was seen goes to OUTPUT/name.json, the last page of metrics to OUTPUT/name.metrics, and what the
last step was trained on to OUTPUT/name.last.json.
"""

import json
import sys
import time
from pathlib import Path

from trainwright_api import metrics as m
from trainwright_api.run import Run
from trainwright_trainer.data.batch import IGNORED_LABEL
from trainwright_trainer.train import Trainer

from tests.trainer.worker_runs import set_up_trainers


def main(file: Path, output: Path) -> None:
    parts = json.loads(file.read_text())
    trainers = set_up_trainers(Run.model_validate(part["run"]) for part in parts)
    for part, trainer in zip(parts, trainers, strict=True):
        # An objective with a figure of its own: the steps that were done before the one it is asked of.
        trainer.built.objective.measure = lambda state=trainer.state: {m.MFU: state.step}
        steps: list[dict[str, float | bool]] = []
        while len(steps) != part["until_step"]:
            began = time.monotonic()
            trainer.train_step()
            saved = trainer.saving.last_saved_step == trainer.state.step
            steps.append({"began": began, "ended": time.monotonic(), "saved": saved})
            if sum(step["saved"] for step in steps) == part["until_saves"]:
                trainer.saving.save_last(trainer.state)  # of the same step: waits for its upload
                break
        if trainer.group.rank == 0:
            (output / f"{part['name']}.json").write_text(json.dumps(steps))
            (output / f"{part['name']}.metrics").write_bytes(trainer.reporter.render_metrics())
            (output / f"{part['name']}.last.json").write_text(json.dumps(describe_last(trainer)))


def describe_last(trainer: Trainer) -> dict[str, float | None]:
    """The last step's global batch, counted from the data itself, and the last validation."""
    size = trainer.run.batch.global_sequences
    whole = trainer.prepared.data.train.sequences((trainer.state.step - 1) * size, size)
    return {
        "inputs": whole.labels.size,
        "trained": int((whole.labels[:, 1:] != IGNORED_LABEL).sum()),
        "unpadded": whole.num_tokens,
        "validation_loss": trainer.state.validation_loss,
        "total_steps": trainer.prepared.total_steps,
    }


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
