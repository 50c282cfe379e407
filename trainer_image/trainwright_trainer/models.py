"""Builds or loads the model of a run, puts the adapter on, and says what size it has.

Rank 0 alone reads weights from the store; the others build the same architecture and receive the
weights from it, so that a base model is fetched and converted once per run.
"""

import difflib
import logging
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from huggingface_hub.errors import StrictDataclassError
from trainwright_api.resources import AdapterType
from trainwright_api.run import Run
from trainwright_planner.errors import PlanError
from trainwright_planner.facts import ModelFacts, model_facts_from_config
from transformers import (
    CONFIG_MAPPING,
    AutoConfig,
    AutoModelForCausalLM,
    PretrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerFast,
)

from trainwright_trainer.errors import UserError, is_out_of_memory, is_out_of_space
from trainwright_trainer.gguf_files import forget_gguf, quick_gguf
from trainwright_trainer.groups import Group

ALL_LINEAR = "AllLinear"
# What transformers raises for configs and weights that make no model.
_UNUSABLE = (
    OSError,
    ValueError,
    KeyError,
    ImportError,
    TypeError,
    AttributeError,
    RuntimeError,
    ArithmeticError,
    StrictDataclassError,
)

_ROPE_FIELDS = {"rope_theta", "rope_scaling", "partial_rotary_factor"}  # older names, still read
_FIELDS_OF_ALL = {
    "torch_dtype",
    "attn_implementation",
}  # read by transformers, but not listed by it

logger = logging.getLogger(__name__)


def load_config(
    run: Run, folder: Path | None, tokenizer: PreTrainedTokenizerFast
) -> PretrainedConfig:
    """Return the config: a new one for the tokenizer, or that of the weights in `folder`.

    Raises UserError for what transformers does not know or cannot read, and for a tokenizer with
    more entries than the embedding.
    """
    if folder is None:
        return _new_config(run, tokenizer)
    arguments: dict[str, Any] = {"gguf_file": run.model.gguf_file} if run.model.gguf_file else {}
    field = weights_field(run)
    try:
        with quick_gguf(run.model.gguf_file):
            config: PretrainedConfig = AutoConfig.from_pretrained(
                folder,
                trust_remote_code=False,
                local_files_only=True,
                **arguments,
                **run.model.config,
            )
    except _UNUSABLE as error:
        raise _no_model(run, error) from error
    check_fields(run.model.config, type(config))
    _check_not_quantized(run, config)
    size = getattr(config.get_text_config(), "vocab_size", None)
    if size is not None and len(tokenizer) > size:
        place = "spec.tokenizer.location.uri" if run.tokenizer.location else field
        raise UserError(
            f"{place}: got a tokenizer with {len(tokenizer)} entries for an embedding of {size}, "
            "expected no more entries than the embedding has; use the tokenizer of these weights"
        )
    return config


def _check_not_quantized(run: Run, config: PretrainedConfig) -> None:
    """Refuse weights in a quantized format (GPTQ, AWQ, FP8 ...): the engine trains plain ones only.

    Those of a GGUF file are made plain while they are read, and their config says nothing of it. Raises
    UserError.
    """
    configs = (config.to_dict(), config.get_text_config().to_dict())
    quantized = next(filter(None, (each.get("quantization_config") for each in configs)), None)
    if quantized is None:
        return
    uri = run.model.weights.uri if run.model.weights else ""
    method = quantized.get("quant_method", "unknown")
    raise UserError(
        f"{weights_field(run)}: got {uri} with quantized weights (quantization_config of its config.json: {method}), "
        "expected weights in FP32, BF16 or FP16; name the model that they were quantized from, or a copy of "
        "this one in BF16"
    )


def _new_config(run: Run, tokenizer: PreTrainedTokenizerFast) -> PretrainedConfig:
    given = dict(run.model.config)
    size = given.setdefault("vocab_size", len(tokenizer))
    if size < len(tokenizer):
        raise UserError(
            f"spec.model.config.vocab_size: got {size} for a tokenizer with {len(tokenizer)} entries, "
            "expected at least as many; leave it away and it is set from the tokenizer"
        )
    special = {
        name: getattr(tokenizer, name) for name in ("bos_token_id", "eos_token_id", "pad_token_id")
    }
    architecture = run.model.architecture or ""
    # Not get(): it does not load what is only named so far.
    known = CONFIG_MAPPING[architecture] if architecture in CONFIG_MAPPING else PretrainedConfig  # noqa: SIM401
    length = "max_position_embeddings"
    if known.attribute_map.get(length) not in given:  # GPT-2 calls it n_positions
        given.setdefault(length, max(run.data.sequence_length, 2048))
    if known is not PretrainedConfig:
        check_fields(run.model.config, known)
    try:
        return AutoConfig.for_model(architecture, **(special | given))
    except _UNUSABLE as error:
        raise _no_architecture(run, error) from error


