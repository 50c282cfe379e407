"""Numbers as `kubectl get` and the CLI show them."""

import pytest
from trainwright_api.printable import printable_hardware, printable_progress
from trainwright_api.status import Hardware, Progress


def test_progress_is_rounded_for_people() -> None:
    progress = Progress(
        step=120,
        total_steps=400,
        loss=2.345678,
        tokens_per_second=123456.7,
        mfu=0.41237,
        eta_seconds=200.4,
    )
    shown = printable_progress(progress)
    assert shown.step_text == "120/400"
    assert shown.loss_text == "2.3457"
    assert shown.tokens_per_second_text == "123457"
    assert shown.mfu_text == "41.2%"
    assert shown.eta_text == "3m20s"
    assert shown.loss == progress.loss


def test_what_is_not_known_is_not_shown() -> None:
    shown = printable_progress(Progress(step=3))
    assert shown.step_text == "3"
    assert (shown.loss_text, shown.mfu_text, shown.eta_text) == (None, None, None)


@pytest.mark.parametrize(
    ("hardware", "summary"),
    [
        (Hardware(device="CPU", accelerators=2), "2x CPU"),
        (
            Hardware(
                device="NVIDIA H100",
                accelerators=16,
                utilization_percent=92.6,
                memory_used_gib=61.34,
                memory_total_gib=80,
                power_watts=9650.2,
            ),
            "16x NVIDIA H100 93% 61.3/80GiB 9650W",
        ),
        (Hardware(device="L4", accelerators=1, memory_used_gib=3), "1x L4 3.0GiB"),
    ],
)
def test_hardware_fits_a_line(hardware: Hardware, summary: str) -> None:
    assert printable_hardware(hardware).summary == summary
