"""Supervised fine-tuning: next-token prediction on the assistant's answers.

Which tokens are trained is in the labels: the data pipeline masks prompts (loss AssistantOnly) or
nothing (AllTokens).
"""

import torch

from trainwright_trainer.objectives.base import DeviceBatch, Objective
from trainwright_trainer.objectives.causal_lm import token_loss_sum


class SupervisedFineTuning(Objective):
    """The labels say which tokens count."""

    def loss_sum(self, model: torch.nn.Module, batch: DeviceBatch) -> torch.Tensor:
        """See Objective."""
        return token_loss_sum(model, batch)
