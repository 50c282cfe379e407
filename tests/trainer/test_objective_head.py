"""Logits are computed where something is trained, and the loss is that of all of them."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional
from trainwright_planner.families import FAMILIES
from trainwright_trainer.data.batch import IGNORED_LABEL, Batch
from trainwright_trainer.objectives.base import DeviceBatch
from trainwright_trainer.objectives.causal_lm import token_loss_sum
from transformers import AutoConfig, AutoModelForCausalLM

SEQUENCES, LENGTH, VOCABULARY = 3, 16, 64
CPU = torch.device("cpu")
SIZES = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_attention_heads": 2,
    "num_hidden_layers": 2,
}
SIZES_OF_GPT2 = {"n_embd": 32, "n_head": 2, "n_layer": 2}


def small_model(family: str) -> torch.nn.Module:
    sizes = SIZES_OF_GPT2 if family == "gpt2" else SIZES
    if family not in ("gpt2", "gpt_neox"):
        sizes = sizes | {"num_key_value_heads": 2, "head_dim": 16}
    config = AutoConfig.for_model(
        family, **sizes, vocab_size=VOCABULARY, pad_token_id=0, bos_token_id=1, eos_token_id=2
    )
    return AutoModelForCausalLM.from_config(config).eval()  # without dropout


def a_batch(share: float) -> Batch:
    """Random tokens, of which a share is trained."""
    random = np.random.default_rng(5)
    ids = random.integers(3, VOCABULARY, (SEQUENCES, LENGTH))
    labels = np.where(random.random(ids.shape) < share, ids, IGNORED_LABEL)
    positions = np.tile(np.arange(LENGTH), (SEQUENCES, 1))
    return Batch(ids, labels, positions, np.ones_like(ids))


def loss_of_all_logits(model: torch.nn.Module, batch: DeviceBatch) -> torch.Tensor:
    logits = model(input_ids=batch.input_ids, position_ids=batch.position_ids).logits
    return functional.cross_entropy(
        logits[:, :-1].flatten(0, 1),
        batch.labels[:, 1:].flatten(),
        ignore_index=IGNORED_LABEL,
        reduction="sum",
    )


@pytest.mark.parametrize("family", FAMILIES)
def test_loss_and_gradients_are_those_of_all_logits(family: str) -> None:
    model, batch = small_model(family), DeviceBatch.of(a_batch(0.3), CPU)
    seen: list[torch.Size] = []
    head = model.get_output_embeddings()
    head.register_forward_hook(lambda _, __, logits: seen.append(logits.shape))
    loss = token_loss_sum(model, batch)
    loss.backward()
    gradients = [parameter.grad.clone() for parameter in model.parameters()]
    model.zero_grad()
    expected = loss_of_all_logits(model, batch)
    expected.backward()
    assert loss.item() == pytest.approx(expected.item(), rel=1e-5)
    for gradient, parameter in zip(gradients, model.parameters(), strict=True):
        torch.testing.assert_close(gradient, parameter.grad, rtol=1e-4, atol=1e-5)
    assert seen == [
        (1, batch.num_trained, VOCABULARY),
        (SEQUENCES, LENGTH, VOCABULARY),  # outside of the objective the head is as it was
    ]


def test_micro_batches_know_where_they_are_trained() -> None:
    model, batch = small_model("llama"), DeviceBatch.of(a_batch(0.5), CPU)
    parts = sum(token_loss_sum(model, part).item() for part in batch.split(2))
    assert parts == pytest.approx(token_loss_sum(model, batch).item(), rel=1e-5)


def test_a_micro_batch_without_a_trained_token_costs_and_teaches_nothing() -> None:
    model, batch = small_model("llama"), DeviceBatch.of(a_batch(0), CPU)
    loss = token_loss_sum(model, batch)
    loss.backward()
    assert loss.item() == 0
    assert all(not parameter.grad.any() for parameter in model.parameters())


class HeadWithOptions(torch.nn.Module):
    """A model that calls its head, if it has one at all, in its own way."""

    def __init__(self, has_head: bool) -> None:
        super().__init__()
        self.embedding = torch.nn.Embedding(VOCABULARY, 8)
        self.head = torch.nn.Linear(8, VOCABULARY)
        self.has_head = has_head

    def get_output_embeddings(self) -> torch.nn.Module | None:
        return self.head if self.has_head else None

    def forward(self, input_ids: torch.Tensor, **_: Any) -> SimpleNamespace:
        return SimpleNamespace(logits=self.head(input=self.embedding(input_ids)))


@pytest.mark.parametrize("has_head", [True, False])
def test_a_model_with_another_head_has_the_same_loss(has_head: bool) -> None:
    model, batch = HeadWithOptions(has_head), DeviceBatch.of(a_batch(0.3), CPU)
    expected = loss_of_all_logits(model, batch)
    assert token_loss_sum(model, batch).item() == pytest.approx(expected.item(), rel=1e-5)
