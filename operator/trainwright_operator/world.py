"""What the operator has seen: runs, their jobs and pods, the trainers' reports; in memory only.

Fed by the watches (`handlers`) and the sweep, read by the reconciler. After a restart the watches
fill it anew. A pod that vanishes is remembered until its attempt is over: its end is evidence.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from trainwright_api import names
from trainwright_api.report import RunReport

from trainwright_operator.facts import JobFacts, PodFacts, parse_job, parse_pod

Raw = dict[str, Any]
Uid = str


@dataclass
class RunEntry:
    """One run and what belongs to it; `raw` is None while only children have been seen."""

    raw: Raw | None = None
    jobs: dict[str, JobFacts] = field(default_factory=dict)
    pods: dict[Uid, PodFacts] = field(default_factory=dict)
    report: RunReport | None = None


class World:
    """All runs by uid."""

    def __init__(self) -> None:
        self._entries: dict[Uid, RunEntry] = {}

    def entry(self, uid: Uid) -> RunEntry | None:
        """Return a run's entry."""
        return self._entries.get(uid)

    def entries(self) -> Iterator[tuple[Uid, RunEntry]]:
        """Yield the runs that exist."""
        for uid, entry in list(self._entries.items()):
            if entry.raw is not None:
                yield uid, entry

    def find(self, kind: str, namespace: str, name: str) -> Raw | None:
        """Return a run by name."""
        for _, entry in self.entries():
            raw = entry.raw or {}
            meta = raw["metadata"]
            if (raw["kind"], meta["namespace"], meta["name"]) == (kind, namespace, name):
                return raw
        return None

    def see_run(self, raw: Raw, *, is_deleted: bool) -> Uid:
        """Take in a run; an older version than the one known is left aside."""
        uid: Uid = raw["metadata"]["uid"]
        if is_deleted:
            self._entries.pop(uid, None)
            return uid
        entry = self._entries.setdefault(uid, RunEntry())
        if entry.raw is None or _version(raw) >= _version(entry.raw):
            entry.raw = raw
        return uid

    def see_job(self, raw: Raw, *, is_deleted: bool) -> Uid | None:
        """Take in a PyTorchJob and return the uid of its run."""
        uid = _run_uid(raw)
        if uid is None:
            return None
        jobs = self._entries.setdefault(uid, RunEntry()).jobs
        facts = parse_job(raw)
        if is_deleted:
            jobs.pop(facts.name, None)
        else:
            jobs[facts.name] = facts
        return uid

    def see_pod(self, raw: Raw, *, is_deleted: bool) -> Uid | None:
        """Take in a pod and return the uid of its run."""
        uid = _run_uid(raw)
        if uid is None:
            return None
        pods = self._entries.setdefault(uid, RunEntry()).pods
        facts = parse_pod(raw, is_gone=is_deleted)
        known = pods.get(facts.uid)
        if facts.end is None and known is not None and known.end is not None:
            facts = replace(facts, end=known.end)
        pods[facts.uid] = facts
        return uid

    def forget_attempts_before(self, uid: Uid, attempt: int) -> None:
        """Forget the vanished pods of attempts that are over."""
        entry = self._entries.get(uid)
        if entry is not None:
            entry.pods = {
                key: pod
                for key, pod in entry.pods.items()
                if not (pod.is_gone and pod.attempt < attempt)
            }

    def dependants_of(self, kind: str, namespace: str, name: str) -> Iterator[Uid]:
        """Yield the runs of a namespace that may wait for this one."""
        for uid, entry in self.entries():
            raw = entry.raw or {}
            if raw["metadata"]["namespace"] != namespace:
                continue
            spec = raw.get("spec", {})
            references = (
                spec.get("model", {}).get("run"),
                spec.get("baseModel", {}).get("run"),
                (spec.get("checkpoints", {}).get("resumeFrom") or {}).get("run"),
            )
            if any(
                r and r.get("name") == name and r.get("kind", names.TRAINING_RUN) == kind
                for r in references
            ):
                yield uid


def _version(raw: Raw) -> int:
    text = raw["metadata"].get("resourceVersion", "0")
    return int(text) if text.isdigit() else 0


def _run_uid(raw: Raw) -> Uid | None:
    uid: Uid | None = raw["metadata"].get("labels", {}).get(names.LABEL_RUN_UID)
    return uid
