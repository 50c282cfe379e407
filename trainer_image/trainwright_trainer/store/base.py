"""What every store of files can do, whatever is behind its URI.

Data sources, base models, checkpoints and finished models are all read and written through a
`Store`. Its root is the location's URI; paths are relative to it with `/` between their parts, and
the empty path is the URI itself, so a URI that names one file is a store of one file.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from trainwright_trainer.errors import StoreError, UserError


@dataclass(frozen=True, slots=True)
class FileInfo:
    """One file: its path relative to the store's root, its size, and a mark that changes with it."""

    path: str
    size_bytes: int
    version: str = ""


def is_inside(path: str) -> bool:
    """Tell whether a path from a store stays inside the folder that it is put into."""
    return not path.startswith("/") and ".." not in path.split("/")


def first_line(error: Exception) -> str:
    """Return the beginning of a library's error, short enough for a message of ours."""
    return str(error).splitlines()[0][:300] if str(error) else type(error).__name__


class MissingFileError(StoreError):
    """A file that the store was asked for is not there."""


class Store(ABC):
    """Files below one URI. `field` is the path of the location in the spec, for messages.

    Every operation retries what may pass by itself, then raises StoreError; what the user has to
    mend (bucket, credentials, rights, path) is a UserError that names field, value and remedy.
    """

    def __init__(self, uri: str, field: str) -> None:
        self.uri = uri
        self.field = field

    def uri_of(self, path: str) -> str:
        """Return the URI of a file, for messages and status."""
        return f"{self.uri.rstrip('/')}/{path}" if path else self.uri

    def user_error(self, got: str, expected: str, remedy: str, part: str = "uri") -> UserError:
        """Build the error for something the user has to mend in this location."""
        return UserError(f"{self.field}.{part}: got {got}, expected {expected}; {remedy}")

    @abstractmethod
    def list_files(self, prefix: str = "") -> list[FileInfo]:
        """Return the file `prefix` and all files below the folder `prefix`, sorted by path.

        Nothing there gives an empty list. Half-written files are never listed, nor are names that
        would lead out of a folder (`../x`).
        """

    @abstractmethod
    def read_bytes(self, path: str = "") -> bytes:
        """Return a file's whole content. Raises MissingFileError if it is not there."""

    @abstractmethod
    def open(self, path: str = "") -> BinaryIO:
        """Open a file for reading in a stream; the stream can seek. Raises MissingFileError."""

    @abstractmethod
    def write_bytes(self, path: str, content: bytes) -> None:
        """Write a file whole: readers see the old content or the new, also after a power cut."""

    @abstractmethod
    def download(self, path: str, local: Path) -> None:
        """Copy a file of the store to `local` (its folder is made). Raises MissingFileError."""

    @abstractmethod
    def upload(self, local: Path, path: str) -> None:
        """Copy a local file into the store; it appears there whole or not at all."""

    @abstractmethod
    def delete(self, paths: Iterable[str]) -> None:
        """Delete files; those that are not there are no error."""

    @abstractmethod
    def delete_unfinished(self, prefix: str = "") -> None:
        """Delete what killed writers left behind below `prefix` (it is invisible but takes space).

        Only for a prefix that nobody else writes at the time.
        """

    @abstractmethod
    def check_writable(self) -> None:
        """Write and delete a small file. Raises UserError if that is not allowed."""
