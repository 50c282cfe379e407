"""Tokenizers: trained, kept with the run, loaded again, refused."""

import json
from pathlib import Path

import pytest
from trainwright_api.data import Location, TokenizerAlgorithm, TrainedTokenizer
from trainwright_api.run import Run, RunTokenizer
from trainwright_trainer.data import tokenizers
from trainwright_trainer.data.tokenizers import (
    load_tokenizer,
    obtain_trained_tokenizer,
    train_tokenizer,
)
from trainwright_trainer.errors import UserError
from trainwright_trainer.groups import SingleGroup
from trainwright_trainer.settings import Settings
from trainwright_trainer.store import Store, open_store

from tests.trainer.run_builder import build_run, source
from tests.trainer.s3_server import settings
from tests.trainer.tokenizer_builder import byte_tokenizer

__all__ = ["settings"]

SAMPLE = "def naïve(x):\n\treturn x  # 👋 \ud83d\n"


@pytest.fixture
def library(tmp_path: Path) -> Path:
    """Some real text: a few modules of the standard library."""
    folder = tmp_path / "library"
    folder.mkdir()
    for module in (json, json.decoder, json.encoder, pytest, tokenizers):
        path = Path(str(module.__file__))
        (folder / f"{module.__name__}.txt").write_text(path.read_text())
    return folder


def run_with(
    library: Path, *, algorithm: str = "BPE", size: int = 600, folder: Location | None = None
) -> Run:
    trained = TrainedTokenizer(algorithm=TokenizerAlgorithm(algorithm), vocabulary_size=size)
    return build_run(source(library), tokenizer=RunTokenizer(train=trained), folder=folder)


@pytest.mark.parametrize("algorithm", ["BPE", "Unigram"])
def test_a_trained_tokenizer_spells_any_text_and_marks_begin_and_end(
    library: Path, settings: Settings, algorithm: str
) -> None:
    tokenizer = train_tokenizer(run_with(library, algorithm=algorithm), settings)
    assert len(tokenizer) == 600
    special = {tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.pad_token_id}
    assert len(special) == 3
    text = tokenizers.clean(SAMPLE)
    ids = tokenizer(text).input_ids
    assert ids[0] == tokenizer.bos_token_id
    assert tokenizer.decode(ids[1:]) == text
    assert tokenizer.unk_token_id not in ids
    assert len(ids) < len(text.encode())


@pytest.mark.parametrize("algorithm", ["BPE", "Unigram"])
def test_the_same_data_gives_the_same_tokenizer(
    library: Path, settings: Settings, algorithm: str
) -> None:
    run = run_with(library, algorithm=algorithm)
    texts = {train_tokenizer(run, settings).backend_tokenizer.to_str() for _ in range(3)}
    assert len(texts) == 1


