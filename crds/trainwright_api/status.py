"""What a run's status holds: phase, conditions, plan, progress, hardware, checkpoints, attempts.

Written by the operator only; the parts that come from the trainer (progress, hardware, checkpoints,
plan) are the same models that the trainer serves on /status.
"""

from pydantic import Field

from trainwright_api.base import Model
from trainwright_api.names import Cause, Phase


class ConditionStatus(Model):
    """One condition, as in metav1.Condition."""

    type: str = Field(
        description="Accepted, Running, Suspended, CheckpointReady, Underutilized, Complete or Failed."
    )
    status: str = Field(description="True, False or Unknown.")
    reason: str = Field(description="Reason in CamelCase.")
    message: str = Field("", description="What a person should know.")
    last_transition_time: str = Field(description="When the status last changed (RFC 3339).")
    observed_generation: int | None = Field(
        None, description="Generation of the spec that this speaks of (unit: none, a number)."
    )


class MemoryTerm(Model):
    """One term of the memory plan."""

    name: str = Field(
        description="parameters, gradients, optimizer, activations, logits or buffers."
    )
    gib: float = Field(alias="giB", description="Size per device (unit: GiB).")
    reason: str = Field(description="How the size comes about.")


class PlanDecision(Model):
    """One derived setting and why."""

    field: str = Field(description="What was decided, such as zeroStage.")
    value: str = Field(description="The value.")
    reason: str = Field(description="Why.")


class Plan(Model):
    """What was decided before training, and why."""

    zero_stage: int = Field(description="ZeRO stage (unit: none, 0 to 3).")
    micro_sequences: int = Field(
        description="Sequences per forward pass and device (unit: sequences)."
    )
    accumulation_steps: int = Field(
        description="Forward passes per optimizer step and device (unit: passes)."
    )
    activation_checkpointing: str = Field(description="None or Full.")
    num_devices: int = Field(description="Devices, one a process, in all (unit: devices).")
    total_steps: int | None = Field(
        None, description="Optimizer steps; known once the data is, for epochs (unit: steps)."
    )
    total_tokens: int | None = Field(
        None, description="Input tokens of the whole run (unit: tokens)."
    )
    parameters: int = Field(description="Parameters of the model (unit: parameters).")
    trainable_parameters: int = Field(description="Parameters that are trained (unit: parameters).")
    memory: list[MemoryTerm] = Field(default_factory=list, description="Memory per device by term.")
    memory_gib: float = Field(
        alias="memoryGiB", description="Memory per device in all (unit: GiB)."
    )
    capacity_gib: float | None = Field(
        None, alias="capacityGiB", description="Memory that a device has (unit: GiB)."
    )
    fits: bool | None = Field(
        None, description="Whether the plan fits the memory; unknown without a capacity."
    )
    flops_per_token: float = Field(
        description="Work to train on one input token (unit: floating point operations)."
    )
    decisions: list[PlanDecision] = Field(
        default_factory=list, description="Derived settings with reasons."
    )


class Progress(Model):
    """Where training stands. The `*_text` fields are for kubectl: `printable.printable_progress` fills them."""

    step: int = Field(0, description="Optimizer steps done (unit: steps).")
    total_steps: int = Field(
        0, description="Optimizer steps in all; 0 while it is not known (unit: steps)."
    )
    tokens: int = Field(0, description="Input tokens seen (unit: tokens).")
    samples: int = Field(0, description="Sequences consumed (unit: sequences).")
    epoch: float = Field(0, description="Passes over the data (unit: epochs).")
    loss: float | None = Field(
        None, description="Mean loss per trained token of the last step (unit: nats)."
    )
    first_loss: float | None = Field(None, description="Loss of the first step (unit: nats).")
    validation_loss: float | None = Field(None, description="Last validation loss (unit: nats).")
    learning_rate: float | None = Field(
        None, description="Learning rate of the last step (unit: none, a factor)."
    )
    gradient_norm: float | None = Field(
        None, description="Global norm of the gradient before clipping (unit: none, a norm)."
    )
    tokens_per_second: float | None = Field(
        None, description="Input tokens per second, recent average (unit: tokens/s)."
    )
    mfu: float | None = Field(
        None, description="Model FLOPs utilisation of the assumed peak (0 to 1)."
    )
    percent: float = Field(0, description="Share of the steps done (unit: percent).")
    eta: str | None = Field(None, description="When training will end (RFC 3339).")
    eta_seconds: float | None = Field(None, description="Remaining time (unit: seconds).")
    activity: str | None = Field(
        None, description="What the trainer does: preflight, build, train, export."
    )
    updated_at: str | None = Field(None, description="When this was measured (RFC 3339).")
    step_text: str | None = Field(
        None,
        description="step/totalSteps for kubectl, such as 120/400.",
    )
    loss_text: str | None = Field(None, description="Loss with four digits for kubectl.")
    tokens_per_second_text: str | None = Field(
        None,
        description="tokensPerSecond in whole numbers for kubectl.",
    )
    mfu_text: str | None = Field(None, description="mfu in percent for kubectl, such as 41.2%.")
    eta_text: str | None = Field(None, description="Time left for kubectl, such as 3m20s.")


