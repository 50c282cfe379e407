"""Logits of chosen positions only: a fine-tuning's data trains a part of its tokens, and vocabularies are large."""

from functools import partial
from typing import Any

import torch


def compute_logits(
    model: torch.nn.Module, where: torch.Tensor, **inputs: torch.Tensor
) -> torch.Tensor:
    """Return a language model's logits at some positions (shape [positions, vocabulary]).

    `where` are fewer than all positions of the flattened [sequences, sequence_length] (shape [positions], int64);
    the head sees these only. What models of transformers do to logits after it, such as a soft cap, treats each
    element alone. A model without a head of its own, or one that calls it with other arguments, computes all.
    """
    module: Any = getattr(model, "module", model)  # of DeepSpeed's engine
    head: torch.nn.Module | None = module.get_output_embeddings()
    handle = head.register_forward_pre_hook(partial(_choose, where)) if head is not None else None
    try:
        logits: torch.Tensor = model(**inputs, use_cache=False).logits.flatten(0, 1)
    finally:
        if handle is not None:
            handle.remove()
    return logits if len(logits) == len(where) else logits[where]


def _choose(
    where: torch.Tensor, _: torch.nn.Module, arguments: tuple[Any, ...]
) -> tuple[Any, ...] | None:
    if len(arguments) != 1 or arguments[0].ndim != 3:
        return None
    hidden: torch.Tensor = arguments[0]
    return (hidden.flatten(0, 1)[where].unsqueeze(0),)
