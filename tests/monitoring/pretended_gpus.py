"""Two pods that serve the metrics of eight pretended GPUs each, for pictures and queries of devices.

The trainer's own collector reads them from the fake management library; what that says changes every
other second as under a real load. One device is hot, throttled and idles, one reports an Xid.
"""

import random
import threading
from pathlib import Path
from typing import Any

from trainwright_api import names

from demo.place import Place
from tools.images import build_archive

RUN = "pretended-gpus"
NUM_PODS, GPUS = 2, 8
TICK_SECONDS = 2.0
HOT, FAULTY = 5, 2
HW_THERMAL = 64  # the throttle reason hw_thermal_slowdown of nvml.h
XID_TICK = 60
_EXPORTER = """
import sys, threading
from prometheus_client import CollectorRegistry, start_http_server
from trainwright_trainer.gpu_metrics import GpuCollector
from trainwright_trainer.nvml import open_nvml
registry = CollectorRegistry()
registry.register(GpuCollector(open_nvml().read_samples, int(sys.argv[1])))
start_http_server(int(sys.argv[2]), registry=registry)
threading.Event().wait()
"""


class PretendedGpus:
    """The pods, and the files that say what their devices do."""

    def __init__(self, place: Place, library: Path) -> None:
        self._place, self._library = place, library
        self._random = random.Random(7)  # noqa: S311 - nothing to guess
        self._traffic = [[0] * GPUS for _ in range(NUM_PODS)]

    def run(self, folder: Path, stopped: threading.Event) -> None:
        """Create the pods and change their devices until `stopped`."""
        tick = 0
        self._write(folder, tick)
        self._place.apply(*(self._build_pod(index, folder) for index in range(NUM_PODS)))
        while not stopped.wait(TICK_SECONDS):
            tick += 1
            self._write(folder, tick)

    def _write(self, folder: Path, tick: int) -> None:
        for pod in range(NUM_PODS):
            lines = [
                line
                for gpu in range(GPUS)
                for line in self._describe_device(pod, gpu, tick, is_hot=(pod, gpu) == (1, HOT))
            ]
            state = folder / f"state-{pod}"
            state.mkdir(exist_ok=True)
            part = state / "state.part"
            part.write_text("\n".join(lines) + "\n")
            part.rename(state / "state")

    def _describe_device(self, pod: int, gpu: int, tick: int, *, is_hot: bool) -> list[str]:
        use = self._random.randint(55, 70) if is_hot else self._random.randint(88, 97)
        self._traffic[pod][gpu] += use * 3_000_000
        values = {
            "util": use,
            "memory_used": (58 + gpu % 3) << 30,
            "power": use * 7000,
            "temperature": 88 if is_hot else 58 + gpu + self._random.randint(-1, 1),
            "sm_clock": 1200 if is_hot else 1900 + self._random.randint(-15, 15),
            "throttle": HW_THERMAL if is_hot and tick % 40 > 10 else 0,
            "pcie_rx": use * 90_000,
            "pcie_tx": use * 40_000,
            "nvlink_rx": self._traffic[pod][gpu],
            "nvlink_tx": self._traffic[pod][gpu],
            "ecc_corrected": tick // 50 if gpu == FAULTY else 0,
            "pcie_replays": tick // 45 if gpu == HOT else 0,
            "nvlink_errors": tick // 30 if gpu == FAULTY else 0,
        }
        lines = [f"{key} {gpu} {value}" for key, value in values.items()]
        return [*lines, f"xid {gpu} 31"] if gpu == FAULTY and tick > XID_TICK else lines

    def _build_pod(self, index: int, folder: Path) -> dict[str, Any]:
        arguments = [_EXPORTER, str(index * GPUS), str(names.TRAINER_PORT)]
        mounts = {"library": str(self._library.parent), "state": str(folder / f"state-{index}")}
        return {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {
                "name": f"{RUN}-1-worker-{index}",
                "labels": {names.LABEL_RUN: RUN, names.LABEL_KIND: names.TRAINING_RUN},
            },
            "spec": {
                "restartPolicy": "Never",
                "terminationGracePeriodSeconds": 0,
                "containers": [
                    {
                        "name": names.TRAINER_CONTAINER,
                        "image": build_archive("trainer-code").reference,
                        "command": ["/opt/venv/bin/python", "-c", *arguments],
                        "env": [
                            {"name": "LD_LIBRARY_PATH", "value": "/mnt/library"},
                            {"name": "FAKE_NVML_STATE", "value": "/mnt/state/state"},
                        ],
                        "ports": [
                            {
                                "name": names.TRAINER_PORT_NAME,
                                "containerPort": names.TRAINER_PORT,
                            }
                        ],
                        "volumeMounts": [
                            {"name": name, "mountPath": f"/mnt/{name}", "readOnly": True}
                            for name in mounts
                        ],
                    }
                ],
                "volumes": [
                    {"name": name, "hostPath": {"path": path}} for name, path in mounts.items()
                ],
            },
        }
