"""One rank that trains several layouts of one run after another and writes each one's losses.

Called by test_loss_parity, in processes of its own. The trainer's own step is used; the layouts share
one process group, since joining and importing take longer than training does.
"""

import json
import shutil
import sys
from pathlib import Path

from trainwright_api.run import Run
from trainwright_trainer.build import build_run
from trainwright_trainer.distributed import join_group
from trainwright_trainer.preflight import prepare_run
from trainwright_trainer.settings import read_settings
from trainwright_trainer.train import Trainer


def main(layouts_file: Path, output: Path) -> None:
    settings = read_settings()
    layouts = json.loads(layouts_file.read_text())
    runs = {name: Run.model_validate(layout) for name, layout in layouts.items()}
    group = join_group(next(iter(runs.values())), settings)
    for name, run in runs.items():
        trainer = Trainer(run, settings)
        prepared = prepare_run(run, settings, group, trainer.reporter)
        trainer.set_up(prepared, build_run(prepared, group, trainer.reporter), group)
        for _ in range(prepared.total_steps):
            trainer.train_step()
        if group.rank == 0:
            losses = [row.loss for row in trainer.reporter.history]
            (output / f"{name}.json").write_text(json.dumps(losses))
    group.barrier()
    shutil.rmtree(settings.scratch_folder, ignore_errors=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
