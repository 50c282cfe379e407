"""Fifty trainers that answer the sweep: `python -m tests.bench.reporters PORT COUNT`.

A process of its own, so that its work is not counted as the operator's. Each listens on an address of
its own of this machine, as pods do, and has something new to say every time, with a plan, ten
checkpoints and warnings: what a live run's report holds.
"""

import json
import sys
from http.server import ThreadingHTTPServer
from threading import Event, Thread
from typing import Any

from trainwright_api.pod_server import PodHandler


def address_of(index: int) -> str:
    """The loopback address of a reporter."""
    return f"127.0.1.{index + 1}"


def build_report(sequence: int) -> dict[str, Any]:
    """A report of full size."""
    text = "a reason of some length that a person reads in the plan of the run"
    checkpoint = {"uri": "s3://checkpoints/team/run/step-000100/", "sizeBytes": 10**9}
    checkpoint |= {"savedAt": "2026-01-01T12:00:00Z", "verified": True, "loss": 2.5}
    plan = {"zeroStage": 1, "microSequences": 1, "accumulationSteps": 1, "numDevices": 16}
    plan |= {"activationCheckpointing": "None", "parameters": 10**8, "trainableParameters": 10**8}
    plan |= {"memory": [{"name": "parameters", "giB": 1.5, "reason": text}] * 6}
    plan |= {"memoryGiB": 9, "flopsPerToken": 6e8, "totalSteps": 1000}
    plan |= {"decisions": [{"field": "zeroStage", "value": "1", "reason": text}] * 8}
    return {
        "attempt": 1,
        "sequence": sequence,
        "plan": plan,
        "progress": {"step": sequence, "totalSteps": 10**6, "loss": 2.5, "activity": "train"},
        "hardware": {"device": "H100", "accelerators": 16, "utilizationPercent": 93.5},
        "checkpoints": [checkpoint | {"step": step} for step in range(10)],
        "stepSeconds": {"data": 0.1, "forward": 0.5, "total": 1.0},
        "warnings": [text] * 5,
    }


class Reporter(PodHandler):
    """Answers as the trainer's own server does."""

    sequence = 0

    def handle_get(self) -> None:
        Reporter.sequence += 1
        body = json.dumps(build_report(Reporter.sequence)).encode()
        self.answer(200, "application/json", body)


def main(port: int, count: int) -> None:
    """Serve until ended."""
    for index in range(count):
        server = ThreadingHTTPServer((address_of(index), port), Reporter)
        Thread(target=server.serve_forever, daemon=True).start()
    print("ready", flush=True)
    Event().wait()


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
