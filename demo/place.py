"""Where the demo runs: a cluster's API, its S3 store, and what kubectl needs to reach it.

The embedded cluster and the current one come down to this; everything after is the same for both.
"""

import json
import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from trainwright_api.names import PLURALS

from demo.errors import DemoError
from tests.cluster.start import find_kubectl

JSON = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Store:
    """An S3 store as this machine and as pods reach it."""

    endpoint: str
    endpoint_of_pods: str
    access_key: str = field(repr=False)
    secret_key: str = field(repr=False)
    region: str
    bucket: str = ""
    session_token: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class Place:
    """A cluster to run on; `environment` is what kubectl and Helm get on top of ours.

    `context` holds kubectl and Helm to the cluster that was agreed to, whatever a `kubectl config
    use-context` elsewhere says meanwhile; None: the one that the environment's kubeconfig names.
    """

    name: str
    namespace: str
    store: Store
    environment: Mapping[str, str] = field(default_factory=dict)
    context: str | None = None

    def kubectl(self, *arguments: str, stdin: str | None = None) -> str:
        """kubectl's output; raises DemoError with its words."""
        options = ["--context", self.context] if self.context else []
        done = subprocess.run(
            [find_kubectl(), *options, *arguments],
            env={**os.environ, **self.environment},
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            shown = " ".join(arguments)
            raise DemoError(f"kubectl {shown}: {(done.stderr or done.stdout).strip()}")
        return done.stdout

    def apply(self, *objects: JSON) -> None:
        """Apply objects to the runs' namespace."""
        text = json.dumps({"apiVersion": "v1", "kind": "List", "items": list(objects)})
        self.kubectl("apply", "-n", self.namespace, "-f", "-", stdin=text)

    def get(self, *what: str) -> JSON:
        """An object, or a list, of the runs' namespace."""
        found: JSON = json.loads(self.kubectl("get", "-n", self.namespace, "-o", "json", *what))
        return found

    def get_run(self, kind: str, name: str) -> JSON:
        """A run with its status."""
        return self.get(PLURALS[kind], name)
