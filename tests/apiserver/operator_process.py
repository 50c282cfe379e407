"""The operator as a process of its own, with exactly the rights of its permission table.

It logs in by a service account's token; the role is made from `PERMISSIONS`, so that a missing right
shows as a failing test. Rights can be taken away for a while: that is how these tests stop the
operator between two particular writes.
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import urlopen

from kubernetes import client, config
from ruamel.yaml import YAML
from trainwright_operator.permissions import PERMISSIONS

from tests.apiserver.waiting import wait_for
from tests.cluster import Cluster
from tests.ports import free_port

ACCOUNT = "trainwright-operator"
ACCOUNT_NAMESPACE = "default"
Right = tuple[str, str]  # resource, verb

QUICK = {
    "TRAINWRIGHT_SWEEP_SECONDS": "0.3",
    "TRAINWRIGHT_STATUS_SECONDS": "0",
    "TRAINWRIGHT_COLLECT_SECONDS": "1",
    "TRAINWRIGHT_STUCK_SECONDS": "1",
    "TRAINWRIGHT_GRAFANA_URL": "https://grafana.example",
    "TRAINWRIGHT_TRAINER_IMAGE": "registry.example/trainer:1",
}


def grant_rights(cluster: Cluster, without: Collection[Right] = ()) -> None:
    """Give the operator's account the rights of the table, but for some; returns once those are refused."""
    rules = [
        {
            "apiGroups": [row.api_group],
            "resources": [resource],
            "verbs": [verb for verb in row.verbs if (resource, verb) not in without],
        }
        for row in PERMISSIONS
        for resource in row.resources
    ]
    role = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRole",
        "metadata": {"name": ACCOUNT},
        "rules": [rule for rule in rules if rule["verbs"]],
    }
    binding = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": ACCOUNT},
        "roleRef": {
            "apiGroup": "rbac.authorization.k8s.io",
            "kind": "ClusterRole",
            "name": ACCOUNT,
        },
        "subjects": [{"kind": "ServiceAccount", "name": ACCOUNT, "namespace": ACCOUNT_NAMESPACE}],
    }
    account = {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": {"name": ACCOUNT, "namespace": ACCOUNT_NAMESPACE},
    }
    both = {"apiVersion": "v1", "kind": "List", "items": [account, role, binding]}
    cluster.kubectl("apply", "-f", "-", stdin=json.dumps(both))
    for right in without:
        wait_for(f"{right} is refused", lambda right=right: not is_allowed(cluster, right), 20)


def is_allowed(cluster: Cluster, right: Right) -> bool:
    """Whether the API server, which learns of a changed role a moment later, allows it to the operator."""
    name, verb = right
    api_groups = {each: row.api_group for row in PERMISSIONS for each in row.resources}
    resource, _, subresource = name.partition("/")
    asked = {"group": api_groups[name], "resource": resource, "subresource": subresource}
    user = f"system:serviceaccount:{ACCOUNT_NAMESPACE}:{ACCOUNT}"
    review = {"spec": {"user": user, "resourceAttributes": {**asked, "verb": verb}}}
    api = client.AuthorizationV1Api(config.new_client_from_config(str(cluster.kubeconfig)))
    return bool(api.create_subject_access_review(review).status.allowed)


def write_kubeconfig(cluster: Cluster, folder: Path) -> Path:
    """A kubeconfig that holds the account's token and nothing of the administrator's."""
    token = cluster.kubectl("create", "token", ACCOUNT, "-n", ACCOUNT_NAMESPACE).strip()
    config: dict[str, Any] = YAML(typ="safe").load(cluster.kubeconfig.read_text())
    config["users"] = [{"name": "operator", "user": {"token": token}}]
    for context in config["contexts"]:
        context["context"]["user"] = "operator"
    path = folder / "kubeconfig"
    path.write_text(json.dumps(config))
    return path


@dataclass
class OperatorProcess:
    """One operator; `start` after `kill` is a restart."""

    kubeconfig: Path
    log: Path
    environment: dict[str, str] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, and wait until it has seen all that exists."""
        self.port = free_port()
        environment = {
            **{k: v for k, v in os.environ.items() if not k.startswith("TRAINWRIGHT_")},
            "KUBECONFIG": str(self.kubeconfig),
            "TRAINWRIGHT_METRICS_PORT": str(self.port),
            **QUICK,
            **self.environment,
        }
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "trainwright_operator"],
                env=environment,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        wait_for("the operator is ready", lambda: self.ask("/readyz")[0] == 200, 30, self.read_log)

    def kill(self) -> None:
        """SIGKILL it, as when its node dies."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """End it as a rollout does."""
        self._end(signal.SIGTERM)

    def _end(self, number: int) -> None:
        if self.process is not None:
            self.process.send_signal(number)
            self.process.wait(20)
            self.process = None

    def ask(self, path: str) -> tuple[int, str]:
        """HTTP status and text of its own server; (0, "") while it does not listen."""
        try:
            with urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=5) as answer:
                return answer.status, answer.read().decode()
        except HTTPError as error:
            return error.code, error.read().decode()
        except (URLError, OSError):
            return 0, ""

    def read_log(self) -> str:
        """What it has logged; at most the last 4000 characters."""
        return self.log.read_text()[-4000:]


@contextmanager
def running_operator(cluster: Cluster, **environment: str) -> Iterator[OperatorProcess]:
    """An operator with its rights, ended at the end."""
    grant_rights(cluster)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder)
        operator = OperatorProcess(
            write_kubeconfig(cluster, path), path / "operator.log", environment
        )
        operator.start()
        try:
            yield operator
        finally:
            operator.kill()
