"""The device metrics against a fake management library, in a process of their own.

The library is found through LD_LIBRARY_PATH, which a process reads once at its start; so each case
runs a small program and looks at what it prints.
"""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from trainwright_api import metrics as m
from trainwright_trainer.nvml import THROTTLE_REASONS

from tests.fake_nvml import build_fake_nvml

SERIES_OF_AN_INSTANCE = 13  # and Xid events; operator/docs/monitoring.md states it

PROGRAM = """
import json, os, sys, time
from prometheus_client import CollectorRegistry, generate_latest
from trainwright_trainer.gpu_metrics import GpuCollector, summarize_gpus
from trainwright_trainer.nvml import open_nvml
nvml = open_nvml()
if nvml is None:
    print(json.dumps(None)); sys.exit()
with open(os.environ["FAKE_NVML_STATE"], "a") as file:
    file.write(sys.argv[2])
deadline = time.monotonic() + 20
while time.monotonic() < deadline and int(sys.argv[1]) > sum(
    sum(sample.xid_events.values()) for sample in nvml.read_samples() if sample.index == 3
):
    time.sleep(0.02)
registry = CollectorRegistry()
registry.register(GpuCollector(nvml.read_samples, first_rank=8))
text = generate_latest(registry).decode()
summary = summarize_gpus(nvml.read_samples(), 8, 16).to_manifest()
nvml.close()
print(json.dumps({"text": text, "summary": summary}))
"""


@pytest.fixture(scope="module")
def library_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_fake_nvml(tmp_path_factory.mktemp("nvml")).parent


def run_program(
    folder: Path, tmp_path: Path, *lines: str, then: Sequence[str] = (), wait_for_xids: int = 0
):
    """What the program says; `then` happens once it has opened the library."""
    state = tmp_path / "state"
    state.write_text("".join(f"{line}\n" for line in lines))
    environment = os.environ | {"LD_LIBRARY_PATH": str(folder), "FAKE_NVML_STATE": str(state)}
    command = [sys.executable, "-c", PROGRAM, str(wait_for_xids)]
    command.append("".join(f"{line}\n" for line in then))
    done = subprocess.run(
        command, env=environment, check=True, capture_output=True, text=True, timeout=30
    )
    return json.loads(done.stdout)


def series_of(result: dict[str, Any]) -> dict[str, float]:
    samples = [line.rpartition(" ") for line in result["text"].splitlines() if line[0] != "#"]
    return {name: float(value) for name, _, value in samples}


def test_every_metric_of_eight_devices_is_reported(library_folder: Path, tmp_path: Path) -> None:
    result = run_program(
        library_folder,
        tmp_path,
        *("util 3 10", "throttle 3 64", "xid 3 79", "pcie_replays 3 4"),
        wait_for_xids=1,
    )
    text = result["text"]
    assert 'trainwright_gpu_utilization_ratio{gpu="3",rank="11",uuid="GPU-fake-0003"} 0.1' in text
    assert 'reason="hw_thermal_slowdown",uuid="GPU-fake-0003"} 1.0' in text
    assert 'xid="79"} 1.0' in text
    assert 'trainwright_gpu_pcie_replays_total{gpu="3",rank="11",uuid="GPU-fake-0003"} 4.0' in text
    assert len([line for line in text.splitlines() if not line.startswith("#")]) <= 400
    assert result["summary"] == {
        "device": "Fake GPU 80GB",
        "accelerators": 16,
        "utilizationPercent": 80.0,
        "memoryUsedGiB": 40.0,
        "memoryTotalGiB": 80.0,
        "powerWatts": 4000.0,
        "temperatureCelsius": 60.0,
        "worstRank": 11,
        "worstUtilizationPercent": 10.0,
    }


def test_what_a_driver_does_not_offer_is_left_out(library_folder: Path, tmp_path: Path) -> None:
    result = run_program(
        library_folder,
        tmp_path,
        "fail nvmlDeviceGetPowerUsage 3",
        "fail nvmlDeviceGetUtilizationRates 3",
        "fail nvmlEventSetCreate 3",
    )
    assert "trainwright_gpu_power_watts" not in result["text"]
    assert "trainwright_gpu_temperature_celsius{" in result["text"]
    assert "utilizationPercent" not in result["summary"]


def test_of_a_gpu_in_mig_mode_the_instances_are_the_devices(
    library_folder: Path, tmp_path: Path
) -> None:
    result = run_program(
        library_folder,
        tmp_path,
        *("count 4", "mig 2 2", "temperature 2 70", "xid 2 13 2", "xid 2 79"),
        wait_for_xids=2,
    )
    values = series_of(result)
    first = 'gpu="2",rank="10",uuid="MIG-fake-0002-1"'
    second = 'gpu="3",rank="11",uuid="MIG-fake-0002-2"'
    for labels in (first, second):
        assert values[f"trainwright_gpu_memory_total_bytes{{{labels}}}"] == 40 << 30
        assert values[f"trainwright_gpu_temperature_celsius{{{labels}}}"] == 70
        assert f"trainwright_gpu_power_watts{{{labels}}}" not in values
        assert values[f'trainwright_gpu_xid_events_total{{{labels},xid="79"}}'] == 1
        of_it = [
            name for name in values if labels.rpartition(",")[2] in name and "xid=" not in name
        ]
        assert len(of_it) == SERIES_OF_AN_INSTANCE
    whole = 'gpu="4",rank="12",uuid="GPU-fake-0003"'
    assert values[f"trainwright_gpu_memory_total_bytes{{{whole}}}"] == 80 << 30
    assert f'trainwright_gpu_xid_events_total{{{first},xid="13"}}' not in values
    assert values[f'trainwright_gpu_xid_events_total{{{second},xid="13"}}'] == 1
    assert 'mig="enabled",model="Fake GPU 80GB MIG 3g.40gb"' in result["text"]


