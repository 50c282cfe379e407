"""Kills one worker's training process with SIGKILL, the way a kernel out of memory would.

From inside its pod, so that it works on any cluster; the pod's first process, which reports the
end, cannot be killed from there.
"""

from trainwright_api import names
from trainwright_api.names import Phase

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


_NO_MOMENT = ": it never trained on after a checkpoint"


class Interruption:
    """Kills one worker of a run once, a step or more after a checkpoint, unless that is not wanted."""

    def __init__(self, place: Place, console: Console, name: str, *, is_wanted: bool) -> None:
        self._place, self._console, self._name = place, console, name
        self._is_wanted = is_wanted
        self._killed_pod = ""
        self._problem = ""

    def watch(self, status: JSON) -> None:
        """Kill if this status is the moment for it."""
        saved = (status.get("checkpoints", {}).get("latest") or {}).get("step")
        step = status.get("progress", {}).get("step", 0)
        is_between = saved is not None and step > saved and status.get("phase") == Phase.RUNNING
        if self._killed_pod or not self._is_wanted or not is_between:
            return
        try:
            self._killed_pod = kill_worker(self._place, self._name)
        except DemoError as problem:
            # Its pods have just ended, or the API server is away: the next status is another chance.
            self._problem = f" (the last try: {problem})"
            return
        self._console.say(
            f"{self._name}: SIGKILL to a training process in pod {self._killed_pod} (step {step})"
        )

    def check(self, status: JSON) -> None:
        """Raise DemoError if the run has ended without the restart that the demo is to show."""
        if not self._is_wanted:
            return
        if not self._killed_pod:
            raise DemoError(
                f"{self._name} succeeded, but no worker was killed{self._problem or _NO_MOMENT}; say "
                "DEMO_STEPS with more steps, or DEMO_KILL=0 to kill nobody"
            )
        attempts = len(status.get("attempts", []))
        if attempts < 2:
            raise DemoError(
                f"{self._name} succeeded, but in {attempts} attempt: killing a worker in pod "
                f"{self._killed_pod} restarted nothing; see `kubectl describe pod "
                f"{self._killed_pod}`, or say DEMO_KILL=0 to kill nobody"
            )


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
