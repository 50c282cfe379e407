"""Greedy completions of the run's sample prompts, before and after training, on rank 0."""

import torch
from trainwright_api.run import Run, RunObjective
from transformers import PreTrainedTokenizerFast

from trainwright_trainer.errors import UserError
from trainwright_trainer.positions import count_learned_positions

MAXIMUM_TEXT = 2000
MAXIMUM_CPU_PARAMETERS = 3_000_000_000  # beyond, a token takes seconds on a CPU


def complete_before(
    run: Run, model: torch.nn.Module, tokenizer: PreTrainedTokenizerFast
) -> list[str | None]:
    """Return completions of the model before training; None where they would take too long.

    The model is in float32 here, and still on the CPU. Raises what the chat template does if it refuses a
    prompt, and UserError for one that is too long, also of a model that is too large: after training would
    be late.
    """
    for number, prompt in enumerate(run.output.sample_prompts):
        _check_length(number, _encode(run, tokenizer, prompt).shape[1], model)
    num_parameters = sum(parameter.numel() for parameter in model.parameters())
    if num_parameters > MAXIMUM_CPU_PARAMETERS:
        return [None] * len(run.output.sample_prompts)
    return list(complete_prompts(run, model, tokenizer))


def _check_length(number: int, num_tokens: int, model: torch.nn.Module) -> None:
    limit = count_learned_positions(model)
    if limit is not None and num_tokens > limit:
        raise UserError(
            f"spec.output.samplePrompts[{number}]: got a prompt of {num_tokens} tokens for a model that has "
            f"learned {limit} positions, expected at most as many; shorten it"
        )


@torch.no_grad()
def complete_prompts(
    run: Run, model: torch.nn.Module, tokenizer: PreTrainedTokenizerFast
) -> list[str]:
    """Return one greedy completion per sample prompt, without the prompt."""
    was_training = model.training
    model.eval()
    texts = [_complete(run, model, tokenizer, prompt) for prompt in run.output.sample_prompts]
    model.train(was_training)
    return texts


def _complete(
    run: Run, model: torch.nn.Module, tokenizer: PreTrainedTokenizerFast, prompt: str
) -> str:
    ids = _encode(run, tokenizer, prompt)
    room = (
        getattr(model.config, "max_position_embeddings", None)
        or ids.shape[1] + run.output.sample_tokens
    )
    count = max(1, min(run.output.sample_tokens, room - ids.shape[1]))
    output = model.generate(  # type: ignore[operator]
        input_ids=ids,
        attention_mask=torch.ones_like(ids),
        max_new_tokens=count,
        do_sample=False,
        temperature=None,
        top_p=None,
        top_k=None,
        pad_token_id=tokenizer.pad_token_id
        if tokenizer.pad_token_id is not None
        else tokenizer.eos_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )
    text = tokenizer.decode(output[0, ids.shape[1] :], skip_special_tokens=True)
    return str(text)[:MAXIMUM_TEXT]


def _encode(run: Run, tokenizer: PreTrainedTokenizerFast, prompt: str) -> torch.Tensor:
    template = run.data.chat_template or tokenizer.chat_template
    if run.objective is RunObjective.SFT and template:
        text = tokenizer.apply_chat_template(
            [{"role": "user", "content": prompt}],
            chat_template=template if isinstance(template, str) else None,
            add_generation_prompt=True,
            tokenize=False,
        )
        ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    else:
        ids = tokenizer(prompt, add_special_tokens=False)["input_ids"]
        if tokenizer.bos_token_id is not None:
            ids = [tokenizer.bos_token_id, *ids]
    return torch.tensor([ids], dtype=torch.long)
