"""The summary of all pods' devices, and which pods have devices of their own."""

from dataclasses import replace

import pytest
from trainwright_api.status import Hardware
from trainwright_trainer.pod_hardware import RecentMean, merge_hardware
from trainwright_trainer.settings import Settings, read_settings

FIRST = Hardware(
    device="H100",
    accelerators=16,
    utilization_percent=90,
    memory_used_gib=60,
    memory_total_gib=80,
    power_watts=5000,
    temperature_celsius=70,
    worst_rank=2,
    worst_utilization_percent=80,
)


@pytest.mark.parametrize(
    ("others", "changes"),
    [
        ([], {}),
        (
            [{"utilization_percent": 50, "worst_rank": 11, "worst_utilization_percent": 5}],
            {"utilization_percent": 70, "worst_rank": 11, "worst_utilization_percent": 5},
        ),
        ([{"worst_rank": 12, "worst_utilization_percent": 85}], {}),
        ([{"memory_used_gib": 75}], {"memory_used_gib": 75}),
        ([{"temperature_celsius": 91}], {"temperature_celsius": 91}),
        ([{"power_watts": 4000}, {"power_watts": None}], {"power_watts": 9000}),
        (
            [{"utilization_percent": None, "worst_utilization_percent": None, "worst_rank": None}],
            {},
        ),
    ],
    ids=["alone", "worst", "no worse", "fullest", "hottest", "power of all", "one does not say"],
)
def test_merged(others: list[dict[str, float | None]], changes: dict[str, float]) -> None:
    silent = FIRST.model_copy(update={"power_watts": None})
    parts = [FIRST, *(silent.model_copy(update=other) for other in others)]
    assert merge_hardware(parts) == FIRST.model_copy(update=changes)


def test_pods_that_know_nothing_are_summed_up_as_such() -> None:
    cpu = Hardware(device="CPU (1 cores)", accelerators=2)
    assert merge_hardware([cpu, cpu]) == cpu


@pytest.mark.parametrize(
    ("devices", "expected"),
    [
        ("", False),
        ("all", False),
        ("void", False),
        ("none", False),
        ("GPU-1,GPU-2", True),
        ("0", True),
    ],
)
def test_only_what_a_device_plugin_gave_is_the_pods_own(devices: str, expected: bool) -> None:
    assert read_settings({"NVIDIA_VISIBLE_DEVICES": devices}).has_given_devices is expected
    assert replace(Settings(), visible_devices=devices).has_given_devices is expected


def test_a_mean_is_of_the_newest_values_of_its_key() -> None:
    means = RecentMean(2)
    assert means.add("a", 1) == 1
    assert means.add("b", 9) == 9
    assert means.add("a", 3) == 2
    assert means.add("a", 5) == 4
