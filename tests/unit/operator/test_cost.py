"""What a run has cost so far: over attempts, restarts of the operator, and pauses."""

from dataclasses import replace
from typing import Any

import pytest
from trainwright_api.report import RunReport
from trainwright_api.resources import TrainingRun
from trainwright_api.status import Cost, RunStatus
from trainwright_operator.accounting import count_cost
from trainwright_operator.decide import decide
from trainwright_operator.decision import Policy, Timing

from tests.unit.operator.builders import at, format_time, job, observed, pod, raw_run

PRICES = {"cpu": 0.5, "nvidia.com/gpu": 2.0}
WORKERS = {"nodes": 2, "acceleratorsPerNode": 4, "resources": {"cpu": 8}}
PER_HOUR = 2 * (4 * 2.0 + 8 * 0.5)
POLICY = Policy(prices=PRICES)


class Play:
    """A run whose status is kept as the API server would; nothing else is remembered."""

    def __init__(self, policy: Policy = POLICY) -> None:
        self.policy, self.status = policy, dict[str, Any]()

    def step(self, seconds: float, *pods: Any, **more: Any) -> RunStatus:
        spec = {"workers": WORKERS, "batch": {"globalSequences": 8}, **more.pop("spec", {})}
        spec["recovery"] = {"backoff": {"initialSeconds": 0}}
        resource = TrainingRun.model_validate(raw_run(status=self.status, **spec))
        jobs = more.pop("jobs", (job(1),))
        seen = observed(*pods, jobs=jobs, **more)
        status = decide(resource, seen, at(seconds), Timing(), self.policy).status
        self.status = status.to_manifest()
        return status

    @property
    def cost(self) -> Cost:
        return Cost.model_validate(self.status["cost"])


def start(play: Play, seconds: float = 0) -> None:
    play.step(seconds, jobs=())
    play.step(seconds, pod(0), pod(1))


def test_time_counts_from_the_first_attempt_to_now() -> None:
    play = Play()
    start(play, 100)
    assert play.cost.held_seconds == 0
    play.step(1900, pod(0), pod(1))
    assert play.cost.held_seconds == 1800
    assert play.cost.so_far_usd == pytest.approx(PER_HOUR / 2)
    assert play.cost.accelerator_hours == 4
    assert play.cost.usd_per_hour == PER_HOUR


def test_how_often_one_looks_does_not_matter() -> None:
    seldom, often = Play(), Play()
    start(seldom)
    start(often)
    for tenth in range(1, 1001):
        often.step(tenth * 0.7, pod(0), pod(1))
    ended = (pod(0, exit_code=0, ended_at=700), pod(1, exit_code=0, ended_at=700))
    often.step(700, *ended)
    seldom.step(700, *ended)
    assert often.cost == seldom.cost


def test_time_alone_is_written_once_a_minute() -> None:
    play = Play()
    start(play)
    written = []
    for second in range(1, 181):
        before = dict(play.status)
        play.step(second, pod(0), pod(1))
        if play.status != before:
            written.append(second)
    assert written == [60, 120, 180]


def test_what_passed_while_the_operator_was_away_counts() -> None:
    play = Play()
    start(play)
    play.step(10, pod(0), pod(1))
    play.step(7210, pod(0), pod(1))
    assert play.cost.held_seconds == 7210


def test_attempts_that_failed_count_and_the_pause_between_them_does_not() -> None:
    play = Play()
    start(play)
    fallen = (pod(0, exit_code=1, ended_at=100), pod(1, exit_code=1, ended_at=100))
    play.step(100, *fallen)
    assert play.status["phase"] == "Restarting"
    assert play.cost.held_seconds == 100
    play.step(400, jobs=())
    assert play.cost.held_seconds == 100, "nothing is held while it waits"
    second = (pod(0, number=2), pod(1, number=2))
    play.step(400, *second, jobs=(job(2),))
    play.step(460, *second, jobs=(job(2),))
    assert play.cost.held_seconds == 160


def test_attempts_that_drop_out_of_the_list_still_count() -> None:
    play = Play()
    play.step(0, jobs=())
    for number in range(1, 15):
        pods = (pod(0, number=number), pod(1, number=number))
        spec = {"checkpoints": {"store": {"uri": "s3://runs/"}}}
        seconds = number * 100
        play.step(seconds - 50, *pods, jobs=(job(number),), spec=spec)
        play.status["failures"] = {}  # as progress past a checkpoint does
        ended = [pod(i, number=number, exit_code=1, ended_at=seconds) for i in (0, 1)]
        play.step(seconds, *ended, jobs=(job(number),), spec=spec)
        play.step(seconds, jobs=(), spec=spec)
    assert len(play.status["attempts"]) == 10
    assert play.cost.held_seconds == 1400


def test_a_suspended_run_costs_nothing_and_its_status_rests() -> None:
    play = Play()
    start(play)
    play.step(60, pod(0), pod(1))
    suspended = {"suspend": True}
    play.step(70, pod(0, exit_code=143), pod(1, exit_code=143), spec=suspended)
    play.step(80, jobs=(), spec=suspended)
    assert play.status["phase"] == "Suspended"
    before = dict(play.status)
    play.step(5000, jobs=(), spec=suspended)
    assert play.status == before


