"""DNS messages as bytes: reading a question and writing its answer. Pure (RFC 1035).

Only what pods ask: one question, IPv4 addresses. Everything else is answered "no such record".
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Sequence
from dataclasses import dataclass

TYPE_A = 1
TTL_SECONDS = 1
MAX_UDP_BYTES = 512

_HEADER = struct.Struct("!6H")
_IS_RESPONSE = 0x8400  # a response, authoritative
_IS_TRUNCATED = 0x0200
_RECURSION = 0x0180  # desired as asked; available, or musl's resolver gives up
_NO_SUCH_NAME = 3
_POINTER_TO_QUESTION = 0xC00C


@dataclass(frozen=True)
class Question:
    """One question: `name` in lower case without its last dot, `raw` its bytes as received."""

    identifier: int
    name: str
    record_type: int
    raw: bytes


def parse_question(packet: bytes) -> Question:
    """Read a query's first question; raises ValueError if it holds none."""
    if len(packet) < _HEADER.size or _HEADER.unpack_from(packet)[2] < 1:
        raise ValueError("no question in this packet")
    labels, position = [], _HEADER.size
    while length := packet[position]:
        labels.append(packet[position + 1 : position + 1 + length].decode("ascii").lower())
        position += 1 + length
        if position >= len(packet):
            raise ValueError("the name has no end")
    record_type, _ = struct.unpack_from("!2H", packet, position + 1)
    raw = packet[_HEADER.size : position + 5]
    return Question(_HEADER.unpack_from(packet)[0], ".".join(labels), record_type, raw)


def build_answer(
    question: Question, addresses: Sequence[str] | None, max_bytes: int = MAX_UDP_BYTES
) -> bytes:
    """The response with these addresses, or "no such name" for None.

    An answer that does not fit is marked as truncated, so that the resolver asks again by TCP.
    """
    flags = _IS_RESPONSE | _RECURSION
    if addresses is None:
        flags |= _NO_SUCH_NAME
    asked_for_addresses = question.record_type == TYPE_A
    records = [_address_record(a) for a in addresses or ()] if asked_for_addresses else []
    room = max_bytes - _HEADER.size - len(question.raw)
    fitting = records[: room // len(records[0])] if records else []
    if len(fitting) < len(records):
        flags |= _IS_TRUNCATED
    header = _HEADER.pack(question.identifier, flags, 1, len(fitting), 0, 0)
    return header + question.raw + b"".join(fitting)


def _address_record(address: str) -> bytes:
    head = struct.pack("!3HLH", _POINTER_TO_QUESTION, TYPE_A, 1, TTL_SECONDS, 4)
    return head + socket.inet_aton(address)
