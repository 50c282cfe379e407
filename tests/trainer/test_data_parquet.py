"""Parquet holds what JSON lines hold: the same records, and clear words for what is no text."""

import re
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from trainwright_api.resources import SFTLoss
from trainwright_api.run import RunSource
from trainwright_trainer.data import check_sources, prepare_data
from trainwright_trainer.data.reading import SourceReader
from trainwright_trainer.data.records import parse_record
from trainwright_trainer.data.sources import open_source
from trainwright_trainer.errors import UserError
from trainwright_trainer.settings import Settings

from tests.trainer.run_builder import build_run, source, write_json_lines, write_parquet
from tests.trainer.s3_server import settings
from tests.trainer.tokenizer_builder import byte_tokenizer

__all__ = ["settings"]

PATH = "spec.data.sources[0]"


def tool(name: str, **properties: str) -> dict[str, Any]:
    """A tool with these parameters, as chat templates take it."""
    described = {parameter: {"type": kind} for parameter, kind in properties.items()}
    return {"name": name, "parameters": {"properties": described}}


def called(name: str, **arguments: Any) -> dict[str, Any]:
    """A record in which the assistant calls a tool."""
    call = {"type": "function", "function": {"name": name, "arguments": arguments}}
    return {
        "messages": [
            {"role": "user", "content": f"use {name}"},
            {"role": "assistant", "tool_calls": [call]},
            {"role": "tool", "content": "done"},
            {"role": "assistant", "content": "it is done"},
        ],
        "tools": [tool(name, **dict.fromkeys(arguments, "string"))],
    }


# Each tool has other arguments: Parquet's columns hold the fields of all of them.
RECORDS = [
    called("weather", city="Oslo", unit="celsius"),
    called("weather", city="Rome"),
    called("search", words=["a", "b"], filter={"language": "no"}),
    called("search", words=[], filter={"year": 2000}),
    {"messages": [{"role": "user", "content": "x"}, {"role": "assistant", "content": "y"}]},
]
TEMPLATE = (
    "{% if tools %}{{ tools | tojson }}{% endif %}{% for m in messages %}{{ m.role }}:{{ m.content }}"
    "{% if m.tool_calls %}{{ m.tool_calls | tojson }}{% endif %}<|im_end|>{% endfor %}"
)


def in_both_formats(folder: Path) -> tuple[RunSource, RunSource]:
    return (
        source(write_json_lines(folder / "lines" / "d.jsonl", RECORDS), "Messages"),
        source(write_parquet(folder / "parquet" / "d.parquet", RECORDS), "Messages"),
    )


def test_records_are_those_of_json_lines(tmp_path: Path, settings: Settings) -> None:
    readers = [SourceReader(open_source(one, PATH, settings)) for one in in_both_formats(tmp_path)]
    lines, parquet = ([parse_record(r, row) for row in r.records()] for r in readers)
    assert lines == parquet
    assert len(lines) == len(RECORDS)


def test_tokens_are_those_of_json_lines(tmp_path: Path, settings: Settings) -> None:
    def tokens(one: RunSource) -> list[int]:
        run = build_run(one, sft=SFTLoss.ALL_TOKENS, chat_template=TEMPLATE, sequence_length=1024)
        train: Any = prepare_data(run, byte_tokenizer(), settings).train
        [documents] = train.documents
        return list(documents.tokens)

    lines, parquet = (tokens(one) for one in in_both_formats(tmp_path))
    assert lines == parquet


def write_bytes_as_text(path: Path, *texts: bytes) -> RunSource:
    """Write a column of text without looking at what is in it, as some writers do."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table({"text": pa.array(texts, pa.binary()).view(pa.string())}), path)
    return source(path, "Parquet")


def test_text_that_is_no_utf8_is_told_by_its_row(tmp_path: Path, settings: Settings) -> None:
    good = [b"good"] * 300  # the bad row is in the second batch
    one = write_bytes_as_text(tmp_path / "d.parquet", *good, b"ol\xe9!", b"good")
    with pytest.raises(UserError) as refused:
        prepare_data(build_run(one), byte_tokenizer(), settings)
    assert re.fullmatch(
        r"spec\.data\.sources\[0\]\.uri: got bytes that are no UTF-8 \(invalid continuation byte\) in "
        r"file:///.*/d\.parquet row 301, expected text in UTF-8, as Parquet prescribes; write the file again .*",
        str(refused.value),
    )
    early = write_bytes_as_text(tmp_path / "early.parquet", b"\xe9")
    with pytest.raises(UserError, match=r"early\.parquet row 1, expected text in UTF-8"):
        check_sources(build_run(early), settings)


def test_what_arrow_cannot_read_is_told_with_the_file(
    tmp_path: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = write_bytes_as_text(tmp_path / "d.parquet", b"good")

    def refuse(_: object) -> None:
        raise pa.ArrowNotImplementedError("Nested data conversions not implemented for chunks")

    monkeypatch.setattr(pq, "ParquetFile", refuse)
    with pytest.raises(UserError, match=r"d\.parquet, which cannot be read \(Nested data conv"):
        check_sources(build_run(one), settings)
