import asyncio
from collections.abc import Coroutine
from typing import Any

from trainwright_operator.run_queue import RunQueue


def run(work: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(work, 5))


def test_marks_do_not_pile_up() -> None:
    async def work() -> None:
        queue = RunQueue()
        for uid in ("a", "b", "a", "a"):
            queue.mark(uid)
        assert queue.measure()[0] == 2
        assert [await queue.get(), await queue.get()] == ["a", "b"]
        assert queue.measure() == (0, 0.0)

    run(work())


def test_a_mark_during_the_work_on_a_run_makes_it_wait_for_its_end() -> None:
    async def work() -> None:
        queue = RunQueue()
        queue.mark("a")
        assert await queue.get() == "a"
        queue.mark("a")
        assert queue.measure()[0] == 0
        queue.done("a")
        assert await queue.get() == "a"
        queue.done("a")
        assert queue.measure()[0] == 0

    run(work())


def test_of_several_moments_the_first_counts() -> None:
    async def work() -> None:
        queue = RunQueue()
        loop = asyncio.get_running_loop()
        started = loop.time()
        queue.mark_later("a", 60)
        queue.mark_later("a", 0.05)
        queue.mark_later("a", 30)
        assert await queue.get() == "a"
        assert loop.time() - started < 2
        queue.done("a")
        queue.mark_later("a", 0.01)
        assert await queue.get() == "a"

    run(work())


def test_a_forgotten_run_does_not_come_back() -> None:
    async def work() -> None:
        queue = RunQueue()
        queue.mark_later("a", 0.01)
        queue.forget("a")
        queue.mark_later("b", 0.02)
        assert await queue.get() == "b"
        assert queue.measure()[0] == 0

    run(work())
