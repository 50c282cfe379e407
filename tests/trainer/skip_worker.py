"""One rank that trains runs one after another, each with a step in its middle whose gradient is not finite.

Called by test_skipped_steps, in a process of its own: `FILE` holds runs by name, and what was seen goes
to OUTPUT/name.json.
"""

import json
import sys
from itertools import pairwise
from pathlib import Path

import torch
from trainwright_api import metrics as m
from trainwright_api.run import Run

from tests.trainer.worker_runs import set_up_trainers


def main(file: Path, output: Path) -> None:
    runs = json.loads(file.read_text())
    trainers = set_up_trainers(Run.model_validate(run) for run in runs.values())
    for name, trainer in zip(runs, trainers, strict=True):
        engine, registry = trainer.built.engine, trainer.reporter.metrics.registry
        trainer.train_step()
        weights = [engine.gather_weights(keep=True)]
        poisoned = next(p for p in engine.module.parameters() if p.requires_grad)
        hook = poisoned.register_hook(lambda gradient: gradient * float("inf"))
        trainer.train_step()
        hook.remove()
        counts = [registry.get_sample_value(m.SKIPPED_STEPS.name)]
        weights.append(engine.gather_weights(keep=True))
        trainer.train_step()
        weights.append(engine.gather_weights(keep=True))
        counts.append(registry.get_sample_value(m.SKIPPED_STEPS.name))
        told = {
            "changed": [_is_other(*pair) for pair in pairwise(weights)],
            "counts": counts,
            "steps": trainer.state.step,
        }
        (output / f"{name}.json").write_text(json.dumps(told))


def _is_other(one: dict[str, torch.Tensor], two: dict[str, torch.Tensor]) -> bool:
    return any(not torch.equal(tensor, two[name]) for name, tensor in one.items())


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
