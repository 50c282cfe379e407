"""The linear layers of a transformer block, by family.

`facts` counts their parameters, and adapters attach to them by name. Names are those of the modules
in transformers, because users write them in `adapter.targetModules`.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Dimensions:
    """Sizes of a model with every default filled in."""

    hidden_size: int
    intermediate_size: int
    num_layers: int
    num_heads: int
    num_kv_heads: int
    head_dim: int
    vocabulary_size: int
    num_positions: int
    attention_bias: bool
    mlp_bias: bool
    qk_norm: bool
    tied_embeddings: bool
    attention_dropout: float
    hidden_dropout: float

    @property
    def query_size(self) -> int:
        """Width of all query heads together."""
        return self.num_heads * self.head_dim

    @property
    def kv_size(self) -> int:
        """Width of all key (or value) heads together."""
        return self.num_kv_heads * self.head_dim


@dataclass(frozen=True)
class Linear:
    """One linear layer of a transformer block, by its name below the block."""

    name: str
    d_in: int
    d_out: int
    bias: bool = False

    @property
    def parameters(self) -> int:
        """Weights and bias."""
        return self.d_in * self.d_out + (self.d_out if self.bias else 0)


def _separate_attention(
    size: Dimensions, *, qkv_bias: bool, output_bias: bool, output: str = "o_proj"
) -> tuple[Linear, ...]:
    hidden = size.hidden_size
    return (
        Linear("self_attn.q_proj", hidden, size.query_size, qkv_bias),
        Linear("self_attn.k_proj", hidden, size.kv_size, qkv_bias),
        Linear("self_attn.v_proj", hidden, size.kv_size, qkv_bias),
        Linear(f"self_attn.{output}", size.query_size, hidden, output_bias),
    )


def _gated_mlp(size: Dimensions) -> tuple[Linear, ...]:
    hidden, inner = size.hidden_size, size.intermediate_size
    return (
        Linear("mlp.gate_proj", hidden, inner, size.mlp_bias),
        Linear("mlp.up_proj", hidden, inner, size.mlp_bias),
        Linear("mlp.down_proj", inner, hidden, size.mlp_bias),
    )


def _plain_mlp(size: Dimensions, up: str, down: str, *, bias: bool) -> tuple[Linear, ...]:
    return (
        Linear(f"mlp.{up}", size.hidden_size, size.intermediate_size, bias),
        Linear(f"mlp.{down}", size.intermediate_size, size.hidden_size, bias),
    )


def llama_linears(size: Dimensions) -> tuple[Linear, ...]:
    """Llama and the many that share its block."""
    bias = size.attention_bias
    return _separate_attention(size, qkv_bias=bias, output_bias=bias) + _gated_mlp(size)


def qwen2_linears(size: Dimensions) -> tuple[Linear, ...]:
    """Llama with a bias on query, key and value only."""
    return _separate_attention(size, qkv_bias=True, output_bias=False) + _gated_mlp(size)


def gpt2_linears(size: Dimensions) -> tuple[Linear, ...]:
    """GPT-2 (Conv1D layers; peft adapts them like linear ones)."""
    hidden = size.hidden_size
    attention = (
        Linear("attn.c_attn", hidden, 3 * hidden, bias=True),
        Linear("attn.c_proj", hidden, hidden, bias=True),
    )
    return attention + _plain_mlp(size, "c_fc", "c_proj", bias=True)


def gpt_neox_linears(size: Dimensions) -> tuple[Linear, ...]:
    """GPT-NeoX and Pythia."""
    hidden, bias = size.hidden_size, size.attention_bias
    attention = (
        Linear("attention.query_key_value", hidden, 3 * hidden, bias),
        Linear("attention.dense", hidden, hidden, bias),
    )
    return attention + _plain_mlp(size, "dense_h_to_4h", "dense_4h_to_h", bias=True)


def phi_linears(size: Dimensions) -> tuple[Linear, ...]:
    """Phi-1 to Phi-2."""
    attention = _separate_attention(size, qkv_bias=True, output_bias=True, output="dense")
    return attention + _plain_mlp(size, "fc1", "fc2", bias=True)


def phi3_linears(size: Dimensions) -> tuple[Linear, ...]:
    """Phi-3, with fused projections."""
    hidden, inner = size.hidden_size, size.intermediate_size
    return (
        Linear("self_attn.qkv_proj", hidden, size.query_size + 2 * size.kv_size),
        Linear("self_attn.o_proj", size.query_size, hidden),
        Linear("mlp.gate_up_proj", hidden, 2 * inner),
        Linear("mlp.down_proj", inner, hidden),
    )


def starcoder2_linears(size: Dimensions) -> tuple[Linear, ...]:
    """StarCoder2; `attention_bias` holds its `use_bias`."""
    bias = size.attention_bias
    attention = _separate_attention(size, qkv_bias=bias, output_bias=bias)
    return attention + _plain_mlp(size, "c_fc", "c_proj", bias=bias)
