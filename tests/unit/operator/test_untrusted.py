import json
from typing import Any

import pytest
from trainwright_operator.untrusted import (
    MAXIMUM_ITEMS,
    MAXIMUM_TEXT,
    clean_document,
    clean_text,
    parse_report,
    parse_termination,
)


def report(**fields: Any) -> bytes:
    return json.dumps({"attempt": 1, "sequence": 1, **fields}).encode()


def test_texts_lose_control_characters_and_are_cut() -> None:
    assert clean_text("\x1b[31mred\x07 \u202etxt.exe\x85") == "[31mred   txt.exe"
    assert clean_text("two\nlines\tkept") == "two\nlines\tkept"
    assert len(clean_text("x" * 5000)) == MAXIMUM_TEXT
    assert clean_text(None) == ""


def test_documents_are_bounded_in_every_direction() -> None:
    deep: Any = "end"
    for _ in range(100):
        deep = [deep]
    cleaned = clean_document(
        {
            "text": "x" * 5000,
            "list": list(range(1000)),
            "deep": deep,
            "huge": 10**30,
            "huger": 10**400,
            "nan": float("nan"),
            "none": None,
            "kept": [1, 2.5, True, {"a": "b"}],
        }
    )
    assert len(cleaned["text"]) == MAXIMUM_TEXT
    assert len(cleaned["list"]) == MAXIMUM_ITEMS
    assert len(json.dumps(cleaned["deep"])) < 50
    assert "huge" not in cleaned
    assert "huger" not in cleaned
    assert "nan" not in cleaned
    assert "none" not in cleaned
    assert cleaned["kept"] == [1, 2.5, True, {"a": "b"}]


def test_a_loss_that_is_no_number_does_not_spoil_the_report() -> None:
    body = b'{"attempt": 1, "sequence": 1, "progress": {"step": 3, "loss": NaN}}'
    parsed = parse_report(body)
    assert parsed is not None
    assert (parsed.progress.step, parsed.progress.loss) == (3, None)


def test_a_report_of_a_newer_trainer_is_understood_as_far_as_known() -> None:
    parsed = parse_report(report(progress={"step": 3, "vibes": "good"}, mood=1))
    assert parsed is not None
    assert parsed.progress.step == 3


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"not JSON",
        b"[]",
        b"{}",
        b"\xff\xfe",
        b"[" * 100_000,
        report(progress={"step": "many"}),
        report(progress={"step": 1e300}),
        b'{"attempt": ' + b"9" * 5000 + b', "sequence": 1}',
        b'{"attempt": ' + b"9" * 400 + b', "sequence": 1}',
        report(progress={"loss": "NaN"}),
        report(progress={"tokens": "9" * 20}),
    ],
)  # fmt: skip
def test_what_is_no_report_is_none(body: bytes) -> None:
    parsed = parse_report(body)
    assert parsed is None or parsed.progress.step == 0


@pytest.mark.parametrize(
    "text", [None, "", "Killed", "[]", "{}", '{"outcome": "Great"}', "x" * 10_000, "[" * 8000]
)
def test_what_are_no_last_words_is_none(text: str | None) -> None:
    assert parse_termination(text) is None


def test_all_texts_of_last_words_are_cleaned() -> None:
    words = {"outcome": "Failed", "message": "a\x00b", "node": "n\x1b[0m"}
    parsed = parse_termination(json.dumps(words))
    assert parsed is not None
    assert (parsed.message, parsed.node) == ("a b", "n [0m")


def test_a_number_beyond_any_float_is_left_out() -> None:
    parsed = parse_termination('{"outcome": "Failed", "exitCode": ' + "9" * 400 + "}")
    assert parsed is not None
    assert parsed.exit_code is None
