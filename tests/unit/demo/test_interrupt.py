import json
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from demo.console import Console
from demo.errors import DemoError
from demo.interrupt import Interruption
from demo.place import JSON, Place, Store
from demo.settings import read_settings

POD = {"metadata": {"name": "gpt-1-worker-0"}, "status": {"phase": "Running"}}


@dataclass(frozen=True)
class PlayedPlace(Place):
    """A cluster with one running pod, which notes where something was executed."""

    executed_in: list[str] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    def kubectl(self, *arguments: str, stdin: str | None = None) -> str:
        if arguments[0] == "exec" and self.failures:
            raise DemoError(self.failures.pop())
        if arguments[0] == "exec":
            self.executed_in.append(arguments[3])
            return ""
        assert arguments[0] == "get"
        return json.dumps({"items": [POD]})


@pytest.fixture
def place() -> PlayedPlace:
    return PlayedPlace("played", "team", Store("", "", "", "", ""))


@pytest.fixture
def interrupt(place: PlayedPlace) -> Callable[..., Interruption]:
    def build(**environment: str) -> Interruption:
        settings = read_settings(environment)
        return Interruption(place, Console(), "gpt", is_wanted=settings.kills)

    return build


def status(step: int, saved: int | None, *, phase: str = "Running", attempts: int = 1) -> JSON:
    latest = {} if saved is None else {"latest": {"step": saved}}
    return {
        "phase": phase,
        "progress": {"step": step},
        "checkpoints": latest,
        "attempts": [{"number": number + 1} for number in range(attempts)],
    }


@pytest.mark.parametrize(
    "seen",
    [{}, status(3, None), status(5, 5), status(6, 5, phase="Restarting")],
    ids=["nothing", "no checkpoint", "no step since", "not running"],
)
def test_no_worker_is_killed_before_there_is_something_to_resume_and_something_to_lose(
    place: PlayedPlace, interrupt: Callable[..., Interruption], seen: JSON
) -> None:
    interrupt().watch(seen)
    assert place.executed_in == []


def test_one_worker_is_killed_once(
    place: PlayedPlace, interrupt: Callable[..., Interruption]
) -> None:
    interruption = interrupt()
    for step in (6, 7, 8):
        interruption.watch(status(step, 5))
    assert place.executed_in == ["gpt-1-worker-0"]
    interruption.check(status(12, 12, phase="Succeeded", attempts=2))


def test_a_kill_that_fails_is_tried_again_and_told_of_if_there_was_no_other(
    place: PlayedPlace, interrupt: Callable[..., Interruption]
) -> None:
    place.failures[:] = ["no rank found", "no rank found"]
    interruption = interrupt()
    interruption.watch(status(6, 5))
    with pytest.raises(
        DemoError, match=r"no worker was killed \(the last try: no rank found\); say"
    ):
        interruption.check(status(12, 12, phase="Succeeded"))
    for step in (7, 8):
        interruption.watch(status(step, 5))
    assert place.executed_in == ["gpt-1-worker-0"]


def test_demo_without_a_moment_to_kill_in_fails_and_says_what_to_change(
    interrupt: Callable[..., Interruption],
) -> None:
    interruption = interrupt()
    interruption.watch(status(5, 5))
    with pytest.raises(DemoError, match=r"no worker was killed.*DEMO_STEPS.*DEMO_KILL=0"):
        interruption.check(status(12, 12, phase="Succeeded", attempts=2))


def test_demo_whose_kill_restarted_nothing_fails(
    interrupt: Callable[..., Interruption],
) -> None:
    interruption = interrupt()
    interruption.watch(status(6, 5))
    with pytest.raises(DemoError, match=r"gpt succeeded, but in 1 attempt.*gpt-1-worker-0"):
        interruption.check(status(12, 12, phase="Succeeded"))


def test_demo_kill_0_kills_nothing_and_asks_for_no_restart(
    place: PlayedPlace, interrupt: Callable[..., Interruption]
) -> None:
    interruption = interrupt(DEMO_KILL="0")
    interruption.watch(status(6, 5))
    interruption.check(status(12, 12, phase="Succeeded"))
    assert place.executed_in == []
