"""Writes the finished model as a plain folder of transformers (or peft) and uploads it.

Rank 0 rebuilds the model on the CPU from the gathered weights: the same path for every ZeRO stage,
and what is saved is what was asked to complete the sample prompts.
"""

import copy
import hashlib
import logging
import shutil
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import torch
from pydantic import ValidationError
from trainwright_api.names import MANIFEST_FILE
from trainwright_api.report import Manifest, ManifestFile, parse_manifest
from trainwright_api.resources import AdapterType
from trainwright_api.run import Run
from trainwright_api.status import GeneratedSample, ModelStatus
from trainwright_api.training import Precision
from transformers import GenerationConfig, PretrainedConfig, PreTrainedTokenizerFast

from trainwright_trainer.errors import TrainerError
from trainwright_trainer.models import add_adapter, new_model, weights_field
from trainwright_trainer.preflight import PreparedRun
from trainwright_trainer.sampling import complete_prompts
from trainwright_trainer.saving import TrainingState
from trainwright_trainer.store import MissingFileError, Store, is_inside
from trainwright_trainer.store.places import parse_uri

MERGE_TOLERANCE = 1e-2  # largest difference of logits that a merge may make, relative to their size
ADAPTER_FOLDER = "adapter"
_SMALLEST_ADAPTER_BYTES = 1024
_READ_FIRST = ("config.json", "adapter_config.json")  # what loaders look for first
_DTYPES = {
    Precision.FP32: torch.float32,
    Precision.BF16: torch.bfloat16,
    Precision.FP16: torch.float16,
}

logger = logging.getLogger(__name__)


def rebuild_model(
    run: Run, config: PretrainedConfig, weights: Mapping[str, torch.Tensor]
) -> torch.nn.Module:
    """Return the model on the CPU in float32 with the given weights (names as in training)."""
    model = new_model(config)
    model.name_or_path, revision = name_of_base(run)
    wrapped = add_adapter(run, model)
    for adapter in getattr(wrapped, "peft_config", {}).values():
        adapter.revision = revision
    missing, unexpected = wrapped.load_state_dict(
        {name: tensor.float() for name, tensor in weights.items()}, strict=False
    )
    untied = [name for name in missing if not name.endswith("lm_head.weight")]
    if untied or unexpected:
        raise TrainerError(
            f"the finished model misses {untied[:3]} and has too many {unexpected[:3]}; this is a defect"
        )
    return wrapped.eval()


def name_of_base(run: Run) -> tuple[str, str | None]:
    """Return what an adapter says it belongs to: the base model's name on the hub and its revision, or its URI.

    A model in a folder of a repository has no name there: what loads adapters would take it for the
    repository's own. So it keeps its URI.
    """
    if run.model.weights is None:
        return "", None
    uri = run.model.weights.uri
    place = parse_uri(uri, weights_field(run).removesuffix(".uri"))
    if place.scheme != "hf" or place.path:
        return uri.rstrip("/"), None
    return place.container, place.revision


def export_model(
    prepared: PreparedRun,
    weights: Mapping[str, torch.Tensor],
    state: TrainingState,
    samples_before: Sequence[str | None],
) -> ModelStatus:
    """Write and upload the finished model; return what status.model says of it.

    Raises StoreError if it cannot be uploaded, TrainerError if merging an adapter changed the model.
    """
    run = prepared.run
    model = rebuild_model(run, prepared.config, weights)
    after = complete_prompts(run, model, prepared.tokenizer)
    folder = prepared.settings.scratch_folder / "model"
    shutil.rmtree(folder, ignore_errors=True)
    merges = run.adapter.type is not AdapterType.NONE and run.output.merge
    write_model(prepared, model, folder)
    finished_tokenizer(run, prepared.tokenizer).save_pretrained(folder)
    files = upload_folder(folder, prepared.output_store)
    manifest = _describe(prepared, state, files)
    content = manifest.model_dump_json(by_alias=True, exclude_none=True, indent=1)
    prepared.output_store.write_bytes(MANIFEST_FILE, content.encode())
    shutil.rmtree(folder, ignore_errors=True)
    return ModelStatus(
        uri=run.output.uri,
        adapter_uri=f"{run.output.uri.rstrip('/')}/{ADAPTER_FOLDER}/" if merges else None,
        size_bytes=sum(file.size_bytes for file in files),
        samples=[
            GeneratedSample(prompt=prompt[:1024], before=old, after=new)
            for prompt, old, new in zip(
                run.output.sample_prompts, samples_before, after, strict=True
            )
        ],
    )


