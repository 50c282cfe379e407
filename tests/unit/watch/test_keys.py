"""Bytes of a terminal as keys."""

import pytest
from trainwright_cli.watching.keys import is_incomplete, parse_keys


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"q", ["q"]),
        (b"\x1b[A\x1b[B", ["up", "down"]),
        (b"\x1bOA\x1bOB", ["up", "down"]),
        (b"kj", ["up", "down"]),
        (b"\x1b[5~\x1b[6~ ", ["pageup", "pagedown", "pagedown"]),
        (b"\x1b[H\x1b[F\x1b[1~\x1b[4~gG", ["home", "end", "home", "end", "home", "end"]),
        (b"\r\n", ["enter", "enter"]),
        (b"\x1b", ["escape"]),
        (b"\x7f", ["escape"]),
        (b"\x1b[1;5C\x1b[23~x", ["x"]),
        (b"\xc3\xa4?\x00", ["?"]),
    ],
)
def test_keys_are_told_from_bytes(data: bytes, expected: list[str]) -> None:
    assert parse_keys(data) == expected


@pytest.mark.parametrize(
    ("data", "expected"),
    [(b"\x1b", True), (b"a\x1b[", True), (b"\x1b[1;", True), (b"\x1b[A", False), (b"q", False)],
)
def test_a_sequence_that_is_cut_waits_for_its_rest(data: bytes, expected: bool) -> None:
    assert is_incomplete(data) is expected
