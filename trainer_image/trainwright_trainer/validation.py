"""The loss on held-out data; memory does not grow with their number."""

import math
from collections.abc import Callable

import torch
from trainwright_api.data import Validation

from trainwright_trainer.build import BuiltRun
from trainwright_trainer.data.batch import IGNORED_LABEL, SequenceSource
from trainwright_trainer.groups import Group
from trainwright_trainer.objectives.base import DeviceBatch


@torch.no_grad()
def measure_validation_loss(
    built: BuiltRun,
    source: SequenceSource,
    settings: Validation,
    group: Group,
    device: torch.device,
    finish_batch: Callable[[], None],
    is_interrupted: Callable[[], bool] = lambda: False,
) -> float | None:
    """Return the mean loss per trained token over all ranks' share (nats); None without such a token.

    None too if some rank was asked to stop meanwhile (`is_interrupted`, looked at before each batch).

    Collective: every rank does as many forward passes, since ZeRO 3 gathers weights in them; ranks
    without a sequence left compute one that does not count. `finish_batch` is called after each.
    """
    size, world_size = built.prepared.plan.micro_sequences, group.world_size
    num_sequences = min(len(source), settings.max_sequences)
    sums = torch.zeros(2, device=device, dtype=torch.float64)  # losses, trained tokens
    model = built.engine.model
    model.eval()
    for index in range(math.ceil(num_sequences / (size * world_size))):
        if any(group.all_gather(is_interrupted())):
            model.train()
            return None
        first = (index * world_size + group.rank) * size
        batch = source.sequences(first % len(source), size)
        batch.labels[max(0, num_sequences - first) :] = IGNORED_LABEL
        moved = DeviceBatch.of(batch, device)
        loss = built.objective.loss_sum(model, moved).double()
        if moved.num_trained:
            sums[0] += loss
            sums[1] += moved.num_trained
        finish_batch()
    model.train()
    if world_size > 1:
        torch.distributed.all_reduce(sums)
    total, num_tokens = sums.tolist()
    return round(total / num_tokens, 6) if num_tokens else None
