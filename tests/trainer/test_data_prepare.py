"""From files to batches: every property of a batch that training relies on."""

import hashlib
import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from trainwright_api.data import Packing
from trainwright_api.resources import SFTLoss
from trainwright_api.run import Run
from trainwright_trainer.data import Batch, PreparedData, SequenceSource, prepare_data, reading
from trainwright_trainer.data.batch import IGNORED_LABEL
from trainwright_trainer.settings import Settings

from tests.trainer.run_builder import build_run, source, write_json_lines, write_parquet
from tests.trainer.s3_server import settings
from tests.trainer.tokenizer_builder import byte_tokenizer

__all__ = ["settings"]

END = 256
TOKENIZER = byte_tokenizer()


def texts(count: int, seed: int = 0, longest: int = 90) -> list[str]:
    """Return texts that are all different, so that each can be found again."""
    chance = np.random.default_rng(seed)
    return [f"{seed}:{n}:" + "x" * int(chance.integers(1, longest)) for n in range(count)]


def prepare(run: Run, settings: Settings) -> PreparedData:
    return prepare_data(run, TOKENIZER, settings)


def segments(batch: Batch) -> list[list[int]]:
    """Return the tokens of every segment of a batch."""
    found = []
    for tokens, ids in zip(batch.input_ids, batch.segment_ids, strict=True):
        found += [tokens[ids == number].tolist() for number in range(1, ids.max() + 1)]
    return found


def epoch(source: SequenceSource, number: int = 0) -> Batch:
    return source.sequences(number * len(source), len(source))


def check_form(batch: Batch, sequence_length: int, packing: Packing) -> None:
    """What holds for every batch, whatever is in it."""
    for array in (batch.input_ids, batch.labels, batch.position_ids, batch.segment_ids):
        assert array.dtype == np.int64
        assert array.shape[1] == sequence_length
    for row in range(len(batch.input_ids)):
        ids, labels = batch.segment_ids[row], batch.labels[row]
        size = int((ids != 0).sum())
        assert (ids[:size] > 0).all()
        assert (ids[size:] == 0).all()
        assert (np.diff(ids[:size]) >= 0).all()
        assert sorted(set(ids[:size].tolist())) == list(range(1, int(ids.max()) + 1))
        assert (labels[size:] == IGNORED_LABEL).all()
        assert (batch.position_ids[row][size:] == 0).all()
        is_trained = labels != IGNORED_LABEL
        assert (labels[is_trained] == batch.input_ids[row][is_trained]).all()
        for number in range(1, int(ids.max()) + 1):
            places = np.flatnonzero(ids == number)
            assert batch.position_ids[row][places].tolist() == list(range(len(places)))
            assert labels[places[0]] == IGNORED_LABEL
    assert (batch.labels != IGNORED_LABEL).any(axis=1).all()
    if packing is not Packing.ISOLATED:
        assert batch.segment_ids.max() == 1


@pytest.mark.parametrize("packing", list(Packing))
@pytest.mark.parametrize("length", [8, 33, 200])
def test_pretraining_batches_have_the_form_and_all_tokens(
    tmp_path: Path, settings: Settings, packing: Packing, length: int
) -> None:
    documents = texts(60)
    path = write_json_lines(tmp_path / "d.jsonl", [{"text": text} for text in documents])
    run = build_run(source(path, "JSONL"), packing=packing, sequence_length=length)
    data = prepare(run, settings)
    batch = epoch(data.train)
    check_form(batch, length, packing)
    assert (data.num_tokens, data.num_trained_tokens) == (
        batch.num_tokens,
        batch.num_trained_tokens,
    )
    ends = Counter(batch.input_ids[batch.segment_ids != 0].tolist())[END]
    all_tokens = [[*TOKENIZER.backend_tokenizer.encode(text).ids, END] for text in documents]
    if packing is Packing.NONE:
        assert sorted(segments(batch)) == sorted(tokens[:length] for tokens in all_tokens)
    elif packing is Packing.CONTIGUOUS:
        assert ends >= 59  # a last token alone in its sequence has nothing to learn from
        sizes = (batch.segment_ids != 0).sum(axis=1)
        assert (np.sort(sizes)[1:] == length).all()
    else:
        chunks = [t[n : n + length] for t in all_tokens for n in range(0, len(t), length)]
        assert sorted(segments(batch)) == sorted(chunk for chunk in chunks if len(chunk) > 1)