class Hardware(Model):
    """What the devices of a run do. `summary` is filled by `printable.printable_hardware`."""

    device: str = Field(
        description="Kind of device, such as NVIDIA H100 80GB HBM3, or CPU (4 cores): those of rank 0's pod."
    )
    accelerators: int = Field(
        description="Devices in all; in CPU training, processes (unit: devices)."
    )
    utilization_percent: float | None = Field(
        None, description="Mean utilisation of the last minute over all devices (unit: percent)."
    )
    memory_used_gib: float | None = Field(
        None,
        alias="memoryUsedGiB",
        description="Largest use of a device, or of a pod in CPU training (unit: GiB).",
    )
    memory_total_gib: float | None = Field(
        None,
        alias="memoryTotalGiB",
        description="Memory of a device, or of a pod in CPU training (unit: GiB).",
    )
    power_watts: float | None = Field(
        None, description="Power of the devices of all pods (unit: watts)."
    )
    temperature_celsius: float | None = Field(
        None, description="Hottest device (unit: degrees Celsius)."
    )
    worst_rank: int | None = Field(
        None, description="Rank with the lowest utilisation (unit: none, a number)."
    )
    worst_utilization_percent: float | None = Field(
        None, description="Mean utilisation of that rank's device (unit: percent)."
    )
    summary: str | None = Field(
        None,
        description="One line for kubectl, such as 16x H100 93%.",
    )

    @property
    def untold_worst_rank(self) -> int | None:
        """The worst rank where the summary does not name it: without its utilisation, and without a summary."""
        is_told = self.summary is not None and self.worst_utilization_percent is not None
        return None if is_told else self.worst_rank


class CheckpointRecord(Model):
    """One checkpoint in the store."""

    step: int = Field(description="Optimizer step (unit: steps).")
    uri: str = Field(description="Folder of the checkpoint.")
    size_bytes: int = Field(description="Size of all files (unit: bytes).")
    saved_at: str = Field(description="When its manifest was written (RFC 3339).")
    verified: bool = Field(description="Whether sizes and checksums of its files were checked.")
    loss: float | None = Field(None, description="Training loss at that step (unit: nats).")
    validation_loss: float | None = Field(
        None, description="Last validation loss at that step (unit: nats)."
    )
    save_seconds: float | None = Field(
        None, description="Time from snapshot to manifest (unit: seconds)."
    )
    stall_seconds: float | None = Field(
        None, description="Time that training stood still (unit: seconds)."
    )


class CheckpointsStatus(Model):
    """The run's checkpoints."""

    latest: CheckpointRecord | None = Field(None, description="Newest checkpoint.")
    best: CheckpointRecord | None = Field(None, description="Lowest validation loss.")
    items: list[CheckpointRecord] = Field(
        default_factory=list, max_length=10, description="The ten newest checkpoints, newest first."
    )


class Attempt(Model):
    """One group of pods from start to end."""

    number: int = Field(description="1 for the first (unit: none, a number).")
    job: str = Field(description="Name of its PyTorchJob.")
    started_at: str = Field(description="When its job was created (RFC 3339).")
    ended_at: str | None = Field(None, description="When it ended (RFC 3339).")
    outcome: str | None = Field(None, description="Succeeded, Failed, Suspended or Deadline.")
    cause: Cause | None = Field(None, description="Why it failed; only with outcome Failed.")
    pod: str | None = Field(None, description="Pod that fell first.")
    node: str | None = Field(None, description="Node of that pod.")
    rank: int | None = Field(None, description="Rank that fell first (unit: none, a number).")
    exit_code: int | None = Field(
        None,
        description="Exit code of that pod's container: 1 failed, 2 user error, 143 stopped on request, 137 killed; others are "
        "its own (unit: none, a number).",
    )
    message: str | None = Field(None, max_length=2048, description="What it said.")
    checkpoint_step: int | None = Field(
        None, description="Newest checkpoint that was known when it began (unit: steps)."
    )
    resumed_from_step: int | None = Field(
        None, description="Checkpoint that it started from (unit: steps)."
    )
    last_step: int | None = Field(None, description="Last step that it reported (unit: steps).")
    steps_lost: int | None = Field(
        None, description="Work done again because of this end (unit: steps)."
    )


