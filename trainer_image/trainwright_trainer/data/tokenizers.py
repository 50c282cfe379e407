"""Tokenizers: loaded from a folder, or trained from the run's own data and kept with the run.

A trained tokenizer is part of the run: it is stored beside the checkpoints once, and every later
attempt loads that one, so that token ids never change under a model.
"""

import hashlib
import json
import logging
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from trainwright_api.data import TokenizerAlgorithm, TrainedTokenizer
from trainwright_api.names import MANIFEST_FILE
from trainwright_api.run import Run
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from trainwright_trainer.agreement import on_rank_0
from trainwright_trainer.checkpoint.finding import open_run_folder
from trainwright_trainer.checkpoint.layout import parse_step
from trainwright_trainer.data.encoding import clean
from trainwright_trainer.data.reading import SourceReader
from trainwright_trainer.data.sources import Source, open_sources
from trainwright_trainer.data.splitting import is_held_out, position_hash
from trainwright_trainer.errors import UserError
from trainwright_trainer.groups import Group
from trainwright_trainer.settings import Settings
from trainwright_trainer.store import MissingFileError, Store, is_inside
from trainwright_trainer.store.base import first_line

# The most text that a tokenizer is trained on, by entry of its vocabulary and in all: training takes half a
# second per MiB and core, and what is rare in so much text gets no entry anyway.
TRAINING_TEXT_BYTES_PER_ENTRY = 1024
TRAINING_TEXT_BYTES = 64 * 2**20
TOKENIZER_FOLDER = "tokenizer"
COMPLETE_FILE = "complete.json"  # written last; names the files with their SHA-256
BEGIN, END, PADDING, UNKNOWN = "<|begin|>", "<|end|>", "<|padding|>", "<|unknown|>"
SPECIAL_TOKENS = [BEGIN, END, PADDING, UNKNOWN]

logger = logging.getLogger(__name__)


def load_tokenizer(
    folder: Path, *, field: str, uri: str = "", gguf_file: str | None = None
) -> PreTrainedTokenizerFast:
    """Load a tokenizer of transformers from a local folder (or from a GGUF file in it).

    `field` is the path of the folder's location in the spec, `uri` what it says. Raises UserError if there is none, or
    one without an end-of-text token. No code from the folder is run.
    """
    arguments = {"gguf_file": gguf_file} if gguf_file else {}
    try:
        tokenizer = AutoTokenizer.from_pretrained(
            str(folder), local_files_only=True, trust_remote_code=False, **arguments
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError, ImportError) as error:
        raise UserError(
            f"{field}.uri: got {f'{uri}, ' if uri else ''}a folder without a tokenizer that transformers loads "
            f"({first_line(error)}), expected tokenizer.json and tokenizer_config.json; add them, or name "
            "the folder of a model or tokenizer that has them"
        ) from error
    if not isinstance(tokenizer, PreTrainedTokenizerFast):
        raise UserError(
            f"{field}.uri: got {type(tokenizer).__name__}, which is no fast tokenizer, expected one "
            "with tokenizer.json; convert it with transformers and save it again"
        )
    if tokenizer.eos_token_id is None:
        raise UserError(
            f"{field}.uri: got a tokenizer without an end-of-text token, expected eos_token in its "
            "tokenizer_config.json; add it there"
        )
    return tokenizer


def train_tokenizer(run: Run, settings: Settings) -> PreTrainedTokenizerFast:
    """Train a tokenizer from the run's data; the same data gives the same tokenizer.

    It learns from at most TRAINING_TEXT_BYTES_PER_ENTRY of text for each entry of its vocabulary, and
    TRAINING_TEXT_BYTES in all: all text there is, or documents chosen by the hash of their position,
    from each source in proportion to its size. Held-out documents are not seen.
    """
    spec = run.tokenizer.train or TrainedTokenizer()
    sources = open_sources(run, settings)
    tokenizer, trainer = _build_untrained(spec)
    tokenizer.train_from_iterator(_training_texts(run, sources), trainer)
    if spec.algorithm is TokenizerAlgorithm.UNIGRAM:
        tokenizer = _without_noise(tokenizer)
    size = tokenizer.get_vocab_size()
    if size < spec.vocabulary_size:
        logger.warning(
            "the data gave a vocabulary of %d entries, not %d: too little text",
            size,
            spec.vocabulary_size,
        )
    return PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=tokenizer,
        bos_token=BEGIN,
        eos_token=END,
        pad_token=PADDING,
        unk_token=UNKNOWN,
        clean_up_tokenization_spaces=False,
    )


