"""Bad data: one clear sentence with path, value and remedy, from preflight or from preparing."""

import gzip
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from trainwright_api.resources import SFTLoss
from trainwright_api.run import Run, RunSource
from trainwright_trainer.data import check_sources, prepare_data, reading
from trainwright_trainer.errors import StoreError, TrainerError, UserError
from trainwright_trainer.groups import SingleGroup
from trainwright_trainer.settings import Settings

from tests.trainer.run_builder import build_run, source, write_json_lines, write_parquet
from tests.trainer.s3_server import settings
from tests.trainer.tokenizer_builder import byte_tokenizer

__all__ = ["settings"]

PATH = r"spec\.data\.sources\[0\]"
GOOD = {"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]}
Maker = Callable[[Path], RunSource]


def lines(*records: Any, kind: str = "JSONL", name: str = "d.jsonl", **more: Any) -> Maker:
    return lambda folder: source(write_json_lines(folder / name, records), kind, **more)


def raw(content: bytes, kind: str = "JSONL", name: str = "d.jsonl") -> Maker:
    def make(folder: Path) -> RunSource:
        folder.mkdir(exist_ok=True)
        (folder / name).write_bytes(content)
        return source(folder / name, kind)

    return make


def files(contents: dict[str, bytes], kind: str) -> Maker:
    def make(folder: Path) -> RunSource:
        folder.mkdir(exist_ok=True)
        for name, content in contents.items():
            (folder / name).write_bytes(content)
        return source(folder, kind)

    return make


def parquet(*records: dict[str, Any], kind: str = "Parquet", **more: Any) -> Maker:
    return lambda folder: source(write_parquet(folder / "d.parquet", list(records)), kind, **more)


def damaged(content: bytes, start: int, count: int) -> bytes:
    return content[:start] + b"\xff" * count + content[start + count :]


def damaged_parquet(folder: Path) -> RunSource:
    path = write_parquet(folder / "d.parquet", [{"text": f"row {n}"} for n in range(8)])
    path.write_bytes(damaged(path.read_bytes(), 4, 40))
    return source(path, "Parquet")


def messages(*turns: Any) -> dict[str, Any]:
    return {"messages": [dict(zip(("role", "content"), turn, strict=True)) for turn in turns]}


FOUND_BY_PREFLIGHT: dict[str, tuple[Maker, str]] = {
    "nothing there": (
        lambda folder: source(folder / "nothing"),
        rf"{PATH}\.uri: got file:///.*/nothing, expected at least one file; correct the path, .*",
    ),
    "an empty file": (
        raw(b""),
        rf"{PATH}\.uri: got file:///.*/d\.jsonl \(an empty file\), expected data in it; write the data again",
    ),
    "only empty files": (
        files({"a.txt": b"", "b.txt": b""}, "Text"),
        rf"{PATH}\.uri: got file:///.* \(2 files, all empty\), expected data in it; .*",
    ),
    "files of another kind": (
        files({"a.csv": b"1,2", "b.txt": b"x"}, "JSONL"),
        rf"{PATH}\.uri: got file:///.* with 2 files such as a\.csv, expected files that end in \.jsonl, .*; "
        r"correct the path, or the format \(JSONL\)",
    ),
    "a record without the field": (
        lines({"text": "fine"}, {"content": "x", "id": 1}),
        rf"{PATH}\.field: got no field text \(it has: content, id\) in file:///.*/d\.jsonl row 2, "
        r"expected field text in every record; set field to one that they have",
    ),
    "a number where text belongs": (
        lines({"text": 5}),
        rf"{PATH}\.field: got a number in field text in file:///.* row 1, expected a text; correct it",
    ),
    "null where text belongs": (
        lines({"text": None}),
        rf"{PATH}\.field: got null in field text in .* row 1, expected a text; correct it",
    ),
    "JSON that is nested too deeply": (
        raw(b'{"text": ' + b"[" * 100_000 + b"\n"),
        rf"{PATH}\.uri: got invalid JSON \(.*recursion.*\) in file:///.* row 1, expected one JSON object a line; "
        r"correct the line, or the format",
    ),
    "broken JSON": (
        raw(b'{"text": "a"}\n{"text": "b"\n'),
        rf"{PATH}\.uri: got invalid JSON \(Expecting .*\) in file:///.* row 2, expected one JSON object a line; "
        r"correct the line, or the format",
    ),
    "a JSON list": (
        raw(b'[{"text": "a"}]'),
        rf"{PATH}\.uri: got a list in file:///.* row 1, expected one JSON object a line; write each .*",
    ),
    "Parquet without the column": (
        parquet({"body": "x"}),
        rf"{PATH}\.field: got no field text \(it has: body\) in file:///.*d\.parquet row 1, expected .*",
    ),
    "Parquet that is none": (
        raw(b"PAR1 but not really", "Parquet", "d.parquet"),
        rf"{PATH}\.uri: got file:///.*, which cannot be read \(.*\), expected a whole Parquet file; .*",
    ),
    "a gzip file that is none": (
        raw(b'{"text": "a"}', name="d.jsonl.gz"),
        rf"{PATH}\.uri: got file:///.*, which cannot be read \(Not a gzipped file.*\), expected .*",
    ),
    "messages that are text": (
        lines({"messages": "hello"}, kind="Messages"),
        rf"{PATH}\.field: got a text in field messages in .* row 1, expected a list of .*; set field to .*",
    ),
    "messages in another field": (
        lines({"conversations": []}, kind="Messages"),
        rf"{PATH}\.field: got no field messages \(it has: conversations\) in .*; set field to one .*",
    ),
    "from/value pairs": (
        lines({"messages": [{"from": "human", "value": "x"}]}, kind="Messages"),
        rf"{PATH}\.format: got an object without role as messages\[0\] \(it has: from, value\) in .* row 1, "
        r"expected \{role, content\}; write from/value pairs as role/content",
    ),
    "content that is no text": (
        lines(messages(("user", ["x"]), ("assistant", "y")), kind="Messages"),
        rf"{PATH}\.format: got a list as messages\[0\]\.content in .* row 1, expected a text; .*",
    ),
    "nobody answers": (
        lines(GOOD, messages(("user", "x"), ("model", "y")), kind="Messages"),
        rf"{PATH}\.format: got roles user, model in .* row 2, expected at least one message of the assistant "
        r"to learn from; remove the record, or name that role assistant",
    ),
    "an empty conversation": (
        lines({"messages": []}, kind="Messages"),
        rf"{PATH}\.format: got roles none in .* row 1, .*",
    ),
    "no completion": (
        lines({"prompt": "x"}, kind="PromptCompletion"),
        rf"{PATH}\.field: got no field completion \(it has: prompt\) in .* row 1, expected .*; add it",
    ),
    "an empty completion": (
        lines({"prompt": "x", "completion": ""}, kind="PromptCompletion"),
        rf"{PATH}\.format: got an empty completion in .* row 1, expected text to be learned; .*",
    ),
    "prompt and completion unlike": (
        lines({"prompt": "x", "completion": []}, kind="PromptCompletion"),
        rf"{PATH}\.format: got prompt a text and completion a list in .*, expected two texts, or .*",
    ),
    "messages in Parquet": (
        parquet({"messages": [{"role": "user", "content": "x"}]}, kind="Messages"),
        rf"{PATH}\.format: got roles user in .*d\.parquet row 1, .*",
    ),
}

LATE = 3000  # rows: behind what preflight reads first

FOUND_BY_PREPARING: dict[str, tuple[Maker, dict[str, Any], str]] = {
    "blank rows only": (
        lines({"text": " "}, {"text": ""}),
        {},
        rf"{PATH}\.uri: got file:///.* \(2 documents, all empty\), expected text in it; .*",
    ),
    "binary files only": (
        files({"a.bin": b"\0\1", "b.bin": b"\0"}, "Text"),
        {},
        rf"{PATH}\.uri: got file:///.* \(2 binary files\), expected text in it; .*",
    ),
    "one row far back": (
        lines(*[{"text": f"row {n}"} for n in range(LATE)], {"id": 5}),
        {},
        rf"{PATH}\.field: got no field text \(it has: id\) in file:///.* row {LATE + 1}, .*",
    ),
    "a gzip file cut short": (
        raw(gzip.compress(b'{"text": "a"}\n' * 1000)[:-20], name="d.jsonl.gz"),
        {},
        rf"{PATH}\.uri: got file:///.*, which cannot be read \(.*\), expected a whole JSONL file; .*",
    ),
    "a .gz whose body is damaged": (
        raw(damaged(gzip.compress(b'{"text": "x"}\n'), 10, 1), name="d.jsonl.gz"),
        {},
        rf"{PATH}\.uri: got file:///.*, which cannot be read \(.*\), expected a whole JSONL file; .*",
    ),
    "a text in a .gz whose body is damaged": (
        raw(damaged(gzip.compress(b"some text"), 10, 1), "Text", "d.txt.gz"),
        {},
        rf"{PATH}\.uri: got file:///.*, which cannot be read \(.*\), expected a whole Text file; .*",
    ),
    "a Parquet file whose pages are damaged": (
        damaged_parquet,
        {},
        rf"{PATH}\.uri: got file:///.*, which cannot be read \(.*\), expected a whole Parquet file; .*",
    ),
    "no chat template": (
        lines(GOOD, kind="Messages"),
        {"tokenizer": byte_tokenizer(chat_template=None)},
        r"spec\.data\.chatTemplate: got none, and the base model's tokenizer has none, expected a Jinja "
        r"template for messages; give one, or use format PromptCompletion with texts",
    ),
    "a template that refuses a record": (
        lines(GOOD, messages(("boss", "x"), ("assistant", "y")), kind="Messages"),
        {
            "chat_template": "{% for m in messages %}{% if m.role == 'boss' %}{{ raise_exception('no boss') }}"
            "{% endif %}{{ m.content }}<|im_end|>{% endfor %}"
        },
        r"spec\.data\.chatTemplate: got a template .* that does not go with file:///.* row 2 "
        r"\(roles: boss, assistant\): it fails: TemplateError: no boss, expected one that shows which text is the "
        r"assistant's; put \{% generation %\} .*",
    ),
    "a template that is no Jinja": (
        lines(GOOD, kind="Messages"),
        {"chat_template": "{% for m in %}"},
        r"spec\.data\.chatTemplate: got a template .* row 1 .*: it fails: TemplateSyntaxError: .*",
    ),
    "a template whose answers hide": (
        lines(GOOD, kind="Messages"),
        {
            "chat_template": "{% for m in messages %}{% generation %}{% endgeneration %}{{ m.role }}{% endfor %}"
        },
        r"spec\.data\.chatTemplate: got a template .*: its \{% generation %\} blocks mark 2 of 1 answers, .*",
    ),
    "answers behind the sequence's end": (
        lines(messages(("user", "q" * 200), ("assistant", "y")), kind="Messages"),
        {"sequence_length": 64},
        r"spec\.data: got 1 documents without a token to train on within 64 tokens, expected answers that are "
        r"reached; raise spec\.data\.sequenceLength, or give more data",
    ),
    "validation of one document": (
        lines({"text": "alone"}),
        {"validation": 0.1},
        r"spec\.data\.validation\.fraction: got 0\.1 of 1 document, expected at least 2 documents to hold one "
        r"out; leave validation away, or split the data into more files or rows",
    ),
}


def run_of(one: RunSource, **changes: Any) -> Run:
    is_fine_tuning = one.format in ("Messages", "PromptCompletion")
    return build_run(one, sft=SFTLoss.ASSISTANT_ONLY if is_fine_tuning else None, **changes)


def failure_of(action: Callable[[], object]) -> TrainerError:
    with pytest.raises(TrainerError) as caught:
        action()
    return caught.value


@pytest.mark.parametrize("case", FOUND_BY_PREFLIGHT)
def test_preflight_finds(tmp_path: Path, settings: Settings, case: str) -> None:
    make, message = FOUND_BY_PREFLIGHT[case]
    run = run_of(make(tmp_path / "d"))
    error = failure_of(lambda: check_sources(run, settings))
    assert isinstance(error, UserError)
    assert re.fullmatch(message, str(error)), str(error)


@pytest.mark.parametrize("case", FOUND_BY_PREFLIGHT)
def test_preparing_finds_what_preflight_finds(
    tmp_path: Path, settings: Settings, case: str
) -> None:
    make, message = FOUND_BY_PREFLIGHT[case]
    run = run_of(make(tmp_path / "d"))
    error = failure_of(lambda: prepare_data(run, byte_tokenizer(), settings))
    assert re.fullmatch(message, str(error)), str(error)


@pytest.mark.parametrize("case", FOUND_BY_PREPARING)
def test_preparing_finds(tmp_path: Path, settings: Settings, case: str) -> None:
    make, changes, message = FOUND_BY_PREPARING[case]
    tokenizer = changes.get("tokenizer", byte_tokenizer())
    run = run_of(make(tmp_path / "d"), **{k: v for k, v in changes.items() if k != "tokenizer"})
    error = failure_of(lambda: prepare_data(run, tokenizer, settings))
    assert isinstance(error, UserError)
    assert re.fullmatch(message, str(error)), str(error)


@pytest.mark.parametrize(
    "make",
    [
        lines(*[{"text": "a"}] * 50, *[{"txt": "b"}] * 5000),
        parquet(*[{"text": "a"}] * 8, *[{"text": None}] * 5000),
    ],
)
def test_preflight_reads_random_rows_too(tmp_path: Path, settings: Settings, make: Maker) -> None:
    run = run_of(make(tmp_path / "d"))
    error = failure_of(lambda: check_sources(run, settings))
    assert re.search(r"row \d+( after byte \d+)?, expected", str(error))


def test_preflight_passes_good_sources_of_every_format(tmp_path: Path, settings: Settings) -> None:
    makers: list[Maker] = [
        raw(b"some text", "Text", "d.txt"),
        lines(*[{"text": f"row {n}"} for n in range(500)]),
        lines(*[{"text": f"row {n}"} for n in range(50)], name="d.jsonl.gz"),
        parquet(*[{"text": f"row {n}"} for n in range(100)]),
        lines(*[GOOD] * 100, kind="Messages"),
        parquet(*[GOOD] * 100, kind="Messages"),
        lines({"prompt": "x", "completion": "y"}, kind="PromptCompletion"),
    ]
    for number, make in enumerate(makers):
        check_sources(run_of(make(tmp_path / str(number))), settings)


def test_a_whole_file_on_one_line_is_not_read_into_memory(
    tmp_path: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "LONGEST_LINE_BYTES", 100)
    run = run_of(raw(b'{"text": "x"}\n[' + b'{"text": "x"},' * 20 + b"]")(tmp_path / "d"))
    error = failure_of(lambda: prepare_data(run, byte_tokenizer(), settings))
    assert re.fullmatch(
        rf"{PATH}\.uri: got a line of more than 100 bytes in file:///.*/d\.jsonl row 2, expected one JSON "
        r"object a line; write each record on a line of its own, without an array around them",
        str(error),
    )


def test_a_folder_that_may_not_be_read_is_not_an_empty_one(
    tmp_path: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = run_of(files({"d.txt": b"some text"}, "Text")(tmp_path / "d"))

    def refuse(_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "scandir", refuse)
    error = failure_of(lambda: check_sources(run, settings))
    assert "Permission denied), expected access to it" in str(error)


def test_data_that_differs_between_ranks_is_refused(tmp_path: Path, settings: Settings) -> None:
    class Others(SingleGroup):
        def all_gather(self, value: Any) -> list[Any]:
            return [value, value, "other"]

    run = run_of(lines({"text": "x"})(tmp_path / "d"))
    error = failure_of(lambda: prepare_data(run, byte_tokenizer(), settings, Others()))
    assert isinstance(error, UserError)
    assert str(error).startswith(
        "spec.data.sources: got other data on rank 2 than on rank 0, expected"
    )


def test_a_source_that_is_held_out_as_a_whole_is_told(tmp_path: Path, settings: Settings) -> None:
    folder = tmp_path / "d"
    # Each single document is held out or not by the hash of its path: of so many, never all or none.
    singles = [(f"one-{n}", 1) for n in range(32)]
    sources = [
        lines(*[{"text": f"{name} {n}"} for n in range(count)], name=f"{name}.jsonl")(folder)
        for name, count in [("many", 200), *singles]
    ]
    told = prepare_data(build_run(*sources, validation=0.5), byte_tokenizer(), settings).warnings
    assert 0 < len(told) < len(singles)
    assert all(
        re.fullmatch(
            r"spec\.data\.sources\[[1-9]\d?\]: all of its 1 documents are held out .*", text
        )
        for text in told
    )


def test_the_second_source_is_named_by_its_number(tmp_path: Path, settings: Settings) -> None:
    good = lines({"text": "x"})(tmp_path / "good")
    error = failure_of(lambda: check_sources(build_run(good, source(tmp_path / "no")), settings))
    assert str(error).startswith("spec.data.sources[1].uri: got file:///")


def test_a_full_scratch_disk_is_an_infrastructure_failure_that_says_what_to_raise(
    tmp_path: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("trainwright_trainer.data.preparing.tokenize_source", full)
    run = run_of(lines({"text": "x"})(tmp_path / "d"))
    error = failure_of(lambda: prepare_data(run, byte_tokenizer(), settings))
    assert isinstance(error, StoreError)
    assert str(error).startswith("spec.workers.resources.ephemeral-storage: got ")
