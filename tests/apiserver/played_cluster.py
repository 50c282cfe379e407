"""A namespace in which the tests play Kubeflow and the kubelets, on a real API server.

The objects are real: pods are created from the templates that the operator wrote, so the API server
checks these, and deleting, owner references and graces are its own and the controller-manager's. Only
what a container does is said by the test, as a patch of the pod's status.
"""

import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from kubernetes import client, config
from trainwright_api import names

from tests.apiserver.waiting import wait_for
from tests.cluster import Cluster

Raw = dict[str, Any]
MASTER_ADDRESS = "127.0.0.2"  # where a test may serve a report, in place of the pod's address
NODE = "played-node"
RUN_GROUP = (names.GROUP, names.VERSION)
JOB_GROUP = ("kubeflow.org", "v1")
SECONDS = 15


def training_run(name: str, **spec: Any) -> Raw:
    """A small run of two pods."""
    return {
        "apiVersion": names.API_VERSION,
        "kind": names.TRAINING_RUN,
        "metadata": {"name": name},
        "spec": {
            "model": {
                "architecture": "llama",
                "config": {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4},
            },
            "tokenizer": {"train": {"vocabularySize": 1000}},
            "data": {"sources": [{"uri": "s3://data/", "format": "Text"}], "sequenceLength": 64},
            "budget": {"steps": 100},
            "batch": {"globalSequences": 8},
            "workers": {"nodes": 2, "accelerator": "None", "resources": {"memory": "4Gi"}},
            "checkpoints": {"store": {"uri": "s3://runs/", "credentialsSecret": "s3"}},
            "recovery": {"backoff": {"initialSeconds": 0.5}},
            **spec,
        },
    }


