"""Every metric of the trainer and the operator, declared once: name, type, help, labels.

The trainer and the operator create their metrics from these declarations, the dashboards and alerts
spell queries with them, the reference lists them. Adding a metric is one line here, one line where
it is set (an objective returns its own from `measure`), and one panel. Names follow Prometheus'
conventions: base units, `_total` for counters.

Labels of a run (`namespace`, `run`, `kind`) are not on the series themselves but come from the pod's
labels when it is scraped (PodMonitor relabelling) and from `trainwright_run_info`; so the number of
series of a pod does not depend on how many runs a cluster has.
"""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric; `name` is as Prometheus stores it, with `_total` for counters."""

    name: str
    type: Literal["counter", "gauge", "histogram"]
    help: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()


_SECONDS = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)

# Trainer: training
LOSS = Metric("trainwright_loss", "gauge", "Mean loss per trained token of the last step (nats).")
VALIDATION_LOSS = Metric(
    "trainwright_validation_loss", "gauge", "Last validation loss per trained token (nats)."
)
LEARNING_RATE = Metric("trainwright_learning_rate", "gauge", "Learning rate of the last step.")
GRADIENT_NORM = Metric(
    "trainwright_gradient_norm", "gauge", "Global norm of the gradient before clipping."
)
STEP = Metric("trainwright_step", "gauge", "Optimizer steps done.")
TOTAL_STEPS = Metric("trainwright_steps_planned", "gauge", "Optimizer steps of the whole run.")
TOKENS = Metric("trainwright_tokens_total", "counter", "Input tokens seen by all workers.")
SAMPLES = Metric("trainwright_samples_total", "counter", "Sequences consumed by all workers.")
STEP_SECONDS = Metric(
    "trainwright_step_seconds",
    "histogram",
    "Seconds of an optimizer step by part, on GPUs by the device's clock; communication is the wait for"
    " other ranks between the parts, the reduction of gradients counts to the part that it overlaps.",
    ("part",),
    (0.01, 0.05, 0.1, 0.25, 0.5, 1, 5, 30),  # few: each is a series for each part
)
STEP_PARTS = (
    "data",
    "forward",
    "backward",
    "optimizer",
    "communication",
    "validation",
    "checkpoint",
    "total",
)
TOKENS_PER_SECOND = Metric(
    "trainwright_tokens_per_second", "gauge", "Input tokens per second over all workers, recent."
)
MFU = Metric(
    "trainwright_mfu_ratio",
    "gauge",
    "Model FLOPs utilisation: achieved over assumed peak (0 to 1); of logits, those of trained tokens count.",
)
PEAK_FLOPS = Metric(
    "trainwright_peak_flops_per_second",
    "gauge",
    "Peak that mfu assumes, of one device; the label says where the figure comes from.",
    ("source",),
)
SKIPPED_STEPS = Metric(
    "trainwright_skipped_steps_total", "counter", "Steps skipped because gradients overflowed."
)
LOSS_SCALE = Metric("trainwright_loss_scale", "gauge", "Loss scale of FP16; 1 otherwise.")
TRAINED_TOKEN_RATIO = Metric(
    "trainwright_trained_token_ratio", "gauge", "Trained tokens over input tokens (0 to 1)."
)
PACKING_UTILIZATION = Metric(
    "trainwright_packing_utilization_ratio", "gauge", "Tokens that are not padding (0 to 1)."
)
HEARTBEAT_AGE = Metric(
    "trainwright_heartbeat_age_seconds",
    "gauge",
    "Seconds since the rank finished a step or a batch of a validation, or began to train.",
    ("rank",),
)

START_TIMESTAMP = Metric(
    "trainwright_start_timestamp_seconds", "gauge", "Unix time at which the pod's trainer started."
)

# Trainer: checkpoints
CHECKPOINT_STEP = Metric("trainwright_checkpoint_step", "gauge", "Step of the newest checkpoint.")
CHECKPOINT_TIMESTAMP = Metric(
    "trainwright_checkpoint_timestamp_seconds", "gauge", "Unix time of the newest checkpoint."
)
CHECKPOINT_SIZE = Metric(
    "trainwright_checkpoint_size_bytes", "gauge", "Size of the newest checkpoint."
)
CHECKPOINT_SECONDS = Metric(
    "trainwright_checkpoint_seconds",
    "histogram",
    "Seconds of a checkpoint: stall (training stood still) and save (snapshot to manifest).",
    ("part",),
    (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900),
)
CHECKPOINT_FAILURES = Metric(
    "trainwright_checkpoint_failures_total", "counter", "Checkpoints that could not be saved."
)

# Trainer: trackers of experiments
TRACKER_DROPPED_POINTS = Metric(
    "trainwright_tracker_dropped_points_total",
    "counter",
    "Points that a tracker (TensorBoard, MLflow, W&B) did not take in time.",
    ("tracker",),
)

# Trainer: process and host
MEMORY_BYTES = Metric(
    "trainwright_memory_bytes",
    "gauge",
    "Memory of a rank's device: allocated, reserved, peak (CPU training: allocated, of its process).",
    ("rank", "state"),
)
MEMORY_STATES = ("allocated", "reserved", "peak")
CPU_UTILIZATION = Metric(
    "trainwright_cpu_utilization_ratio", "gauge", "CPU use of the pod over its limit (0 to 1)."
)
HOST_MEMORY_BYTES = Metric(
    "trainwright_host_memory_bytes", "gauge", "Memory of the pod: used, limit.", ("state",)
)
RUN_INFO = Metric(
    "trainwright_run_info",
    "gauge",
    "Always 1; joins the metadata of a run to its other series.",
    ("run", "run_namespace", "kind", "attempt", "node", "objective", "precision", "zero_stage"),
)

# Trainer: GPUs (by NVML)
_GPU = ("gpu", "uuid", "rank")
GPU_INFO = Metric(
    "trainwright_gpu_info",
    "gauge",
    "Always 1; the device's metadata.",
    (*_GPU, "model", "driver", "mig"),
)
GPU_UTILIZATION = Metric(
    "trainwright_gpu_utilization_ratio", "gauge", "Time with a kernel running (0 to 1).", _GPU
)
GPU_MEMORY_USED = Metric(
    "trainwright_gpu_memory_used_bytes", "gauge", "Memory in use on the device.", _GPU
)
GPU_MEMORY_TOTAL = Metric(
    "trainwright_gpu_memory_total_bytes", "gauge", "Memory of the device.", _GPU
)
GPU_POWER = Metric("trainwright_gpu_power_watts", "gauge", "Power drawn.", _GPU)
GPU_TEMPERATURE = Metric(
    "trainwright_gpu_temperature_celsius", "gauge", "Temperature of the device.", _GPU
)
GPU_CLOCK = Metric(
    "trainwright_gpu_clock_hertz", "gauge", "Clock by domain: sm, memory.", (*_GPU, "domain")
)
GPU_THROTTLED = Metric(
    "trainwright_gpu_throttled",
    "gauge",
    "1 while the clock is held down, by reason.",
    (*_GPU, "reason"),
)
GPU_ECC_ERRORS = Metric(
    "trainwright_gpu_ecc_errors_total",
    "counter",
    "Memory errors by type: corrected, uncorrected.",
    (*_GPU, "type"),
)
GPU_XID_EVENTS = Metric(
    "trainwright_gpu_xid_events_total",
    "counter",
    "Xid events by code; of a device with many, the later ones together as other.",
    (*_GPU, "xid"),
)
GPU_PCIE_BYTES = Metric(
    "trainwright_gpu_pcie_bytes_per_second",
    "gauge",
    "PCIe throughput by direction: rx, tx.",
    (*_GPU, "direction"),
)
GPU_PCIE_REPLAYS = Metric(
    "trainwright_gpu_pcie_replays_total",
    "counter",
    "PCIe packets that were sent again because of an error.",
    _GPU,
)
GPU_NVLINK_BYTES = Metric(
    "trainwright_gpu_nvlink_bytes_total",
    "counter",
    "NVLink traffic of all links by direction: rx, tx.",
    (*_GPU, "direction"),
)
GPU_NVLINK_ERRORS = Metric(
    "trainwright_gpu_nvlink_errors_total",
    "counter",
    "NVLink CRC and replay errors of all links.",
    _GPU,
)

# Operator
RECONCILE_SECONDS = Metric(
    "trainwright_operator_reconcile_seconds",
    "histogram",
    "Seconds of a reconciliation by kind and outcome.",
    ("kind", "outcome"),
    _SECONDS,
)
QUEUE_DEPTH = Metric(
    "trainwright_operator_queue_depth", "gauge", "Keys waiting for a reconciliation."
)
QUEUE_AGE = Metric(
    "trainwright_operator_queue_age_seconds", "gauge", "Age of the oldest key that waits."
)
API_CALLS = Metric(
    "trainwright_operator_api_calls_total",
    "counter",
    "Calls of the API server by HTTP method and status, error without an answer; watches not counted.",
    ("verb", "code"),
)
RUNS = Metric(
    "trainwright_operator_runs",
    "gauge",
    "Runs by kind, namespace and phase.",
    ("kind", "run_namespace", "phase"),
)
RUN_ACCELERATORS = Metric(
    "trainwright_operator_run_accelerators",
    "gauge",
    "Accelerators that live attempts hold, by namespace and team.",
    ("run_namespace", "team"),
)
RUN_COST_PER_HOUR = Metric(
    "trainwright_operator_run_cost_usd_per_hour",
    "gauge",
    "Price of what live attempts hold, by namespace, team and the price table (USD per hour).",
    ("run_namespace", "team"),
)
WAITING_RUNS = Metric(
    "trainwright_operator_waiting_runs",
    "gauge",
    "Runs that cannot start, by what they wait for.",
    ("run_namespace", "reason"),
)
LONGEST_WAIT = Metric(
    "trainwright_operator_longest_wait_seconds",
    "gauge",
    "Time for which the run that has waited longest has, by what it waits for.",
    ("run_namespace", "reason"),
)
UNDERUTILIZED = Metric(
    "trainwright_operator_underutilized_run_ratio",
    "gauge",
    "Utilisation of the devices of a run while its condition Underutilized holds (0 to 1).",
    ("run_namespace", "run", "reason"),
)
SILENT_RUNS = Metric(
    "trainwright_operator_silent_runs",
    "gauge",
    "Runs whose master pod runs and has not answered the progress sweep for a minute.",
    ("run_namespace",),
)
ATTEMPTS = Metric(
    "trainwright_operator_attempts_total",
    "counter",
    "Attempts that ended, of the runs that exist, by outcome and cause.",
    ("run_namespace", "run", "outcome", "cause"),
)
EVENT_LOOP_LAG = Metric(
    "trainwright_operator_event_loop_lag_seconds",
    "gauge",
    "Delay of the event loop, maximum of the last minute.",
)
SWEEP_AGE = Metric(
    "trainwright_operator_sweep_age_seconds",
    "gauge",
    "Seconds since the last complete progress sweep.",
)
SWEEP_SECONDS = Metric(
    "trainwright_operator_sweep_seconds", "gauge", "Seconds that the last progress sweep took."
)
LEADER = Metric(
    "trainwright_operator_leader",
    "gauge",
    "1 once this operator acts, 0 while it takes in what there is.",
)
BUILD_INFO = Metric(
    "trainwright_operator_build_info", "gauge", "Always 1; version of the operator.", ("version",)
)

ALL: tuple[Metric, ...] = tuple(
    value for value in dict(globals()).values() if isinstance(value, Metric)
)
