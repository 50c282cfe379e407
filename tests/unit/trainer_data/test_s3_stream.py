"""A stream goes on where a lost connection broke it off, and gives up with a clear error."""

import io
import os
from collections.abc import Callable

import pytest
from trainwright_trainer.errors import StoreError
from trainwright_trainer.store import s3_stream
from trainwright_trainer.store.s3_stream import ObjectStream

CONTENT = bytes(range(256)) * 40


class Breaking(io.BytesIO):
    """A body whose connection is lost after some bytes."""

    def __init__(self, content: bytes, breaks_after: int) -> None:
        super().__init__(content)
        self._left = breaks_after

    def read(self, size: int | None = -1) -> bytes:
        if self._left <= 0:
            raise ConnectionResetError("connection reset by peer")
        content = super().read(min(size or 0, self._left))
        self._left -= len(content)
        return content


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(s3_stream, "FIRST_PAUSE_SECONDS", 0.0)


def stream_of(breaks_after: int) -> tuple[ObjectStream, list[int]]:
    starts: list[int] = []

    def fetch(start: int) -> Breaking:
        starts.append(start)
        return Breaking(CONTENT[start:], breaks_after)

    return ObjectStream(Breaking(CONTENT, breaks_after), fetch, len(CONTENT), "s3://b/k"), starts


@pytest.mark.parametrize("breaks_after", [1, 999, 5000, len(CONTENT) + 1])
@pytest.mark.parametrize(
    "read", [lambda s: s.read(), lambda s: b"".join(iter(lambda: s.read(700), b""))]
)
def test_reading_goes_on_after_every_break(
    breaks_after: int, read: Callable[[io.BufferedReader], bytes]
) -> None:
    stream, starts = stream_of(breaks_after)
    assert read(io.BufferedReader(stream, 4096)) == CONTENT
    assert starts == list(range(breaks_after, len(CONTENT), breaks_after))


def test_a_connection_that_never_gives_a_byte_is_a_store_error() -> None:
    stream, starts = stream_of(0)
    with pytest.raises(StoreError, match=r"s3://b/k: reading failed at byte 0 \(connection reset"):
        stream.read(10)
    assert len(starts) == s3_stream.ATTEMPTS - 1


def test_seeking_opens_the_object_there_and_only_then() -> None:
    stream, starts = stream_of(len(CONTENT) + 1)
    assert stream.seek(-10, os.SEEK_END) == len(CONTENT) - 10
    assert stream.seek(100) == 100
    assert stream.seek(5, os.SEEK_CUR) == 105
    assert starts == []
    assert stream.read(20) == CONTENT[105:125]
    stream.seek(125)
    assert stream.read(5) == CONTENT[125:130]
    assert starts == [105]
    stream.seek(len(CONTENT))
    assert stream.read(5) == b""
