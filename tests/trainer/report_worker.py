"""A reporter that has said all it can say: `python -m tests.trainer.report_worker`.

Prints what /metrics and /status then hold, as JSON. Run by test_report.py with a fake management
library in its environment.
"""

import http.client
import json
import time

from trainwright_api import metrics as m
from trainwright_api.run import Run, RunWorkers
from trainwright_api.status import CheckpointRecord, Hardware, Plan, Progress
from trainwright_trainer.gpu_metrics import MAXIMUM_XIDS
from trainwright_trainer.heartbeats import Heartbeats
from trainwright_trainer.pod_hardware import PATH, PodHardware
from trainwright_trainer.report import Reporter, now_text
from trainwright_trainer.settings import Settings, read_settings

from tests.trainer.ranks import HANG_SECONDS
from tests.trainer.run_builder import build_run

RANKS = 8
XIDS = RANKS * (MAXIMUM_XIDS + 1)  # series: each device has had more codes than it shows
OTHER_POD = Hardware(
    device="Fake GPU 80GB",
    accelerators=16,
    utilization_percent=60,
    power_watts=1000,
    worst_rank=12,
    worst_utilization_percent=5,
)


def main() -> None:
    """Report, be told of another pod's devices, and print."""
    workers = RunWorkers(nodes=2, processes_per_node=RANKS, uses_accelerators=True)
    run = build_run().model_copy(update={"workers": workers})
    settings = read_settings()
    reporter = Reporter(run, settings)
    reporter.start()
    say_all(reporter, settings)
    answers = [post(settings, body) for body in (message(run, 1), message(run, 7), "{", "[]")]
    answers.append(post(settings, message(run.model_copy(update={"attempt": 2}), 1)))
    wait_for_devices(reporter)
    text = get(settings, "/metrics")
    print(json.dumps({"text": text, "status": get(settings, "/status"), "answers": answers}))


def say_all(reporter: Reporter, settings: Settings) -> None:
    """Set every metric that a training run sets, for every rank and part."""
    plan = {"zeroStage": 1, "microSequences": 1, "accumulationSteps": 1, "numDevices": 16}
    plan |= {"activationCheckpointing": "None", "parameters": 1, "trainableParameters": 1}
    reporter.set_plan(Plan.model_validate(plan | {"memoryGiB": 1, "flopsPerToken": 6}))
    reporter.set_peak(1e12, "data sheet of Fake")
    progress = Progress(step=1, total_steps=9, loss=2, learning_rate=1e-3, gradient_norm=1)
    for _ in range(2):
        reporter.finish_step(progress, 1000)
    reporter.finish_parts(dict.fromkeys(m.STEP_PARTS, 0.1))
    reporter.finish_validation(2.0)
    record = {"step": 1, "uri": "s3://x/", "sizeBytes": 1, "savedAt": now_text(), "verified": True}
    reporter.set_checkpoints([CheckpointRecord.model_validate(record)], None, num_failed=0)
    for part in ("stall", "save"):
        reporter.metrics.of(m.CHECKPOINT_SECONDS, part=part).observe(1)
    gauges = (m.LOSS_SCALE, m.TRAINED_TOKEN_RATIO, m.PACKING_UTILIZATION, m.CPU_UTILIZATION)
    for gauge in gauges:
        reporter.metrics.of(gauge).set(1)
    for tracker in ("tensorboard", "mlflow", "wandb"):
        reporter.metrics.of(m.TRACKER_DROPPED_POINTS, tracker=tracker).inc()
    for rank in range(RANKS):
        heartbeats = Heartbeats(settings.scratch_folder, rank)
        heartbeats.beat()
        heartbeats.tell_memory(dict.fromkeys(m.MEMORY_STATES, 1000 + rank))


def message(run: Run, node_rank: int) -> str:
    """What a pod of the run sends."""
    told = PodHardware(attempt=run.attempt, node_rank=node_rank, hardware=OTHER_POD)
    return told.model_dump_json(by_alias=True)


def post(settings: Settings, body: str) -> int:
    """The code by which the reporter answers a message."""
    connection = http.client.HTTPConnection("127.0.0.1", settings.port, timeout=HANG_SECONDS)
    connection.request("POST", PATH, body)
    return connection.getresponse().status


def get(settings: Settings, path: str) -> str:
    """A page of the reporter."""
    connection = http.client.HTTPConnection("127.0.0.1", settings.port, timeout=HANG_SECONDS)
    connection.request("GET", path)
    return connection.getresponse().read().decode()


def wait_for_devices(reporter: Reporter) -> None:
    """Wait until the devices were sampled and all Xids are known."""
    deadline = time.monotonic() + HANG_SECONDS
    while reporter.report.hardware is None:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    while reporter.render_metrics().count(b'xid="') < XIDS:
        assert time.monotonic() < deadline
        time.sleep(0.05)


if __name__ == "__main__":
    main()
