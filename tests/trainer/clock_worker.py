"""One rank that trains runs one after another and writes when each step began, ended, and whether it saved.

Called by test_checkpoint_by_time, in processes of its own: `FILE` holds a list of {name, run, until_saves,
until_step}; what was seen goes to OUTPUT/name.json.
"""

import json
import shutil
import sys
import time
from pathlib import Path

from trainwright_api.run import Run
from trainwright_trainer.build import build_run
from trainwright_trainer.distributed import join_group
from trainwright_trainer.preflight import prepare_run
from trainwright_trainer.settings import read_settings
from trainwright_trainer.train import Trainer


def main(file: Path, output: Path) -> None:
    settings = read_settings()
    group = None
    for part in json.loads(file.read_text()):
        run = Run.model_validate(part["run"])
        group = group or join_group(run, settings)
        trainer = Trainer(run, settings)
        prepared = prepare_run(run, settings, group, trainer.reporter)
        trainer.set_up(prepared, build_run(prepared, group, trainer.reporter), group)
        steps: list[dict[str, float | bool]] = []
        while len(steps) != part["until_step"]:
            began = time.monotonic()
            trainer.train_step()
            saved = trainer.saving.last_saved_step == trainer.state.step
            steps.append({"began": began, "ended": time.monotonic(), "saved": saved})
            if sum(step["saved"] for step in steps) == part["until_saves"]:
                trainer.saving.save_last(trainer.state)  # of the same step: waits for its upload
                break
        if group.rank == 0:
            (output / f"{part['name']}.json").write_text(json.dumps(steps))
        group.barrier()
    shutil.rmtree(settings.scratch_folder, ignore_errors=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
