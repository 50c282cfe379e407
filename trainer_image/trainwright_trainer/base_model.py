"""Brings the files of a base model and of a tokenizer to rank 0's scratch space.

Small files come first: config and tokenizer tell what is wrong before gigabytes are fetched. Only
rank 0 downloads; weights reach the other ranks over the process group, tokenizers as files.
"""

import hashlib
from collections.abc import Callable
from pathlib import Path

from trainwright_api.data import Location
from trainwright_api.run import Run
from transformers import PreTrainedTokenizerFast

from trainwright_trainer.agreement import on_rank_0
from trainwright_trainer.data.tokenizers import load_tokenizer, obtain_trained_tokenizer
from trainwright_trainer.errors import UserError
from trainwright_trainer.gguf_files import quick_gguf
from trainwright_trainer.groups import Group
from trainwright_trainer.models import weights_field
from trainwright_trainer.scratch import scratch_errors
from trainwright_trainer.settings import Settings
from trainwright_trainer.store import FileInfo, Store, open_store

# Weights in formats that are not loaded: pickles run code, the others are for other frameworks.
_SKIPPED_FILES = (".bin", ".pt", ".pth", ".h5", ".msgpack", ".onnx", ".ckpt")
_WEIGHTS_FILES = (".safetensors",)
_TOKENIZER_FIELD = "spec.tokenizer.location"


def fetch_small_files(run: Run, settings: Settings) -> Path | None:
    """Download all of the base model but its weights; return its folder, None without a base model.

    Raises UserError if nothing is there.
    """
    return _download(run, settings, lambda path: not path.endswith(_WEIGHTS_FILES))


def fetch_weights(run: Run, settings: Settings) -> Path | None:
    """Download the weights themselves; return the folder, None without a base model."""
    return _download(run, settings, lambda path: path.endswith(_WEIGHTS_FILES))


def _download(run: Run, settings: Settings, wants: Callable[[str], bool]) -> Path | None:
    weights = run.model.weights
    if weights is None:
        return None
    store = open_store(weights, settings, field=weights_field(run).removesuffix(".uri"))
    files = [file for file in store.list_files() if _is_of_use(run, file)]
    if not files:
        raise store.user_error(
            weights.uri, "a folder with a model", "check the address of the model"
        )
    folder = settings.scratch_folder / f"base-model-{_key(weights.uri, files)}"
    for file in files:
        local = folder / file.path
        if wants(file.path) and not (local.exists() and local.stat().st_size == file.size_bytes):
            with scratch_errors(folder):
                store.download(file.path, local)
    return folder


def _is_of_use(run: Run, file: FileInfo) -> bool:
    if file.path.endswith(".gguf"):
        return file.path == run.model.gguf_file
    return not file.path.endswith(_SKIPPED_FILES)


def _key(uri: str, files: list[FileInfo]) -> str:
    """Scratch may outlive a run outside a cluster: other files, another folder."""
    content = repr([uri, [(file.path, file.size_bytes, file.version) for file in files]])
    return hashlib.sha256(content.encode()).hexdigest()[:12]


def obtain_tokenizer(
    run: Run, settings: Settings, group: Group, store: Store, folder: Path | None
) -> PreTrainedTokenizerFast:
    """Return the run's tokenizer on every rank; collective.

    `store` is the run's folder, `folder` that of the base model on rank 0. Raises UserError for a
    location without a tokenizer.
    """
    if run.tokenizer.train is not None:
        return obtain_trained_tokenizer(run, store, settings, group)
    files = on_rank_0(group, lambda: _read_tokenizer(run, settings, folder))
    local = settings.scratch_folder / f"tokenizer-{settings.local_rank}"
    local.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (local / name).write_bytes(content)
    return load_tokenizer(local, field=_TOKENIZER_FIELD)


def _read_tokenizer(run: Run, settings: Settings, folder: Path | None) -> dict[str, bytes]:
    """Load the tokenizer wherever it is and return its files as transformers saves them."""
    place, gguf = run.tokenizer.location, None
    if place is not None:
        field, source = _TOKENIZER_FIELD, _download_tokenizer(place, settings)
    elif folder is not None:
        place, gguf = run.model.weights, run.model.gguf_file
        field, source = weights_field(run).removesuffix(".uri"), folder
    else:
        raise UserError(
            "spec.tokenizer: got none for a new model, expected location or train; add one"
        )
    with quick_gguf(gguf):
        tokenizer = load_tokenizer(
            source, field=field, uri=place.uri if place else "", gguf_file=gguf
        )
    saved = settings.scratch_folder / "tokenizer-saved"
    tokenizer.save_pretrained(saved)
    return {path.name: path.read_bytes() for path in saved.iterdir() if path.is_file()}


def _download_tokenizer(location: Location, settings: Settings) -> Path:
    store = open_store(location, settings, field=_TOKENIZER_FIELD)
    unwanted = (*_WEIGHTS_FILES, *_SKIPPED_FILES, ".gguf")
    files = [file for file in store.list_files() if not file.path.endswith(unwanted)]
    folder = settings.scratch_folder / f"tokenizer-source-{_key(location.uri, files)}"
    for file in files:
        with scratch_errors(folder):
            store.download(file.path, folder / file.path)
    return folder
