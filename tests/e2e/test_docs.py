"""Runs the docs' commands, in their order, on a cluster where the chart is installed."""

import os
import shlex
import signal
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from demo.place import Place
from tests.cluster.binaries import HELM, ensure_binaries
from tests.docs.table import PLACEHOLDERS, RUN, WATCHED
from tests.e2e.world import World
from tools.machine import PROJECT

pytestmark = pytest.mark.timeout(300)

WATCH_SECONDS = 60


@pytest.fixture(scope="module")
def reader(world: World, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """A reader's shell: kubectl's context in a fresh namespace, the commands on PATH."""
    place = world.make_namespace("test_docs")
    kubeconfig = tmp_path_factory.mktemp("reader") / "kubeconfig"
    kubeconfig.write_bytes(Path(place.environment["KUBECONFIG"]).read_bytes())
    folders = [PROJECT / ".venv" / "bin", ensure_binaries(HELM), os.environ["PATH"]]
    path = ":".join(str(folder) for folder in folders)
    environment = {**os.environ, **place.environment, "KUBECONFIG": str(kubeconfig), "PATH": path}
    namespace = ["kubectl", "config", "set-context", "--current", f"--namespace={place.namespace}"]
    subprocess.run(namespace, env=environment, check=True, capture_output=True)
    yield environment
    place.kubectl("delete", "namespace", place.namespace, "--wait=false")


def fill_in(command: str, place: Place) -> str:
    """The command with what only the reader knows."""
    for shown, value in PLACEHOLDERS.items():
        store = place.store
        filled = value.format(
            access_key=store.access_key,
            secret_key=store.secret_key,
            endpoint=store.endpoint_of_pods,
        )
        command = command.replace(shown, filled)
    return command


@pytest.mark.parametrize("command", RUN)
def test_command_of_the_docs_runs(world: World, reader: dict[str, str], command: str) -> None:
    words = shlex.split(fill_in(command, world.place))
    if command in WATCHED:
        watch_until_it_prints(words, reader)
        return
    done = subprocess.run(
        words, cwd=PROJECT, env=reader, capture_output=True, text=True, check=False
    )
    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    assert done.stdout.strip(), said


def watch_until_it_prints(words: list[str], environment: dict[str, str]) -> None:
    """Start a command that goes on until Ctrl+C, read its first line, then press it."""
    with subprocess.Popen(
        words, cwd=PROJECT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    ) as process:
        assert process.stdout
        ended = threading.Timer(WATCH_SECONDS, process.kill)
        ended.start()
        first_line = process.stdout.readline()
        process.send_signal(signal.SIGINT)
        rest = process.stdout.read()
        code = process.wait()
        ended.cancel()
    assert first_line.strip()
    assert b"error" not in (first_line + rest).lower()
    # kubectl ends with 1 if it is interrupted before its watch has begun.
    interrupted = {0, 130, -signal.SIGINT} | ({1} if words[0] == "kubectl" else set())
    assert code in interrupted, first_line + rest
