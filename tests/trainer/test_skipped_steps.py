"""A step whose gradient is not finite leaves the weights alone, is counted, and training goes on after it."""

import json
from pathlib import Path

import pytest
from trainwright_api.training import Precision

from tests.trainer.ranks import run_workers
from tests.trainer.tiny_runs import tiny_run

LAYOUTS = [
    (Precision.FP32, 0),
    (Precision.FP32, 1),
    (Precision.BF16, 2),
    (Precision.BF16, 3),
]


def name_of(layout: tuple[Precision, int]) -> str:
    return f"{layout[0]}-zero{layout[1]}"


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Train every layout in one process; return the folder of what was seen."""
    folder = tmp_path_factory.mktemp("skipped")
    runs = {
        name_of((precision, stage)): tiny_run(
            folder, precision=precision, stage=stage, every_steps=1000
        ).model_dump(mode="json", by_alias=True)
        for precision, stage in LAYOUTS
    }
    (folder / "runs.json").write_text(json.dumps(runs))
    arguments = [str(folder / "runs.json"), str(folder)]
    run_workers("tests.trainer.skip_worker", arguments, num_ranks=1, folder=folder / "group")
    return folder


@pytest.mark.parametrize("layout", LAYOUTS, ids=name_of)
def test_a_gradient_that_is_not_finite_costs_one_step(
    told: Path, layout: tuple[Precision, int]
) -> None:
    seen = json.loads((told / f"{name_of(layout)}.json").read_text())
    assert seen == {"changed": [False, True], "counts": [1, 1], "steps": 3}