def test_the_end_is_projected_from_the_speed() -> None:
    play = Play()
    start(play)
    progress = {"step": 50, "totalSteps": 100, "etaSeconds": 3600}
    told = RunReport.model_validate({"attempt": 1, "sequence": 1, "progress": progress})
    play.step(1800, pod(0), pod(1), report=told)
    assert play.cost.projected_usd == pytest.approx(PER_HOUR * 1.5)
    assert play.cost.summary == "$12.00 of $36.00 ($24.00/h, 30m00s held)"
    play.step(2000, pod(0, exit_code=0, ended_at=2000), pod(1, exit_code=0, ended_at=2000))
    assert play.status["phase"] == "Succeeded"
    assert play.cost.projected_usd == play.cost.so_far_usd


def told(seconds: float | None) -> RunReport:
    progress = {"step": 50, "totalSteps": 100, "etaSeconds": seconds}
    return RunReport.model_validate({"attempt": 1, "sequence": 1, "progress": progress})


def test_nothing_is_projected_before_the_first_speed_is_known() -> None:
    play = Play()
    start(play)
    play.step(60, pod(0), pod(1))
    assert play.cost.projected_usd is None
    assert play.cost.summary == "$0.40 ($24.00/h, 1m00s held)"


def test_what_was_left_at_a_suspension_is_still_to_come() -> None:
    play = Play()
    start(play)
    play.step(1800, pod(0), pod(1), report=told(3600))
    suspended = {"suspend": True}
    play.step(1800, pod(0, exit_code=143), pod(1, exit_code=143), spec=suspended)
    play.step(1800, jobs=(), spec=suspended)
    assert play.status["phase"] == "Suspended"
    assert "etaSeconds" not in play.status["progress"]
    assert play.cost.projected_usd == pytest.approx(PER_HOUR * 1.5)
    second = (pod(0, number=2), pod(1, number=2))
    play.step(9000, jobs=())
    play.step(9000, *second, jobs=(job(2),))
    play.step(9360, *second, jobs=(job(2),))
    assert play.cost.so_far_usd == pytest.approx(PER_HOUR * 0.6)
    assert play.cost.projected_usd == pytest.approx(PER_HOUR * 1.6), "its speed is not known yet"
    play.step(9400, jobs=(), spec={"deadlineSeconds": 1})
    assert play.status["phase"] == "Failed"
    assert play.cost.projected_usd == play.cost.so_far_usd


def test_pods_that_wait_in_vain_for_the_others_are_paid_for() -> None:
    play = Play()
    play.step(0, jobs=())
    lone = [pod(0), replace(pod(1, phase="Pending"), node=None, unschedulable="0/3 nodes fit")]
    play.step(0, *lone)
    assert play.status["phase"] == "Pending"
    assert play.cost.held_pods == 1
    play.step(600, *lone)
    assert play.cost.held_seconds == 300, "one of two pods held its node"
    none = [replace(each, phase="Pending", node=None) for each in lone]
    play.step(1200, *none)
    assert (play.cost.held_seconds, play.cost.held_pods) == (600, None)
    play.step(6000, *none)
    assert play.cost.held_seconds == 600
    play.step(6000, pod(0), pod(1))
    play.step(6060, pod(0), pod(1))
    assert play.cost.held_seconds == 660


@pytest.mark.parametrize("pause", [3, 60, 200])
def test_a_small_share_of_the_pods_adds_up(pause: int) -> None:
    workers = {"workers": WORKERS | {"nodes": 121}, "batch": {"globalSequences": 484}}
    play = Play()
    play.step(0, jobs=(), spec=workers)
    waits = [replace(pod(n, phase="Pending"), node=None, unschedulable="no node") for n in (1, 2)]
    for seconds in range(0, 12_100, pause):
        play.step(seconds, pod(0), *waits, spec=workers)
    assert play.cost.held_pods == 1
    assert play.cost.held_seconds in (98, 99, 100)


@pytest.mark.parametrize(
    ("prices", "per_hour"),
    [
        ({"cpu": 0.5}, None),  # all but the GPUs would look like the whole
        ({"nvidia.com/gpu": 0, "cpu": 0.5}, 8.0),
        ({"nvidia.com/gpu": 2.0, "memory": 0.01}, 16.0 + 2 * 64 * 0.01),
    ],
)
def test_prices_are_by_unit_and_of_memory_by_gib(
    prices: dict[str, float], per_hour: float | None
) -> None:
    play = Play(Policy(prices=prices))
    workers = {"workers": WORKERS | {"resources": {"cpu": 8, "memory": "64Gi"}}}
    play.step(0, jobs=(), spec=workers)
    play.step(0, pod(0), pod(1), spec=workers)
    play.step(3600, pod(0), pod(1), spec=workers)
    assert play.cost.usd_per_hour == (None if per_hour is None else pytest.approx(per_hour))
    assert play.cost.so_far_usd == play.cost.usd_per_hour
    assert play.cost.accelerator_hours == 8


def test_without_prices_the_time_is_told() -> None:
    play = Play(Policy())
    start(play)
    play.step(3600, pod(0), pod(1))
    assert play.cost.so_far_usd is None
    assert play.cost.summary == "8.00 accelerator hours, 1h00m held; no price set"


def test_a_clock_that_goes_back_takes_nothing_away() -> None:
    old = RunStatus.model_validate(
        {
            "phase": "Running",
            "startedAt": format_time(at(0)),
            "cost": {"heldSeconds": 50, "countedUntil": format_time(at(50))},
        }
    )
    workers = TrainingRun.model_validate(raw_run()).spec.workers
    cost = count_cost(old, old, workers, {}, at(20))
    assert cost is not None
    assert cost.held_seconds == 50