def obtain_trained_tokenizer(
    run: Run, store: Store, settings: Settings, group: Group
) -> PreTrainedTokenizerFast:
    """Return the tokenizer that belongs to the run; collective over all ranks.

    Rank 0 sees to it that `tokenizer/` in the run's folder (`store`) holds it, and all ranks load it
    from there. Raises the same error on all ranks.
    """
    on_rank_0(group, lambda: _provide_tokenizer(run, store, settings))
    return _load_stored(store, run)


def _provide_tokenizer(run: Run, store: Store, settings: Settings) -> None:
    """Store the run's tokenizer unless it is there: that of the run it goes on from, or a new one.

    What is there stays if a checkpoint has been trained with it, or if it comes from the same data;
    else a run made anew under an old name would get a tokenizer of other data. Raises UserError if
    that run's checkpoints were trained with another kind of tokenizer: they need theirs.
    """
    there = _read_json(store)
    if there is not None and _has_checkpoint(store):
        _check_same_kind(there, run, store)
        return
    complete = _if_of_spec(there, run)
    earlier = _earlier_tokenizer(run, settings)
    origin = earlier.uri if earlier is not None else _data_key(run, settings)
    if complete is not None and complete.get("origin") == origin:
        return
    if earlier is not None:
        logger.info("taking the tokenizer of %s", earlier.uri)
        _store_files(_read_files(earlier, _read_json(earlier) or {}), run, store, origin)
        return
    with tempfile.TemporaryDirectory() as folder:
        train_tokenizer(run, settings).save_pretrained(folder)
        files = {path.name: path.read_bytes() for path in sorted(Path(folder).iterdir())}
    _store_files(files, run, store, origin)


def _check_same_kind(there: Mapping[str, Any], run: Run, store: Store) -> None:
    """Refuse a tokenizer of other settings than that of the checkpoints; raises UserError."""
    old, new = there.get("trainedAs"), _trained_as(run)
    if old != new:
        raise UserError(
            f"spec.tokenizer.train: got {_say(new)} for checkpoints at {store.uri} that were trained with "
            f"{_say(old)}, expected the same; use theirs, or another name or "
            "checkpoints.store to begin anew"
        )


def _say(kind: object) -> str:
    """Return the settings of a trained tokenizer as text."""
    settings = kind.items() if isinstance(kind, dict) else ()
    return ", ".join(f"{name} {value}" for name, value in settings) or "others"


def _has_checkpoint(store: Store) -> bool:
    names = (file.path.partition("/") for file in store.list_files())
    return any(
        parse_step(folder) is not None and name == MANIFEST_FILE for folder, _, name in names
    )


def _earlier_tokenizer(run: Run, settings: Settings) -> Store | None:
    """Return the folder of the run to go on from, if that has trained its tokenizer."""
    start = run.checkpoints.resume_from
    if start is None:
        return None
    earlier, _ = open_run_folder(run, start.uri, settings)
    return None if _read_json(earlier) is None else earlier


def _data_key(run: Run, settings: Settings) -> str:
    """Return the hash of the data that a tokenizer is trained on: files with their versions."""
    fraction = run.data.validation.fraction if run.data.validation else None
    sources = [
        [
            *(source.spec.uri, source.spec.format, source.spec.field),
            [[file.path, file.size_bytes, file.version] for file in source.files],
        ]
        for source in open_sources(run, settings)
    ]
    return hashlib.sha256(json.dumps([fraction, sources]).encode()).hexdigest()


def _build_untrained(spec: TrainedTokenizer) -> tuple[Tokenizer, trainers.Trainer]:
    """A byte-level tokenizer (it can spell any text) and the trainer of its algorithm."""
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    shared: dict[str, Any] = {
        "vocab_size": spec.vocabulary_size,
        "special_tokens": SPECIAL_TOKENS,
        "initial_alphabet": sorted(alphabet),
        "show_progress": False,
    }
    if spec.algorithm is TokenizerAlgorithm.BPE:
        tokenizer = Tokenizer(models.BPE())
        trainer: trainers.Trainer = trainers.BpeTrainer(min_frequency=2, **shared)
    else:
        tokenizer = Tokenizer(models.Unigram())
        trainer = trainers.UnigramTrainer(unk_token=UNKNOWN, **shared)
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    begin = SPECIAL_TOKENS.index(BEGIN)
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{BEGIN} $A",
        pair=f"{BEGIN} $A $B",
        special_tokens=[(BEGIN, begin)],
    )
    return tokenizer, trainer


