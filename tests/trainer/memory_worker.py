"""One rank that trains runs one after another and writes their losses and what the engine did for memory.

Called by test_memory_settings, in processes of its own: `FILE` holds runs by name, and what was seen goes
to OUTPUT/name.json.
"""

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import torch
from trainwright_api.run import Run
from trainwright_trainer.build import build_run
from trainwright_trainer.distributed import join_group
from trainwright_trainer.preflight import prepare_run
from trainwright_trainer.settings import read_settings
from trainwright_trainer.train import Trainer


class Counter:
    """Counts the forward passes of the layers' feed-forward parts, those of a recomputation too."""

    def __init__(self, module: torch.nn.Module) -> None:
        self.num_passes = 0
        for name, part in module.named_modules():
            if name.endswith(".mlp"):
                # Before, as a recomputation ends early, inside the last part of a layer.
                part.register_forward_pre_hook(self._count)

    def _count(self, *_: Any) -> None:
        self.num_passes += 1


def main(file: Path, output: Path) -> None:
    settings = read_settings()
    runs = {name: Run.model_validate(run) for name, run in json.loads(file.read_text()).items()}
    group = join_group(next(iter(runs.values())), settings)
    for name, run in runs.items():
        trainer = Trainer(run, settings)
        prepared = prepare_run(run, settings, group, trainer.reporter)
        trainer.set_up(prepared, build_run(prepared, group, trainer.reporter), group)
        engine = trainer.built.engine
        counter = Counter(engine.module)
        losses = []
        for _ in range(prepared.total_steps):
            trainer.train_step()
            losses.append(trainer.state.loss)
        optimizer: Any = engine.optimizer
        is_stage_3 = prepared.plan.zero_stage == 3
        told = {
            "losses": losses,
            "offloads_optimizer": bool(
                optimizer.offload_optimizer if is_stage_3 else optimizer.cpu_offload
            ),
            "offloads_parameters": is_stage_3 and bool(optimizer.offload_param),
            "num_layer_forwards": counter.num_passes,
        }
        if group.rank == 0:
            (output / f"{name}.json").write_text(json.dumps(told))
    group.barrier()
    shutil.rmtree(settings.scratch_folder, ignore_errors=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
