"""A store in a folder of a file system: file:// and pvc://.

Files appear under their name only when they are whole and on disk: written beside it under a
hidden name, flushed, then renamed.
"""

import errno
import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO
from uuid import uuid4

from trainwright_api.names import UNFINISHED_PREFIX

from trainwright_trainer.errors import StoreError
from trainwright_trainer.store.base import FileInfo, MissingFileError, Store

_FULL = (errno.ENOSPC, errno.EDQUOT)
_FORBIDDEN = (errno.EACCES, errno.EPERM, errno.EROFS)
_MISSING = (errno.ENOENT, errno.ENOTDIR)


class FolderStore(Store):
    """Files below `root`, or the one file that `root` is."""

    def __init__(self, uri: str, field: str, root: Path) -> None:
        super().__init__(uri, field)
        self._root = root

    def list_files(self, prefix: str = "") -> list[FileInfo]:
        """See Store."""
        top = self._path(prefix)
        with self._translated(prefix):
            if top.is_file():
                return [self._info(top, prefix)]
            return sorted(self._list(top), key=lambda info: info.path)

    def read_bytes(self, path: str = "") -> bytes:
        """See Store."""
        with self._translated(path):
            return self._path(path).read_bytes()

    def open(self, path: str = "") -> BinaryIO:
        """See Store."""
        with self._translated(path):
            return self._path(path).open("rb")

    def write_bytes(self, path: str, content: bytes) -> None:
        """See Store."""
        self._write(path, lambda unfinished: unfinished.write_bytes(content))

    def download(self, path: str, local: Path) -> None:
        """See Store."""
        with self._translated(path):
            source = self._path(path)
            source.stat()  # so that errors of the store are not taken for errors of `local`
            local.parent.mkdir(parents=True, exist_ok=True)
        try:
            shutil.copyfile(source, local)
        except OSError as error:  # one that is full is named for what is read from, too
            if str(error.filename) != str(source) or error.errno in _FULL:
                raise
            raise self._translate(error, path) from error

    def upload(self, local: Path, path: str) -> None:
        """See Store."""
        self._write(path, lambda unfinished: shutil.copyfile(local, unfinished))

    def delete(self, paths: Iterable[str]) -> None:
        """See Store. Folders that become empty go too."""
        for path in paths:
            with self._translated(path):
                self._path(path).unlink(missing_ok=True)
                self._remove_empty_folders(self._path(path).parent)

    def delete_unfinished(self, prefix: str = "") -> None:
        """See Store. Folders that become empty go too."""
        with self._translated(prefix):
            for path in list(self._path(prefix).rglob(f"{UNFINISHED_PREFIX}*")):
                path.unlink(missing_ok=True)
                self._remove_empty_folders(path.parent)

    def check_writable(self) -> None:
        """See Store."""
        with self._translated(""):
            try:
                self._root.mkdir(parents=True, exist_ok=True)
            except (FileExistsError, FileNotFoundError, NotADirectoryError) as error:
                raise self.user_error(
                    f"{self.uri} ({error.strerror})",
                    "a folder that can be made",
                    "name another one; a file, or a file system that takes none, is in its way",
                ) from error
        probe = f"{UNFINISHED_PREFIX}probe-{uuid4().hex}"
        self.write_bytes(probe, b"trainwright")
        self.delete([probe])

    def _path(self, path: str) -> Path:
        return self._root / path if path else self._root

    def _list(self, top: Path) -> Iterator[FileInfo]:
        for path in _walk(top):
            with suppress(FileNotFoundError):  # a run that trains deletes old checkpoints meanwhile
                yield self._info(path, path.relative_to(self._root).as_posix())

    def _info(self, path: Path, name: str) -> FileInfo:
        stat = path.stat()
        return FileInfo(name, stat.st_size, str(stat.st_mtime_ns))

    def _write(self, path: str, fill: Callable[[Path], object]) -> None:
        target = self._path(path)
        unfinished = target.parent / f"{UNFINISHED_PREFIX}{uuid4().hex}"
        with self._translated(path):
            target.parent.mkdir(parents=True, exist_ok=True)
            try:
                fill(unfinished)
                _flush(unfinished)
                unfinished.replace(target)
            finally:
                unfinished.unlink(missing_ok=True)
            _flush(target.parent)

    def _remove_empty_folders(self, folder: Path) -> None:
        while folder != self._root and self._root in folder.parents:
            try:
                folder.rmdir()
            except OSError:
                return  # not empty, or another process was quicker
            folder = folder.parent

    @contextmanager
    def _translated(self, path: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise self._translate(error, path) from error

    def _translate(self, error: OSError, path: str) -> Exception:
        what = f"{self.uri_of(path)} ({error.strerror or error})"
        if error.errno in _MISSING:
            return MissingFileError(f"{self.field}.uri: {self.uri_of(path)} is not there")
        if error.errno in _FULL:
            return StoreError(
                f"{self.field}.uri: got {what}, expected free space; enlarge the volume or delete files"
            )
        if error.errno in _FORBIDDEN:
            return self.user_error(
                what, "access to it", "give the container's user access, or name another folder"
            )
        return StoreError(f"{self.field}.uri: {what}")


def _walk(top: Path) -> Iterator[Path]:
    """All visible files below a folder; links to folders are followed, each folder once."""
    seen: set[tuple[int, int]] = set()
    for folder, subfolders, files in os.walk(top, onerror=_refuse, followlinks=True):
        try:
            stat = Path(folder).stat()
        except FileNotFoundError:  # it has gone since it was found
            continue
        if (stat.st_dev, stat.st_ino) in seen:
            subfolders.clear()
            continue
        seen.add((stat.st_dev, stat.st_ino))
        for name in files:
            path = Path(folder, name)
            if not name.startswith(UNFINISHED_PREFIX) and path.is_file():
                yield path


def _refuse(error: OSError) -> None:
    """A folder that cannot be read is not an empty one; one that is not there is."""
    if error.errno not in _MISSING:
        raise error


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
