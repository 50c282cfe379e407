"""Which events are read while pods do not start, and which of them count."""

import asyncio

import pytest
from trainwright_operator.facts import EventFacts, PodFacts, parse_events
from trainwright_operator.observing import Observer
from trainwright_operator.world import RunEntry, World

from tests.unit.operator.builders import KEY, at, format_time, job, pod, run, running_status
from tests.unit.operator.small_cluster import SmallCluster

MASTER = "uid-gpt-1-master-0"
WORKER = "uid-gpt-1-worker-0"


class Events(SmallCluster):
    """Answers with all events that there are, as if each selector chose them."""

    def __init__(self, *events: EventFacts) -> None:
        super().__init__(lambda *_: None)
        self.warnings, self.selectors = list(events), list[str]()

    async def fetch_warnings(self, namespace: str, selector: str) -> list[EventFacts]:
        self.selectors.append(selector)
        return self.warnings if len(self.selectors) == 1 else []


def observe(events: Events, *pods: PodFacts, seconds: float = 300) -> list[str]:
    """The texts that count at a second."""
    resource = run(status=running_status(phase="Starting"))
    entry = RunEntry(jobs={"gpt-1": job()}, pods={each.uid: each for each in pods})
    work = Observer(World(), events).observe(KEY, entry, resource, None, at(seconds))
    return [warning.message for warning in asyncio.run(work).observed.warnings]


def about(uid: str, text: str, seconds: float = 290) -> EventFacts:
    return EventFacts("x", "FailedMount", text, uid, at(seconds))


def test_events_of_the_past_and_of_others_do_not_count() -> None:
    events = Events(
        about(MASTER, "repeated", 151),
        about(MASTER, "of the past", 149),
        about(WORKER, "of a pod that runs"),
        about("uid-of-another-pod-of-that-name", "of another"),
        about("uid-gpt-1", "of the job, however old", 10),
    )
    waiting = pod(0, phase="Pending")
    assert observe(events, waiting, pod(1)) == ["repeated", "of the job, however old"]
    assert events.selectors == ["involvedObject.uid=uid-gpt-1", f"involvedObject.uid={MASTER}"]


def test_of_many_pods_that_wait_all_are_read_in_few_calls() -> None:
    pods = [pod(index, phase="Pending") for index in range(64)]
    events = Events(about("uid-gpt-1-worker-62", "of the last"))
    assert observe(events, *pods) == ["of the last"]
    assert len(events.selectors) == 3


def test_events_are_read_after_the_clock_was_set_back() -> None:
    events = Events(about("uid-gpt-1", "of the job"))
    assert observe(events, pod(0, phase="Pending"), seconds=-3600) == ["of the job"]


@pytest.mark.parametrize("name", ["lastTimestamp", "eventTime", "series"])
def test_events_are_sorted_by_when_they_last_happened(name: str) -> None:
    def event(text: str, seconds: float) -> dict[str, object]:
        last = format_time(at(seconds))
        told = {"lastObservedTime": last} if name == "series" else last
        made = {"creationTimestamp": format_time(at(1))}
        return {"metadata": made, "message": text, name: told, "lastTimestamp": None} | {name: told}

    found = parse_events([event("old", 5), event("new", 90), event("older", 3)])
    assert [(each.message, each.at) for each in found] == [
        ("new", at(90)),
        ("old", at(5)),
        ("older", at(3)),
    ]
