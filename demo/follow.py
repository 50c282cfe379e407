"""Shows a run as it happens: a bar from its status, a line for each thing that changed.

`describe_changes` is pure; `follow_run` polls the API server once a second.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from trainwright_api.names import Phase
from trainwright_api.quantities import format_bytes, format_duration

from demo.console import Console
from demo.errors import DemoError
from demo.place import JSON, Place

POLL_SECONDS = 1.0
LINE_SECONDS = 10.0
PATIENCE_SECONDS = 60.0
ENDED = (Phase.SUCCEEDED, Phase.FAILED)


def follow_run(
    place: Place,
    console: Console,
    kind: str,
    name: str,
    *,
    deadline_seconds: float,
    on_status: Callable[[JSON], None] = lambda status: None,
) -> JSON:
    """Show a run until it ends and return its last state; raises DemoError past the deadline.

    `on_status` is called with each new status, to act on it in between.
    """
    started = time.monotonic()
    before: JSON = {}
    with _bar(console, name) as show:
        while True:
            run = get_patiently(place, console, kind, name)
            status = run.get("status", {})
            for line in describe_changes(before, status):
                console.say(f"{name}: {line}")
            show(status)
            if status.get("phase") in ENDED:
                return run
            if time.monotonic() - started > deadline_seconds:
                raise DemoError(
                    f"{kind}/{name} is still {status.get('phase', 'unseen')} after "
                    f"{format_duration(deadline_seconds)}: {status.get('message', 'no message')}"
                )
            on_status(status)
            before = status
            time.sleep(POLL_SECONDS)


def get_patiently(place: Place, console: Console, kind: str, name: str) -> JSON:
    """A run with its status; an API server that is away for a moment ends nothing. Raises DemoError."""
    give_up = time.monotonic() + PATIENCE_SECONDS
    is_told = False
    while True:
        try:
            return place.get_run(kind, name)
        except DemoError as problem:
            if time.monotonic() > give_up:
                raise
            if not is_told:
                console.say(f"{problem}; trying again")
            is_told = True
            time.sleep(POLL_SECONDS)


def describe_changes(before: JSON, now: JSON) -> Iterator[str]:
    """What a person wants to be told of, between two states of one run."""
    if now.get("phase") != before.get("phase"):
        yield " - ".join(filter(None, [now.get("phase"), now.get("message")]))
    activity, old_activity = (s.get("progress", {}).get("activity") for s in (now, before))
    if activity and activity != old_activity:
        yield f"the trainer's phase: {activity}"
    if now.get("plan") and not before.get("plan"):
        yield describe_plan(now["plan"])
    old_step = _latest(before).get("step", 0)
    latest = _latest(now)
    if latest.get("step", 0) > old_step:
        size = format_bytes(latest.get("sizeBytes", 0))
        checked = "verified" if latest.get("verified") else "not verified"
        yield f"checkpoint at step {latest['step']} ({size}, {checked})"
    yield from _describe_attempts(before.get("attempts", []), now.get("attempts", []))


def describe_plan(plan: JSON) -> str:
    """The plan in one line."""
    millions = plan.get("parameters", 0) / 1e6
    trained = plan.get("trainableParameters", 0) / 1e6
    return (
        f"plan: {millions:.1f}M parameters ({trained:.1f}M trained), ZeRO {plan.get('zeroStage')}, "
        f"{plan.get('microSequences')} sequences x {plan.get('accumulationSteps')} per step and "
        f"device, {plan.get('memoryGiB', 0):.2f} GiB per device"
    )


def describe_loss(status: JSON) -> str:
    """Step, loss and speed in one line."""
    progress = status.get("progress", {})
    parts = [f"{progress.get('step', 0)}/{progress.get('totalSteps', 0)} steps"]
    for key, text in (
        ("loss", "loss {:.3f}"),
        ("validationLoss", "validation {:.3f}"),
        ("tokensPerSecond", "{:,.0f} tokens/s"),
    ):
        if progress.get(key) is not None:
            parts.append(text.format(progress[key]))
    return "  ".join(parts)


def _latest(status: JSON) -> JSON:
    latest: JSON = status.get("checkpoints", {}).get("latest") or {}
    return latest


def _describe_attempts(before: list[JSON], now: list[JSON]) -> Iterator[str]:
    old_attempts = {attempt["number"]: attempt for attempt in before}
    attempts = {attempt["number"]: attempt for attempt in now}
    for number, attempt in attempts.items():
        old = old_attempts.get(number, {})
        if attempt.get("endedAt") and not old.get("endedAt"):
            yield _describe_end(attempt)
        resumed = attempt.get("resumedFromStep")
        if resumed and old.get("resumedFromStep") is None:
            lost = attempts.get(number - 1, {}).get("stepsLost")
            cost = f": {lost} steps lost" if lost is not None else ""
            yield f"attempt {number} resumed from the checkpoint of step {resumed}{cost}"


def _describe_end(attempt: JSON) -> str:
    parts = [
        f"attempt {attempt['number']} ended: {attempt.get('outcome', '?')}",
        attempt.get("cause"),
        attempt.get("message"),
    ]
    return ", ".join(part for part in parts if part)


@contextmanager
def _bar(console: Console, name: str) -> Iterator[Callable[[JSON], None]]:
    """A moving bar on a terminal; elsewhere a line now and then."""
    if not console.is_terminal:
        yield _line_writer(console, name)
        return
    columns = (
        TextColumn(f"  {name} {{task.fields[phase]:<10}}"),
        BarColumn(bar_width=30),
        TextColumn("{task.fields[loss]}"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console.rich, transient=True) as progress:
        task = progress.add_task(name, total=None, phase="", loss="")

        def show(status: JSON) -> None:
            done = status.get("progress", {})
            progress.update(
                task,
                total=done.get("totalSteps") or None,
                completed=done.get("step", 0),
                phase=status.get("phase", ""),
                loss=describe_loss(status),
            )

        yield show


def _line_writer(console: Console, name: str) -> Callable[[JSON], None]:
    last: dict[str, Any] = {"at": time.monotonic(), "text": ""}

    def show(status: JSON) -> None:
        text = describe_loss(status)
        is_new = text != last["text"] and bool(status.get("progress", {}).get("step"))
        if is_new and time.monotonic() - last["at"] >= LINE_SECONDS:
            console.say(f"{name}: {text}")
            last.update(at=time.monotonic(), text=text)

    return show