def check_fields(given: Mapping[str, Any], family: type[PretrainedConfig]) -> None:
    """Refuse fields that a family's config does not have: transformers keeps them without effect.

    Raises UserError with the field that may be meant.
    """
    known = {*family().to_dict(), *family.attribute_map}
    if "rope_parameters" in known:
        known |= _ROPE_FIELDS
    for name in given:
        if name not in known | _FIELDS_OF_ALL:
            near = difflib.get_close_matches(name, known, n=1)
            remedy = f"did you mean {near[0]}?" if near else "remove it"
            raise UserError(
                f"spec.model.config.{name}: got a field that {family.model_type} has not, expected one of its "
                f"config; {remedy}"
            )


def weights_field(run: Run) -> str:
    """Return the path in the spec of the weights' location."""
    return "spec.baseModel.uri" if run.kind == "FineTuneJob" else "spec.model.weights.uri"


def _no_architecture(run: Run, error: Exception) -> UserError:
    if isinstance(error, ImportError):
        return _no_package("spec.model", f"{run.model.architecture} with {run.model.config}", error)
    return UserError(
        f"spec.model: got {run.model.architecture} with {run.model.config} ({one_line(error)}), expected a "
        "model_type of transformers that generates text, and fields of its config; correct it"
    )


def _no_model(run: Run, error: Exception) -> UserError:
    uri = run.model.weights.uri if run.model.weights else ""
    if isinstance(error, ImportError):
        return _no_package(weights_field(run), uri, error)
    return UserError(
        f"{weights_field(run)}: got {uri}, which is no model that transformers loads "
        f"({one_line(error)}), expected config.json and *.safetensors; name the folder of a model"
    )


def _no_package(field: str, got: str, error: ImportError) -> UserError:
    """The model may be fine: some families and settings need more than the trainer's image has."""
    return UserError(
        f"{field}: got {got}, which needs a Python package that is not there, or not in this version "
        f"({one_line(error)}), expected a model that loads without it; add the package to an image of your own and name "
        "that in spec.workers.image, or use another model"
    )


def one_line(error: Exception) -> str:
    """Return an error's text as one line, bounded; of a failed validation, what made it fail."""
    if isinstance(error, StrictDataclassError) and isinstance(error.__cause__, Exception):
        return one_line(error.__cause__)
    return (" ".join(str(error).split()) or type(error).__name__)[:300]


def build_model(
    run: Run, config: PretrainedConfig, folder: Path | None, group: Group
) -> torch.nn.Module:
    """Return the model in float32 on the CPU, in training mode, alike on every rank; collective.

    New weights come from the seed alone: the same for every world size and ZeRO stage. Raises
    UserError for weights that are none, or not all, of the model's.
    """
    torch.manual_seed(run.seed)
    failure: UserError | None = None
    model: PreTrainedModel | None = None
    if folder is not None and group.rank == 0:
        try:
            model = _load_weights(run, config, folder)
        except UserError as error:
            failure = error
    if folder is not None and (failure := group.broadcast(failure)) is not None:
        raise failure
    if model is None:
        model = new_model(config) if folder is None else _empty_model(config)
    if folder is not None and group.world_size > 1:
        _broadcast_weights(model, run.workers.uses_accelerators)
    # from_pretrained leaves rank 0 in evaluation mode: no dropout, and no activation checkpointing.
    return add_adapter(run, model).train()


def _load_weights(run: Run, config: PretrainedConfig, folder: Path) -> PreTrainedModel:
    arguments: dict[str, Any] = (
        {"gguf_file": run.model.gguf_file} if run.model.gguf_file else {"use_safetensors": True}
    )
    try:
        with quick_gguf(run.model.gguf_file):
            loaded: Any = AutoModelForCausalLM.from_pretrained(
                folder,
                config=config,
                dtype=torch.float32,
                trust_remote_code=False,
                local_files_only=True,
                output_loading_info=True,
                **arguments,
            )
    except _UNUSABLE as error:
        if is_out_of_memory(error) or is_out_of_space(error):  # which says nothing of the model
            raise
        raise _no_model(run, error) from error
    finally:
        forget_gguf()
    model: PreTrainedModel = loaded[0]
    _check_complete(run, model, loaded[1]["missing_keys"])
    return model


def _check_complete(run: Run, model: PreTrainedModel, missing: Collection[str]) -> None:
    """Refuse weights that lack a parameter: it would be drawn at random. Raises UserError.

    Tied parameters are not among the missing ones; buffers are computed from the config.
    """
    parameters = dict(model.named_parameters(remove_duplicate=False))
    lacking = sorted(name for name in missing if name in parameters)
    if not lacking:
        return
    uri = run.model.weights.uri if run.model.weights else ""
    more = f" and {len(lacking) - 3} more" if len(lacking) > 3 else ""
    raise UserError(
        f"{weights_field(run)}: got {uri} without {', '.join(lacking[:3])}{more}, expected all weights "
        f"of a {model.config.model_type} that generates text; name the folder of a whole model, or "
        "correct its config.json"
    )


