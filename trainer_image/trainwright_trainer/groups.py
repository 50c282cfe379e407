"""Collective exchange of small values between the ranks, for the parts that need no tensors.

Used by the checkpoint manager, the tokenizer and the data, on the main thread only. Background threads never
touch a process group: a collective there could interleave with the training's own.
"""

from typing import Any, Protocol, TypeVar

ValueT = TypeVar("ValueT")


class Group(Protocol):
    """All ranks of the run. Values must be picklable and small: some megabytes at most."""

    rank: int
    local_rank: int
    world_size: int

    def broadcast(self, value: ValueT, source: int = 0) -> ValueT:
        """Return the value of the rank `source` on every rank."""

    def all_gather(self, value: ValueT) -> list[ValueT]:
        """Return every rank's value, by rank, on every rank."""

    def barrier(self) -> None:
        """Return once every rank is here."""


class SingleGroup:
    """The group of a run with one process."""

    rank = 0
    local_rank = 0
    world_size = 1

    def broadcast(self, value: ValueT, source: int = 0) -> ValueT:
        """Return the value."""
        return value

    def all_gather(self, value: ValueT) -> list[ValueT]:
        """Return a list of the value."""
        return [value]

    def barrier(self) -> None:
        """Return at once."""


class TorchGroup:
    """The ranks of a process group of torch.distributed; give it a gloo group of its own."""

    def __init__(self, process_group: Any, *, rank: int, local_rank: int, world_size: int) -> None:
        self.rank = rank
        self.local_rank = local_rank
        self.world_size = world_size
        self._process_group = process_group

    def broadcast(self, value: ValueT, source: int = 0) -> ValueT:
        """Return the value of the rank `source` on every rank."""
        import torch.distributed as dist

        values = [value]
        dist.broadcast_object_list(values, src=source, group=self._process_group)
        return values[0]

    def all_gather(self, value: ValueT) -> list[ValueT]:
        """Return every rank's value, by rank, on every rank."""
        import torch.distributed as dist

        values: list[Any] = [None] * self.world_size
        dist.all_gather_object(values, value, group=self._process_group)
        return values

    def barrier(self) -> None:
        """Return once every rank is here."""
        import torch.distributed as dist

        dist.barrier(group=self._process_group)
