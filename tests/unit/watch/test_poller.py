"""The thread that asks the cluster: what it waits out, and what ends the screen."""

import select
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime

import pytest
from trainwright_cli.errors import CliError, NotAllowedError, UnreachableError
from trainwright_cli.runs import RunView, parse_run
from trainwright_cli.watching.poller import Poller
from trainwright_cli.watching.snapshot import Detail, Snapshot
from trainwright_cli.watching.state import SetSuspend, key_of

from tests.terminals.runs import a_run

DEADLINE_SECONDS = 30
VIEW = parse_run(a_run("gpt", phase="Running"))
NOW = datetime(2026, 1, 2, 3, 0, 0, tzinfo=UTC)


class Answers:
    """Gives these answers, one a poll, the last one again and again; suspends nothing."""

    def __init__(self, *answers: Sequence[RunView] | CliError) -> None:
        self._answers = list(answers)

    def fetch_views(self) -> Sequence[RunView]:
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        if isinstance(answer, CliError):
            raise answer
        return answer

    def fetch_detail(self, view: RunView, previous: Detail | None) -> Detail:
        return Detail(key_of(view))

    def apply_suspend(self, view: RunView, *, suspend: bool) -> None:
        raise NotAllowedError("not allowed to change it; ask for the right")


@contextmanager
def polling(*answers: Sequence[RunView] | CliError) -> Iterator[Poller]:
    poller = Poller(Answers(*answers), Snapshot(NOW, (VIEW,)), poll_seconds=0.01)
    poller.start()
    try:
        yield poller
    finally:
        poller.stop()


def wait_for_news(poller: Poller) -> list[Snapshot | str]:
    ready, _, _ = select.select([poller.wakeup], [], [], DEADLINE_SECONDS)
    assert ready, "no news"
    return poller.take_news()


def wait_for_snapshot(poller: Poller, problem: str) -> Snapshot:
    while True:
        for news in wait_for_news(poller):
            if isinstance(news, Snapshot) and news.problem == problem:
                return news


@pytest.mark.parametrize("error", [UnreachableError("503"), CliError("409")])
def test_a_failure_keeps_the_last_answer_and_is_asked_again(error: CliError) -> None:
    with polling([VIEW], error, error, [VIEW]) as poller:
        assert wait_for_snapshot(poller, error.format_message()).views == (VIEW,)
        assert wait_for_snapshot(poller, "").views == (VIEW,)


def test_a_missing_right_ends_the_screen() -> None:
    with (
        polling([VIEW], NotAllowedError("not allowed to list runs")) as poller,
        pytest.raises(NotAllowedError, match="not allowed to list runs"),
    ):
        wait_for_snapshot(poller, "never")


def test_a_missing_right_to_suspend_is_only_told() -> None:
    with polling([VIEW]) as poller:
        poller.order(SetSuspend(VIEW, True))
        told = ""
        while not told:
            told = "".join(news for news in wait_for_news(poller) if isinstance(news, str))
        assert told == "not allowed to change it; ask for the right"
        assert wait_for_snapshot(poller, "").views == (VIEW,)
