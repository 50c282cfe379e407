"""Waiting on a condition, with a deadline and with what was seen last."""

import time
from collections.abc import Callable
from typing import TypeVar

POLL_SECONDS = 0.1
Value = TypeVar("Value")


def wait_for(
    what: str, find: Callable[[], Value], seconds: float, describe: Callable[[], object] = str
) -> Value:
    """The first true value; fails the test at the deadline with what `describe` returns."""
    deadline = time.monotonic() + seconds
    while True:
        if value := find():
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds} s: {what}; last seen: {describe()}")
        time.sleep(POLL_SECONDS)
