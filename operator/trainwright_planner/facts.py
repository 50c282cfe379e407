"""What the planner must know of a model: sizes and exact parameter counts, read from its config.

The config is transformers' own (`config.json`, or the fields that a TrainingRun gives); fields left
out take transformers' defaults. The operator knows the config of new models only; that of weights
is read in the pod. Families outside the table give None and are planned in the pod, where the model
itself can be counted.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from trainwright_api.resources import Adapter, AdapterType
from trainwright_api.run import Run

from trainwright_planner.errors import PlanError
from trainwright_planner.families import FAMILIES, Family
from trainwright_planner.layers import Dimensions, Linear

ALL_LINEAR = "AllLinear"
OUTPUT_HEAD = "lm_head"
LARGEST_SIZE = 2**31 - 1  # of a tensor in one direction
MOST_PARAMETERS = 2**53  # beyond it, figures of the plan do not fit into a status


@dataclass(frozen=True)
class ModelFacts:
    """Sizes of a model; `parameters` counts shared weights once and includes the adapter's."""

    family: str
    num_layers: int
    hidden_size: int
    intermediate_size: int
    num_heads: int
    num_kv_heads: int
    head_dim: int
    vocabulary_size: int
    parameters: int
    trainable_parameters: int
    tied_embeddings: bool
    attention_dropout: float = 0.0
    hidden_dropout: float = 0.0

    @property
    def matmul_parameters(self) -> int:
        """Parameters that multiply every token: all but the input embedding, unless it is also the output."""
        embedding = 0 if self.tied_embeddings else self.vocabulary_size * self.hidden_size
        return self.parameters - embedding


def model_facts_of_run(run: Run) -> ModelFacts | None:
    """Return the facts of a new model whose vocabulary is known from the run; None: decide in the pod."""
    if run.model.architecture is None:
        return None
    trained = run.tokenizer.train
    vocabulary_size = trained.vocabulary_size if trained else None
    if vocabulary_size is None and "vocab_size" not in run.model.config:
        return None
    return model_facts_from_config(
        run.model.architecture,
        run.model.config,
        vocabulary_size=vocabulary_size,
        adapter=run.adapter,
    )


def model_facts_from_config(
    architecture: str,
    config: Mapping[str, Any],
    *,
    vocabulary_size: int | None,
    adapter: Adapter,
) -> ModelFacts | None:
    """Return the facts of a model of this `model_type` and config, or None for an unknown family.

    `vocabulary_size` replaces the config's. Raises PlanError for sizes that make no model and for
    adapter targets that the family does not have.
    """
    family = FAMILIES.get(architecture)
    if family is None:
        return None
    size = _dimensions(family, config, vocabulary_size)
    linears = family.linears(size)
    parameters = _count_parameters(family, size, linears)
    if parameters > MOST_PARAMETERS:
        raise PlanError(
            "spec.model.config",
            f"got a model of {parameters:,} parameters, expected at most {MOST_PARAMETERS:,}; correct its sizes",
        )
    adapted = 0
    if adapter.type is AdapterType.LORA:
        found = _count_adapter(adapter, size, linears)
        if found is None:
            return None
        adapted = found
    return ModelFacts(
        family=architecture,
        num_layers=size.num_layers,
        hidden_size=size.hidden_size,
        intermediate_size=size.intermediate_size,
        num_heads=size.num_heads,
        num_kv_heads=size.num_kv_heads,
        head_dim=size.head_dim,
        vocabulary_size=size.vocabulary_size,
        parameters=parameters + adapted,
        trainable_parameters=adapted or parameters,
        tied_embeddings=size.tied_embeddings,
        attention_dropout=size.attention_dropout,
        hidden_dropout=size.hidden_dropout,
    )


def _dimensions(
    family: Family, config: Mapping[str, Any], vocabulary_size: int | None
) -> Dimensions:
    def read(name: str) -> Any:
        for key in (family.names.get(name, name), name):
            if config.get(key) is not None:
                return config[key]
        return family.defaults.get(name)

    def number(name: str, default: int | None = None) -> int:
        value = read(name)
        value = default if value is None else value
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int) or not 0 < value <= LARGEST_SIZE:
            raise PlanError(
                f"spec.model.config.{family.names.get(name, name)}",
                f"got {value!r:.100}, expected a positive whole number up to {LARGEST_SIZE:,}",
            )
        return value

    def fraction(name: str) -> float:
        value = read(name) or 0.0
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
            raise PlanError(
                f"spec.model.config.{family.names.get(name, name)}",
                f"got {value!r:.100}, expected a number from 0 to 1",
            )
        return float(value)

    hidden, heads = number("hidden_size"), number("num_attention_heads")
    kv_heads = number("num_key_value_heads", heads)
    given_head_dim = read("head_dim")
    if heads % kv_heads:
        raise PlanError(
            "spec.model.config.num_key_value_heads",
            f"got {kv_heads}, expected a divisor of the {heads} attention heads",
        )
    if given_head_dim is None and hidden % heads:
        raise PlanError(
            "spec.model.config.hidden_size",
            f"got {hidden}, expected a multiple of the {heads} attention heads; "
            f"use {hidden // heads * heads or heads} or set head_dim",
        )
    return Dimensions(
        hidden_size=hidden,
        intermediate_size=number("intermediate_size", 4 * hidden),
        num_layers=number("num_hidden_layers"),
        num_heads=heads,
        num_kv_heads=kv_heads,
        head_dim=number("head_dim", hidden // heads or 1),
        vocabulary_size=vocabulary_size or number("vocab_size"),
        num_positions=number("max_position_embeddings", 1),
        attention_bias=bool(read("attention_bias")),
        mlp_bias=bool(read("mlp_bias")),
        qk_norm=bool(read("qk_layernorm")),
        tied_embeddings=bool(read("tie_word_embeddings")),
        attention_dropout=fraction("attention_dropout"),
        hidden_dropout=fraction("hidden_dropout"),
    )


def _count_parameters(family: Family, size: Dimensions, linears: tuple[Linear, ...]) -> int:
    layer = sum(linear.parameters for linear in linears) + family.layer_vectors(size)
    embeddings = size.vocabulary_size * size.hidden_size * (1 if size.tied_embeddings else 2)
    return size.num_layers * layer + embeddings + family.outside_vectors(size)


def _count_adapter(adapter: Adapter, size: Dimensions, linears: tuple[Linear, ...]) -> int | None:
    """Count r * (d_in + d_out) of each adapted layer; None where a target is a path into one layer."""
    per_layer = outside = 0
    for linear in linears:
        if any(_matches(linear.name, target) for target in adapter.target_modules):
            per_layer += adapter.rank * (linear.d_in + linear.d_out)
    for target in adapter.target_modules:
        if target == OUTPUT_HEAD:
            outside += adapter.rank * (size.hidden_size + size.vocabulary_size)
        elif not any(_matches(linear.name, target) for linear in linears):
            if "." in target:
                return None
            names = ", ".join(sorted({linear.name.rpartition(".")[2] for linear in linears}))
            raise PlanError(
                "spec.adapter.targetModules",
                f"got {target}, expected {ALL_LINEAR} or names among {names}, {OUTPUT_HEAD}",
            )
    return size.num_layers * per_layer + outside


def _matches(name: str, target: str) -> bool:
    return target in (ALL_LINEAR, name) or name.endswith(f".{target}")
