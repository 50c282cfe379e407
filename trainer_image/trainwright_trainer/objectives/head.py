"""Logits of chosen positions only: a fine-tuning's data trains a part of its tokens, and vocabularies are large."""

from types import TracebackType
from typing import Any

import torch
from torch.utils.hooks import RemovableHandle


class HeadAt:
    """A context in which a language model's head sees some positions of a micro-batch only.

    `where` are positions of the flattened [sequences, sequence_length] (shape [positions], int64). What models
    of transformers do to logits after the head, such as a soft cap, treats each element alone. A model without a
    head of its own, or one that calls it with other arguments, computes all logits; `select` then chooses.
    """

    def __init__(self, model: torch.nn.Module, where: torch.Tensor) -> None:
        self._where = where
        self._has_chosen = False
        self._handle: RemovableHandle | None = None
        module: Any = getattr(model, "module", model)  # of DeepSpeed's engine
        self._head: torch.nn.Module | None = module.get_output_embeddings()

    def __enter__(self) -> "HeadAt":
        if self._head is not None:
            self._handle = self._head.register_forward_pre_hook(self._choose)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._handle is not None:
            self._handle.remove()

    def select(self, logits: torch.Tensor) -> torch.Tensor:
        """Return the logits of the chosen positions (shape [positions, vocabulary])."""
        flat = logits.flatten(0, 1)
        return flat if self._has_chosen else flat[self._where]

    def _choose(self, _: torch.nn.Module, arguments: tuple[Any, ...]) -> tuple[Any, ...] | None:
        if len(arguments) != 1 or arguments[0].ndim != 3:
            return None
        self._has_chosen = True
        hidden: torch.Tensor = arguments[0]
        return (hidden.flatten(0, 1)[self._where].unsqueeze(0),)
