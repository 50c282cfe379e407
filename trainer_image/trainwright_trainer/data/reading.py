"""The rows of a source's files: texts for pretraining, records for fine-tuning.

Everything is read in a stream, so memory stays bounded whatever a file's size; small files are
fetched ahead, because a store answers many requests at once faster than one after the other.
"""

import codecs
import gzip
import io
import json
import random
import zlib
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from trainwright_api.data import RecordFormat, TextFormat

from trainwright_trainer.data.documents import DocumentCounts
from trainwright_trainer.data.sources import Source, is_gzip, is_parquet
from trainwright_trainer.store import FileInfo

if TYPE_CHECKING:
    import pyarrow as pa

READ_AHEAD_FILES = 16
READ_AHEAD_BYTES = 4 * 2**20  # larger files are streamed
PIECE_BYTES = 2**20  # a text is read and tokenized in pieces of about this size
PARQUET_ROWS = 256
BINARY_PROBE_BYTES = 8192
LONGEST_LINE_BYTES = 64 * 2**20  # of JSONL; a whole file on one line would fill the memory
_BROKEN_GZIP = (EOFError, gzip.BadGzipFile, zlib.error)


@dataclass(frozen=True, slots=True)
class Row:
    """One row: the number counts from 1 in its file (Text: the file is row 1)."""

    file: FileInfo
    number: int
    record: dict[str, Any]


@dataclass(frozen=True, slots=True)
class TextPiece:
    """A part of one document's text; documents follow each other piece by piece."""

    file: FileInfo
    row: int
    text: str
    is_last: bool