def test_contiguous_documents_follow_each_other_across_sequences(
    tmp_path: Path, settings: Settings
) -> None:
    documents = texts(30)
    path = write_json_lines(tmp_path / "d.jsonl", [{"text": text} for text in documents])
    run = build_run(source(path, "JSONL"), packing=Packing.CONTIGUOUS, sequence_length=16)
    train: Any = prepare(run, settings).train
    [plan], [tokens] = train.plans, train.documents
    starts = tokens.offsets[plan.pieces.document] + plan.pieces.start
    joined = [
        token
        for start, size in zip(starts.tolist(), plan.pieces.length.tolist(), strict=True)
        for token in tokens.tokens[start : start + size].tolist()
    ]
    found = TOKENIZER.decode(joined).split("<|end|>")
    assert sorted(found[:-1]) == sorted(documents)
    assert found[-1] == ""


def test_position_in_the_data_is_a_pure_function_of_seed_epoch_and_number(
    tmp_path: Path, settings: Settings
) -> None:
    """Exact resume: any rank of any world size reads the same sequences by their numbers."""
    paths = [
        write_json_lines(tmp_path / f"{n}.jsonl", [{"text": text} for text in texts(50, n)])
        for n in range(2)
    ]
    run = build_run(*(source(p, "JSONL", weight=w) for p, w in zip(paths, (3, 1), strict=True)))
    train = prepare(run, settings).train
    total = 3 * len(train)
    whole = train.sequences(0, total)
    fresh = prepare_data(
        run, TOKENIZER, Settings(scratch_folder=settings.scratch_folder / "another node")
    ).train
    for world_size, accumulation in ((1, 1), (2, 2), (3, 1), (4, 2)):
        per_step = world_size * accumulation
        for first in range(0, total - per_step, 7):  # as after a restart at any sample
            for rank in range(world_size):
                part = fresh.sequences(first + rank * accumulation, accumulation)
                place = slice(first + rank * accumulation, first + (rank + 1) * accumulation)
                assert (part.input_ids == whole.input_ids[place]).all()
                assert (part.labels == whole.labels[place]).all()


def test_epochs_hold_the_same_sequences_in_another_order(
    tmp_path: Path, settings: Settings
) -> None:
    path = write_json_lines(tmp_path / "d.jsonl", [{"text": text} for text in texts(80)])
    train = prepare(build_run(source(path, "JSONL")), settings).train
    one, two = epoch(train, 0).input_ids.tolist(), epoch(train, 1).input_ids.tolist()
    assert sorted(one) == sorted(two)
    assert one != two


@pytest.mark.parametrize("weights", [(1, 1), (2, 1), (1, 5)])
def test_weights_set_the_shares(
    tmp_path: Path, settings: Settings, weights: tuple[int, int]
) -> None:
    paths = [
        write_json_lines(tmp_path / f"{n}.jsonl", [{"text": text} for text in texts(400, n, 30)])
        for n in (1, 2)
    ]
    run = build_run(
        *(source(p, "JSONL", weight=w) for p, w in zip(paths, weights, strict=True)),
        packing=Packing.NONE,
    )
    train = prepare(run, settings).train
    for number in range(2):
        firsts = Counter(TOKENIZER.decode(row[:1]) for row in epoch(train, number).input_ids)
        expected = 800 * weights[0] / sum(weights)
        assert abs(firsts["1"] - expected) <= 1
        assert firsts.total() == 800


