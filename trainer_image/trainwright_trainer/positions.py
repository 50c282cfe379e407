"""How long a text may be for a model that has learned its positions, as GPT-2 has.

Such a model has no entry for a position beyond them: on a GPU that ends as a failed assertion of the
device, which says nothing. Models that compute positions, as rotary ones do, take any.
"""

from typing import Any

import torch
from trainwright_api.run import Run
from transformers import PretrainedConfig

from trainwright_trainer.errors import UserError
from trainwright_trainer.models import new_model

LENGTH_FIELD = "max_position_embeddings"
_MOST_RESERVED = 2  # entries before the first position, in OPT's table


def check_positions(run: Run, config: PretrainedConfig, longest: int) -> None:
    """Refuse data in which a model would meet a position that it lacks; raises UserError.

    `longest` is the longest text in it (unit: tokens).
    """
    text = config.get_text_config()
    limit = getattr(text, LENGTH_FIELD, None)
    if limit is None or longest <= limit:
        return
    with torch.device("meta"):
        limit = count_learned_positions(new_model(config))
    if limit is None or longest <= limit:
        return
    name = text.attribute_map.get(LENGTH_FIELD, LENGTH_FIELD)
    more = f", or raise spec.model.config.{name}" if run.model.weights is None else ""
    raise UserError(
        f"spec.data.sequenceLength: got {run.data.sequence_length} with texts of up to {longest} tokens for a "
        f"{config.model_type} that has learned {limit} positions, expected at most as many; lower it{more}"
    )


def count_learned_positions(model: Any) -> int | None:
    """Return how many positions a model of transformers has a table for; None if it needs none."""
    limit = getattr(model.config.get_text_config(), LENGTH_FIELD, None)
    if limit is None:
        return None
    words = model.get_input_embeddings()
    tables = [
        module.num_embeddings
        for module in model.modules()
        if isinstance(module, torch.nn.Embedding) and module is not words
    ]
    # Of GPT-J and its like: computed, and yet looked up.
    tables += [len(each) for name, each in model.named_buffers() if "embed_positions" in name]
    is_learned = any(limit <= size <= limit + _MOST_RESERVED for size in tables)
    return int(limit) if is_learned else None
