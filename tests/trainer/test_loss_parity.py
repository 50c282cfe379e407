"""The first 50 losses on the demo's model equal those of a plain PyTorch loop, whatever the layout.

The sequences have different numbers of trained tokens: the loss is exact by token.
"""

import json
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import product
from pathlib import Path

import pytest
from trainwright_api.run import Run
from trainwright_api.training import Precision

from tests.trainer.plain_loop import plain_losses
from tests.trainer.ranks import run_workers
from tests.trainer.tiny_runs import DEMO, tiny_run

pytestmark = pytest.mark.timeout(3000)  # without hardware for BF16 its layouts take minutes each

STEPS, SEQUENCES = 50, 8
TOLERANCE = {Precision.FP32: 1e-5, Precision.BF16: 1e-2}
# (precision, ranks, accumulation, ZeRO stage)
LAYOUTS = [
    *product(TOLERANCE, (1, 2), (1, 4), (1, 2, 3)),
    (Precision.FP32, 2, 1, 0),
]


def name_of(layout: tuple[Precision, int, int, int]) -> str:
    precision, ranks, accumulation, stage = layout
    return f"{precision}-{ranks}ranks-accumulate{accumulation}-zero{stage}"


@pytest.fixture(scope="module")
def losses(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[float]]:
    """All layouts' losses, and the plain loop's by precision."""
    folder = tmp_path_factory.mktemp("parity")
    runs = {precision: build(folder, (precision, 1, 1, 1), "plain") for precision in TOLERANCE}
    alone = [layout for layout in LAYOUTS if layout[1] == 1]
    together = [layout for layout in LAYOUTS if layout[1] == 2]
    with ThreadPoolExecutor() as pool:
        parts = pool.map(partial(train, folder), (alone[::2], alone[1::2]), "ab")
        found = {name: plain_losses(run, folder / f"plain-{name}") for name, run in runs.items()}
        for part in parts:
            found |= part
    return found | train(folder, together, "c")


def train(
    folder: Path, layouts: list[tuple[Precision, int, int, int]], group: str
) -> dict[str, list[float]]:
    """Train layouts of one number of ranks in one process group; return the losses of each."""
    runs = {
        name_of(layout): build(folder, layout, group).model_dump(mode="json", by_alias=True)
        for layout in layouts
    }
    file = folder / f"{group}.json"
    file.write_text(json.dumps(runs))
    run_workers(
        "tests.trainer.parity_worker",
        [str(file), str(folder)],
        num_ranks=layouts[0][1],
        folder=folder / group,
    )
    return {name: json.loads((folder / f"{name}.json").read_text()) for name in runs}


def build(folder: Path, layout: tuple[Precision, int, int, int], group: str) -> Run:
    """Return the run of one layout; groups train at the same time, each with its store."""
    precision, ranks, accumulation, stage = layout
    return tiny_run(
        folder,
        store=folder / f"store-{group}",
        model_config=DEMO,
        vocabulary=4096,
        sequence_length=4,  # BF16 without hardware for it costs by the token
        steps=STEPS,
        sequences=SEQUENCES,
        micro=SEQUENCES // ranks // accumulation,
        ranks=ranks,
        stage=stage,
        precision=precision,
        every_steps=1000,
    )


@pytest.mark.parametrize("layout", LAYOUTS, ids=name_of)
def test_losses_equal_the_plain_loops(losses: dict[str, list[float]], layout) -> None:
    ours, plain = losses[name_of(layout)], losses[layout[0]]
    assert len(ours) == len(plain) == STEPS
    assert plain[-1] < plain[0] - 1
    worst = max(abs(a - b) / b for a, b in zip(ours, plain, strict=True))
    assert worst <= TOLERANCE[layout[0]], f"{worst:.2e}"