def finished_tokenizer(run: Run, tokenizer: PreTrainedTokenizerFast) -> PreTrainedTokenizerFast:
    """Return the tokenizer of the finished model: with the chat template that it was trained with."""
    finished = copy.copy(tokenizer)
    if run.data.chat_template is not None:
        finished.chat_template = run.data.chat_template
    return finished


def write_model(prepared: PreparedRun, model: torch.nn.Module, folder: Path) -> None:
    """Write all weights, or the adapter, or with output.merge the merged weights and the adapter."""
    run = prepared.run
    has_adapter = run.adapter.type is not AdapterType.NONE
    if has_adapter:
        _save_adapter(model, folder / ADAPTER_FOLDER if run.output.merge else folder)
    if has_adapter and not run.output.merge:
        return
    if has_adapter:
        model = merge_adapter(model)
    base = prepared.base_folder
    if base is not None and (base / "generation_config.json").exists():
        model.generation_config = GenerationConfig.from_pretrained(base)  # type: ignore[assignment]
    model.to(_DTYPES[run.precision]).save_pretrained(folder, safe_serialization=True)  # type: ignore[operator]


def _save_adapter(model: torch.nn.Module, folder: Path) -> None:
    model.save_pretrained(folder, safe_serialization=True)  # type: ignore[operator]
    sizes = [path.stat().st_size for path in folder.glob("adapter_model.safetensors")]
    if not sizes or sizes[0] < _SMALLEST_ADAPTER_BYTES:
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


def upload_folder(folder: Path, store: Store) -> list[ManifestFile]:
    """Upload a folder, what loaders look for first last, so that a half-uploaded model is none."""
    earlier = _files_of_earlier(store)
    store.delete([MANIFEST_FILE])
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    paths.sort(key=lambda path: path.name in _READ_FIRST)
    files = []
    for path in paths:
        name = path.relative_to(folder).as_posix()
        store.upload(path, name)
        with path.open("rb") as content:
            sha256 = hashlib.file_digest(content, "sha256").hexdigest()
        files.append(ManifestFile(path=name, size_bytes=path.stat().st_size, sha256=sha256))
    store.delete(earlier - {file.path for file in files})
    return files


def _files_of_earlier(store: Store) -> set[str]:
    """Return the files of the model that is there already: some would be loaded beside the new ones."""
    try:
        manifest = parse_manifest(store.read_bytes(MANIFEST_FILE))
    except (MissingFileError, ValidationError):
        return set()
    return {file.path for file in manifest.files if is_inside(file.path)}


def _describe(prepared: PreparedRun, state: TrainingState, files: list[ManifestFile]) -> Manifest:
    """Return the model's manifest: where it comes from, and all its files."""
    run, data = prepared.run, prepared.data
    return Manifest(
        run=run.name,
        namespace=run.namespace,
        uid=run.uid,
        attempt=run.attempt,
        step=state.step,
        samples=state.samples,
        tokens=state.tokens,
        epoch=state.samples / len(data.train),
        world_size=run.world_size,
        zero_stage=prepared.plan.zero_stage,
        precision=run.precision.value,
        saved_at=datetime.now(UTC).isoformat(timespec="seconds"),
        loss=state.loss,
        validation_loss=state.validation_loss,
        template_sha256=data.template_sha256,
        data_sha256=data.data_sha256,
        versions={name: version(name) for name in ("torch", "transformers", "peft")},
        files=sorted(files, key=lambda file: file.path),
    )
