import subprocess
import sys
from pathlib import Path

import pytest
from trainwright_api.training import Precision
from trainwright_trainer import bf16_products
from trainwright_trainer.bf16_products import has_bf16_kernels, needs_fp32_products

from tests.trainer.ranks import HANG_SECONDS
from tests.trainer.tiny_runs import tiny_run


@pytest.mark.parametrize(
    ("precision", "uses_accelerators", "has_kernels", "is_needed"),
    [
        (Precision.BF16, False, False, True),
        (Precision.BF16, False, True, False),
        (Precision.BF16, True, False, False),
        (Precision.FP32, False, False, False),
    ],
)
def test_bf16_is_multiplied_in_fp32_where_the_cpu_has_no_kernels_for_it(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    precision: Precision,
    uses_accelerators: bool,
    has_kernels: bool,
    is_needed: bool,
) -> None:
    monkeypatch.setattr(bf16_products, "has_bf16_kernels", lambda: has_kernels)
    run = tiny_run(tmp_path, precision=precision)
    workers = run.workers.model_copy(update={"uses_accelerators": uses_accelerators})
    assert needs_fp32_products(run.model_copy(update={"workers": workers})) == is_needed


def test_products_are_those_of_pytorchs_kernels_and_faster_where_they_are_needed() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.trainer.bf16_worker"],
        capture_output=True,
        text=True,
        timeout=HANG_SECONDS,
    )
    assert done.returncode == 0, done.stderr
    if not has_bf16_kernels():
        assert float(done.stdout) > 2
