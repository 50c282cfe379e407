"""Pickles that call a function when they are read, as somebody who means ill would write them."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass
class PickledCall:
    """An object whose pickle is a call of a function."""

    function: Callable[..., Any]
    arguments: tuple[Any, ...]

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return self.function, self.arguments
