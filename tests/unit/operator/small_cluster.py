"""A small cluster in memory, in place of the API server, Kubeflow and the kubelets.

It does honestly what the operator's calls ask for: jobs get pods, pods follow a script, deleting a
job stops its pods with their grace, a status patch is merged. It exists to cut the operator off after
every single write; what the real components do beyond this is the apiserver and e2e tiers' business.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from kubernetes.client import ApiClient
from trainwright_api import names
from trainwright_operator.calls import ClusterCallError
from trainwright_operator.decision import Notice
from trainwright_operator.facts import EventFacts, format_time
from trainwright_operator.untrusted import parse_time
from trainwright_operator.world import World

from tests.unit.operator.builders import T0

Raw = dict[str, Any]
# (attempt, pod's index, seconds since it was created) -> its container's end, None while it runs
Script = Callable[[int, int, float], Raw | None]
STOP_SECONDS = 2.0  # that a pod takes to save when it is asked to stop


class CutOffError(BaseException):
    """The operator's process ends here."""


def end(exit_code: int, *, reason: str = "Error", **words: Any) -> Raw:
    """A container's end with the trainer's last words."""
    message = {"message": json.dumps(words)} if words else {}
    return {"exitCode": exit_code, "reason": reason, **message}


@dataclass
class SmallCluster:
    """Objects by name; `cut_after` writes from now the operator is cut off (None: never)."""

    script: Script
    now: datetime = T0
    runs: dict[str, Raw] = field(default_factory=dict)
    jobs: dict[str, Raw] = field(default_factory=dict)
    pods: dict[str, Raw] = field(default_factory=dict)
    config_maps: dict[str, Raw] = field(default_factory=dict)
    events: dict[str, Notice] = field(default_factory=dict)
    writes: list[str] = field(default_factory=list)
    cut_after: int | None = None
    refuse_jobs: int = 0
    is_stuck: bool = False
    attempts_at_once: int = 0
    version: int = 0

    # What the operator calls

    async def create_config_map(self, manifest: Mapping[str, Any]) -> None:
        name = manifest["metadata"]["name"]
        known = self.config_maps.setdefault(name, dict(manifest))
        if owner_of(known) != owner_of(manifest):
            raise ClusterCallError(409, "AlreadyExists", f"{name} already exists")
        self.config_maps[name] = dict(manifest)
        self._wrote("create config map")

    async def create_job(self, namespace: str, job: Any) -> Raw:
        if self.refuse_jobs:
            raise ClusterCallError(self.refuse_jobs, "Refused", "no")
        made = ApiClient().sanitize_for_serialization(job)
        name = made["metadata"]["name"]
        if name in self.jobs:
            raise ClusterCallError(409, "AlreadyExists", f"{name} already exists")
        self.jobs[name] = self._stamp(made, name)
        self._make_pods(name, made)
        self._wrote(f"create job {name}")
        return self.jobs[name]

    async def delete_config_map(self, namespace: str, name: str, run_uid: str) -> None:
        if owner_of(self.config_maps.get(name, {})) == run_uid:
            del self.config_maps[name]
        self._wrote(f"delete config map {name}")

    async def delete_job(self, namespace: str, name: str) -> bool:
        self.jobs.pop(name, None)
        for pod in self.pods.values():
            if pod["metadata"]["labels"]["job"] == name:
                self._stop(pod, 60)
        self._wrote(f"delete job {name}")
        return True

    async def delete_pod(
        self, namespace: str, name: str, grace_seconds: int | None, uid: str | None = None
    ) -> bool:
        if grace_seconds == 0:
            self.pods.pop(name, None)
        elif name in self.pods:
            self._stop(self.pods[name], 60 if grace_seconds is None else grace_seconds)
        self._wrote(f"delete pod {name} {grace_seconds}")
        return name not in self.pods

    async def delete_run(self, run: Raw) -> None:
        self.runs.pop(run["metadata"]["name"])
        for children in (self.jobs, self.pods, self.config_maps):
            children.clear()
        self._wrote("delete run")

    async def suspend_run(self, run: Raw) -> None:
        known = self.runs[run["metadata"]["name"]]
        known["spec"]["suspend"] = True
        self.touch(known)
        self._wrote("suspend run")

    async def write_status(self, run: Raw, patch: Raw) -> Raw | None:
        known = self.runs.get(run["metadata"]["name"])
        version = run["metadata"]["resourceVersion"]
        if known is None or known["metadata"]["resourceVersion"] != version:
            return None
        known["status"] = merge(known.get("status", {}), json.loads(json.dumps(patch)))
        self.touch(known)
        self._wrote(f"write status {known['status']['phase']} {known['status'].get('reason')}")
        return json.loads(json.dumps(known))

    async def read_run(self, run: Raw) -> Raw | None:
        known = self.runs.get(run["metadata"]["name"])
        same = known and known["metadata"]["uid"] == run["metadata"]["uid"]
        return json.loads(json.dumps(known)) if same else None

    async def fetch_warnings(self, namespace: str, selector: str) -> list[EventFacts]:
        return []

    async def post_event(self, run: Raw, notice: Notice, name: str, now: str) -> None:
        self.events.setdefault(name, notice)
        self._wrote(f"post {notice.reason}")

    # What happens by itself

    def tick(self, seconds: float) -> None:
        """Time passes: pods follow their script, stopped ones end and go."""
        self.now += timedelta(seconds=seconds)
        for name, pod in list(self.pods.items()):
            self._advance(pod)
            if not self.is_stuck and self._is_over(pod):
                del self.pods[name]
        attempts = {pod["metadata"]["labels"][names.LABEL_ATTEMPT] for pod in self.pods.values()}
        self.attempts_at_once = max(self.attempts_at_once, len(attempts))

    def show(self, world: World) -> None:
        """Tell a world what is there, and what is not there any more."""
        uids = {
            kind: {raw["metadata"]["uid"] for raw in objects.values()}
            for kind, objects in (("run", self.runs), ("job", self.jobs), ("pod", self.pods))
        }
        for raw in self.runs.values():
            world.see_run(json.loads(json.dumps(raw)))
        for raw in self.jobs.values():
            world.see_job(raw)
        for raw in self.pods.values():
            world.see_pod(json.loads(json.dumps(raw)), now=self.now)
        world.lose_runs_but(uids["run"], self.version, names.TRAINING_RUN)
        world.lose_jobs_but(uids["job"], self.version)
        world.lose_pods_but(uids["pod"], self.version, self.now)

    def touch(self, raw: Raw) -> None:
        """Give an object a new version."""
        self.version += 1
        raw["metadata"]["resourceVersion"] = str(self.version)

    def _stamp(self, raw: Raw, name: str) -> Raw:
        self.touch(raw)
        raw["metadata"]["uid"] = f"{name}/{self.version}"
        raw["metadata"]["creationTimestamp"] = format_time(self.now)
        return raw

    def _make_pods(self, job: str, manifest: Raw) -> None:
        replicas = manifest["spec"]["pytorchReplicaSpecs"]
        for role, spec in replicas.items():
            for index in range(spec["replicas"]):
                name = f"{job}-{role.lower()}-{index}"
                number = 0 if role == "Master" else index + 1
                labels = manifest["metadata"]["labels"] | {
                    names.LABEL_REPLICA_TYPE: role.lower(),
                    "job": job,
                    "index": str(number),
                }
                meta = {
                    "name": name,
                    "namespace": manifest["metadata"]["namespace"],
                    "labels": labels,
                }
                raw = {"metadata": meta, "spec": {"nodeName": "n"}}
                self.pods[name] = self._stamp(raw | {"status": {"phase": "Pending"}}, name)

    def _advance(self, pod: Raw) -> None:
        meta, status = pod["metadata"], pod["status"]
        if status["phase"] in ("Succeeded", "Failed"):
            return
        age = (self.now - (parse_time(meta["creationTimestamp"]) or self.now)).total_seconds()
        labels = meta["labels"]
        ended = self.script(int(labels[names.LABEL_ATTEMPT]), int(labels["index"]), age)
        stopped_at = meta.get("stoppedAt")
        if ended is None and stopped_at and self.now >= datetime.fromisoformat(stopped_at):
            ended = end(143, outcome="Interrupted", message="stopped on request")
        if ended is None:
            state: Raw = {"running": {}}
            status["phase"] = "Running"
        else:
            state = {"terminated": ended | {"finishedAt": format_time(self.now)}}
            status["phase"] = "Failed" if ended["exitCode"] else "Succeeded"
        status["containerStatuses"] = [{"name": names.TRAINER_CONTAINER, "state": state}]
        self.touch(pod)

    def _stop(self, pod: Raw, grace_seconds: float) -> None:
        meta = pod["metadata"]
        until = self.now + timedelta(seconds=grace_seconds)
        meta.setdefault("deletionTimestamp", format_time(until))
        if not self.is_stuck:
            meta.setdefault("stoppedAt", str(self.now + timedelta(seconds=STOP_SECONDS)))
        self.touch(pod)

    def _is_over(self, pod: Raw) -> bool:
        is_deleted = "deletionTimestamp" in pod["metadata"]
        return is_deleted and pod["status"]["phase"] in ("Succeeded", "Failed")

    def _wrote(self, what: str) -> None:
        self.writes.append(what)
        if self.cut_after is not None:
            self.cut_after -= 1
            if self.cut_after < 0:
                self.cut_after = None
                raise CutOffError


def owner_of(raw: Mapping[str, Any]) -> str | None:
    """The uid of the run that an object is labelled with."""
    uid: str | None = raw.get("metadata", {}).get("labels", {}).get(names.LABEL_RUN_UID)
    return uid


def merge(old: Raw, patch: Raw) -> Raw:
    """A JSON merge patch (RFC 7386)."""
    merged = dict(old)
    for key, value in patch.items():
        if value is None:
            merged.pop(key, None)
        elif isinstance(value, dict) and isinstance(merged.get(key), dict):
            merged[key] = merge(merged[key], value)
        else:
            merged[key] = value
    return merged
