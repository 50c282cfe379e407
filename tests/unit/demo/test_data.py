import json
from pathlib import Path

import pytest

from demo import data
from demo.data import read_dialogues, write_dialogues, write_standard_library

CORPUS = """\
categories: [tests]
conversations:
- - What is AI?
  - A branch of science.
- - One
  - Two
  - a question without an answer
- - alone
- - " "
  - empty question
- - 1
  - 2
"""


def test_dialogues_become_turns_of_user_and_assistant(tmp_path: Path) -> None:
    corpus = tmp_path / "corpus.yml"
    corpus.write_text(CORPUS)
    dialogues = [
        [(turn["role"], turn["content"]) for turn in record["messages"]]
        for record in read_dialogues(corpus)
    ]
    assert dialogues == [
        [("user", "What is AI?"), ("assistant", "A branch of science.")],
        [("user", "One"), ("assistant", "Two")],
        [("user", "1"), ("assistant", "2")],
    ]


def test_dialogues_are_written_a_record_a_line(tmp_path: Path) -> None:
    corpus = tmp_path / "corpus.yml"
    corpus.write_text(CORPUS)
    target = tmp_path / "chat" / "train.jsonl"
    assert write_dialogues([corpus], target) == 3
    assert len([json.loads(line) for line in target.read_text().splitlines()]) == 3


def test_library_is_copied_without_tests_under_flat_names(tmp_path: Path) -> None:
    source = tmp_path / "lib"
    for name in ("os.py", "json/decoder.py", "test/test_os.py", "site-packages/x.py", "data.bin"):
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_text(f"# {name}\n")
    target = tmp_path / "out"
    assert write_standard_library(source, target) == 2
    assert {path.name for path in target.iterdir()} == {"os.txt", "json-decoder.txt"}
    assert (target / "json-decoder.txt").read_text() == "# json/decoder.py\n"


def test_uv_trusts_the_machines_certificates(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    uv = tmp_path / "uv"
    uv.write_text(f'#!/bin/sh\necho "$UV_SYSTEM_CERTS" > {tmp_path}/seen\n')
    uv.chmod(0o755)
    monkeypatch.setattr(data, "find_uv", lambda: str(uv))
    monkeypatch.delenv("UV_SYSTEM_CERTS", raising=False)
    data._install_packages(tmp_path / "packages")
    assert (tmp_path / "seen").read_text() == "1\n"