@pytest.mark.parametrize("packing", list(Packing))
def test_validation_never_shares_a_document_with_training(
    tmp_path: Path, settings: Settings, packing: Packing
) -> None:
    documents = texts(200)
    path = write_json_lines(tmp_path / "d.jsonl", [{"text": text} for text in documents])
    run = build_run(source(path, "JSONL"), packing=packing, validation=0.2, sequence_length=200)
    data = prepare(run, settings)
    assert data.validation is not None
    found = []
    for half in (data.train, data.validation):
        batch = epoch(half)
        check_form(batch, 200, packing)
        joined = TOKENIZER.decode(batch.input_ids[batch.segment_ids != 0])
        found.append({text for text in documents if f"{text}<|end|>" in joined})
    train, validation = found
    assert not train & validation
    assert 20 < len(validation) < 60
    if packing is not Packing.CONTIGUOUS:  # there, documents are cut at the sequences' ends
        assert train | validation == set(documents)


def test_validation_is_the_same_for_every_seed(tmp_path: Path, settings: Settings) -> None:
    path = write_json_lines(tmp_path / "d.jsonl", [{"text": text} for text in texts(100)])
    held_out = []
    for seed in (1, 2):
        run = build_run(source(path, "JSONL"), validation=0.1, packing=Packing.NONE, seed=seed)
        validation = prepare(run, settings).validation
        assert validation is not None
        held_out.append(sorted(epoch(validation).input_ids.tolist()))
    assert held_out[0] == held_out[1]


def chat(question: str, answer: str) -> dict[str, Any]:
    return {
        "messages": [
            {"role": "user", "content": question},
            {"role": "assistant", "content": answer},
        ]
    }


@pytest.mark.parametrize("packing", list(Packing))
@pytest.mark.parametrize("loss", list(SFTLoss))
def test_fine_tuning_trains_answers_and_their_ends(
    tmp_path: Path, settings: Settings, packing: Packing, loss: SFTLoss
) -> None:
    path = write_json_lines(
        tmp_path / "c.jsonl", [chat(f"question {n}?", f"answer-{n}!") for n in range(30)]
    )
    length = 4096 if packing is Packing.CONTIGUOUS else 256  # so that no answer is cut in two
    run = build_run(source(path, "Messages"), sft=loss, packing=packing, sequence_length=length)
    data = prepare(run, settings)
    batch = epoch(data.train)
    check_form(batch, length, packing)
    trained = TOKENIZER.decode(batch.labels[batch.labels != IGNORED_LABEL])
    if loss is SFTLoss.ASSISTANT_ONLY:
        assert sorted(trained.split("<|im_end|>")) == sorted(
            ["", *(f"answer-{n}!" for n in range(30))]
        )
    else:
        assert all(f"question {n}?" in trained and f"answer-{n}!" in trained for n in range(30))
    assert data.num_trained_tokens == batch.num_trained_tokens
    assert data.template_sha256 == hashlib.sha256(str(TOKENIZER.chat_template).encode()).hexdigest()


def test_records_are_cut_and_those_without_an_answer_left_are_dropped_and_counted(
    tmp_path: Path, settings: Settings
) -> None:
    head = len("<|im_start|>user\n") - len("<|im_start|>") + 1
    records = [chat("short", "kept"), chat("q" * 100, "never reached"), chat("q", "a" * 100)]
    path = write_json_lines(tmp_path / "c.jsonl", records)
    run = build_run(source(path, "Messages"), sft=SFTLoss.ASSISTANT_ONLY, sequence_length=50)
    data = prepare(run, settings)
    batch = epoch(data.train)
    trained = TOKENIZER.decode(batch.labels[batch.labels != IGNORED_LABEL])
    assert "kept<|im_end|>" in trained
    assert 0 < trained.count("a") - 0 <= 50 - head
    assert "q" * 100 not in TOKENIZER.decode(batch.input_ids.ravel())
    assert data.warnings == [
        "spec.data.sources[0]: 2 of 3 documents are longer than spec.data.sequenceLength (50) and cut",
        "spec.data.sources[0]: 1 of 3 documents have no token to train on within "
        "spec.data.sequenceLength and are left out",
    ]


