"""One rank that trains runs one after another as the trainer does, up to a given step of each.

Called by test_resume, in processes of its own: `FILE` holds a list of {name, run, until}. Each run
starts from its newest checkpoint, saves at `until`, and its losses go to OUTPUT/name.json, its final
weights to OUTPUT/name.pt.
"""

import json
import sys
from pathlib import Path

import torch
from trainwright_api.run import Run

from tests.trainer.worker_runs import set_up_trainers


def main(file: Path, output: Path) -> None:
    parts = json.loads(file.read_text())
    trainers = set_up_trainers(Run.model_validate(part["run"]) for part in parts)
    for part, trainer in zip(parts, trainers, strict=True):
        trainer.resume()
        first, losses = trainer.state.step, []
        told, optimizer = trainer.reporter.progress, trainer.built.engine.optimizer
        settings = [
            [group[name] for name in ("weight_decay", "eps")] for group in optimizer.param_groups
        ]
        while trainer.state.step < part["until"]:
            trainer.train_step()
            losses.append(trainer.state.loss)
        trainer.saving.save_last(trainer.state)
        weights = trainer.built.engine.gather_weights(keep=trainer.group.rank == 0)
        if trainer.group.rank == 0:
            said = {
                "first": first,
                "losses": losses,
                "stage": trainer.prepared.plan.zero_stage,
                "told": [told.step, told.total_steps, told.samples, told.loss is not None],
                "settings": settings,
                "clipping": getattr(optimizer, "clip_grad", None),
            }
            (output / f"{part['name']}.json").write_text(json.dumps(said))
            torch.save(weights, output / f"{part['name']}.pt")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
