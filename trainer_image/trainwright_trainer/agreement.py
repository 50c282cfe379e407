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


def on_every_rank(group: Group, work: Callable[[], ValueT]) -> list[ValueT]:
    """Do a piece of work on every rank and return all results, by rank; the first error reaches all."""
    told: tuple[ValueT | None, TrainerError | None]
    try:
        told = (work(), None)
    except TrainerError as error:
        told = (None, error)
    answers = group.all_gather(told)
    for _, failure in answers:
        if failure is not None:
            raise failure
    return [result for result, _ in answers]  # type: ignore[misc]
