"""Reading an object of a bucket as a seekable stream that survives lost connections."""

import time
from collections.abc import Callable
from io import SEEK_CUR, SEEK_END, SEEK_SET, RawIOBase
from typing import Any

from botocore.exceptions import BotoCoreError
from urllib3.exceptions import HTTPError

from trainwright_trainer.errors import StoreError

ATTEMPTS = 5
FIRST_PAUSE_SECONDS = 0.5


class ObjectStream(RawIOBase):
    """An object of `size_bytes`, opened as `body`; `fetch(start)` opens it again from a byte on.

    The body stays open while reading goes forward; a seek or a lost connection opens a new one.
    Raises StoreError when the object cannot be read on after several attempts.
    """

    def __init__(self, body: Any, fetch: Callable[[int], Any], size_bytes: int, uri: str) -> None:
        self._fetch = fetch
        self._size_bytes = size_bytes
        self._uri = uri
        self._position = 0
        self._body = body

    def readable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True."""
        return True

    def tell(self) -> int:
        """Return the position in bytes."""
        return self._position

    def seek(self, offset: int, whence: int = SEEK_SET) -> int:
        """Move to a byte; the next read opens the object there."""
        base = {SEEK_SET: 0, SEEK_CUR: self._position, SEEK_END: self._size_bytes}[whence]
        if base + offset != self._position:
            self._close_body()
            self._position = base + offset
        return self._position

    def readinto(self, buffer: Any) -> int:
        """Fill the buffer as far as the next read gives; 0 at the end."""
        if self._position >= self._size_bytes:
            return 0
        content = self._read(len(buffer))
        buffer[: len(content)] = content
        self._position += len(content)
        return len(content)

    def close(self) -> None:
        """Close the connection."""
        self._close_body()
        super().close()

    def _read(self, num_bytes: int) -> bytes:
        for attempt in range(ATTEMPTS):
            try:
                if self._body is None:
                    self._body = self._fetch(self._position)
                content: bytes = self._body.read(num_bytes)
                if content:
                    return content
                failure = "ended early"
            except (BotoCoreError, HTTPError, OSError) as error:
                failure = str(error)
            self._close_body()
            if attempt + 1 < ATTEMPTS:
                time.sleep(FIRST_PAUSE_SECONDS * 2**attempt)
        raise StoreError(f"{self._uri}: reading failed at byte {self._position} ({failure})")

    def _close_body(self) -> None:
        if self._body is not None:
            self._body.close()
            self._body = None
