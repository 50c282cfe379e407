"""The device metrics against a fake management library, in a process of their own.

The library is found through LD_LIBRARY_PATH, which a process reads once at its start; so each case
runs a small program and looks at what it prints.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fake_nvml import build_fake_nvml

PROGRAM = """
import json, sys, time
from prometheus_client import CollectorRegistry, generate_latest
from trainwright_trainer.gpu_metrics import GpuCollector, summarize_gpus
from trainwright_trainer.nvml import open_nvml
nvml = open_nvml()
if nvml is None:
    print(json.dumps(None)); sys.exit()
deadline = time.monotonic() + 5
while time.monotonic() < deadline and len(nvml.read_samples()[3].xid_events) < int(sys.argv[1]):
    time.sleep(0.02)
registry = CollectorRegistry()
registry.register(GpuCollector(nvml, first_rank=8))
text = generate_latest(registry).decode()
summary = summarize_gpus(nvml.read_samples(), 8, 16).to_manifest()
nvml.close()
print(json.dumps({"text": text, "summary": summary}))
"""


@pytest.fixture(scope="module")
def library_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_fake_nvml(tmp_path_factory.mktemp("nvml")).parent


def run_program(folder: Path, tmp_path: Path, *lines: str, wait_for_xids: int = 0):
    state = tmp_path / "state"
    state.write_text("".join(f"{line}\n" for line in lines))
    environment = os.environ | {"LD_LIBRARY_PATH": str(folder), "FAKE_NVML_STATE": str(state)}
    command = [sys.executable, "-c", PROGRAM, str(wait_for_xids)]
    done = subprocess.run(
        command, env=environment, check=True, capture_output=True, text=True, timeout=30
    )
    return json.loads(done.stdout)


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
    samples = [line.rpartition(" ") for line in result["text"].splitlines() if line[0] != "#"]
    values = {name: float(value) for name, _, value in samples}
    first = 'gpu="2",rank="10",uuid="MIG-fake-0002-1"'
    second = 'gpu="3",rank="11",uuid="MIG-fake-0002-2"'
    for labels in (first, second):
        assert values[f"trainwright_gpu_memory_total_bytes{{{labels}}}"] == 40 << 30
        assert values[f"trainwright_gpu_temperature_celsius{{{labels}}}"] == 70
        assert f"trainwright_gpu_power_watts{{{labels}}}" not in values
        assert values[f'trainwright_gpu_xid_events_total{{{labels},xid="79"}}'] == 1
    whole = 'gpu="4",rank="12",uuid="GPU-fake-0003"'
    assert values[f"trainwright_gpu_memory_total_bytes{{{whole}}}"] == 80 << 30
    assert f'trainwright_gpu_xid_events_total{{{first},xid="13"}}' not in values
    assert values[f'trainwright_gpu_xid_events_total{{{second},xid="13"}}'] == 1
    assert 'mig="enabled",model="Fake GPU 80GB MIG 3g.40gb"' in result["text"]


def test_no_driver_means_no_devices(library_folder: Path, tmp_path: Path) -> None:
    assert run_program(library_folder, tmp_path, "fail nvmlInitWithFlags 9") is None
    assert run_program(library_folder, tmp_path, "count 0") is None