@dataclass
class PlayedCluster:
    """One namespace. `stuck`: names of pods whose node does not answer."""

    cluster: Cluster
    namespace: str
    stuck: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        api = config.new_client_from_config(str(self.cluster.kubeconfig))
        self.core, self.custom = client.CoreV1Api(api), client.CustomObjectsApi(api)
        self._api = api
        self.cluster.kubectl("create", "namespace", self.namespace)
        accounts = self.core.list_namespaced_service_account
        wait_for("an account for pods", lambda: accounts(self.namespace).items, SECONDS)

    @classmethod
    @contextmanager
    def named(cls, cluster: Cluster, test_name: str) -> Iterator["PlayedCluster"]:
        """A new namespace named after a test; its end is not waited for."""
        plain = re.sub(r"[^a-z0-9]+", "-", test_name.removeprefix("test_"))
        played = cls(cluster, plain[:50].strip("-"))
        yield played
        cluster.kubectl("delete", "namespace", played.namespace, "--wait=false")
        played.stuck.clear()
        played.end_deleted_pods()

    # Runs

    def create(self, manifest: Raw) -> Raw:
        plural = names.PLURALS[manifest["kind"]]
        created: Raw = self.custom.create_namespaced_custom_object(
            *RUN_GROUP, self.namespace, plural, manifest, field_validation="Strict"
        )
        return created

    def read(self, run: Raw) -> Raw:
        """The run as it is now; an empty object if it is gone."""
        place = (*RUN_GROUP, self.namespace, names.PLURALS[run["kind"]], run["metadata"]["name"])
        try:
            found: Raw = self.custom.get_namespaced_custom_object(*place)
        except client.ApiException as error:
            if error.status != 404:
                raise
            return {}
        return found

    def change(self, run: Raw, **spec: Any) -> None:
        place = (*RUN_GROUP, self.namespace, names.PLURALS[run["kind"]], run["metadata"]["name"])
        self.custom.patch_namespaced_custom_object(*place, {"spec": spec})

    def delete(self, run: Raw) -> None:
        place = (*RUN_GROUP, self.namespace, names.PLURALS[run["kind"]], run["metadata"]["name"])
        self.custom.delete_namespaced_custom_object(*place)

    def wait_for_status(
        self, run: Raw, what: str, check: Callable[[Raw], Any], seconds: float = SECONDS
    ) -> Raw:
        """The status once it is as wanted; meanwhile deleted pods end."""
        seen: Raw = {}

        def find() -> Raw | None:
            self.end_deleted_pods()
            seen.clear()
            seen.update(self.read(run).get("status", {}))
            return dict(seen) if seen and check(seen) else None

        name = run["metadata"]["name"]
        return wait_for(f"{name}: {what}", find, seconds, lambda: json.dumps(seen, indent=1)) or {}

    def wait_for_phase(self, run: Raw, phase: names.Phase, seconds: float = SECONDS) -> Raw:
        return self.wait_for_status(run, phase, lambda status: status["phase"] == phase, seconds)

    def events(self, run: Raw) -> list[str]:
        """Reasons of the events about a run, in the order of their making."""
        found = self.core.list_namespaced_event(
            self.namespace, field_selector=f"involvedObject.name={run['metadata']['name']}"
        ).items
        found.sort(key=lambda event: int(event.metadata.resource_version))
        return [event.reason for event in found]

    # Jobs and pods

    def jobs(self) -> list[Raw]:
        listed = self.custom.list_namespaced_custom_object(
            *JOB_GROUP, self.namespace, "pytorchjobs"
        )
        jobs: list[Raw] = listed["items"]
        return sorted(jobs, key=lambda job: str(job["metadata"]["name"]))

    def start(self, run: Raw, attempt: int = 1, seconds: float = SECONDS) -> list[str]:
        """Make the pods of an attempt once its job is there, and let them run; the master is first."""
        name = f"{run['metadata']['name']}-{attempt}"

        def find() -> list[Raw]:
            self.end_deleted_pods()
            return [job for job in self.jobs() if job["metadata"]["name"] == name]

        (job,) = wait_for(f"job {name}", find, seconds, lambda: self.read(run).get("status"))
        pods = self.make_pods(job)
        for pod in pods:
            self.patch_pod(pod, {"running": {"startedAt": now()}}, "Running")
        return pods

    def delete_job(self, name: str) -> None:
        self.custom.delete_namespaced_custom_object(*JOB_GROUP, self.namespace, "pytorchjobs", name)

    def make_pods(self, job: Raw) -> list[str]:
        """As Kubeflow does: pods owned by the job, labelled by replica."""
        meta = job["metadata"]
        owner = {
            "apiVersion": "kubeflow.org/v1",
            "kind": "PyTorchJob",
            "name": meta["name"],
            "uid": meta["uid"],
            "controller": True,
        }
        made = []
        for role, replica in job["spec"]["pytorchReplicaSpecs"].items():
            for index in range(replica["replicas"]):
                template = json.loads(json.dumps(replica["template"]))
                metadata = template.setdefault("metadata", {})
                metadata |= {
                    "name": f"{meta['name']}-{role.lower()}-{index}",
                    "ownerReferences": [owner],
                }
                metadata["labels"][names.LABEL_REPLICA_TYPE] = role.lower()
                template["spec"] |= {"nodeName": NODE, "restartPolicy": replica["restartPolicy"]}
                self.core.create_namespaced_pod(self.namespace, template, field_validation="Strict")
                made.append(metadata["name"])
        return made

    def fail_job(self, name: str) -> None:
        """As Kubeflow does when a pod has failed: the job makes no pods from now on."""
        condition = {
            "type": "Failed",
            "status": "True",
            "reason": "Failed",
            "message": "a pod failed",
        }
        self.custom.patch_namespaced_custom_object_status(
            *JOB_GROUP,
            self.namespace,
            "pytorchjobs",
            name,
            {"status": {"conditions": [condition], "replicaStatuses": {}}},
        )

    def pods(self) -> dict[str, Any]:
        """The pods that exist, by name."""
        found = self.core.list_namespaced_pod(self.namespace).items
        return {pod.metadata.name: pod for pod in found}

    def pods_left(self) -> dict[str, Any]:
        """The pods that exist after those that were deleted have ended."""
        self.end_deleted_pods()
        return self.pods()

    def patch_pod(self, name: str, state: Raw, phase: str, **status: Any) -> None:
        """Say what the kubelet would say of a pod."""
        container = {
            "name": names.TRAINER_CONTAINER,
            "state": state,
            "image": "i",
            "imageID": "i",
            "ready": False,
            "restartCount": 0,
        }
        address = {"podIP": MASTER_ADDRESS, "podIPs": [{"ip": MASTER_ADDRESS}]}
        status = {"phase": phase, "containerStatuses": [container], **address, **status}
        self.core.patch_namespaced_pod_status(name, self.namespace, {"status": status})

    def end_pod(
        self, name: str, exit_code: int, *, reason: str = "Error", words: Raw | None = None
    ) -> None:
        """The container ends, with the trainer's last words."""
        terminated = {"exitCode": exit_code, "reason": reason, "finishedAt": now()}
        if words is not None:
            terminated["message"] = json.dumps(words)
        self.patch_pod(name, {"terminated": terminated}, "Failed" if exit_code else "Succeeded")

    def end_deleted_pods(self, words: Raw | None = None) -> None:
        """As kubelets do: containers of deleted pods end, then the pods go, but for stuck ones."""
        for name, pod in self.pods().items():
            if pod.metadata.deletion_timestamp is None or name in self.stuck:
                continue
            try:
                if pod.status.phase == "Running":
                    told = words or {"outcome": "Interrupted", "message": "stopped on request"}
                    self.end_pod(name, 143, words=told)
                self.core.delete_namespaced_pod(name, self.namespace, grace_period_seconds=0)
            except client.ApiException as error:
                if error.status != 404:
                    raise


def now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