@pytest.mark.parametrize(
    ("limit", "value"),
    [("TRAINING_TEXT_BYTES", 20_000), ("TRAINING_TEXT_BYTES_PER_ENTRY", 20_000 // 600)],
)
def test_training_reads_no_more_text_than_its_limits(
    library: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch, limit: str, value: int
) -> None:
    monkeypatch.setattr(tokenizers, limit, value)
    run = run_with(library)
    read = sum(
        len(t) for t in tokenizers._training_texts(run, tokenizers.open_sources(run, settings))
    )
    largest = max(path.stat().st_size for path in library.iterdir())
    assert 0 < read < 20_000 + largest


def test_held_out_documents_are_not_trained_on(tmp_path: Path, settings: Settings) -> None:
    folder = tmp_path / "d"
    folder.mkdir()
    for n in range(100):
        (folder / f"{n}.txt").write_text(f"document {n}")
    run = build_run(source(folder), validation=0.3)
    texts = list(tokenizers._training_texts(run, tokenizers.open_sources(run, settings)))
    assert 50 < len(texts) < 90


def test_it_is_trained_once_and_kept_with_the_run(
    library: Path, settings: Settings, tmp_path: Path
) -> None:
    location = Location(uri=f"file://{tmp_path}/store/team/run/")
    store = open_store(location, settings, field="spec.checkpoints.store")
    run = run_with(library, folder=location)
    first = obtain_trained_tokenizer(run, store, settings, SingleGroup())
    assert "tokenizer/complete.json" in [file.path for file in store.list_files("tokenizer")]
    store.write_bytes("step-000004/manifest.json", b"{}")  # a model that knows these ids
    for path in library.iterdir():
        path.write_text("entirely different text, so that another training would differ " * 50)
    again = obtain_trained_tokenizer(run, store, settings, SingleGroup())
    assert again.backend_tokenizer.to_str() == first.backend_tokenizer.to_str()
    assert (again.bos_token, again.eos_token, again.pad_token) == (
        first.bos_token,
        first.eos_token,
        first.pad_token,
    )


@pytest.mark.parametrize(
    ("algorithm", "size"), [("BPE", 400), ("Unigram", 600)], ids=["other size", "same size"]
)
def test_another_kind_of_tokenizer_than_the_checkpoints_is_refused_before_it_is_stored(
    library: Path, settings: Settings, tmp_path: Path, algorithm: str, size: int
) -> None:
    location = at(tmp_path / "run")
    first = obtain(run_with(library, folder=location), settings)
    store = open_store(location, settings, field="spec.checkpoints.store")
    store.write_bytes("step-000004/manifest.json", b"{}")
    anew = run_with(library, algorithm=algorithm, size=size, folder=location)
    with pytest.raises(UserError) as refused:
        obtain(anew, settings)
    assert refused.value.message == (
        f"spec.tokenizer.train: got algorithm {algorithm}, vocabularySize {size} for checkpoints at "
        f"{location.uri} that were trained with algorithm BPE, vocabularySize 600, expected the same; use "
        "theirs, or another name or checkpoints.store to begin anew"
    )
    assert obtain(run_with(library, folder=location), settings) == first


def test_another_kind_of_tokenizer_is_trained_anew_while_no_checkpoint_needs_the_old_one(
    library: Path, settings: Settings, tmp_path: Path
) -> None:
    location = at(tmp_path / "run")
    obtain(run_with(library, folder=location), settings)
    store = open_store(location, settings, field="spec.checkpoints.store")
    other = obtain_trained_tokenizer(run_with(library, size=400), store, settings, SingleGroup())
    assert len(other) <= 400


def test_a_half_stored_tokenizer_is_trained_again_and_a_changed_one_refused(
    library: Path, settings: Settings, tmp_path: Path
) -> None:
    store: Store = open_store(
        Location(uri=f"file://{tmp_path}/s/"), settings, field="spec.checkpoints.store"
    )
    run = run_with(library)
    store.write_bytes("tokenizer/tokenizer.json", b"half")
    obtain_trained_tokenizer(run, store, settings, SingleGroup())
    content = store.read_bytes("tokenizer/tokenizer.json")
    store.write_bytes("tokenizer/tokenizer.json", content.replace(b"<|end|>", b"<|fin|>"))
    with pytest.raises(UserError, match=r"spec\.checkpoints\.store\.uri: got .*SHA-256"):
        obtain_trained_tokenizer(run, store, settings, SingleGroup())


def test_a_saved_tokenizer_is_loaded(tmp_path: Path) -> None:
    byte_tokenizer().save_pretrained(tmp_path)
    tokenizer = load_tokenizer(tmp_path, field="spec.tokenizer.location")
    assert tokenizer.chat_template == byte_tokenizer().chat_template
    assert tokenizer("ab").input_ids == byte_tokenizer()("ab").input_ids


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({}, "got a folder without a tokenizer that transformers loads"),
        ({"tokenizer.json": "{}"}, "got a folder without a tokenizer that transformers loads"),
        ({"tokenizer.json": "no json"}, "got a folder without a tokenizer that transformers loads"),
        ({"config.json": '{"model_type": "llama"}'}, "got a folder without a tokenizer"),
    ],
)
def test_what_is_no_tokenizer_is_refused(
    tmp_path: Path, files: dict[str, str], message: str
) -> None:
    for name, content in files.items():
        (tmp_path / name).write_text(content)
    with pytest.raises(UserError) as caught:
        load_tokenizer(tmp_path, field="spec.tokenizer.location")
    assert str(caught.value).startswith(f"spec.tokenizer.location.uri: {message}")


def test_a_tokenizer_without_an_end_is_refused(tmp_path: Path) -> None:
    tokenizer = byte_tokenizer()
    tokenizer.eos_token = None
    tokenizer.save_pretrained(tmp_path)
    with pytest.raises(
        UserError, match=r"expected eos_token in its tokenizer_config\.json; add it"
    ):
        load_tokenizer(tmp_path, field="spec.tokenizer.location")


def at(folder: Path) -> Location:
    return Location(uri=f"file://{folder}/")


def obtain(run: Run, settings: Settings) -> str:
    """Return the tokenizer of a run as text."""
    store = open_store(run.checkpoints.folder, settings, field="spec.checkpoints.store")
    tokenizer = obtain_trained_tokenizer(run, store, settings, SingleGroup())
    return tokenizer.backend_tokenizer.to_str()


def write_other_text(folder: Path) -> None:
    (folder / "more.txt").write_text("zyx wvu tsr qpo " * 4000)


def test_a_run_that_goes_on_from_another_has_its_tokenizer(
    library: Path, settings: Settings, tmp_path: Path
) -> None:
    first = obtain(run_with(library, folder=at(tmp_path / "first")), settings)
    write_other_text(library)
    child = run_with(library, folder=at(tmp_path / "child"))
    fresh = obtain(run_with(library, folder=at(tmp_path / "fresh")), settings)
    for name in ("first/", "first/step-000010/"):
        resume = {"resume_from": Location(uri=f"file://{tmp_path}/{name}")}
        checkpoints = child.checkpoints.model_copy(update=resume)
        again = child.model_copy(update={"checkpoints": checkpoints})
        assert obtain(again, settings) == first != fresh


def test_a_run_made_anew_over_other_data_has_a_tokenizer_of_its_own(
    library: Path, settings: Settings, tmp_path: Path
) -> None:
    run = run_with(library, folder=at(tmp_path / "run"))
    first = obtain(run, settings)
    assert obtain(run, settings) == first
    write_other_text(library)
    assert obtain(run, settings) != first
