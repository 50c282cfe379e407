"""The peak that MFU assumes of a device."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from trainwright_api.training import Precision
from trainwright_trainer.build import BuiltRun
from trainwright_trainer.hardware import find_peak_flops
from trainwright_trainer.report import Reporter
from trainwright_trainer.settings import Settings

from tests.trainer.run_builder import build_run, source


@pytest.mark.parametrize(
    ("name", "precision", "peak", "said"),
    [
        ("NVIDIA H100 80GB HBM3", Precision.BF16, 989e12, "data sheet of H100"),
        ("NVIDIA H100 PCIe", Precision.BF16, 756e12, "data sheet of H100 PCIe"),
        ("NVIDIA H100 NVL", Precision.FP32, 60e12, "data sheet of H100 NVL"),
        ("NVIDIA L4", Precision.BF16, 121e12, "data sheet of L4"),
        ("NVIDIA L40S", Precision.BF16, 362e12, "data sheet of L40S"),
        ("NVIDIA A10", Precision.BF16, 125e12, "data sheet of A10"),
        ("NVIDIA A10G", Precision.BF16, None, "no figure for NVIDIA A10G"),
        ("NVIDIA GH200 480GB", Precision.BF16, 989e12, "data sheet of GH200"),
        ("Tesla V100-PCIE-16GB", Precision.FP16, 112e12, "data sheet of V100-PCIE"),
        ("NVIDIA A100-SXM4-40GB", Precision.FP32, 19.5e12, "data sheet of A100"),
        (
            "NVIDIA A100-SXM4-40GB MIG 3g.20gb",
            Precision.BF16,
            312e12 * 3 / 7,
            "data sheet of A100, 3 of 7 slices",
        ),
        ("Something New", Precision.BF16, None, "no figure for Something New"),
    ],
)
def test_a_gpus_peak_is_its_vendors_figure(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    name: str,
    precision: Precision,
    peak: float | None,
    said: str,
) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: name)
    run = build_run(source(tmp_path))
    workers = run.workers.model_copy(update={"uses_accelerators": True})
    run = run.model_copy(update={"precision": precision, "workers": workers})
    assert find_peak_flops(run) == (pytest.approx(peak) if peak else None, said)


def test_an_unknown_peak_is_told_to_the_user(tmp_path: Path) -> None:
    reporter = Reporter(build_run(), replace(Settings(), scratch_folder=tmp_path))
    reporter.set_peak(None, "no figure for Something New")
    assert reporter.report.warnings == [
        "the run has no MFU: its devices' peak is not known (no figure for Something New)"
    ]


def test_a_cpus_peak_is_measured(tmp_path: Path) -> None:
    run = build_run(source(tmp_path))
    peak, said = find_peak_flops(run)
    assert peak is not None
    assert peak > 1e8
    assert said == "measured matrix product"


def test_memory_of_a_gpu_is_what_its_allocator_says(monkeypatch: pytest.MonkeyPatch) -> None:
    given = {"memory_allocated": 3, "memory_reserved": 5, "max_memory_allocated": 4}
    for name, value in given.items():
        monkeypatch.setattr(torch.cuda, name, lambda value=value: value)
    run = build_run(source("file:///text/"))
    workers = run.workers.model_copy(update={"uses_accelerators": True})
    prepared = SimpleNamespace(run=run.model_copy(update={"workers": workers}))
    built = BuiltRun(prepared, None, None, None)  # type: ignore[arg-type]
    assert built.read_memory() == {"allocated": 3, "reserved": 5, "peak": 4}


def test_memory_on_cpus_is_that_of_the_process() -> None:
    prepared = SimpleNamespace(run=build_run(source("file:///text/")))
    built = BuiltRun(prepared, None, None, None)  # type: ignore[arg-type]
    assert 2**20 < built.read_memory()["allocated"] < 2**36
