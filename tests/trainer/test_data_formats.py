"""Formats of data, and the copy of it that the processes of a node share."""

import gzip
import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from trainwright_api.data import Packing
from trainwright_api.resources import SFTLoss
from trainwright_trainer.data import check_sources, reading
from trainwright_trainer.settings import Settings

from tests.trainer.batch_checks import END, TOKENIZER, epoch, prepare, segments, texts
from tests.trainer.ranks import HANG_SECONDS
from tests.trainer.run_builder import build_run, source, write_json_lines, write_parquet
from tests.trainer.s3_server import settings

__all__ = ["settings"]


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


@pytest.mark.parametrize("name", ["d.jsonl", "d.jsonl.gz"])
def test_json_lines_as_programs_on_windows_write_them_are_read(
    tmp_path: Path, settings: Settings, name: str
) -> None:
    documents = texts(3)
    content = "".join(json.dumps({"text": text}) + "\r\n" for text in documents).encode("utf-8-sig")
    (tmp_path / name).write_bytes(gzip.compress(content) if name.endswith("gz") else content)
    plain = write_json_lines(tmp_path / "plain" / "d.jsonl", [{"text": text} for text in documents])
    found = []
    for path in (tmp_path / name, plain):
        run = build_run(source(path, "JSONL"), sequence_length=128)
        check_sources(run, settings)
        found.append(sorted(segments(epoch(prepare(run, settings).train))))
    assert found[0] == found[1]


@pytest.mark.parametrize(
    ("name", "kind"), [("d.parquet", "Messages"), ("d.jsonl.gz", "JSONL"), ("d.txt.gz", "Text")]
)
def test_endings_in_capital_letters_are_those_in_small_ones(
    tmp_path: Path, settings: Settings, name: str, kind: str
) -> None:
    turns = [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]
    rows = [{"text": text, "messages": turns} for text in texts(3)]
    write = write_parquet if kind == "Messages" else write_json_lines
    path = write(tmp_path / "d" / name, rows)
    found = []
    for named in (name, name.upper()):
        path = path.rename(path.with_name(named))
        sft = SFTLoss.ASSISTANT_ONLY if kind == "Messages" else None
        run = build_run(source(path.parent, kind), sft=sft)
        check_sources(run, settings)
        train: Any = prepare(run, settings).train
        found.append(list(train.documents[0].tokens))
    assert found[0] == found[1]


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
            answers = [json.loads(p.communicate(timeout=HANG_SECONDS)[0]) for p in (second, third)]
    assert sorted(calls for calls, _ in answers) == [0, 1]
    assert answers[0][1] == answers[1][1]
