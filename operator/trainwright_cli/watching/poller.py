"""Asks the cluster again and again in a thread of its own, so that keys are never waited for.

A failure keeps the last answer and says so; only a missing right ends the screen. Suspending and
resuming go through the same thread: what was asked for is seen in the very next answer.
"""

import os
import queue
import threading
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Protocol

from trainwright_cli.errors import CliError, NotAllowedError
from trainwright_cli.runs import RunView
from trainwright_cli.watching.snapshot import Detail, Snapshot
from trainwright_cli.watching.state import SetSuspend, key_of

POLL_SECONDS = 2.0
_MAXIMUM_LOSSES = 2000


News = Snapshot | str | Exception


class Source(Protocol):
    """Where runs come from: a cluster, or a test."""

    def fetch_views(self) -> Sequence[RunView]:
        """Return all runs that are to be shown. Raises CliError, and NotAllowedError to end the screen."""
        ...

    def fetch_detail(self, view: RunView, previous: Detail | None) -> Detail:
        """Return the details of a run; what cannot be had is left out."""
        ...

    def apply_suspend(self, view: RunView, *, suspend: bool) -> None:
        """Set spec.suspend. Raises CliError."""
        ...


class Poller:
    """Publishes a snapshot after each answer; `wakeup` becomes readable when there is a new one."""

    def __init__(self, source: Source, first: Snapshot, poll_seconds: float) -> None:
        self._source, self._last, self._poll_seconds = source, first, poll_seconds
        self._focus: str | None = None
        self._orders: queue.SimpleQueue[SetSuspend] = queue.SimpleQueue()
        self._news: queue.SimpleQueue[News] = queue.SimpleQueue()
        self._nudge, self._is_stopped = threading.Event(), threading.Event()
        self.wakeup, self._bell = os.pipe()
        self._thread = threading.Thread(target=self._work, name="watch-poller", daemon=True)

    def start(self) -> None:
        """Start asking."""
        self._thread.start()

    def stop(self) -> None:
        """Ask no more; an answer that is under way is not waited for."""
        self._is_stopped.set()
        self._nudge.set()

    def look_at(self, key: str | None) -> None:
        """Fetch the details of this run from now on."""
        if key != self._focus:
            self._focus = key
            self._nudge.set()

    def order(self, change: SetSuspend) -> None:
        """Suspend or resume a run as soon as the thread is free."""
        self._orders.put(change)
        self._nudge.set()

    def take_news(self) -> list[Snapshot | str]:
        """Return what came since the last call: snapshots, and sentences about orders.

        An error that ended the thread - a missing right, or one that nobody expected - is raised here.
        """
        news: list[Snapshot | str] = []
        while not self._news.empty():
            item = self._news.get()
            os.read(self.wakeup, 1)
            if isinstance(item, Exception):
                raise item
            news.append(item)
        return news

    def _work(self) -> None:
        try:
            self._ask_until_stopped()
        except Exception as error:  # the thread's edge: the screen's thread must learn of it
            self._publish(error)

    def _ask_until_stopped(self) -> None:
        while not self._is_stopped.is_set():
            self._nudge.clear()
            while not self._orders.empty():
                self._publish(self._carry_out(self._orders.get()))
            self._ask()
            self._nudge.wait(self._poll_seconds)

    def _ask(self) -> None:
        focus = self._focus
        try:
            views = tuple(self._source.fetch_views())
        except NotAllowedError:  # to try again is no use: it ends the screen
            raise
        except CliError as error:
            self._publish(replace(self._last, problem=error.format_message()))
            return
        losses = collect_losses(self._last, views)
        detail = self._last.detail if _is_about(self._last.detail, focus) else None
        fresh = Snapshot(datetime.now(UTC), views, detail, losses=losses)
        self._publish(fresh)
        view = next((view for view in views if key_of(view) == focus), None)
        if view is not None and not self._is_stopped.is_set():
            self._publish(replace(fresh, detail=self._source.fetch_detail(view, detail)))

    def _carry_out(self, change: SetSuspend) -> str:
        title = self._last.title_of(change.view)
        try:
            self._source.apply_suspend(change.view, suspend=change.suspend)
        except CliError as error:
            return error.format_message()
        return f"{title} {'suspended' if change.suspend else 'resumed'}"

    def _publish(self, news: News) -> None:
        if isinstance(news, Snapshot):
            self._last = news
        self._news.put(news)
        os.write(self._bell, b"!")


def collect_losses(
    last: Snapshot, views: Sequence[RunView]
) -> dict[str, tuple[tuple[int, float], ...]]:
    """Return the losses seen so far and those of these answers; a restart drops the steps it lost."""
    losses = {}
    for view in views:
        seen = last.losses.get(key_of(view), ())
        progress = view.status.progress
        if progress is not None and progress.loss is not None:
            kept = tuple(point for point in seen if point[0] < progress.step)
            seen = (*kept, (progress.step, progress.loss))[-_MAXIMUM_LOSSES:]
        losses[key_of(view)] = seen
    return losses


def _is_about(detail: Detail | None, key: str | None) -> bool:
    return detail is not None and detail.key == key
