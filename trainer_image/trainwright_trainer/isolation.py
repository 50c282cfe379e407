"""Proves that documents which share a sequence cannot see each other in this very model.

transformers builds block-diagonal attention masks from positions that start anew. An architecture
that does not (because it has no attention, or masks of its own) would silently train across documents.
"""

import torch
from trainwright_api.data import Packing
from trainwright_api.run import Run

from trainwright_trainer.errors import UserError

_LENGTHS = (5, 7)
TOLERANCE = 1e-3  # of the largest logit; in float32, a mask that works differs by about 1e-6


@torch.no_grad()
def check_isolation(run: Run, model: torch.nn.Module) -> None:
    """Compare the logits of two documents in one sequence with those of each alone.

    Costs two short forward passes. Raises UserError if they differ and the run wants isolation.
    """
    if run.data.packing is not Packing.ISOLATED:
        return
    was_training = model.training
    model.eval()
    difference = _measure_difference(model)
    model.train(was_training)
    if difference > TOLERANCE:
        raise UserError(
            f"spec.data.packing: got Isolated for the architecture {model.config.model_type}, in which "  # type: ignore[union-attr]
            f"documents of one sequence see each other (logits differ by {difference:.1%}), expected an "
            "architecture that masks by position; use Contiguous or None"
        )


def _measure_difference(model: torch.nn.Module) -> float:
    first, second = _LENGTHS
    size = model.get_input_embeddings().num_embeddings  # type: ignore[operator]
    device = next(model.parameters()).device
    ids = (torch.arange(1, first + second + 1, device=device) * 7 % size).unsqueeze(0)
    positions = torch.cat([torch.arange(first), torch.arange(second)]).to(device).unsqueeze(0)
    packed = model(input_ids=ids, position_ids=positions, use_cache=False).logits
    alone = model(
        input_ids=ids[:, first:], position_ids=positions[:, first:], use_cache=False
    ).logits
    return float((packed[:, first:] - alone).abs().max() / alone.abs().max())
