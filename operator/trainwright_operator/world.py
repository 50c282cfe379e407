"""What the operator has seen: runs, their jobs and pods, the trainers' reports; in memory only.

Fed by the watches, by the answers to the operator's own writes and, now and then, by a complete list
(`resync`), in whatever order these come: an older version of an object never replaces a newer one, and
one that was deleted never comes back.
A pod that vanishes is remembered until its attempt is over: its end is evidence.
"""

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from trainwright_api import names
from trainwright_api.report import RunReport

from trainwright_operator.facts import JobFacts, PodFacts, parse_job, parse_pod, parse_version

Raw = dict[str, Any]
RunKey = str  # namespace/uid: what another namespace calls ours is none of it
Name = tuple[str, str, str]  # kind, namespace, name

WATCH_LAG = timedelta(seconds=10)
DELETIONS_KEPT = 4096  # far more than there are between a list and the moment it is taken in


@dataclass
class RunEntry:
    """One run and what belongs to it; `raw` is None while only children have been seen.

    `is_silent`: its trainer should answer and has not for a while, so `report` tells of the past.
    """

    raw: Raw | None = None
    jobs: dict[str, JobFacts] = field(default_factory=dict)
    pods: dict[str, PodFacts] = field(default_factory=dict)
    report: RunReport | None = None
    is_silent: bool = False


class World:
    """All runs by key."""

    def __init__(self) -> None:
        self._entries: dict[RunKey, RunEntry] = {}
        self._keys: dict[Name, RunKey] = {}
        self._deleted: dict[str, None] = {}  # uids, in the order of the deletions

    def entry(self, key: RunKey) -> RunEntry | None:
        """Return a run's entry."""
        return self._entries.get(key)

    def entries(self) -> Iterator[tuple[RunKey, RunEntry]]:
        """Yield the runs that exist."""
        for key, entry in list(self._entries.items()):
            if entry.raw is not None:
                yield key, entry

    def find(self, kind: str, namespace: str, name: str) -> Raw | None:
        """Return a run by name."""
        key = self._keys.get((kind, namespace, name))
        entry = self._entries.get(key) if key else None
        return entry.raw if entry else None

    def see_run(self, raw: Raw, *, is_deleted: bool = False) -> RunKey:
        """Take in a run and return its key."""
        key = run_key(raw)
        if is_deleted:
            self._note_deletion(raw)
        if self._was_deleted(raw):
            self.lose_run(key)
            return key
        entry = self._entries.setdefault(key, RunEntry())
        if entry.raw is None or parse_version(raw) >= parse_version(entry.raw):
            entry.raw = raw
            self._keys[_name(raw)] = key
        return key

    def lose_run(self, key: RunKey) -> None:
        """Forget a run that does not exist any more; its children go with it, and are known until they have."""
        entry = self._entries.get(key)
        if entry is None or entry.raw is None:
            return
        if self._keys.get(_name(entry.raw)) == key:
            del self._keys[_name(entry.raw)]
        entry.raw, entry.report = None, None
        self._drop_if_empty(key)

    def see_job(self, raw: Raw, *, is_deleted: bool = False) -> RunKey | None:
        """Take in a PyTorchJob and return the key of its run."""
        key = _owner_key(raw)
        if key is None:
            return None
        facts = parse_job(raw)
        if is_deleted:
            self._note_deletion(raw)
        if self._was_deleted(raw):
            self.lose_job(key, facts.name)
            return key
        jobs = self._entries.setdefault(key, RunEntry()).jobs
        known = jobs.get(facts.name)
        if known is None or facts.version >= known.version:
            jobs[facts.name] = facts
        return key

    def lose_job(self, key: RunKey, name: str) -> None:
        """Take in that a job does not exist any more."""
        if (entry := self._entries.get(key)) is not None:
            entry.jobs.pop(name, None)
            self._drop_if_empty(key)

    def see_pod(self, raw: Raw, *, now: datetime, is_deleted: bool = False) -> RunKey | None:
        """Take in a pod and return the key of its run."""
        key = _owner_key(raw)
        if key is None:
            return None
        if is_deleted:
            self._note_deletion(raw)
        elif self._was_deleted(raw):
            return key
        entry = self._entries.setdefault(key, RunEntry())
        facts = parse_pod(raw, is_gone=is_deleted)
        known = entry.pods.get(facts.uid)
        if known is not None and (known.is_gone or facts.version < known.version):
            return key
        entry.pods[facts.uid] = _remember(facts, known, now)
        self._drop_if_empty(key)
        return key

    def miss_pod(self, key: RunKey, name: str, now: datetime) -> None:
        """Take in that a pod was not found. It is gone once the watch has had the time to tell its last words."""
        entry = self._entries.get(key)
        for pod in list(entry.pods.values()) if entry else ():
            if not entry or pod.name != name or pod.is_gone:
                continue
            if pod.missed_since is None:
                entry.pods[pod.uid] = replace(pod, missed_since=now)
            elif now >= pod.missed_since + WATCH_LAG:
                self._lose_pod(key, entry, pod, now)

    def _lose_pod(self, key: RunKey, entry: RunEntry, pod: PodFacts, now: datetime) -> None:
        """Take in that a pod does not exist any more; no other of its name is meant."""
        entry.pods[pod.uid] = _remember(replace(pod, is_gone=True), pod, now)
        self._drop_if_empty(key)

    def forget_pods(self, key: RunKey, uids: Collection[str], *, but_of: int | None) -> None:
        """Forget those of these vanished pods that are of another attempt than `but_of`."""
        if (entry := self._entries.get(key)) is not None:
            entry.pods = {
                uid: pod
                for uid, pod in entry.pods.items()
                if uid not in uids or not pod.is_gone or pod.attempt == but_of
            }

    # Complete lists: what is known, and what has vanished. `version` is the list's: newer things stay.

    def knows_run(self, raw: Raw) -> bool:
        """Whether this version of a run, or a newer one, or its deletion has been seen."""
        if self._was_deleted(raw):
            return True
        entry = self._entries.get(run_key(raw))
        known = entry.raw if entry else None
        return known is not None and parse_version(known) >= parse_version(raw)

    def knows_job(self, raw: Raw) -> bool:
        """Whether this version of a job, or a newer one, or its deletion has been seen."""
        if self._was_deleted(raw):
            return True
        entry = self._entries.get(_owner_key(raw) or "")
        known = entry.jobs.get(raw["metadata"]["name"]) if entry else None
        return known is not None and known.version >= parse_version(raw)

    def knows_pod(self, raw: Raw) -> bool:
        """Whether this version of a pod, or a newer one, or its end has been seen."""
        if self._was_deleted(raw):
            return True
        entry = self._entries.get(_owner_key(raw) or "")
        known = entry.pods.get(raw["metadata"]["uid"]) if entry else None
        return known is not None and (known.is_gone or known.version >= parse_version(raw))

    def lose_runs_but(self, uids: Collection[str], version: int, kind: str) -> list[RunKey]:
        """Forget the runs of a kind that a list does not hold; return their keys."""
        lost = [
            key
            for key, entry in self.entries()
            if entry.raw
            and entry.raw["kind"] == kind
            and entry.raw["metadata"]["uid"] not in uids
            and parse_version(entry.raw) <= version
        ]
        for key in lost:
            self.lose_run(key)
        return lost

    def lose_jobs_but(self, uids: Collection[str], version: int) -> list[RunKey]:
        """Forget the jobs that a list does not hold; return the keys of their runs."""
        lost = [
            (key, job.name)
            for key, entry in self._entries.items()
            for job in entry.jobs.values()
            if job.uid not in uids and job.version <= version
        ]
        for key, name in lost:
            self.lose_job(key, name)
        return [key for key, _ in lost]

    def lose_pods_but(self, uids: Collection[str], version: int, now: datetime) -> list[RunKey]:
        """Take in that the pods that a list does not hold are gone; return the keys of their runs."""
        lost = [
            (key, entry, pod)
            for key, entry in self._entries.items()
            for pod in entry.pods.values()
            if not pod.is_gone and pod.uid not in uids and pod.version <= version
        ]
        for key, entry, pod in lost:
            self._lose_pod(key, entry, pod, now)
        return [key for key, _, _ in lost]

    def _note_deletion(self, raw: Raw) -> None:
        self._deleted[raw["metadata"]["uid"]] = None
        if len(self._deleted) > DELETIONS_KEPT:
            del self._deleted[next(iter(self._deleted))]

    def _was_deleted(self, raw: Raw) -> bool:
        return raw["metadata"]["uid"] in self._deleted

    def _drop_if_empty(self, key: RunKey) -> None:
        """Nothing needs to be known of the last children of a run that is gone."""
        entry = self._entries.get(key)
        if entry is None:
            return
        if entry.raw is None and not entry.jobs and all(p.is_gone for p in entry.pods.values()):
            del self._entries[key]

    def dependants_of(self, kind: str, namespace: str, name: str) -> Iterator[RunKey]:
        """Yield the runs of a namespace that may wait for this one."""
        for key, entry in self.entries():
            raw = entry.raw or {}
            if raw["metadata"]["namespace"] != namespace:
                continue
            if (kind, name) in _referenced(raw.get("spec", {})):
                yield key


