import http.client

import pytest

from tests.cluster.api import ApiClient, describe_refusal


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b'{"kind": "Status", "message": "nodes \\"a\\" not found"}', 'nodes "a" not found'),
        (b"404 page not found\n", "404 page not found"),
        (b'{"kind": "Status"}', '{"kind": "Status"}'),
        (b"[1]", "[1]"),
    ],
)
def test_a_refusal_is_told_whatever_its_form(text: bytes, message: str) -> None:
    assert describe_refusal(text) == message


@pytest.mark.parametrize(
    "problem",
    [
        ConnectionRefusedError(),
        http.client.BadStatusLine("HTT"),
        http.client.IncompleteRead(b""),
    ],
    ids=lambda problem: type(problem).__name__,
)
def test_an_api_server_that_answers_no_http_is_not_ready(
    monkeypatch: pytest.MonkeyPatch, problem: Exception
) -> None:
    def refuse() -> None:
        raise problem

    client = object.__new__(ApiClient)
    monkeypatch.setattr(client, "_connect", refuse)
    assert not client.is_ready()