def _without_noise(tokenizer: Tokenizer) -> Tokenizer:
    """Give a Unigram model the scores and the order that do not differ between two trainings.

    Scores are sums that threads add up in any order: their last digits are rounded away. Characters
    that the data lacks get steps of 0.0001 above the lowest score, in an order of chance: here all
    of them get the lowest.
    """
    content = json.loads(tokenizer.to_str())
    vocabulary = [(token, round(score, 6)) for token, score in content["model"]["vocab"]]
    special, learned = vocabulary[: len(SPECIAL_TOKENS)], vocabulary[len(SPECIAL_TOKENS) :]
    lowest = min(score for _, score in learned)
    rare = lowest + 0.0001 * (len(pre_tokenizers.ByteLevel.alphabet()) + 1)
    learned = [(token, lowest if len(token) == 1 and s < rare else s) for token, s in learned]
    learned.sort(key=lambda entry: (-entry[1], entry[0]))
    content["model"]["vocab"] = special + learned
    return Tokenizer.from_str(json.dumps(content))


def _training_texts(run: Run, sources: list[Source]) -> Iterator[str]:
    total = sum(source.size_bytes for source in sources)
    spec = run.tokenizer.train or TrainedTokenizer()
    limit = min(TRAINING_TEXT_BYTES, TRAINING_TEXT_BYTES_PER_ENTRY * spec.vocabulary_size)
    fraction = run.data.validation.fraction if run.data.validation else 0.0
    for source in sources:
        budget = limit * source.size_bytes / total
        # Compressed files hold more text than their size says: the budget stops them, not the rate.
        rate = min(1.0, limit / total)
        num_seen = num_taken = 0  # bytes of text
        for piece in SourceReader(source).texts():
            position = np.array(position_hash(source.uri_of(piece.file), piece.row), np.uint64)
            if is_held_out(position, fraction):
                continue
            num_bytes = len(piece.text.encode("utf-8", "replace"))
            if num_taken <= rate * num_seen:  # spread evenly, and never nothing
                yield clean(piece.text)
                num_taken += num_bytes
            num_seen += num_bytes
            if num_taken >= budget:
                break


def _store_files(files: Mapping[str, bytes], run: Run, store: Store, origin: str) -> None:
    for name, content in files.items():
        store.write_bytes(f"{TOKENIZER_FOLDER}/{name}", content)
    hashes = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    complete = {"files": hashes, "trainedAs": _trained_as(run), "origin": origin}
    store.write_bytes(f"{TOKENIZER_FOLDER}/{COMPLETE_FILE}", json.dumps(complete).encode())


def _trained_as(run: Run) -> dict[str, object]:
    spec = run.tokenizer.train or TrainedTokenizer()
    return {"algorithm": spec.algorithm, "vocabularySize": spec.vocabulary_size}


def _read_json(store: Store) -> dict[str, Any] | None:
    """Return what is said of the stored tokenizer; None if there is no whole one."""
    try:
        complete: dict[str, Any] = json.loads(
            store.read_bytes(f"{TOKENIZER_FOLDER}/{COMPLETE_FILE}")
        )
    except (MissingFileError, ValueError):
        return None
    return complete


def _read_complete(store: Store, run: Run) -> dict[str, Any] | None:
    """Return what is said of the stored tokenizer; None if there is none, or one of another spec."""
    return _if_of_spec(_read_json(store), run)


def _if_of_spec(there: dict[str, Any] | None, run: Run) -> dict[str, Any] | None:
    return there if there and there.get("trainedAs") == _trained_as(run) else None


def _read_files(store: Store, complete: Mapping[str, Any]) -> dict[str, bytes]:
    files = {}
    for name, sha256 in complete.get("files", {}).items():
        content = store.read_bytes(f"{TOKENIZER_FOLDER}/{name}")
        if not is_inside(name) or hashlib.sha256(content).hexdigest() != sha256:
            raise UserError(
                f"{store.field}.uri: got {store.uri_of(f'{TOKENIZER_FOLDER}/{name}')} whose "
                "SHA-256 is not that of the tokenizer that was trained, expected it unchanged; "
                "restore the file, or delete the run's folder to start anew"
            )
        files[name] = content
    return files


def _load_stored(store: Store, run: Run) -> PreTrainedTokenizerFast:
    with tempfile.TemporaryDirectory() as folder:
        for name, content in _read_files(store, _read_complete(store, run) or {}).items():
            (Path(folder) / name).write_bytes(content)
        return load_tokenizer(Path(folder), field=store.field)
