"""DNS messages, checked against bytes written out by hand (RFC 1035, section 4)."""

import struct

import pytest

from tests.cluster.dns_wire import MAX_UDP_BYTES, TYPE_A, build_answer, parse_question

TYPE_AAAA = 28
ASKED = b"\x03Job\x02ns\x03svc\x00\x00\x01\x00\x01"
QUERY = b"\xab\xcd\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00" + ASKED


def a_query(name: str, record_type: int = TYPE_A) -> bytes:
    labels = b"".join(bytes([len(label)]) + label.encode() for label in name.split("."))
    header = struct.pack("!6H", 7, 0x0100, 1, 0, 0, 0)
    return header + labels + b"\0" + struct.pack("!2H", record_type, 1)


def header_of(packet: bytes) -> tuple[int, ...]:
    return struct.unpack_from("!6H", packet)


def test_question_is_read_with_its_name_in_lower_case() -> None:
    question = parse_question(QUERY)
    assert (question.identifier, question.name, question.record_type) == (0xABCD, "job.ns.svc", 1)
    assert question.raw == ASKED


def test_additional_records_after_the_question_are_left_out() -> None:
    extension = b"\x00\x00\x29\x04\xd0\x00\x00\x00\x00\x00\x00"
    assert parse_question(QUERY + extension).raw == ASKED


@pytest.mark.parametrize("packet", [b"", b"\0" * 12, QUERY[:11], QUERY[:15]])
def test_packet_without_a_whole_question_is_refused(packet: bytes) -> None:
    with pytest.raises((ValueError, IndexError, struct.error)):
        parse_question(packet)


def test_answer_echoes_the_question_as_asked_and_gives_the_address() -> None:
    record = b"\xc0\x0c\x00\x01\x00\x01\x00\x00\x00\x01\x00\x04\x0a\xc7\x01\x02"
    header = b"\xab\xcd\x85\x80\x00\x01\x00\x01\x00\x00\x00\x00"
    assert build_answer(parse_question(QUERY), ["10.199.1.2"]) == header + ASKED + record


def test_unknown_name_is_answered_no_such_name() -> None:
    answer = build_answer(parse_question(QUERY), None)
    assert header_of(answer)[1] & 0xF == 3
    assert header_of(answer)[3] == 0


def test_known_name_of_another_type_is_answered_empty_without_error() -> None:
    answer = build_answer(parse_question(a_query("a.b.svc", TYPE_AAAA)), ["10.0.0.1"])
    assert header_of(answer)[1] & 0xF == 0
    assert header_of(answer)[3] == 0


def test_answer_that_does_not_fit_is_cut_and_marked() -> None:
    question = parse_question(a_query("headless.ns.svc.cluster.local"))
    addresses = [f"10.199.1.{i}" for i in range(1, 101)]
    cut = build_answer(question, addresses, MAX_UDP_BYTES)
    assert len(cut) <= MAX_UDP_BYTES
    assert header_of(cut)[1] & 0x0200
    assert 0 < header_of(cut)[3] < 100
    whole = build_answer(question, addresses, 65535)
    assert header_of(whole)[1] & 0x0200 == 0
    assert header_of(whole)[3] == 100
