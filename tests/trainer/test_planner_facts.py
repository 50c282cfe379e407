"""The planner's table of families against transformers: exact parameter counts, adapted layers."""

from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from trainwright_api.resources import Adapter
from trainwright_planner.facts import model_facts_from_config
from trainwright_planner.families import FAMILIES
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel

pytestmark = [
    pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing`:FutureWarning"),
    pytest.mark.filterwarnings("ignore:fan_in_fan_out is set to False:UserWarning"),
]

SMALL = {
    "hidden_size": 96,
    "intermediate_size": 160,
    "num_hidden_layers": 3,
    "num_attention_heads": 6,
    "num_key_value_heads": 2,
    "vocab_size": 500,
}
SMALL_GPT2 = {"n_embd": 96, "n_layer": 3, "n_head": 6, "vocab_size": 500, "n_positions": 64}
SMALL_NEOX = {key: value for key, value in SMALL.items() if key != "num_key_value_heads"}
TOKENS = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}


def small_config(family: str) -> dict[str, Any]:
    return {"gpt2": SMALL_GPT2, "gpt_neox": SMALL_NEOX}.get(family, SMALL)


def build_on_meta(family: str, config: dict[str, Any]) -> PreTrainedModel:
    with torch.device("meta"):
        return AutoModelForCausalLM.from_config(AutoConfig.for_model(family, **config, **TOKENS))


def count(model: torch.nn.Module, *, only_trained: bool = False) -> int:
    parameters = model.parameters()
    return sum(p.numel() for p in parameters if p.requires_grad or not only_trained)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("sizes", ["defaults", "small"])
def test_parameters_equal_those_of_the_built_model(family: str, sizes: str) -> None:
    config = {} if sizes == "defaults" else small_config(family)
    facts = model_facts_from_config(family, config, vocabulary_size=None, adapter=Adapter())
    assert facts is not None
    assert facts.parameters == count(build_on_meta(family, config))


@pytest.mark.parametrize(
    ("family", "changes"),
    [
        ("llama", {"attention_bias": True, "mlp_bias": True, "tie_word_embeddings": True}),
        ("llama", {"head_dim": 32}),
        ("mistral", {"head_dim": 8}),
        ("qwen2", {"tie_word_embeddings": True}),
        ("qwen3", {"attention_bias": True}),
        ("gemma3_text", {"head_dim": 64}),
        ("gpt2", {"n_inner": 200}),
        ("gpt2", {"hidden_size": 48}),
        ("gpt_neox", {"attention_bias": False}),
        ("phi", {"qk_layernorm": True}),
        ("starcoder2", {"use_bias": False, "tie_word_embeddings": False}),
    ],
)
def test_fields_that_change_the_count_are_read(family: str, changes: dict[str, Any]) -> None:
    config = small_config(family)
    if "hidden_size" in changes and family == "gpt2":
        config = {key: value for key, value in config.items() if key != "n_embd"}
    config = config | changes
    facts = model_facts_from_config(family, config, vocabulary_size=None, adapter=Adapter())
    assert facts is not None
    assert facts.parameters == count(build_on_meta(family, config))


def test_the_whole_config_of_a_model_is_understood() -> None:
    config = AutoConfig.for_model("llama", **SMALL, **TOKENS).to_dict()
    facts = model_facts_from_config("llama", config, vocabulary_size=700, adapter=Adapter())
    assert facts is not None
    assert facts.parameters == count(build_on_meta("llama", SMALL | {"vocab_size": 700}))


@pytest.mark.parametrize("family", FAMILIES)
def test_lora_on_all_linear_layers_counts_as_peft_does(family: str) -> None:
    config = small_config(family)
    adapter = Adapter.model_validate({"type": "LoRA", "rank": 4})
    facts = model_facts_from_config(family, config, vocabulary_size=None, adapter=adapter)
    lora = LoraConfig(r=4, target_modules="all-linear", task_type="CAUSAL_LM")
    model = get_peft_model(build_on_meta(family, config), lora)
    assert facts is not None
    assert facts.trainable_parameters == count(model, only_trained=True)
    assert facts.parameters == count(model)


@pytest.mark.parametrize(
    ("family", "targets"),
    [("llama", ["q_proj", "v_proj"]), ("gpt2", ["c_proj"]), ("phi3", ["qkv_proj", "lm_head"])],
)
def test_lora_on_named_layers_counts_as_peft_does(family: str, targets: list[str]) -> None:
    config = small_config(family)
    adapter = Adapter.model_validate({"type": "LoRA", "rank": 4, "targetModules": targets})
    facts = model_facts_from_config(family, config, vocabulary_size=None, adapter=adapter)
    lora = LoraConfig(r=4, target_modules=targets, task_type="CAUSAL_LM")
    model = get_peft_model(build_on_meta(family, config), lora)
    assert facts is not None
    assert facts.trainable_parameters == count(model, only_trained=True)
