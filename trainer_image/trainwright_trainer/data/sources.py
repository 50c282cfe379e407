"""The files of a source, and the errors that point into them.

A source is a file or a folder in a store. Which files of a folder count depends on the format:
JSONL and Parquet by their ending (in small or capital letters), Text all files whose name does not
begin with a dot.
"""

from dataclasses import dataclass

from trainwright_api.data import RecordFormat, TextFormat
from trainwright_api.run import Run, RunSource

from trainwright_trainer.errors import UserError
from trainwright_trainer.settings import Settings
from trainwright_trainer.store import FileInfo, Store, open_store

JSON_LINES_ENDINGS = (".jsonl", ".jsonl.gz", ".ndjson", ".ndjson.gz", ".json", ".json.gz")
PARQUET_ENDINGS = (".parquet",)
ENDINGS: dict[str, tuple[str, ...]] = {
    TextFormat.TEXT: (),
    TextFormat.JSONL: JSON_LINES_ENDINGS,
    TextFormat.PARQUET: PARQUET_ENDINGS,
    RecordFormat.MESSAGES: JSON_LINES_ENDINGS + PARQUET_ENDINGS,
    RecordFormat.PROMPT_COMPLETION: JSON_LINES_ENDINGS + PARQUET_ENDINGS,
}


@dataclass(frozen=True)
class Source:
    """One source with its files that hold data. `field` is its path in the spec."""

    spec: RunSource
    field: str
    store: Store
    files: tuple[FileInfo, ...]

    @property
    def size_bytes(self) -> int:
        """Size of all files, as they are stored."""
        return sum(file.size_bytes for file in self.files)

    def uri_of(self, file: FileInfo) -> str:
        """Return the URI of a file."""
        return self.store.uri_of(file.path)

    def error(self, got: str, expected: str, remedy: str, part: str = "uri") -> UserError:
        """Build the error for something in this source that the user has to mend."""
        return self.store.user_error(got, expected, remedy, part)


def is_parquet(uri: str, kind: str) -> bool:
    """Tell whether a file of a source of format `kind` is read as Parquet."""
    return kind == TextFormat.PARQUET or (
        kind in set(RecordFormat) and uri.lower().endswith(PARQUET_ENDINGS)
    )


def is_gzip(uri: str) -> bool:
    """Tell whether a file is unpacked while it is read."""
    return uri.lower().endswith(".gz")


def open_sources(run: Run, settings: Settings) -> list[Source]:
    """Open the sources of a run and list their files. Raises UserError if one has no data."""
    return [
        open_source(spec, f"spec.data.sources[{number}]", settings)
        for number, spec in enumerate(run.data.sources)
    ]


def open_source(spec: RunSource, field: str, settings: Settings) -> Source:
    """Open one source and list its files. Raises UserError if it has no data."""
    store = open_store(spec, settings, field=field)
    listed = store.list_files()
    usable = [file for file in listed if _is_usable(file.path, spec.format)]
    files = tuple(file for file in usable if file.size_bytes)
    source = Source(spec, field, store, files)
    if not listed:
        raise source.error(spec.uri, "at least one file", "correct the path, or put the data there")
    if not usable:
        raise source.error(
            f"{spec.uri} with {len(listed)} files such as {listed[0].path}",
            f"files that end in {', '.join(ENDINGS[spec.format]) or 'a name without a dot in front'}",
            f"correct the path, or the format ({spec.format})",
        )
    if not files:
        what = "an empty file" if len(usable) == 1 else f"{len(usable)} files, all empty"
        raise source.error(f"{spec.uri} ({what})", "data in it", "write the data again")
    return source


def _is_usable(path: str, kind: str) -> bool:
    if not path:
        return True  # the URI names this very file
    if any(part.startswith(".") for part in path.split("/")):
        return False
    return not ENDINGS[kind] or path.lower().endswith(ENDINGS[kind])
