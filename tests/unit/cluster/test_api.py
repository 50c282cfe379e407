import pytest

from tests.cluster.api import describe_refusal


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
