"""Which rank is blamed for a pod's end, and what the termination message says."""

import json
import signal

import pytest
from trainwright_api.names import Cause, Outcome
from trainwright_api.report import TERMINATION_MESSAGE_LIMIT_BYTES, TerminationMessage
from trainwright_api.status import GeneratedSample, ModelStatus
from trainwright_trainer.errors import LOST_CONTACT
from trainwright_trainer.outcome import EXIT_CODES
from trainwright_trainer.verdict import RankEnd, bounded_json, judge_ends


def said(outcome: Outcome, cause: Cause | None = None, text: str = "") -> TerminationMessage:
    return TerminationMessage(outcome=outcome, cause=cause, message=text)


USER = said(Outcome.FAILED, Cause.USER_ERROR, "spec.data: got nothing")
LOST = said(Outcome.FAILED, Cause.INFRASTRUCTURE, f"{LOST_CONTACT} to another rank (reset)")
STOPPED = said(Outcome.INTERRUPTED, None, "stopped on request after step 7, which is saved")
DONE = said(Outcome.SUCCEEDED)


def end(
    rank: int,
    code: int,
    told: TerminationMessage | None = None,
    order: int = 0,
    was_ended: bool = False,
) -> RankEnd:
    return RankEnd(rank, code, told, order, was_ended)


def judge(*ends: RankEnd, asked: bool = False, oom: int = 0, lost: str | None = None):
    return judge_ends(ends, was_asked_to_stop=asked, num_oom_kills=oom, lost_peer=lost)


def test_all_well() -> None:
    assert judge(end(0, 0, DONE), end(1, 0, DONE)).outcome is Outcome.SUCCEEDED


def test_stopped_ranks_are_no_failure() -> None:
    assert judge(end(0, 143, STOPPED), end(1, 143, STOPPED), asked=True).outcome is (
        Outcome.INTERRUPTED
    )


BLAME = {
    "the one that was killed, though its peer was seen first": (
        [end(0, 1, LOST, order=0), end(1, -9, None, order=1)],
        1,
    ),
    "the first of two that told": ([end(0, 2, USER, order=1), end(1, 2, USER, order=0)], 1),
    "not one that the launcher ended": (
        [end(0, -15, None, order=1, was_ended=True), end(1, 1, None, order=0)],
        1,
    ),
    "the first follower if all only followed": (
        [end(2, 1, LOST, order=1), end(3, 1, LOST, order=0)],
        3,
    ),
}


@pytest.mark.parametrize("name", BLAME)
def test_blamed_is(name: str) -> None:
    ends, rank = BLAME[name]
    assert judge(*ends).rank == rank


SIGNALS = [
    (signal.SIGKILL, 0, Cause.INFRASTRUCTURE, "something outside"),
    (signal.SIGKILL, 1, Cause.OUT_OF_MEMORY, "raise resources.memory"),
    (signal.SIGSEGV, 0, Cause.UNKNOWN, "crashed"),
    (signal.SIGTERM, 0, Cause.INFRASTRUCTURE, "something outside"),
]


@pytest.mark.parametrize(("number", "oom", "cause", "words"), SIGNALS)
def test_signals_have_names_and_causes(
    number: signal.Signals, oom: int, cause: Cause, words: str
) -> None:
    message = judge(end(4, -number), oom=oom)
    assert (message.cause, message.signal, message.rank) == (cause, number.name, 4)
    assert message.exit_code == 128 + number
    assert words in message.message


def test_sigterm_on_request_before_training_is_an_interruption() -> None:
    message = judge(end(0, -15), end(1, -15, order=1), asked=True)
    assert message.outcome is Outcome.INTERRUPTED
    assert EXIT_CODES[message.outcome, False] == 143


def test_a_lost_pod_explains_ranks_that_had_to_be_killed() -> None:
    lost = f"{LOST_CONTACT} to the pod of node 1: it has been silent for 30 s"
    message = judge(end(0, -9, was_ended=True), lost=lost)
    assert (message.cause, message.message) == (Cause.INFRASTRUCTURE, lost)


def test_a_rank_without_a_word() -> None:
    message = judge(end(0, 1))
    assert message.cause is Cause.UNKNOWN
    assert "left no message" in message.message


def test_message_fits_the_kubelets_limit_and_keeps_what_matters() -> None:
    sample = GeneratedSample(prompt="p", before="\u00e4" * 1000, after="b" * 2000)
    long = TerminationMessage(
        outcome=Outcome.FAILED,
        cause=Cause.USER_ERROR,
        message="\u00e4" * 3000,
        rank=3,
        model=ModelStatus(uri="s3://m/", samples=[sample, sample]),
    )
    text = bounded_json(long)
    assert len(text.encode()) <= TERMINATION_MESSAGE_LIMIT_BYTES
    kept = TerminationMessage.model_validate(json.loads(text))
    assert (kept.cause, kept.rank, kept.model.uri) == (Cause.USER_ERROR, 3, "s3://m/")
    assert kept.message.endswith("...")


def test_a_signal_without_a_name_is_told_by_its_number() -> None:
    told = judge(end(0, -40))
    assert (told.signal, told.exit_code) == ("signal 40", 168)
    assert told.message.startswith(
        "rank 0 was ended by signal 40: something outside of it ended it"
    )