@dataclass
class SourceReader:
    """Reads a source and counts what it finds. `first_byte` is where a sample of a file begins."""

    source: Source
    first_byte: int = 0
    counts: DocumentCounts = field(default_factory=DocumentCounts)

    def texts(self) -> Iterator[TextPiece]:
        """Yield the documents of a pretraining source. Raises UserError naming file, row and field."""
        if self.source.spec.format == TextFormat.TEXT:
            for file, stream in open_ahead(self.source, self.source.files):
                with stream:
                    yield from self._file_text(file, stream)
            return
        for row in self.records():
            yield from self.row_text(row)

    def records(self, files: Iterable[FileInfo] | None = None) -> Iterator[Row]:
        """Yield the rows of JSONL and Parquet files. Raises UserError for what is no row."""
        for file, stream in open_ahead(self.source, files or self.source.files):
            with stream:
                yield from self.file_records(file, stream)

    def file_records(self, file: FileInfo, stream: BinaryIO) -> Iterator[Row]:
        """Yield the rows of one file."""
        if is_parquet(self.source.uri_of(file), self.source.spec.format):
            return self.parquet_rows(file, stream)
        return self._json_rows(file, stream)

    def _file_text(self, file: FileInfo, stream: BinaryIO) -> Iterator[TextPiece]:
        stream = _unpacked(self.source.uri_of(file), stream)
        content = self._read(file, stream)
        if b"\0" in content[:BINARY_PROBE_BYTES]:
            self.counts.binary_files += 1
            return
        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        has_invalid = False
        rest = ""
        while content:
            following = self._read(file, stream)
            text = decoder.decode(content, final=not following)
            has_invalid |= "\ufffd" in text and "\ufffd".encode() not in content
            head, rest = _split_at_line(rest + text) if following else (rest + text, "")
            yield TextPiece(file, 1, head, is_last=not following)
            content = following
        self.counts.files_with_invalid_text += has_invalid

    def _read(self, file: FileInfo, stream: BinaryIO) -> bytes:
        try:
            return stream.read(PIECE_BYTES)
        except _BROKEN_GZIP as error:
            raise self._broken(file, f"{error}") from error

    def row_text(self, row: Row) -> Iterator[TextPiece]:
        """Yield the text of a row in pieces. Raises UserError if its field is none."""
        text = self.field_of(row, self.source.spec.field)
        if not isinstance(text, str):
            raise self.row_error(
                row,
                f"{describe(text)} in field {self.source.spec.field}",
                "a text",
                "correct it",
                "field",
            )
        while len(text) > PIECE_BYTES:
            head, text = _split_at_line(text[:PIECE_BYTES], text[PIECE_BYTES:])
            yield TextPiece(row.file, row.number, head, is_last=False)
        yield TextPiece(row.file, row.number, text, is_last=True)

    def field_of(self, row: Row, name: str) -> Any:
        """Return a field of a record. Raises UserError that names the fields it has instead."""
        if name not in row.record:
            has = ", ".join(sorted(row.record)[:12]) or "none"
            raise self.row_error(
                row,
                f"no field {name} (it has: {has})",
                f"field {name} in every record",
                "set field to one that they have" if name == self.source.spec.field else "add it",
                "field",
            )
        return row.record[name]

    def row_error(
        self, row: Row, got: str, expected: str, remedy: str, part: str = "uri"
    ) -> Exception:
        """Build the error for a row that cannot be used."""
        where = f"{self.source.uri_of(row.file)} row {row.number}"
        where += f" after byte {self.first_byte}" if self.first_byte else ""
        return self.source.error(f"{got} in {where}", expected, remedy, part)

    def _broken(self, file: FileInfo, why: str) -> Exception:
        return self.source.error(
            f"{self.source.uri_of(file)}, which cannot be read ({why})",
            f"a whole {self.source.spec.format} file",
            "write it again, or correct the format",
        )

    def _json_rows(self, file: FileInfo, stream: BinaryIO) -> Iterator[Row]:
        unpacked = _unpacked(self.source.uri_of(file), stream)
        number = 0
        has_invalid = False
        while True:
            try:
                line = unpacked.readline(LONGEST_LINE_BYTES + 1)
            except _BROKEN_GZIP as error:
                raise self._broken(file, f"{error}") from error
            if not line:
                break
            number += 1
            if len(line) > LONGEST_LINE_BYTES:
                raise self.row_error(
                    Row(file, number, {}),
                    f"a line of more than {LONGEST_LINE_BYTES:,} bytes",
                    "one JSON object a line",
                    "write each record on a line of its own, without an array around them",
                )
            if line.strip():
                text = line.decode("utf-8", "replace")
                if number == 1:  # programs on Windows begin a file with a mark, which is no JSON
                    text = text.removeprefix("\ufeff")
                has_invalid |= "\ufffd" in text and "\ufffd".encode() not in line
                yield Row(file, number, self._parse(file, number, text))
        self.counts.files_with_invalid_text += has_invalid

    def _parse(self, file: FileInfo, number: int, line: str) -> dict[str, Any]:
        try:
            record = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise self.row_error(
                Row(file, number, {}),
                f"invalid JSON ({error})",
                "one JSON object a line",
                "correct the line, or the format",
            ) from error
        if not isinstance(record, dict):
            raise self.row_error(
                Row(file, number, {}),
                describe(record),
                "one JSON object a line",
                "write each record as an object on a line of its own",
            )
        return record

    def parquet_rows(
        self, file: FileInfo, stream: BinaryIO, chance: random.Random | None = None
    ) -> Iterator[Row]:
        """Yield the rows of a Parquet file; with `chance`, those of one row group of its choice."""
        # Here, as it takes a fifth of a second of a start, and most runs read none.
        import pyarrow as pa
        import pyarrow.parquet as pq

        try:
            table = pq.ParquetFile(stream)
            columns = self._columns(table.schema_arrow.names)
            groups = list(range(table.num_row_groups))
            if chance is not None and groups:
                groups = [chance.choice(groups)]
            skipped = range(groups[0] if groups else 0)
            number = sum(table.metadata.row_group(group).num_rows for group in skipped)
            for batch in table.iter_batches(PARQUET_ROWS, row_groups=groups, columns=columns):
                for record in self._batch_records(file, number, batch):
                    number += 1
                    yield Row(file, number, record)
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError, UnicodeDecodeError, OSError) as error:
            if isinstance(error, OSError) and error.errno is not None:
                raise  # of the system, and not Arrow's word for a page that it cannot read
            raise self._broken(file, str(error).partition("\n")[0][:200]) from error

    def _batch_records(
        self, file: FileInfo, number: int, batch: "pa.RecordBatch"
    ) -> Iterator[dict[str, Any]]:
        """Yield the rows of a batch that follows row `number`. Raises UserError for text that is none."""
        try:
            records = batch.to_pylist()
        except UnicodeDecodeError:  # row by row, to name the one at fault
            records = (self._record(file, number, batch, row) for row in range(batch.num_rows))
        for record in records:
            yield {name: _without_nulls(value) for name, value in record.items()}

    def _record(
        self, file: FileInfo, number: int, batch: "pa.RecordBatch", row: int
    ) -> dict[str, Any]:
        try:
            return cast(dict[str, Any], batch.slice(row, 1).to_pylist()[0])
        except UnicodeDecodeError as error:
            raise self.row_error(
                Row(file, number + row + 1, {}),
                f"bytes that are no UTF-8 ({error.reason})",
                "text in UTF-8, as Parquet prescribes",
                "write the file again from decoded text",
            ) from error

    def _columns(self, names: list[str]) -> list[str] | None:
        """The columns to read; all where one that is wanted is missing, to name them in the error."""
        if self.source.spec.format == RecordFormat.PROMPT_COMPLETION:
            wanted = ["prompt", "completion"]
        elif self.source.spec.format == RecordFormat.MESSAGES:
            wanted = [self.source.spec.field, *(["tools"] if "tools" in names else [])]
        else:
            wanted = [self.source.spec.field]
        return wanted if set(wanted) <= set(names) else None


