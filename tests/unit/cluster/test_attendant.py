"""What the attendant does when the API server's answers break off."""

import http.client
from collections.abc import Iterator
from typing import cast

import pytest

from tests.cluster import attendant
from tests.cluster.api import ApiClient
from tests.cluster.attendant import Object, follow


class EnoughError(Exception):
    """Ends what goes on for ever."""


class BrokenClient:
    """Each watch fails in another way."""

    def __init__(self, *errors: Exception) -> None:
        self.errors = list(errors)

    def watch(self, _path: str) -> Iterator[tuple[str, Object]]:
        yield "SYNCED", {}
        raise self.errors.pop(0)


def test_a_watch_begins_again_however_it_was_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attendant, "_RETRY_SECONDS", 0)
    cut_off = (TimeoutError(), http.client.IncompleteRead(b""), ValueError("half a line"))
    client = BrokenClient(*cut_off, EnoughError())
    with pytest.raises(EnoughError):
        follow(cast(ApiClient, client), "/api/v1/services", lambda *_: None)
    assert client.errors == []


def test_what_a_watch_told_before_it_was_cut_off_is_not_forgotten(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(attendant, "_RETRY_SECONDS", 0)
    service: Object = {"metadata": {"namespace": "ns", "name": "new"}}
    other: Object = {"metadata": {"namespace": "ns", "name": "other"}}
    told: list[tuple[str, str]] = []

    class CutOffClient:
        """Its first watch is cut off after an object has come and another gone, the second finds none."""

        def __init__(self) -> None:
            self.watches = [self.cut_off(), self.empty()]

        def cut_off(self) -> Iterator[tuple[str, Object]]:
            yield from (("ADDED", other), ("SYNCED", {}), ("ADDED", service), ("DELETED", other))
            raise TimeoutError

        def empty(self) -> Iterator[tuple[str, Object]]:
            yield "SYNCED", {}
            raise EnoughError

        def watch(self, _path: str) -> Iterator[tuple[str, Object]]:
            return self.watches.pop(0)

    with pytest.raises(EnoughError):
        follow(
            cast(ApiClient, CutOffClient()),
            "/api/v1/services",
            lambda event, item: told.append((event, item["metadata"]["name"])),
        )
    assert told[-2:] == [("DELETED", "other"), ("DELETED", "new")]
