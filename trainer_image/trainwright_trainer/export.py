"""Writes the finished model as a plain folder of transformers (or peft) and uploads it.

Rank 0 rebuilds the model on the CPU from the gathered weights: the same path for every ZeRO stage,
and what is saved is what was asked to complete the sample prompts.
"""

import logging
import shutil
from collections.abc import Mapping
from pathlib import Path

import torch
from trainwright_api.names import MANIFEST_FILE
from trainwright_api.resources import AdapterType
from trainwright_api.run import Run
from trainwright_api.status import GeneratedSample, ModelStatus
from trainwright_api.training import Precision
from transformers import PretrainedConfig, PreTrainedTokenizerFast

from trainwright_trainer.errors import TrainerError
from trainwright_trainer.models import add_adapter, new_model
from trainwright_trainer.sampling import complete_prompts
from trainwright_trainer.store import Store

MERGE_TOLERANCE = 1e-2  # largest difference of logits that a merge may make, relative to their size
ADAPTER_FOLDER = "adapter"

logger = logging.getLogger(__name__)


def rebuild_model(
    run: Run, config: PretrainedConfig, weights: Mapping[str, torch.Tensor]
) -> torch.nn.Module:
    """Return the model on the CPU in float32 with the given weights (names as in training)."""
    model = new_model(config)
    wrapped = add_adapter(run, model)
    missing, unexpected = wrapped.load_state_dict(
        {name: tensor.float() for name, tensor in weights.items()}, strict=False
    )
    untied = [name for name in missing if not name.endswith("lm_head.weight")]
    if untied or unexpected:
        raise TrainerError(
            f"the finished model misses {untied[:3]} and has too many {unexpected[:3]}; this is a defect"
        )
    return wrapped.eval()


def export_model(
    run: Run,
    config: PretrainedConfig,
    weights: Mapping[str, torch.Tensor],
    tokenizer: PreTrainedTokenizerFast,
    store: Store,
    scratch: Path,
    before: list[str],
) -> ModelStatus:
    """Write and upload the finished model; return what status.model says of it."""
    model = rebuild_model(run, config, weights)
    after = complete_prompts(run, model, tokenizer)
    folder = scratch / "model"
    shutil.rmtree(folder, ignore_errors=True)
    dtype = torch.float32 if run.precision is Precision.FP32 else torch.bfloat16
    has_adapter = run.adapter.type is not AdapterType.NONE
    merges = has_adapter and run.output.merge
    if has_adapter:
        _save_adapter(model, folder / ADAPTER_FOLDER if merges else folder)
    if merges:
        model = merge_adapter(model)
    if merges or not has_adapter:
        model.to(dtype).save_pretrained(folder, safe_serialization=True)  # type: ignore[operator]
    tokenizer.save_pretrained(folder)
    size = upload_folder(folder, store)
    samples = [
        GeneratedSample(prompt=prompt[:1024], before=old, after=new)
        for prompt, old, new in zip(run.output.sample_prompts, before, after, strict=True)
    ]
    return ModelStatus(
        uri=run.output.uri,
        adapter_uri=f"{run.output.uri.rstrip('/')}/{ADAPTER_FOLDER}/" if merges else None,
        size_bytes=size,
        samples=samples,
    )


def _save_adapter(model: torch.nn.Module, folder: Path) -> None:
    model.save_pretrained(folder, safe_serialization=True)  # type: ignore[operator]
    sizes = [path.stat().st_size for path in folder.glob("adapter_model.safetensors")]
    if not sizes or sizes[0] < 1024:
        raise TrainerError("the adapter was saved without weights; this is a defect")


@torch.no_grad()
def merge_adapter(model: torch.nn.Module) -> torch.nn.Module:
    """Return the base model with the adapter added to its weights.

    Raises TrainerError if the merged model computes something else than base and adapter did.
    """
    size = model.get_input_embeddings().num_embeddings  # type: ignore[operator]
    ids = torch.arange(32).unsqueeze(0) % size
    expected = model(input_ids=ids).logits
    merged = model.merge_and_unload()  # type: ignore[operator]
    difference = (merged(input_ids=ids).logits - expected).abs().max() / expected.abs().max()
    if float(difference) > MERGE_TOLERANCE:
        raise TrainerError(
            f"merging the adapter changed the logits by {float(difference):.1%} of their size, more than "
            f"{MERGE_TOLERANCE:.0%}; set output.merge to false and load the adapter beside the base model"
        )
    return merged  # type: ignore[no-any-return]


def upload_folder(folder: Path, store: Store) -> int:
    """Upload a folder, its config last; return the size of all files in bytes.

    The file that loaders look for first comes last, so that a half-uploaded model is none.
    """
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    files.sort(key=lambda path: path.name in ("config.json", "adapter_config.json", MANIFEST_FILE))
    for path in files:
        store.upload(path, path.relative_to(folder).as_posix())
    return sum(path.stat().st_size for path in files)
