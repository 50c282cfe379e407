"""Runs the docs' commands, in their order, on a cluster where the chart is installed."""

import os
import shlex
import signal
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster.binaries import HELM, ensure_binaries
from tests.docs.pages import read_secret_file
from tests.docs.table import PLACEHOLDERS, RUN, SECRET_FILE, WATCHED
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


@pytest.fixture
def secret_file(world: World, tmp_path: Path) -> Path:
    """The README's file with what only the reader knows."""
    text, store = read_secret_file(), world.place.store
    for shown, value in PLACEHOLDERS.items():
        filled = value.format(
            access_key=store.access_key,
            secret_key=store.secret_key,
            endpoint=store.endpoint_of_pods,
        )
        text = text.replace(shown, filled)
    path = tmp_path / SECRET_FILE
    path.write_text(text)
    return path


@pytest.mark.parametrize("command", RUN)
def test_command_of_the_docs_runs(reader: dict[str, str], secret_file: Path, command: str) -> None:
    words = shlex.split(command.replace(SECRET_FILE, str(secret_file)))
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
