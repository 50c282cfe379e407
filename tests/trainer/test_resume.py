"""A run that stops and goes on is the run that never stopped: bitwise on as many processes, in loss on others."""

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from trainwright_api.resources import Adapter, AdapterType
from trainwright_api.run import Run
from trainwright_api.training import Optimizer, Precision

from tests.trainer.ranks import run_workers
from tests.trainer.tiny_runs import tiny_run

HALF, WHOLE = 4, 8


@dataclass(frozen=True)
class Layout:
    """What decides how the state is cut into shards."""

    precision: Precision
    stage: int
    adapter: bool = False

    @property
    def name(self) -> str:
        return f"{self.precision}-zero{self.stage}{'-lora' if self.adapter else ''}"


LAYOUTS = [
    Layout(Precision.FP32, 0),
    Layout(Precision.FP32, 1),
    Layout(Precision.BF16, 2),
    Layout(Precision.BF16, 3),
    Layout(Precision.BF16, 3, adapter=True),
    *([Layout(Precision.FP16, 2)] if torch.ops.mkldnn._is_mkldnn_fp16_supported() else []),
]


# What the second half is trained with where the number of processes changes too; the losses do not show it.
OTHER = Optimizer(learning_rate=1e-3, weight_decay=0.1001, epsilon=1.1e-8, gradient_clipping=1.001)


def build(folder: Path, name: str, layout: Layout, ranks: int, *, is_changed: bool) -> Run:
    """Runs of one name share a store, so that one goes on where the other stopped."""
    lora = Adapter(type=AdapterType.LORA, rank=4, dropout=0.1)
    changes: dict[str, Any] = {"adapter": lora} if layout.adapter else {}
    if is_changed:
        changes["optimizer"] = OTHER
    run = tiny_run(
        folder,
        ranks=ranks,
        steps=WHOLE,
        every_steps=1000,
        precision=layout.precision,
        stage=layout.stage,
        **changes,
    )
    store = run.checkpoints.folder.model_copy(update={"uri": f"file://{folder}/{name}/"})
    output = run.output.model_copy(update={"sample_prompts": []})
    checkpoints = run.checkpoints.model_copy(update={"folder": store})
    return run.model_copy(update={"checkpoints": checkpoints, "output": output})


@dataclass(frozen=True)
class Results:
    """What the workers left."""

    folder: Path

    def said(self, name: str) -> dict:
        return json.loads((self.folder / f"{name}.json").read_text())

    def weights(self, name: str) -> dict[str, torch.Tensor]:
        return torch.load(self.folder / f"{name}.pt")


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Results:
    """Train every layout whole and in halves."""
    folder = tmp_path_factory.mktemp("resume")
    train(folder, 2, [("whole2", WHOLE), ("same2", HALF), ("2to1", HALF)])
    with ThreadPoolExecutor() as pool:  # one process each
        alone = [("1to2", HALF)], [("2to1", WHOLE)]
        list(pool.map(partial(train, folder, 1), alone))
    train(folder, 2, [("same2", WHOLE), ("1to2", WHOLE)])
    return Results(folder)


def train(folder: Path, ranks: int, parts: list[tuple[str, int]]) -> None:
    """Train runs of every layout, each until a step, in one process group."""
    todo = [
        {
            "name": f"{name}-{layout.name}",
            "run": build(
                *(folder, f"{name}-{layout.name}", layout, ranks),
                is_changed=name in ("2to1", "1to2") and until == WHOLE,
            ).model_dump(mode="json", by_alias=True),
            "until": until,
        }
        for layout in LAYOUTS
        for name, until in parts
    ]
    group = folder / "-".join(f"{name}-{until}" for name, until in parts)
    file = group.with_suffix(".todo.json")
    file.write_text(json.dumps(todo))
    arguments = [str(file), str(folder)]
    run_workers("tests.trainer.resume_worker", arguments, num_ranks=ranks, folder=group)


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: layout.name)
def test_resumed_weights_are_bitwise_those_of_the_whole_run(
    results: Results, layout: Layout
) -> None:
    assert results.said(f"same2-{layout.name}")["first"] == HALF
    whole, pieced = (results.weights(f"{name}-{layout.name}") for name in ("whole2", "same2"))
    assert whole.keys() == pieced.keys()
    for name, tensor in whole.items():
        assert torch.equal(tensor, pieced[name]), name


@pytest.mark.parametrize("change", ["2to1", "1to2"])
@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: layout.name)
def test_another_number_of_processes_goes_on_with_the_same_losses(
    results: Results, layout: Layout, change: str
) -> None:
    resumed = results.said(f"{change}-{layout.name}")
    assert (resumed["first"], resumed["stage"]) == (HALF, layout.stage)
    whole = results.said(f"whole2-{layout.name}")["losses"][HALF:]
    tolerance = 1e-4 if layout.precision is Precision.FP32 else 5e-3
    if layout.adapter:  # other processes drop other elements
        tolerance = 5e-2
    assert resumed["losses"] == pytest.approx(whole, rel=tolerance)


@pytest.mark.parametrize("name", ["same2", "2to1", "1to2"])
@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: layout.name)
def test_a_resumed_run_has_its_own_optimizers_settings(
    results: Results, layout: Layout, name: str
) -> None:
    said = results.said(f"{name}-{layout.name}")
    optimizer = Optimizer() if name == "same2" else OTHER
    matrices = [optimizer.weight_decay, optimizer.epsilon]
    vectors = [[0.0, optimizer.epsilon]] if not layout.adapter else []
    assert said["settings"] == [matrices, *vectors]
    assert said["clipping"] in (None, optimizer.gradient_clipping)


def test_a_resumed_run_says_where_it_is_before_its_first_step(results: Results) -> None:
    said = results.said(f"same2-{LAYOUTS[0].name}")
    assert said["told"] == [HALF, WHOLE, HALF * 8, True]


def test_the_losses_of_the_second_half_are_not_those_of_a_fresh_start(results: Results) -> None:
    layout = LAYOUTS[1].name
    losses = results.said(f"whole2-{layout}")["losses"]
    assert abs(losses[HALF] - losses[0]) > 1e-2 * losses[0]
