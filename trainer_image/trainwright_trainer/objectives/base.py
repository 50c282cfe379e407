"""The interface of objectives, and the tensors that they work on."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from trainwright_api.metrics import Metric
from trainwright_api.run import Run

from trainwright_trainer.data.batch import IGNORED_LABEL, Batch


@dataclass(frozen=True, slots=True)
class DeviceBatch:
    """A micro-batch on the rank's device; all of shape [sequences, sequence_length], int64.

    `predicts` (bool) says where the next token is trained. It stays on the host, where to count is no wait for
    the device.
    """

    input_ids: torch.Tensor
    labels: torch.Tensor
    position_ids: torch.Tensor
    predicts: torch.Tensor

    @classmethod
    def of(cls, batch: Batch, device: torch.device) -> "DeviceBatch":
        """Copy a batch to the device."""

        def move(array: Any) -> torch.Tensor:
            return torch.from_numpy(array).to(device, non_blocking=True)

        predicts = torch.zeros(batch.labels.shape, dtype=torch.bool)
        predicts[:, :-1] = torch.from_numpy(batch.labels[:, 1:] != IGNORED_LABEL)
        return cls(move(batch.input_ids), move(batch.labels), move(batch.position_ids), predicts)

    @property
    def num_trained(self) -> int:
        """Terms of the loss; the first token of a sequence is never predicted."""
        return int(self.predicts.sum())

    def split(self, size: int) -> list["DeviceBatch"]:
        """Return micro-batches of `size` sequences."""
        starts = range(0, len(self.input_ids), size)
        tensors = (self.input_ids, self.labels, self.position_ids, self.predicts)
        return [DeviceBatch(*(tensor[i : i + size] for tensor in tensors)) for i in starts]


class Objective(ABC):
    """What is learned from a batch."""

    def __init__(self, run: Run) -> None:
        self.run = run

    @abstractmethod
    def loss_sum(self, model: torch.nn.Module, batch: DeviceBatch) -> torch.Tensor:
        """Return the sum of the losses of all trained tokens of the batch (scalar, float32, nats)."""

    def measure(self) -> Mapping[Metric, float]:
        """Return what this objective alone knows of the step just done, by declared gauge.

        Called on every rank once the step's loss is known, and before a validation; rank 0's figures
        are shown. Nothing by default.
        """
        return {}
