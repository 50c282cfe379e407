"""Imports of large libraries without what no run uses of them; imports none itself."""

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def uncollected() -> Iterator[None]:
    """Collect no garbage in a block of imports: of a million objects of modules, none is garbage.

    Nor are they worth looking at ever again.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
        gc.freeze()


@contextmanager
def hidden(package: str) -> Iterator[None]:
    """Let imports fail as if a package were not installed, unless it is imported already.

    DeepSpeed's autotuner, which no run uses, imports MLflow wherever it is: a second of a rank's start.
    """
    if package in sys.modules:
        yield
        return
    sys.modules[package] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        del sys.modules[package]
