"""Takes in what trainers say, which nobody vouches for: a pod may run any image. Pure.

Everything that ends up in a status, an event or a log line goes through here first: texts are cut and
lose their control characters, lists are cut, numbers that JSON or the API server cannot hold and times
that are none are left out. What is then of another form than agreed is no report at all.
"""

import json
import math
import re
from datetime import UTC, datetime
from typing import Any, TypeVar

from pydantic import ValidationError
from trainwright_api.base import Model
from trainwright_api.report import TERMINATION_MESSAGE_LIMIT_BYTES, RunReport, TerminationMessage

MAXIMUM_TEXT = 1024
MAXIMUM_MESSAGE = 2048  # of a status and of its conditions, as their definitions say
MAXIMUM_ITEMS = 64
MAXIMUM_DEPTH = 12
MAXIMUM_INTEGER = 2**53  # what JSON numbers hold exactly
_SAVED_AT = "savedAt"  # a checkpoint's record is none without it
_TIMES = (_SAVED_AT, "updatedAt", "eta")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")

ModelT = TypeVar("ModelT", bound=Model)


def clean_text(text: str | None, limit: int = MAXIMUM_TEXT) -> str:
    """Return a text without control characters, cut to a length that a status may hold."""
    plain = text or ""
    if not plain.isprintable():  # which is quick to tell, and true of most; no control character is
        plain = _CONTROL.sub(" ", plain)
    plain = plain.strip()
    return plain if len(plain) <= limit else plain[: limit - 3] + "..."


def parse_time(text: str | None) -> datetime | None:
    """Return the moment of an RFC 3339 text in UTC, as which one without an offset counts; None if it is none."""
    try:
        moment = datetime.fromisoformat(text or "")
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def parse_report(body: bytes) -> RunReport | None:
    """Return a trainer's report, or None if it is of another form."""
    return _parse(RunReport, body)


def parse_termination(text: str | None) -> TerminationMessage | None:
    """Return the trainer's last words, or None where there are none or they are not its own."""
    if not text or len(text) > 2 * TERMINATION_MESSAGE_LIMIT_BYTES:
        return None
    return _parse(TerminationMessage, text)


def _parse(model: type[ModelT], text: str | bytes) -> ModelT | None:
    try:
        document = clean_document(json.loads(text))
        # A newer trainer may say more than this operator knows of. A text is no number: it may be NaN or
        # larger than JSON or the API server can hold.
        return model.model_validate_json(json.dumps(document), extra="ignore", strict=True)
    except (ValueError, OverflowError, RecursionError, ValidationError):
        return None


def clean_document(value: Any, depth: int = 0) -> Any:
    """Return a JSON value of bounded size; what cannot be kept becomes None, or goes from its object."""
    if isinstance(value, str):
        return clean_text(value)
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, int):  # may be too large to be compared as a float
        return value if abs(value) <= MAXIMUM_INTEGER else None
    if isinstance(value, float):
        return value if math.isfinite(value) and abs(value) <= MAXIMUM_INTEGER else None
    if depth >= MAXIMUM_DEPTH:
        return None
    if isinstance(value, list):
        items = [clean_document(item, depth + 1) for item in value[:MAXIMUM_ITEMS]]
        return items if None not in items else _drop_records(value, items)
    cleaned = {
        clean_text(key, 100): clean_document(item, depth + 1)
        for key, item in list(value.items())[:MAXIMUM_ITEMS]
    }
    for key in _TIMES:
        text = cleaned.get(key)
        if text is not None and (not isinstance(text, str) or parse_time(text) is None):
            if key == _SAVED_AT:
                return None
            del cleaned[key]
    return {key: item for key, item in cleaned.items() if item is not None}


def _drop_records(value: list[Any], items: list[Any]) -> list[Any]:
    """Return a list without the objects that are none; what else is None keeps its place."""
    pairs = zip(value, items, strict=False)
    return [item for before, item in pairs if item is not None or not isinstance(before, dict)]
