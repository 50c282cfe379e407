"""A namespace of a cluster, and the CLI pointed at it: what the tests of its commands work in."""

import json
import os
import subprocess
import threading
from dataclasses import dataclass, field
from typing import Any

from trainwright_api.names import PLURALS
from trainwright_cli.errors import ExitCode

from tests.cluster import Cluster
from tests.unit.cli.manifests import command

DEADLINE_SECONDS = 60


@dataclass
class Setting:
    """A cluster, with what the CLI said before our CRDs were there."""

    cluster: Cluster
    before_install: "subprocess.CompletedProcess[str]"


@dataclass
class Space:
    """One namespace, and the CLI pointed at it."""

    cluster: Cluster
    namespace: str
    started: "list[subprocess.Popen[str]]" = field(default_factory=list)

    @property
    def environment(self) -> dict[str, str]:
        return {**os.environ, **self.cluster.environment(), "COLUMNS": "200"}

    def call(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        return call(self.environment, *arguments, "-n", self.namespace)

    def data(self, *arguments: str) -> Any:
        done = self.call(*arguments, "-o", "json")
        assert done.returncode == ExitCode.OK, done.stderr
        return json.loads(done.stdout)

    def start(self, *arguments: str) -> "subprocess.Popen[str]":
        process = subprocess.Popen(
            command(*arguments, "-n", self.namespace),
            env={**self.environment, "PYTHONUNBUFFERED": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.started.append(process)
        return process

    def apply(self, *manifests: dict[str, Any]) -> None:
        text = json.dumps({"apiVersion": "v1", "kind": "List", "items": list(manifests)})
        self.cluster.kubectl("apply", "-n", self.namespace, "-f", "-", stdin=text)

    def patch_status(self, name: str, kind: str = "TrainingRun", **status: Any) -> None:
        patch = ["patch", PLURALS[kind], name, "--type=merge", "--subresource=status", "-p"]
        text = json.dumps({"status": status})
        self.cluster.kubectl(*patch, text, "-n", self.namespace)


def call(environment: dict[str, str], *arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        command(*arguments),
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def read_until(process: "subprocess.Popen[str]", text: str) -> str:
    """Read lines until one holds the text; a process that does not print it in time is killed."""
    assert process.stdout is not None
    said = ""
    watchdog = threading.Timer(DEADLINE_SECONDS, process.kill)
    watchdog.start()
    try:
        for line in process.stdout:
            said += line
            if text in line:
                return said
    finally:
        watchdog.cancel()
    raise AssertionError(f"ended before {text!r}: {said}")