def test_contiguous_fine_tuning_drops_sequences_without_an_answer(
    tmp_path: Path, settings: Settings
) -> None:
    path = write_json_lines(
        tmp_path / "c.jsonl", [chat("q" * 500, f"answer-{n}") for n in range(5)]
    )
    run = build_run(
        source(path, "Messages"),
        sft=SFTLoss.ASSISTANT_ONLY,
        packing=Packing.CONTIGUOUS,
        sequence_length=64,
    )
    batch = epoch(prepare(run, settings).train)
    check_form(batch, 64, Packing.CONTIGUOUS)
    assert 5 <= len(batch.input_ids) <= 10  # of about 44


def test_prompt_and_completion_as_texts_and_as_messages(tmp_path: Path, settings: Settings) -> None:
    records = [
        {"prompt": "2+2=", "completion": "4"},
        {
            "prompt": chat("hi", "earlier answer")["messages"],
            "completion": [{"role": "assistant", "content": "later answer"}],
        },
    ]
    path = write_json_lines(tmp_path / "c.jsonl", records)
    run = build_run(
        source(path, "PromptCompletion"), sft=SFTLoss.ASSISTANT_ONLY, sequence_length=128
    )
    batch = epoch(prepare(run, settings).train)
    trained = TOKENIZER.decode(batch.labels[batch.labels != IGNORED_LABEL])
    assert sorted(trained.replace("<|end|>", "|").replace("<|im_end|>", "|").split("|")) == [
        "",
        "4",
        "later answer",
    ]


def test_all_formats_of_the_same_data_give_the_same_documents(
    tmp_path: Path, settings: Settings
) -> None:
    documents = texts(20)
    rows = [{"body": text, "other": n} for n, text in enumerate(documents)]
    for n, text in enumerate(documents):
        (tmp_path / "text" / f"folder {n % 3}").mkdir(parents=True, exist_ok=True)
        (tmp_path / "text" / f"folder {n % 3}" / f"{n}.txt").write_text(text)
    sources = {
        "text": source(tmp_path / "text"),
        "lines": source(
            write_json_lines(tmp_path / "a" / "x.jsonl", rows).parent, "JSONL", field="body"
        ),
        "zipped": source(
            write_json_lines(tmp_path / "b" / "x.jsonl.gz", rows), "JSONL", field="body"
        ),
        "parquet": source(
            write_parquet(tmp_path / "c" / "x.parquet", rows), "Parquet", field="body"
        ),
    }
    found = {
        name: sorted(segments(epoch(prepare(build_run(one, sequence_length=128), settings).train)))
        for name, one in sources.items()
    }
    assert len(found["text"]) == 20
    assert found["text"] == found["lines"] == found["zipped"] == found["parquet"]


def test_text_that_is_no_utf8_is_replaced_and_other_files_are_left_out(
    tmp_path: Path, settings: Settings
) -> None:
    folder = tmp_path / "d"
    folder.mkdir()
    (folder / "latin.txt").write_bytes("ol\xe9".encode("latin-1"))
    (folder / "right.txt").write_text("a \ufffd is no fault")
    (folder / "picture.png").write_bytes(b"\x89PNG\0\0")
    (folder / "empty.txt").write_bytes(b"")
    (folder / "blank.txt").write_text(" \n")
    (folder / ".hidden").write_text("hidden")
    data = prepare(build_run(source(folder), sequence_length=64), settings)
    batch = epoch(data.train)
    found = sorted(TOKENIZER.decode(tokens) for tokens in segments(batch))
    assert found == ["a \ufffd is no fault<|end|>", "ol\ufffd<|end|>"]
    assert data.warnings == [
        "spec.data.sources[0]: 1 of 3 documents are empty and left out",
        "spec.data.sources[0]: 1 files hold bytes that are no UTF-8; they were replaced by U+FFFD",
        "spec.data.sources[0]: 1 binary files are left out",
    ]


