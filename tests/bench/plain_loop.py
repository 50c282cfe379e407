"""The plain PyTorch loop that the trainer is measured against: same model, batch and optimizer.

`python -m tests.bench.plain_loop STEPS`, prints tokens per second of the second half of the steps.
"""

import sys
import time

import torch
from transformers import LlamaConfig, LlamaForCausalLM

from demo.manifests import read_example

SEQUENCES, TOKENS, VOCABULARY = 8, 256, 4096
CONFIG = read_example("stdlib-gpt")["spec"]["model"]["config"]


def main(num_steps: int) -> float:
    """Train on random tokens in FP32; the speed in tokens per second."""
    torch.manual_seed(1)
    model = LlamaForCausalLM(LlamaConfig(vocab_size=VOCABULARY, **CONFIG))
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    started = 0.0
    for step in range(num_steps):
        if step == num_steps // 2:
            started = time.perf_counter()
        batch = torch.randint(0, VOCABULARY, (SEQUENCES, TOKENS))
        loss = model(input_ids=batch, labels=batch).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
    seconds = time.perf_counter() - started
    return (num_steps - num_steps // 2) * SEQUENCES * TOKENS / seconds


if __name__ == "__main__":
    print(main(int(sys.argv[1])))