def open_ahead(source: Source, files: Iterable[FileInfo]) -> Iterator[tuple[FileInfo, BinaryIO]]:
    """Open files one after the other; the content of the next small ones is fetched meanwhile."""
    with ThreadPoolExecutor(READ_AHEAD_FILES // 2, "read-ahead") as pool:
        queue: deque[tuple[FileInfo, Future[bytes] | None]] = deque()
        waiting = iter(files)
        while True:
            while len(queue) < READ_AHEAD_FILES and (file := next(waiting, None)) is not None:
                is_small = file.size_bytes <= READ_AHEAD_BYTES
                content = pool.submit(source.store.read_bytes, file.path) if is_small else None
                queue.append((file, content))
            if not queue:
                return
            file, content = queue.popleft()
            yield file, io.BytesIO(content.result()) if content else source.store.open(file.path)


def describe(value: Any) -> str:
    """Return what a JSON value is, for messages."""
    kinds = {dict: "an object", list: "a list", str: "a text", bool: "true or false"}
    if value is None:
        return "null"
    return kinds.get(
        type(value), "a number" if isinstance(value, int | float) else type(value).__name__
    )


def _unpacked(uri: str, stream: BinaryIO) -> BinaryIO:
    return cast(BinaryIO, gzip.GzipFile(fileobj=stream)) if is_gzip(uri) else stream


def _without_nulls(value: Any) -> Any:
    """Leave out the fields of objects that are null, as JSON lines would.

    A column of Parquet has one list of fields: an object without some of them gets them as nulls, and a
    chat template that writes objects as JSON would train the model to say so.
    """
    if isinstance(value, dict):
        return {name: _without_nulls(item) for name, item in value.items() if item is not None}
    if isinstance(value, list):
        return [_without_nulls(item) for item in value]
    return value


def _split_at_line(text: str, rest: str = "") -> tuple[str, str]:
    """Split a text before its last line, so that a tokenizer sees whole lines."""
    end = text.rfind("\n")
    return (text, rest) if end <= 0 else (text[:end], text[end:] + rest)
