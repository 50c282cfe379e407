"""A status in a few lines."""

from trainwright_api.status import RunStatus
from trainwright_api.summary import MAXIMUM_LINE, build_summary

from tests.terminals.runs import a_status, an_attempt


def summary_of(**status: object) -> list[str]:
    return build_summary(RunStatus.model_validate(status))


def test_a_long_run_is_told_in_a_few_lines() -> None:
    assert summary_of(**a_status(reason="Training")) == [
        "Running (Training), attempt 3",
        "step 120 of 400, 30 %, 3m20s left, 491,520 tokens",
        "loss 4.2100, validation loss 4.5000, 123,456 tokens/s, MFU 41.2%",
        "plan: ZeRO 1 on 4 devices, 8.25 of 79.60 GiB per device, fits",
        "hardware: 4x H100 93% 61.0/80GiB 2400W, hottest 88 degrees Celsius, worst rank 3",
        "checkpoint: step 120, 143.1 MiB, verified, best is step 80",
        "attempt 1: Infrastructure, after 3m00s, steps 0 to 45, 5 lost: gpt-1-worker-0 on gpu-node-7: "
        "NCCL: the link to rank 3 is down",
        "attempt 2: OutOfMemory, after 3m00s, steps 40 to 85, 5 lost: gpt-2-worker-0 on gpu-node-7: "
        "NCCL: the link to rank 3 is down",
        "attempt 3: runs, steps 80 to 120",
    ]


def test_a_run_that_has_nothing_yet_has_one_line() -> None:
    assert summary_of(phase="Pending") == ["Pending, attempt 0"]


def test_lines_are_cut_and_never_broken() -> None:
    attempt = an_attempt(1, message="one\ntwo " * 100, startedAt="soon", endedAt="later")
    line = summary_of(phase="Failed", attempts=[attempt])[1]
    assert len(line) == MAXIMUM_LINE
    assert line.startswith("attempt 1: Infrastructure, steps 0 to 45")
    assert "\n" not in line


def test_devices_and_cost_have_a_line_each_and_say_nothing_twice() -> None:
    hardware = {"device": "H100", "accelerators": 2, "summary": "2x H100 61% worst rank 1 31%"}
    hardware |= {"worstRank": 1, "worstUtilizationPercent": 31}
    assert summary_of(phase="Running", hardware=hardware, cost={"summary": "$12.00 of $36.00"}) == [
        "Running, attempt 0",
        "hardware: 2x H100 61% worst rank 1 31%",
        "cost: $12.00 of $36.00",
    ]
    hardware.pop("summary")  # of a run that does not train any more
    assert summary_of(phase="Failed", hardware=hardware)[1] == "hardware: 2x H100, worst rank 1"
