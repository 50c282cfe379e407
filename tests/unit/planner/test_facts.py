"""Facts from configs, without transformers; counts are compared with it in tests/trainer."""

from typing import Any

import pytest
from trainwright_api.resources import Adapter
from trainwright_planner.errors import PlanError
from trainwright_planner.facts import model_facts_from_config, model_facts_of_run

from tests.unit.planner.builders import DEMO_CONFIG, SMOLLM2_CONFIG, a_fine_tuning, a_model, a_run

LORA = {"type": "LoRA", "rank": 16}


def facts(architecture: str, config: dict[str, Any], adapter: dict[str, Any] | None = None) -> Any:
    return model_facts_from_config(
        architecture, config, vocabulary_size=None, adapter=Adapter.model_validate(adapter or {})
    )


def test_llama_2_7b_has_its_published_number_of_parameters() -> None:
    assert facts("llama", {}).parameters == 6_738_415_616


def test_smollm2_lora_of_all_linear_layers_counts_r_times_both_sides() -> None:
    model = a_model(SMOLLM2_CONFIG, lora_rank=16)
    per_layer = 16 * (2 * (576 + 576) + 2 * (576 + 192) + 2 * (576 + 1536) + (1536 + 576))
    assert model.trainable_parameters == 30 * per_layer == 4_884_480
    assert model.parameters == 134_515_008 + 4_884_480


def test_matmul_parameters_leave_out_an_embedding_that_is_not_shared() -> None:
    untied = a_model()
    assert untied.matmul_parameters == untied.parameters - 4096 * 448
    assert a_model(SMOLLM2_CONFIG).matmul_parameters == 134_515_008


def test_facts_of_an_unknown_family_are_left_to_the_pod() -> None:
    assert facts("mamba", {}) is None


@pytest.mark.parametrize(
    ("run", "is_known"),
    [
        (a_run(), True),
        (a_run(tokenizer={"location": {"uri": "s3://t/"}}), False),
        (
            a_run(
                tokenizer={"location": {"uri": "s3://t/"}},
                model={"architecture": "llama", "config": DEMO_CONFIG | {"vocab_size": 512}},
            ),
            True,
        ),
        (a_fine_tuning(), False),
    ],
    ids=["tokenizer trained", "tokenizer given", "vocabulary in config", "weights"],
)
def test_model_facts_of_run_needs_a_config_and_a_vocabulary(run: Any, is_known: bool) -> None:
    assert (model_facts_of_run(run) is not None) is is_known


@pytest.mark.parametrize(
    ("config", "path", "said"),
    [
        ({"hidden_size": "wide"}, "spec.model.config.hidden_size", "got 'wide', expected"),
        ({"num_hidden_layers": 0}, "spec.model.config.num_hidden_layers", "got 0"),
        (
            {"hidden_size": 1e300},
            "spec.model.config.hidden_size",
            "got 1000.*, expected a positive",
        ),
        ({"attention_dropout": "a lot"}, "spec.model.config.attention_dropout", "got 'a lot', exp"),
        ({"attention_dropout": [0.1]}, "spec.model.config.attention_dropout", r"got \[0\.1\], exp"),
        (
            {"hidden_size": 2**30, "num_attention_heads": 1, "intermediate_size": 2**30},
            "spec.model.config",
            r"got a model of [\d,]+ parameters, expected at most 9,007,199,254,740,992; correct",
        ),
        (
            {"hidden_size": 320, "num_attention_heads": 6},
            "spec.model.config.hidden_size",
            "use 318",
        ),
        (
            {"num_attention_heads": 32, "num_key_value_heads": 5},
            "spec.model.config.num_key_value_heads",
            "expected a divisor of the 32",
        ),
    ],
)
def test_sizes_that_make_no_model_are_named(config: dict[str, Any], path: str, said: str) -> None:
    with pytest.raises(PlanError, match=said) as caught:
        facts("llama", config)
    assert caught.value.path == path


def test_an_unknown_adapter_target_lists_the_known_ones() -> None:
    with pytest.raises(PlanError, match="got query, expected AllLinear or names among down_proj"):
        facts("llama", {}, LORA | {"targetModules": ["q_proj", "query"]})


@pytest.mark.parametrize(
    ("targets", "trained"),
    [
        (["q_proj", "v_proj"], 32 * 2 * 16 * 8192),
        (["self_attn.q_proj"], 32 * 16 * 8192),
        (["q_proj", "lm_head"], 32 * 16 * 8192 + 16 * (4096 + 32000)),
        (["layers.3.self_attn.q_proj"], None),
    ],
)
def test_adapter_targets_match_by_the_end_of_their_names(
    targets: list[str], trained: int | None
) -> None:
    model = facts("llama", {}, LORA | {"targetModules": targets})
    assert (model and model.trainable_parameters) == trained
