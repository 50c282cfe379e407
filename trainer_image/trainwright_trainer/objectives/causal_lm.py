"""Next-token prediction, the objective of pretraining."""

import torch
from torch.nn import functional

from trainwright_trainer.data.batch import IGNORED_LABEL
from trainwright_trainer.objectives.base import DeviceBatch, Objective


def token_loss_sum(model: torch.nn.Module, batch: DeviceBatch) -> torch.Tensor:
    """Return the sum of cross entropies of the labels that are trained (scalar, float32, nats).

    Documents that share a sequence do not see each other: positions start anew in each, and
    transformers builds its block-diagonal causal mask from that, for every attention backend.
    """
    logits = model(
        input_ids=batch.input_ids, position_ids=batch.position_ids, use_cache=False
    ).logits
    predictions = logits[:, :-1].float().flatten(0, 1)
    targets = batch.labels[:, 1:].flatten()
    return functional.cross_entropy(
        predictions, targets, ignore_index=IGNORED_LABEL, reduction="sum"
    )


class CausalLM(Objective):
    """Every token but a document's first is predicted from those before it."""

    def loss_sum(self, model: torch.nn.Module, batch: DeviceBatch) -> torch.Tensor:
        """See Objective."""
        return token_loss_sum(model, batch)
