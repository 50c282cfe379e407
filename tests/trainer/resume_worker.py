"""One rank that trains runs one after another as the trainer does, up to a given step of each.

Called by test_resume, in processes of its own: `FILE` holds a list of {name, run, until}. Each run
starts from its newest checkpoint, saves at `until`, and its losses go to OUTPUT/name.json, its final
weights to OUTPUT/name.pt.
"""

import json
import shutil
import sys
from pathlib import Path

import torch
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
        trainer.state = trainer.saving.resume()
        first, losses = trainer.state.step, []
        while trainer.state.step < part["until"]:
            trainer.train_step()
            losses.append(trainer.state.loss)
        trainer.saving.save_last(trainer.state)
        weights = trainer.built.engine.gather_weights(keep=group.rank == 0)
        if group.rank == 0:
            said = {"first": first, "losses": losses, "stage": prepared.plan.zero_stage}
            (output / f"{part['name']}.json").write_text(json.dumps(said))
            torch.save(weights, output / f"{part['name']}.pt")
        group.barrier()
    shutil.rmtree(settings.scratch_folder, ignore_errors=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
