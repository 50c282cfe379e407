"""One rank that trains runs one after another and writes when each step began, ended, and whether it saved.

Called by test_checkpoint_by_time, in processes of its own: `FILE` holds a list of {name, run, until_saves,
until_step}; what was seen goes to OUTPUT/name.json.
"""

import json
import sys
import time
from pathlib import Path

from trainwright_api.run import Run

from tests.trainer.worker_runs import set_up_trainers


def main(file: Path, output: Path) -> None:
    parts = json.loads(file.read_text())
    trainers = set_up_trainers(Run.model_validate(part["run"]) for part in parts)
    for part, trainer in zip(parts, trainers, strict=True):
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


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
