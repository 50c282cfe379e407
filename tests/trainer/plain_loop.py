"""A plain PyTorch loop, written without any of the trainer's loop, engine, objectives or schedules.

What it shares with the trainer: the batches, and the model before its first step.
"""

import math
from pathlib import Path

import torch
from torch.nn import functional
from trainwright_api.run import Run
from trainwright_api.training import Precision
from trainwright_trainer.data import prepare_data
from trainwright_trainer.data.tokenizers import train_tokenizer
from trainwright_trainer.groups import SingleGroup
from trainwright_trainer.models import build_model, load_config
from trainwright_trainer.settings import Settings

from tests.trainer.uneven import UnevenSequences


def plain_losses(run: Run, scratch: Path) -> list[float]:
    """Return the loss of every step, one process, the whole batch at once."""
    # As many threads as each rank has: with more than there are free cores, they wait for each other.
    torch.set_num_threads(1)
    settings = Settings(scratch_folder=scratch)
    tokenizer = train_tokenizer(run, settings)
    source = UnevenSequences(prepare_data(run, tokenizer, settings).train)
    model = build_model(run, load_config(run, None, tokenizer), None, SingleGroup())
    dtype = torch.bfloat16 if run.precision is Precision.BF16 else torch.float32
    master = [parameter.detach().to(dtype).float().clone() for parameter in model.parameters()]
    model = model.to(dtype)
    for weight in master:
        weight.requires_grad_(True)
    optimizer = torch.optim.AdamW(
        [
            {
                "params": [w for w in master if w.ndim > 1],
                "weight_decay": run.optimizer.weight_decay,
            },
            {"params": [w for w in master if w.ndim == 1], "weight_decay": 0.0},
        ],
        betas=tuple(run.optimizer.betas),
        eps=run.optimizer.epsilon,
    )
    steps, size = run.budget.steps or 0, run.batch.global_sequences
    losses = []
    for step in range(steps):
        batch = source.sequences(step * size, size)
        ids, labels = torch.from_numpy(batch.input_ids), torch.from_numpy(batch.labels)
        logits = model(input_ids=ids, position_ids=torch.from_numpy(batch.position_ids)).logits
        loss = functional.cross_entropy(
            logits[:, :-1].float().reshape(-1, logits.shape[-1]), labels[:, 1:].reshape(-1)
        )
        loss.backward()
        for weight, parameter in zip(master, model.parameters(), strict=True):
            weight.grad = parameter.grad.float()
            parameter.grad = None
        torch.nn.utils.clip_grad_norm_(master, run.optimizer.gradient_clipping)
        for group in optimizer.param_groups:
            group["lr"] = cosine_with_warmup(step + 1, steps, run.optimizer.learning_rate)
        optimizer.step()
        with torch.no_grad():
            for weight, parameter in zip(master, model.parameters(), strict=True):
                parameter.copy_(weight)
        losses.append(loss.item())
    return losses


def cosine_with_warmup(step: int, steps: int, peak: float) -> float:
    """The default schedule: 5 % linear warm-up, cosine to a tenth."""
    warmup = round(0.05 * steps)
    if step <= warmup:
        return peak * step / warmup
    share = (step - warmup) / (steps - warmup)
    return peak * (0.1 + 0.9 * (1 + math.cos(math.pi * share)) / 2)
