"""Offload and activation checkpointing save memory and change no loss.

Each layout is trained with and without; what the engine did is asked too, as losses alone would also be
equal if a setting were ignored.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pytest
from trainwright_api.resources import Adapter, AdapterType
from trainwright_api.run import Run
from trainwright_api.training import ActivationCheckpointing, OffloadDevice, Optimizer

from tests.trainer.ranks import run_workers
from tests.trainer.tiny_runs import TINY, tiny_run

RANKS, STEPS = 2, 8
MICRO_BATCHES = 2  # per rank and step
TOLERANCE = 1e-5  # of the loss, in FP32


@dataclass(frozen=True)
class Layout:
    """A run, by what it does to save memory."""

    stage: int
    adapter: bool = False
    optimizer: bool = False  # offloaded
    parameters: bool = False  # offloaded
    recomputes: bool = False

    @property
    def name(self) -> str:
        said = [name for name, is_on in asdict(self).items() if is_on is True]
        return "-".join([f"zero{self.stage}", *said])

    @property
    def base(self) -> "Layout":
        return Layout(self.stage, self.adapter)


SAVING = [
    Layout(1, optimizer=True),
    Layout(3, optimizer=True),
    Layout(3, parameters=True),
    Layout(3, optimizer=True, parameters=True),
    Layout(1, recomputes=True),
    Layout(3, recomputes=True),
    Layout(1, adapter=True, recomputes=True),
    Layout(3, adapter=True, optimizer=True, parameters=True, recomputes=True),
]
# In this order and each once.
LAYOUTS = list(dict.fromkeys([*(layout.base for layout in SAVING), *SAVING]))


def build(folder: Path, layout: Layout) -> Run:
    def device(is_on: bool) -> OffloadDevice:
        return OffloadDevice.CPU if is_on else OffloadDevice.NONE

    changes: dict[str, Any] = {}
    if layout.adapter:
        changes["adapter"] = Adapter(type=AdapterType.LORA, rank=4)
        changes["optimizer"] = Optimizer(learning_rate=0.02)  # beside frozen random weights
    if layout.recomputes:
        changes["activation_checkpointing"] = ActivationCheckpointing.FULL
    run = tiny_run(
        folder,
        ranks=RANKS,
        steps=STEPS,
        sequences=8,
        micro=8 // RANKS // MICRO_BATCHES,
        stage=layout.stage,
        every_steps=1000,
        **changes,
    )
    offload = {
        "offload_optimizer": device(layout.optimizer),
        "offload_parameters": device(layout.parameters),
    }
    return run.model_copy(update={"parallelism": run.parallelism.model_copy(update=offload)})


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """What the worker says of each layout; all of them share one process group."""
    folder = tmp_path_factory.mktemp("memory")
    runs = {
        layout.name: build(folder, layout).model_dump(mode="json", by_alias=True)
        for layout in LAYOUTS
    }
    file = folder / "runs.json"
    file.write_text(json.dumps(runs))
    arguments = [str(file), str(folder)]
    run_workers("tests.trainer.memory_worker", arguments, num_ranks=RANKS, folder=folder / "group")
    return {name: json.loads((folder / f"{name}.json").read_text()) for name in runs}


@pytest.mark.parametrize("layout", SAVING, ids=lambda layout: layout.name)
def test_losses_are_those_of_the_run_that_saves_no_memory(
    told: dict[str, dict[str, Any]], layout: Layout
) -> None:
    losses, expected = (told[which.name]["losses"] for which in (layout, layout.base))
    assert len(losses) == STEPS
    assert expected[-1] < expected[0] - 0.05
    assert losses == pytest.approx(expected, rel=TOLERANCE)


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: layout.name)
def test_the_engine_does_what_the_run_says(told: dict[str, dict[str, Any]], layout: Layout) -> None:
    found = told[layout.name]
    assert found["offloads_optimizer"] is layout.optimizer
    assert found["offloads_parameters"] is layout.parameters
    once = STEPS * MICRO_BATCHES * TINY["num_hidden_layers"]
    assert found["num_layer_forwards"] == (2 * once if layout.recomputes else once)
