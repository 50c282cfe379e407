"""What is known of each model family: its layers, its other parameters, what autograd keeps of it.

Read by `facts` (parameter counts, adapted layers) and `memory` (saved activations). A family is one
entry of the table. `tests/trainer/test_planner_facts.py` builds every entry with transformers on the
meta device and compares the counts; `test_planner_memory.py` compares the bytes that autograd keeps.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from trainwright_planner.layers import (
    Dimensions,
    Linear,
    gpt2_linears,
    gpt_neox_linears,
    llama_linears,
    phi3_linears,
    phi_linears,
    qwen2_linears,
    starcoder2_linears,
)


@dataclass(frozen=True)
class Saved:
    """Bytes that autograd keeps per token and layer, for each unit of a width of the layer.

    `attention` is per head and *position*: kept where attention weights are materialised (families
    that transformers runs with eager attention), else 0.
    """

    hidden: float
    query: float
    kv: float
    intermediate: float
    attention: float = 0.0


@dataclass(frozen=True)
class Family:
    """One family. Callables take the dimensions; vectors are norms and other non-matrix parameters."""

    defaults: Mapping[str, Any]
    linears: Callable[[Dimensions], tuple[Linear, ...]]
    layer_vectors: Callable[[Dimensions], int]
    outside_vectors: Callable[[Dimensions], int]
    saved_16_bit: Saved
    saved_32_bit: Saved
    # Kept in addition where the config asks for dropout: elements per unit of the hidden size, and
    # bytes per head and position, because attention with dropout has no fused kernel on CPU.
    dropout_elements_per_hidden: float = 0.0
    dropout_bytes_per_attention: float = 0.0
    names: Mapping[str, str] = field(default_factory=dict)


def _two_norms(size: Dimensions) -> int:
    return 2 * size.hidden_size


def _four_norms(size: Dimensions) -> int:
    return 4 * size.hidden_size  # also: two layer norms with bias


def _one_norm(size: Dimensions) -> int:
    return size.hidden_size


# What the Llama block keeps in 16 bit, per token: two RMS norms (input in FP32, normalised and scaled in
# 16 bit: 8 B each), q, k, v and the attention's output (2 B each), and four tensors of the MLP's width.
_LLAMA_16 = Saved(hidden=16, query=4, kv=4, intermediate=8)
_LLAMA_32 = Saved(hidden=24, query=8, kv=8, intermediate=16)
_LLAMA_DEFAULTS = {
    "hidden_size": 4096,
    "intermediate_size": 11008,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "vocab_size": 32000,
    "tie_word_embeddings": False,
}
LLAMA = Family(_LLAMA_DEFAULTS, llama_linears, _two_norms, _one_norm, _LLAMA_16, _LLAMA_32)


def _like_llama(**defaults: Any) -> Family:
    return Family(
        _LLAMA_DEFAULTS | defaults, llama_linears, _two_norms, _one_norm, _LLAMA_16, _LLAMA_32
    )


_QWEN = {"vocab_size": 151936, "intermediate_size": 22016, "num_key_value_heads": 32}
_GEMMA = {"vocab_size": 256000, "head_dim": 256, "tie_word_embeddings": True}
_GEMMA2 = _GEMMA | {
    "hidden_size": 2304,
    "intermediate_size": 9216,
    "num_hidden_layers": 26,
    "num_attention_heads": 8,
    "num_key_value_heads": 4,
}

FAMILIES: Mapping[str, Family] = {
    "llama": LLAMA,
    "granite": LLAMA,
    "mistral": _like_llama(intermediate_size=14336, num_key_value_heads=8),
    "smollm3": _like_llama(
        vocab_size=128256,
        hidden_size=2048,
        num_hidden_layers=36,
        num_attention_heads=16,
        num_key_value_heads=4,
        tie_word_embeddings=True,
    ),
    "qwen2": Family(
        _LLAMA_DEFAULTS | _QWEN, qwen2_linears, _two_norms, _one_norm, _LLAMA_16, _LLAMA_32
    ),
    "qwen3": Family(
        _LLAMA_DEFAULTS | _QWEN | {"head_dim": 128},
        llama_linears,
        lambda size: 2 * size.hidden_size + 2 * size.head_dim,
        _one_norm,
        Saved(hidden=16, query=10, kv=10, intermediate=8),
        Saved(hidden=24, query=16, kv=16, intermediate=16),
    ),
    "gemma": Family(
        _LLAMA_DEFAULTS
        | _GEMMA
        | {
            "hidden_size": 3072,
            "intermediate_size": 24576,
            "num_hidden_layers": 28,
            "num_attention_heads": 16,
            "num_key_value_heads": 16,
        },
        llama_linears,
        _two_norms,
        _one_norm,
        Saved(hidden=20, query=4, kv=4, intermediate=8),
        Saved(hidden=24, query=8, kv=8, intermediate=16),
    ),
    "gemma2": Family(
        _LLAMA_DEFAULTS | _GEMMA2,
        llama_linears,
        _four_norms,
        _one_norm,
        Saved(hidden=36, query=8, kv=0, intermediate=8, attention=8),
        Saved(hidden=40, query=16, kv=0, intermediate=16, attention=8),
    ),
    "gemma3_text": Family(
        _LLAMA_DEFAULTS | _GEMMA2 | {"vocab_size": 262208},
        llama_linears,
        lambda size: 4 * size.hidden_size + 2 * size.head_dim,
        _one_norm,
        Saved(hidden=36, query=12, kv=12, intermediate=8),
        Saved(hidden=40, query=16, kv=16, intermediate=16),
    ),
    "olmo2": Family(
        _LLAMA_DEFAULTS | {"vocab_size": 50304},
        llama_linears,
        lambda size: 2 * size.hidden_size + size.query_size + size.kv_size,
        _one_norm,
        Saved(hidden=20, query=12, kv=12, intermediate=8),
        Saved(hidden=24, query=16, kv=16, intermediate=16),
    ),
    "phi": Family(
        _LLAMA_DEFAULTS
        | {
            "vocab_size": 51200,
            "hidden_size": 2048,
            "intermediate_size": 8192,
            "num_hidden_layers": 24,
        },
        phi_linears,
        lambda size: 2 * size.hidden_size + (4 * size.head_dim if size.qk_norm else 0),
        lambda size: 2 * size.hidden_size + size.vocabulary_size,  # its output layer has a bias
        Saved(hidden=6, query=4, kv=4, intermediate=10),
        Saved(hidden=12, query=8, kv=8, intermediate=20),
    ),
    "phi3": Family(
        _LLAMA_DEFAULTS | {"vocab_size": 32064, "hidden_size": 3072, "intermediate_size": 8192},
        phi3_linears,
        _two_norms,
        _one_norm,
        Saved(hidden=16, query=8, kv=6, intermediate=8),
        Saved(hidden=24, query=16, kv=12, intermediate=16),
    ),
    "starcoder2": Family(
        _LLAMA_DEFAULTS
        | {
            "vocab_size": 49152,
            "hidden_size": 3072,
            "intermediate_size": 12288,
            "num_hidden_layers": 30,
            "num_attention_heads": 24,
            "num_key_value_heads": 2,
            "attention_bias": True,
            "tie_word_embeddings": True,
        },
        starcoder2_linears,
        _four_norms,
        _two_norms,
        Saved(hidden=8, query=4, kv=4, intermediate=4),
        Saved(hidden=16, query=8, kv=8, intermediate=8),
        names={"attention_bias": "use_bias"},
    ),
    "gpt2": Family(
        {
            "hidden_size": 768,
            "num_hidden_layers": 12,
            "num_attention_heads": 12,
            "vocab_size": 50257,
            "max_position_embeddings": 1024,
            "tie_word_embeddings": True,
            "attention_dropout": 0.1,
            "hidden_dropout": 0.1,
        },
        gpt2_linears,
        _four_norms,
        lambda size: 2 * size.hidden_size + size.num_positions * size.hidden_size,
        Saved(hidden=8, query=4, kv=4, intermediate=10),
        Saved(hidden=16, query=8, kv=8, intermediate=20),
        dropout_elements_per_hidden=2,
        dropout_bytes_per_attention=12,
        names={
            "hidden_size": "n_embd",
            "num_hidden_layers": "n_layer",
            "num_attention_heads": "n_head",
            "intermediate_size": "n_inner",
            "max_position_embeddings": "n_positions",
            "attention_dropout": "attn_pdrop",
            "hidden_dropout": "resid_pdrop",
        },
    ),
    "gpt_neox": Family(
        {
            "hidden_size": 6144,
            "intermediate_size": 24576,
            "num_hidden_layers": 44,
            "num_attention_heads": 64,
            "vocab_size": 50432,
            "tie_word_embeddings": False,
            "attention_bias": True,
        },
        gpt_neox_linears,
        _four_norms,
        _two_norms,
        Saved(hidden=12, query=4, kv=4, intermediate=4),
        Saved(hidden=24, query=8, kv=8, intermediate=8),
    ),
}