class GeneratedSample(Model):
    """What the model makes of a prompt before and after training."""

    prompt: str = Field(description="The prompt.", max_length=1024)
    before: str | None = Field(
        None, max_length=2048, description="Completion before the first step."
    )
    after: str | None = Field(
        None, max_length=2048, description="Completion of the finished model."
    )


class Cost(Model):
    """What a run has held so far, over all its attempts, and what that costs.

    `summary` is filled by `printable.printable_cost`.
    """

    held_seconds: int = Field(
        0,
        description="Time in which attempts held pods, restarts and failed attempts included; while they held a "
        "part of their pods, that part of the time (unit: seconds).",
    )
    held_pods: int | None = Field(
        None,
        description="Pods that have a node while others of the run find none (unit: pods); left out "
        "otherwise.",
    )
    accelerator_hours: float = Field(
        0, description="Accelerators times that time (unit: hours); 0 without accelerators."
    )
    usd_per_hour: float | None = Field(
        None,
        alias="usdPerHour",
        description="Price of the run's pods by the operator's price table (unit: USD per hour).",
    )
    so_far_usd: float | None = Field(
        None, alias="soFarUSD", description="Cost so far, at that price (unit: USD)."
    )
    projected_usd: float | None = Field(
        None,
        alias="projectedUSD",
        description="Cost at the end of the run, if it goes on as fast (unit: USD).",
    )
    counted_until: str | None = Field(None, description="Until when heldSeconds counts (RFC 3339).")
    summary: str | None = Field(None, description="One line for people, such as $3.20 of $12.80.")


class ModelStatus(Model):
    """The finished model."""

    uri: str = Field(description="Folder that transformers (or peft) loads.")
    adapter_uri: str | None = Field(None, description="Folder of the adapter, if merged into uri.")
    size_bytes: int | None = Field(None, description="Size of all files (unit: bytes).")
    samples: list[GeneratedSample] = Field(
        default_factory=list, max_length=4, description="Completions of output.samplePrompts."
    )


class SourceStatus(Model):
    """Where another run's checkpoints and model are that this run starts from, as of its first attempt."""

    kind: str = Field(description="TrainingRun or FineTuneJob.")
    name: str = Field(description="Name of that run.")
    folder: str = Field(description="Folder of its checkpoints.")
    model: str | None = Field(
        None, description="Folder of its finished model, if this run needs that."
    )
    endpoint: str | None = Field(None, description="Endpoint of the store of both.")
    region: str | None = Field(None, description="Region of its bucket.")
    credentials_secret: str | None = Field(None, description="Secret with which it is opened.")


class RunStatus(Model):
    """What is known of a run."""

    phase: Phase = Field(Phase.PENDING, description="Summary of the conditions.")
    reason: str | None = Field(None, description="Why it is in this phase, in CamelCase.")
    message: str | None = Field(None, description="Why it is in this phase, for people.")
    observed_generation: int | None = Field(
        None, description="Generation of the spec that was last acted on (unit: none, a number)."
    )
    conditions: list[ConditionStatus] = Field(
        default_factory=list, max_length=16, description="Conditions by type."
    )
    plan: Plan | None = Field(None, description="What was decided, and why.")
    progress: Progress | None = Field(None, description="Where training stands.")
    hardware: Hardware | None = Field(None, description="What the devices do.")
    cost: Cost | None = Field(None, description="What the run has held and costs.")
    checkpoints: CheckpointsStatus | None = Field(None, description="The run's checkpoints.")
    attempts: list[Attempt] = Field(
        default_factory=list, max_length=10, description="The ten newest attempts, newest last."
    )
    sources: list[SourceStatus] = Field(
        default_factory=list,
        max_length=4,
        description="Other runs that this one starts from; later attempts need these runs no more.",
    )
    warnings: list[str] = Field(
        default_factory=list,
        max_length=10,
        description="The last ten things that the trainer warned of, such as a checkpoint that does not verify, newest "
        "last.",
    )
    attempt: int = Field(0, description="Current or last attempt (unit: none, a number).")
    failures: dict[str, int] = Field(
        default_factory=dict,
        description="Failures by cause since the last attempt that saved a checkpoint.",
    )
    next_attempt_at: str | None = Field(
        None, description="When the next attempt starts (RFC 3339)."
    )
    started_at: str | None = Field(None, description="When the first attempt started (RFC 3339).")
    summary: list[str] = Field(
        default_factory=list,
        max_length=24,
        description="All of it in a few lines for people, the last of what kubectl describe prints.",
    )
    finished_at: str | None = Field(None, description="When the run ended (RFC 3339).")
    model: ModelStatus | None = Field(None, description="The finished model.")
    dashboard_url: str | None = Field(
        None, description="The run's dashboard in Grafana, if the operator knows where Grafana is."
    )
