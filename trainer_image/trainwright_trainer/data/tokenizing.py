"""Tokenizes one source into a folder of documents. Called by `preparing`, once per node."""

import logging
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from trainwright_api.run import RunObjective

from trainwright_trainer.data.chat import ChatTemplate, ChatTemplateError
from trainwright_trainer.data.documents import DocumentCounts, DocumentWriter
from trainwright_trainer.data.encoding import EncodedRecord, RecordEncoder, TextEncoder
from trainwright_trainer.data.reading import PIECE_BYTES, Row, SourceReader, TextPiece
from trainwright_trainer.data.records import Conversation, Record, parse_record
from trainwright_trainer.data.sources import Source
from trainwright_trainer.data.splitting import position_hash
from trainwright_trainer.errors import UserError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

BATCH_CHARACTERS = 4 * PIECE_BYTES  # tokenized at once; bounds the memory
BATCH_PIECES = 2048
BATCH_RECORDS = 512
SAMPLE_RECORDS = 64  # looked at before the rest is read

logger = logging.getLogger(__name__)
ItemT = TypeVar("ItemT")


def tokenize_source(
    source: Source,
    tokenizer: "PreTrainedTokenizerFast",
    template: ChatTemplate | None,
    *,
    objective: RunObjective,
    has_mask: bool,
    folder: Path,
) -> None:
    """Write the documents of a source into `folder`. Raises UserError for what cannot be used.

    A source without any document is for `check_not_empty` to refuse.
    """
    reader = SourceReader(source)
    writer = DocumentWriter(folder, vocabulary_size=len(tokenizer), has_mask=has_mask)
    if objective is RunObjective.SFT:
        _tokenize_records(reader, RecordEncoder(tokenizer, template), writer)
    else:
        _tokenize_texts(reader, TextEncoder(tokenizer), writer)
    writer.close(reader.counts, list(describe_counts(source, reader.counts)))


def check_not_empty(source: Source, counts: DocumentCounts) -> None:
    """Raise UserError if no row of a source has text."""
    if counts.rows == counts.empty_rows:
        raise source.error(
            f"{source.spec.uri} ({_all_of_it(counts)})",
            "text in it",
            "check the data and its format",
        )


def _tokenize_texts(reader: SourceReader, encoder: TextEncoder, writer: DocumentWriter) -> None:
    is_open = False  # whether the document being written has text yet
    for pieces in _batches(reader.texts()):
        for piece, tokens in zip(pieces, encoder.encode([p.text for p in pieces]), strict=True):
            if tokens and (is_open or piece.text.strip()):
                writer.append(tokens if is_open else encoder.begin + tokens)
                is_open = True
            if not piece.is_last:
                continue
            reader.counts.rows += 1
            if is_open:
                writer.append(encoder.end)
                writer.end_document(position_hash(reader.source.uri_of(piece.file), piece.row))
            else:
                reader.counts.empty_rows += 1
            is_open = False


def _batches(pieces: Iterable[TextPiece]) -> Iterator[list[TextPiece]]:
    batch: list[TextPiece] = []
    num_characters = 0
    for piece in pieces:
        batch.append(piece)
        num_characters += len(piece.text)
        if num_characters >= BATCH_CHARACTERS or len(batch) >= BATCH_PIECES:
            yield batch
            batch, num_characters = [], 0
    if batch:
        yield batch


def _tokenize_records(reader: SourceReader, encoder: RecordEncoder, writer: DocumentWriter) -> None:
    rows = reader.records()
    first = True
    while batch := list(islice(rows, SAMPLE_RECORDS if first else BATCH_RECORDS)):
        encoded = list(_encode_records(reader, encoder, batch))
        if first:
            _check_sample(reader.source, batch, encoded)
        for row, record in zip(batch, encoded, strict=True):
            reader.counts.rows += 1
            writer.append(record.tokens, record.trained)
            writer.end_document(position_hash(reader.source.uri_of(row.file), row.number))
        first = False


def _encode_records(
    reader: SourceReader, encoder: RecordEncoder, rows: list[Row]
) -> Iterator[EncodedRecord]:
    records = [parse_record(reader, row) for row in rows]
    try:
        yield from encoder.encode(records)
    except ChatTemplateError:
        for row, record in zip(rows, records, strict=True):  # find the row that is at fault
            try:
                list(encoder.encode([record]))
            except ChatTemplateError as error:
                raise _template_error(reader, row, record, error) from error
        raise


def _template_error(
    reader: SourceReader, row: Row, record: Record, error: ChatTemplateError
) -> UserError:
    roles = (
        [message["role"] for message in record.messages] if isinstance(record, Conversation) else []
    )
    where = f"{reader.source.uri_of(row.file)} row {row.number} (roles: {', '.join(roles)})"
    return UserError(
        f"spec.data.chatTemplate: got a template (the tokenizer's own if none is given) that does not "
        f"go with {where}: {error}, expected one that shows which text is the assistant's; put "
        "{% generation %} and {% endgeneration %} around it in spec.data.chatTemplate, or correct the record"
    )


def _check_sample(source: Source, rows: list[Row], encoded: list[EncodedRecord]) -> None:
    """Stop at once if the masks of the first records train nothing (a template that hides answers)."""
    if not any(record.trained[1:].any() for record in encoded):
        raise source.error(
            f"{len(rows)} records in which no token is trained, the first in {source.uri_of(rows[0].file)}",
            "answers of the assistant",
            "check the roles, and the chat template in spec.data.chatTemplate",
        )
    num_tokens = sum(len(record.tokens) for record in encoded)
    num_trained = sum(int(record.trained.sum()) for record in encoded)
    logger.info(
        "%s: in the first %d records %d of %d tokens are trained",
        source.field,
        len(rows),
        num_trained,
        num_tokens,
    )


def _all_of_it(counts: DocumentCounts) -> str:
    if not counts.rows:
        return f"{counts.binary_files} binary files" if counts.binary_files else "no rows"
    return f"{counts.rows} documents, all empty"


def describe_counts(source: Source, counts: DocumentCounts) -> Iterator[str]:
    """Yield sentences for the user on what was left out or replaced."""
    if counts.empty_rows:
        yield f"{source.field}: {counts.empty_rows} of {counts.rows} documents are empty and left out"
    if counts.files_with_invalid_text:
        yield (
            f"{source.field}: {counts.files_with_invalid_text} files hold bytes that are no UTF-8; "
            "they were replaced by U+FFFD"
        )
    if counts.binary_files:
        yield f"{source.field}: {counts.binary_files} binary files are left out"
