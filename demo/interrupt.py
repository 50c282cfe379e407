"""Kills one worker's training process with SIGKILL, the way a kernel out of memory would.

From inside its pod, so that it works on any cluster; the pod's first process, which reports the
end, cannot be killed from there.
"""

from collections.abc import Callable

from trainwright_api import names

from demo.console import Console
from demo.errors import DemoError
from demo.place import JSON, Place

# Runs in the trainer's container: a rank is a process that torch's agent has started.
_KILL_A_RANK = """
import os, signal, sys
for name in filter(str.isdigit, os.listdir("/proc")):
    try:
        with open(f"/proc/{name}/environ", "rb") as file:
            is_rank = b"\\0LOCAL_RANK=" in b"\\0" + file.read()
    except OSError:
        continue
    if is_rank and int(name) not in (1, os.getpid()):
        os.kill(int(name), signal.SIGKILL)
        sys.exit(0)
sys.exit("no rank found")
"""


def kill_worker_after_checkpoint(
    place: Place, console: Console, name: str
) -> Callable[[JSON], None]:
    """A watcher of the status that kills one worker once, a step or more after a checkpoint."""
    killed: list[str] = []

    def watch(status: JSON) -> None:
        saved = (status.get("checkpoints", {}).get("latest") or {}).get("step")
        step = status.get("progress", {}).get("step", 0)
        if killed or saved is None or step <= saved or status.get("phase") != names.Phase.RUNNING:
            return
        killed.append(kill_worker(place, name))
        console.say(f"{name}: SIGKILL to a training process in pod {killed[0]} (step {step})")

    return watch


def kill_worker(place: Place, name: str) -> str:
    """Kill a training process in the run's last pod; the pod's name. Raises DemoError."""
    pods = place.get("pods", "-l", f"{names.LABEL_RUN}={name}")["items"]
    running = sorted(
        str(pod["metadata"]["name"]) for pod in pods if pod["status"].get("phase") == "Running"
    )
    if not running:
        raise DemoError(f"{name}: no running pod to kill a worker in")
    pod = running[-1]
    place.kubectl(
        "exec", "-n", place.namespace, pod, "-c", names.TRAINER_CONTAINER, "--",
        "/opt/venv/bin/python", "-S", "-c", _KILL_A_RANK,
    )  # fmt: skip
    return pod