def new_model(config: PretrainedConfig) -> PreTrainedModel:
    """Return a model of this config in float32 with new weights from torch's current seed."""
    model: PreTrainedModel = AutoModelForCausalLM.from_config(  # type: ignore[no-untyped-call]
        config, dtype=torch.float32, trust_remote_code=False
    )
    return model


def _empty_model(config: PretrainedConfig) -> PreTrainedModel:
    """Return a model whose weights are yet to come; nothing is drawn at random in vain."""
    with torch.device("meta"):
        model = new_model(config)
    model.to_empty(device="cpu")
    model.tie_weights()
    return model


def _broadcast_weights(model: torch.nn.Module, uses_accelerators: bool) -> None:
    """Send rank 0's weights and buffers to all ranks, one tensor at a time."""
    for tensor in [*model.parameters(), *model.buffers()]:
        if uses_accelerators:
            moved = tensor.data.cuda()
            dist.broadcast(moved, src=0)
            tensor.data.copy_(moved)
        else:
            dist.broadcast(tensor.data, src=0)


def add_adapter(run: Run, model: PreTrainedModel) -> torch.nn.Module:
    """Return the model with the run's adapter; its weights come from the seed."""
    if run.adapter.type is AdapterType.NONE:
        return model
    from peft import LoraConfig, get_peft_model

    targets = run.adapter.target_modules
    if targets != [ALL_LINEAR]:
        _check_targets(targets, [name for name, _ in model.named_modules()])
    config = LoraConfig(
        r=run.adapter.rank,
        lora_alpha=run.adapter.alpha or 2 * run.adapter.rank,  # type: ignore[arg-type]  # any number
        lora_dropout=run.adapter.dropout,
        target_modules="all-linear" if targets == [ALL_LINEAR] else list(targets),
        task_type="CAUSAL_LM",
    )
    torch.manual_seed(run.seed + 1)
    try:
        return get_peft_model(model, config)
    except ValueError as error:
        raise UserError(
            f"spec.adapter.targetModules: got {targets} ({one_line(error)}), expected names of "
            "linear layers of this model; use [AllLinear]"
        ) from error


def _check_targets(targets: Collection[str], names: Collection[str]) -> None:
    """Refuse a target that names no layer: peft goes on without it if another one does. Raises UserError."""
    for target in targets:
        if not any(name == target or name.endswith(f".{target}") for name in names):
            raise UserError(
                f"spec.adapter.targetModules: got {target}, which no layer of this model is called, expected names "
                f"of its linear layers; correct it, or use [{ALL_LINEAR}]"
            )


def measure_run(run: Run, config: PretrainedConfig) -> ModelFacts:
    """Return the facts of the run's model with its adapter, without making its weights.

    Raises UserError for a config that makes no model.
    """
    random_state = torch.get_rng_state()
    try:
        with torch.device("meta"):
            model = add_adapter(run, new_model(config))
        return measure_model(run, model, config)
    except PlanError as error:
        raise UserError(str(error)) from error
    except _UNUSABLE as error:
        known = _no_architecture if run.model.weights is None else _no_model
        raise known(run, error) from error
    finally:
        torch.set_rng_state(random_state)


def measure_model(run: Run, model: torch.nn.Module, config: PretrainedConfig) -> ModelFacts:
    """Return what the planner needs to know, counted on the model itself.

    For a family that the planner does not know, it plans with the sizes that the config names.
    """
    text = config.get_text_config()
    known = model_facts_from_config(
        config.model_type, text.to_dict(), vocabulary_size=None, adapter=run.adapter
    )
    hidden = _size(text, "hidden_size", "d_model", "n_embd")
    heads = _size(text, "num_attention_heads", "n_head")
    return ModelFacts(
        family=config.model_type,
        num_layers=_size(text, "num_hidden_layers", "num_layers", "n_layer"),
        hidden_size=hidden,
        intermediate_size=known.intermediate_size
        if known
        else _size(text, "intermediate_size", "n_inner", otherwise=4 * hidden),
        num_heads=heads,
        num_kv_heads=_size(text, "num_key_value_heads", otherwise=heads),
        head_dim=_size(text, "head_dim", otherwise=hidden // heads),
        vocabulary_size=_size(text, "vocab_size"),
        parameters=sum(parameter.numel() for parameter in model.parameters()),
        trainable_parameters=sum(p.numel() for p in model.parameters() if p.requires_grad),
        tied_embeddings=bool(getattr(config, "tie_word_embeddings", False)),
        attention_dropout=float(getattr(text, "attention_dropout", 0.0) or 0.0),
        hidden_dropout=known.hidden_dropout if known else 0.0,
    )


def _size(config: PretrainedConfig, *names: str, otherwise: int = 1) -> int:
    """Return the first of these fields that the config has; families name the same size differently."""
    return next((int(value) for name in names if (value := getattr(config, name, None))), otherwise)
