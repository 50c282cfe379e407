"""One rank that trains runs one after another and writes their losses and what the engine did for memory.

Called by test_memory_settings, in processes of its own: `FILE` holds runs by name, and what was seen goes
to OUTPUT/name.json.
"""

import json
import sys
from pathlib import Path
from typing import Any

import torch
from trainwright_api.run import Run

from tests.trainer.worker_runs import set_up_trainers


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
    runs = json.loads(file.read_text())
    trainers = set_up_trainers(Run.model_validate(run) for run in runs.values())
    for name, trainer in zip(runs, trainers, strict=True):
        engine, prepared = trainer.built.engine, trainer.prepared
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
        if trainer.group.rank == 0:
            (output / f"{name}.json").write_text(json.dumps(told))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
