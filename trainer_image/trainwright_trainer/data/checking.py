"""A first look at the data: first and random records of each source, in seconds.

Finds what would otherwise show after minutes of reading: no data, no access, another format, a
field that is not there. What it passes is still verified row by row when it is tokenized.
"""

import random
from collections.abc import Iterator
from itertools import islice
from typing import BinaryIO

from trainwright_api.data import RecordFormat, TextFormat
from trainwright_api.run import Run

from trainwright_trainer.data.reading import Row, SourceReader
from trainwright_trainer.data.records import parse_record
from trainwright_trainer.data.sources import Source, is_gzip, is_parquet, open_sources
from trainwright_trainer.settings import Settings
from trainwright_trainer.store import FileInfo

FIRST_ROWS = 16
RANDOM_FILES = 3
RANDOM_ROWS = 8  # in each of these files


def check_sources(run: Run, settings: Settings) -> None:
    """Read the first and some random records of every source.

    Called on rank 0 before anything heavy, even imports. Raises UserError with the path in the spec, what was
    found, what is expected and the remedy; StoreError if a store cannot be reached.
    """
    for source in open_sources(run, settings):
        check_source(source, random.Random(run.seed))  # noqa: S311 (a sample, not a secret)


def check_source(source: Source, chance: random.Random) -> None:
    """Check one source, see check_sources."""
    reader = SourceReader(source)
    if source.spec.format is TextFormat.TEXT:
        next(reader.texts(), None)
        return
    for row in islice(reader.records(source.files[:1]), FIRST_ROWS):
        _check_row(reader, row)
    for file in chance.sample(source.files, min(RANDOM_FILES, len(source.files))):
        with source.store.open(file.path) as stream:
            for row in islice(_random_rows(reader, file, stream, chance), RANDOM_ROWS):
                _check_row(reader, row)
        reader.first_byte = 0


def _check_row(reader: SourceReader, row: Row) -> None:
    if reader.source.spec.format in set(RecordFormat):
        parse_record(reader, row)
    else:
        list(reader.row_text(row))


def _random_rows(
    reader: SourceReader, file: FileInfo, stream: BinaryIO, chance: random.Random
) -> Iterator[Row]:
    """Yield rows from a random place of a file; from its beginning if it is compressed."""
    uri = reader.source.uri_of(file)
    if is_parquet(uri, reader.source.spec.format):
        return reader.parquet_rows(file, stream, chance)
    if not is_gzip(uri):
        reader.first_byte = stream.seek(chance.randrange(file.size_bytes))
        if reader.first_byte:
            stream.readline()  # the rest of a line
    return reader.file_records(file, stream)
