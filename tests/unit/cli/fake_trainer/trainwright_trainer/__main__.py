"""Counts steps instead of training; what it does at the end is in the run's name."""

import json
import os
import signal
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from trainwright_api.quantities import parse_count

STEP_SECONDS = float(os.environ.get("STEP_SECONDS", "0.01"))
run = json.loads(Path(sys.argv[sys.argv.index("--run") + 1]).read_text())
folder = Path(urlsplit(run["checkpoints"]["folder"]["uri"]).path)
per_step = run["batch"]["globalSequences"] * run["data"]["sequenceLength"]
total = run["budget"]["steps"] or -(-parse_count(run["budget"]["tokens"]) // per_step)
stop = threading.Event()
signal.signal(signal.SIGTERM, lambda *_: stop.set())


def checkpoint(step: int) -> dict[str, Any]:
    target = folder / f"step-{step:06d}"
    target.mkdir(parents=True, exist_ok=True)
    return {
        "step": step,
        "uri": target.as_uri() + "/",
        "sizeBytes": 10,
        "savedAt": "2026-01-02T03:04:05+00:00",
        "verified": True,
        "loss": 1.0,
    }


def progress(step: int) -> dict[str, Any]:
    percent = 100 * step / total
    return {"step": step, "totalSteps": total, "loss": 5 - step / total, "percent": percent}


saved = sorted(int(path.name.removeprefix("step-")) for path in folder.glob("step-*"))
resumed = saved[-1] if saved else None
state: dict[str, Any] = {"step": resumed or 0, "checkpoints": []}


class Status(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        report = {
            "attempt": run["attempt"],
            "sequence": state["step"],
            "progress": progress(state["step"]),
            "checkpoints": state["checkpoints"],
            "resumedFromStep": resumed,
        }
        content = json.dumps(report).encode()
        self.send_response(200)
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *arguments: Any) -> None:
        pass


def end(outcome: str, code: int, **more: Any) -> None:
    message = {"outcome": outcome, "progress": progress(state["step"])} | more
    Path(os.environ["TRAINWRIGHT_TERMINATION_FILE"]).write_text(json.dumps(message))
    sys.exit(code)


server = ThreadingHTTPServer(("127.0.0.1", int(os.environ["TRAINWRIGHT_PORT"])), Status)
threading.Thread(target=server.serve_forever, daemon=True).start()
print(f"training {run['name']}, PET_NPROC_PER_NODE={os.environ['PET_NPROC_PER_NODE']}", flush=True)
print(os.environ.get("GREETING", ""), flush=True)
if run["name"] == "crashes":
    print("Segmentation fault, so to say", flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
if run["name"] == "fails":
    end("Failed", 1, cause="UserError", message="spec.data.sources[0].uri: got nothing; mend it")
while state["step"] < total and not (stop.is_set() and run["name"] != "stubborn"):
    time.sleep(STEP_SECONDS)
    state["step"] += 1
    if state["step"] % (run["checkpoints"]["everySteps"] or 1000) == 0:
        state["checkpoints"] = [checkpoint(state["step"]), *state["checkpoints"]]
if state["step"] < total:
    checkpoint(state["step"])
    end(
        "Interrupted", 143, message=f"stopped on request after step {state['step']}, which is saved"
    )
time.sleep(0.3)  # so that the last report is seen
end(
    "Succeeded",
    0,
    model={
        "uri": f"{folder.as_uri()}/model/",
        "samples": [{"prompt": "a", "before": "x", "after": "b"}],
    },
)
