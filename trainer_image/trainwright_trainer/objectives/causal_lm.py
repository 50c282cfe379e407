"""Next-token prediction, the objective of pretraining."""

import torch
from torch.nn import functional

from trainwright_trainer.objectives.base import DeviceBatch, Objective
from trainwright_trainer.objectives.head import compute_logits


def token_loss_sum(model: torch.nn.Module, batch: DeviceBatch) -> torch.Tensor:
    """Return the sum of cross entropies of the labels that are trained (scalar, float32, nats).

    Documents that share a sequence do not see each other: positions start anew in each, and
    transformers builds its block-diagonal causal mask from that, for every attention backend. No logits are
    computed where nothing is trained.
    """
    where = batch.predicts.flatten().nonzero().squeeze(1)
    where = where.to(batch.labels.device, non_blocking=True)
    logits = compute_logits(
        model, where, input_ids=batch.input_ids, position_ids=batch.position_ids
    )
    targets = batch.labels.flatten()[where + 1]
    return functional.cross_entropy(logits.float(), targets, reduction="sum")


class CausalLM(Objective):
    """Every token but a document's first is predicted from those before it."""

    def loss_sum(self, model: torch.nn.Module, batch: DeviceBatch) -> torch.Tensor:
        """See Objective."""
        return token_loss_sum(model, batch)