def test_large_documents_are_read_in_pieces_and_stay_whole(
    tmp_path: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "PIECE_BYTES", 1001)  # cuts a letter of two bytes in the middle
    text = "0123456789 é\n" * 1000
    (tmp_path / "big.txt").write_text(text)
    write_json_lines(tmp_path / "big.jsonl", [{"text": text}, {"text": "x" * 5_000}])
    for one, expected in (
        (source(tmp_path / "big.txt"), [text]),
        (source(tmp_path / "big.jsonl", "JSONL"), [text, "x" * 5_000]),
    ):
        train: Any = prepare(build_run(one, sequence_length=4096), settings).train
        [documents] = train.documents
        assert len(documents) == len(expected)
        for n, content in enumerate(expected):
            tokens = documents.tokens[documents.offsets[n] : documents.offsets[n + 1]]
            assert (
                hashlib.sha256(TOKENIZER.decode(tokens[:-1]).encode()).digest()
                == hashlib.sha256(content.encode()).digest()
            )
            assert tokens[-1] == END


def test_data_sha256_follows_content_and_order_not_place(
    tmp_path: Path, settings: Settings
) -> None:
    def digest(**changes: Any) -> str:
        rows = [{"text": text} for text in changes.pop("documents", texts(20))]
        path = write_json_lines(tmp_path / "d.jsonl", rows)
        return prepare(build_run(source(path, "JSONL"), **changes), settings).data_sha256

    first = digest()
    assert digest() == first
    changes: list[dict[str, Any]] = [
        {"seed": 1}, {"sequence_length": 64}, {"packing": Packing.NONE}, {"validation": 0.1}, {"documents": texts(20, 1)},
    ]  # fmt: skip
    others = [digest(**change) for change in changes]
    assert len({first, *others}) == 6


WORKER = """
import json, sys, pathlib, time
from trainwright_api.run import Run
from trainwright_trainer.data import prepare_data, tokenizing
from trainwright_trainer.settings import Settings
from tests.trainer.tokenizer_builder import byte_tokenizer
calls = []
real = tokenizing.tokenize_source
import trainwright_trainer.data.preparing as preparing
def counted(*a, **k):
    calls.append(1)
    if sys.argv[3] == "dies":
        print("started", flush=True)
        time.sleep(60)
    return real(*a, **k)
preparing.tokenize_source = counted
run = Run.model_validate_json(pathlib.Path(sys.argv[1]).read_text())
data = prepare_data(run, byte_tokenizer(), Settings(scratch_folder=pathlib.Path(sys.argv[2])))
print(json.dumps([len(calls), data.data_sha256]))
"""


def test_one_process_of_a_node_works_and_the_next_takes_over_if_it_dies(
    tmp_path: Path, settings: Settings
) -> None:
    path = write_json_lines(tmp_path / "d.jsonl", [{"text": text} for text in texts(50)])
    (tmp_path / "run.json").write_text(
        build_run(source(path, "JSONL")).model_dump_json(by_alias=True)
    )

    def start(mode: str) -> subprocess.Popen[str]:
        command = [
            sys.executable,
            "-c",
            WORKER,
            str(tmp_path / "run.json"),
            str(settings.scratch_folder),
            mode,
        ]
        return subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(Path.cwd())},
        )

    with start("dies") as first:
        assert first.stdout is not None
        assert first.stdout.readline() == "started\n"
        with start("works") as second, start("works") as third:
            first.kill()
            answers = [json.loads(p.communicate(timeout=60)[0]) for p in (second, third)]
    assert sorted(calls for calls, _ in answers) == [0, 1]
    assert answers[0][1] == answers[1][1]
