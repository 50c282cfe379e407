"""What one rank does for all, or each for itself: an error of one reaches every rank.

Without this, an error on rank 0 would leave the others waiting in the next collective and blaming
their peer.
"""

from collections.abc import Callable
from typing import TypeVar

from trainwright_trainer.errors import TrainerError
from trainwright_trainer.groups import Group

ValueT = TypeVar("ValueT")


def on_rank_0(group: Group, work: Callable[[], ValueT]) -> ValueT:
    """Do a piece of work on rank 0 and return its result on every rank; its errors reach all."""
    told: tuple[ValueT | None, TrainerError | None] = (None, None)
    if group.rank == 0:
        try:
            told = (work(), None)
        except TrainerError as error:
            told = (None, error)
    result, failure = group.broadcast(told)
    if failure is not None:
        raise failure
    return result  # type: ignore[return-value]


def on_every_rank(group: Group, work: Callable[[], ValueT]) -> ValueT:
    """Do a piece of work on every rank and return its own result; the first rank's error reaches all."""
    result: ValueT | None = None
    failure: TrainerError | None = None
    try:
        result = work()
    except TrainerError as error:
        failure = error
    for told in group.all_gather(failure):
        if told is not None:
            raise told
    return result  # type: ignore[return-value]
