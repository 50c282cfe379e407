"""One rank that trains several layouts of one run after another and writes each one's losses.

Called by test_loss_parity, in processes of its own. The trainer's own step is used; the layouts share
one process group, since joining and importing take longer than training does.
"""

import json
import sys
from dataclasses import replace
from pathlib import Path

from trainwright_api.run import Run

from tests.trainer.uneven import UnevenSequences
from tests.trainer.worker_runs import set_up_trainers


def main(layouts_file: Path, output: Path) -> None:
    layouts = json.loads(layouts_file.read_text())
    trainers = set_up_trainers(Run.model_validate(layout) for layout in layouts.values())
    for name, trainer in zip(layouts, trainers, strict=True):
        data = trainer.prepared.data
        data = replace(data, train=UnevenSequences(data.train))
        trainer.prepared = replace(trainer.prepared, data=data)
        for _ in range(trainer.prepared.total_steps):
            trainer.train_step()
        if trainer.group.rank == 0:
            losses = [row.loss for row in trainer.reporter.history]
            (output / f"{name}.json").write_text(json.dumps(losses))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