def test_no_driver_means_no_devices(library_folder: Path, tmp_path: Path) -> None:
    assert run_program(library_folder, tmp_path, "fail nvmlInitWithFlags 9") is None
    assert run_program(library_folder, tmp_path, "count 0") is None


def test_every_figure_has_its_own_value_in_base_units(library_folder: Path, tmp_path: Path) -> None:
    told = {
        "util": 11,
        "memory_used": 12,
        "memory_total": 13,
        "power": 14_500,
        "temperature": 15,
        "sm_clock": 16,
        "memory_clock": 17,
        "ecc_corrected": 18,
        "ecc_uncorrected": 19,
        "pcie_rx": 20,
        "pcie_tx": 21,
        "pcie_replays": 22,
        "nvlink_rx": 23,
        "nvlink_tx": 24,
        "nvlink_errors": 25,
        "unsupported_field": 52,  # replays, of the errors
    }
    lines = [f"{key} 0 {value}" for key, value in told.items()]
    # An older driver knows one function by its older name.
    old = "fail nvmlDeviceGetCurrentClocksEventReasons 13"
    result = run_program(library_folder, tmp_path, "count 1", *lines, "throttle 0 4", old)
    device = {"gpu": "0", "rank": "8", "uuid": "GPU-fake-0000"}
    reasons = {
        (m.GPU_THROTTLED, "reason", reason): float(reason == "sw_power_cap")
        for reason in THROTTLE_REASONS
    }
    expected: dict[tuple[m.Metric, str, str], float] = reasons | {
        (m.GPU_UTILIZATION, "", ""): 0.11,
        (m.GPU_MEMORY_USED, "", ""): 12,
        (m.GPU_MEMORY_TOTAL, "", ""): 13,
        (m.GPU_POWER, "", ""): 14.5,
        (m.GPU_TEMPERATURE, "", ""): 15,
        (m.GPU_CLOCK, "domain", "sm"): 16e6,
        (m.GPU_CLOCK, "domain", "memory"): 17e6,
        (m.GPU_ECC_ERRORS, "type", "corrected"): 18,
        (m.GPU_ECC_ERRORS, "type", "uncorrected"): 19,
        (m.GPU_PCIE_BYTES, "direction", "rx"): 20_000,
        (m.GPU_PCIE_BYTES, "direction", "tx"): 21_000,
        (m.GPU_PCIE_REPLAYS, "", ""): 22,
        (m.GPU_NVLINK_BYTES, "direction", "rx"): 23 * 1024,
        (m.GPU_NVLINK_BYTES, "direction", "tx"): 24 * 1024,
        (m.GPU_NVLINK_ERRORS, "", ""): 25,
    }
    wanted = {}
    for (metric, label, value), figure in expected.items():
        labels = sorted((device | ({label: value} if label else {})).items())
        text = ",".join(f'{key}="{said}"' for key, said in labels)
        wanted[f"{metric.name}{{{text}}}"] = figure
    found = series_of(result)
    assert {name: found.pop(name, None) for name in wanted} == pytest.approx(wanted)
    assert [name.partition("{")[0] for name in found] == [m.GPU_INFO.name]


def test_the_last_event_of_a_lost_gpu_has_its_name(library_folder: Path, tmp_path: Path) -> None:
    lost = ("fail * 15 3", "xid 3 79")
    found = series_of(run_program(library_folder, tmp_path, then=lost, wait_for_xids=1))
    of_it = [name for name in found if 'gpu="3"' in name]
    assert all('uuid="GPU-fake-0003"' in name and 'rank="11"' in name for name in of_it)
    events = [name for name in found if name.startswith(m.GPU_XID_EVENTS.name)]
    assert events == [f'{m.GPU_XID_EVENTS.name}{{gpu="3",rank="11",uuid="GPU-fake-0003",xid="79"}}']


def test_a_gpu_that_is_gone_at_the_start_hides_no_other(
    library_folder: Path, tmp_path: Path
) -> None:
    gone = "fail nvmlDeviceGetHandleByIndex_v2 15 2"
    found = series_of(
        run_program(library_folder, tmp_path, gone, "fail nvmlSystemGetDriverVersion 999")
    )
    used = [name for name in found if name.startswith(m.GPU_UTILIZATION.name)]
    assert used == [
        f'{m.GPU_UTILIZATION.name}{{gpu="{gpu}",rank="{8 + gpu}",uuid="GPU-fake-{gpu:04d}"}}'
        for gpu in (0, 1, 3, 4, 5, 6, 7)
    ]
    assert sum('driver="unknown"' in name for name in found) == 7


def test_codes_beyond_the_first_of_a_device_count_together(
    library_folder: Path, tmp_path: Path
) -> None:
    codes = (13, 31, 43, 45, 48, 63, 13)
    lines = [f"xid 3 {code}" for code in codes]
    found = series_of(run_program(library_folder, tmp_path, *lines, wait_for_xids=len(codes)))
    counts = {
        name.rpartition('xid="')[2].rstrip('"}'): value
        for name, value in found.items()
        if name.startswith(m.GPU_XID_EVENTS.name)
    }
    assert counts == {"13": 2, "31": 1, "43": 1, "45": 1, "other": 2}