def _remember(facts: PodFacts, known: PodFacts | None, now: datetime) -> PodFacts:
    """Keep what an earlier version of the pod told and this one does not."""
    if facts.end is None and known is not None and known.end is not None:
        facts = replace(facts, end=known.end)
    if facts.has_failed:
        seen_at = known.failure_seen_at if known else None
        facts = replace(facts, failure_seen_at=seen_at or now)
    return replace(facts, deleted_at=_find_end_of_grace(facts, known, now))


def _find_end_of_grace(facts: PodFacts, known: PodFacts | None, now: datetime) -> datetime | None:
    """When a deleted pod's grace ends by the operator's clock, from when it first saw the deletion.

    The API server's clock may differ: a pod removed by force too early loses its checkpoint, and may still
    run beside the next attempt.
    """
    if facts.deleted_at is None or facts.grace_seconds is None:
        return facts.deleted_at
    if known is not None and known.deleted_at and known.grace_seconds == facts.grace_seconds:
        return known.deleted_at
    return now + timedelta(seconds=facts.grace_seconds)


def _referenced(spec: Raw) -> Collection[tuple[str, str]]:
    references = (
        spec.get("model", {}).get("run"),
        spec.get("baseModel", {}).get("run"),
        (spec.get("checkpoints", {}).get("resumeFrom") or {}).get("run"),
    )
    return {(r.get("kind", names.TRAINING_RUN), r.get("name", "")) for r in references if r}


def _name(raw: Raw) -> Name:
    metadata = raw["metadata"]
    return raw["kind"], metadata["namespace"], metadata["name"]


def run_key(raw: Raw) -> RunKey:
    """Return the key of a run."""
    return f"{raw['metadata']['namespace']}/{raw['metadata']['uid']}"


def _owner_key(raw: Raw) -> RunKey | None:
    """Return the key of the run that a child's labels name; only one of its own namespace can be meant."""
    metadata = raw["metadata"]
    uid = metadata.get("labels", {}).get(names.LABEL_RUN_UID)
    return f"{metadata['namespace']}/{uid}" if uid else None
