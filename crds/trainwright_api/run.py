"""The resolved run: what the operator hands to the trainer as one JSON file.

TrainingRun and FineTuneJob converge here. Every default is filled in. An `Auto` that needs the base
model's config, which only the pod can read, stays None and the trainer decides it with the same
planner, then reports the plan. `trainwright_api.resolve` makes a Run from a resource.
"""

from enum import StrEnum
from typing import Any

from pydantic import Field

from trainwright_api.base import Model
from trainwright_api.data import (
    Location,
    Packing,
    RecordFormat,
    TextFormat,
    TrainedTokenizer,
    Validation,
)
from trainwright_api.resources import Adapter, SFTLoss
from trainwright_api.tracking import Tracking
from trainwright_api.training import (
    ActivationCheckpointing,
    Budget,
    OffloadDevice,
    Optimizer,
    Precision,
    Schedule,
)


class RunObjective(StrEnum):
    """Objectives that the trainer has, one file each."""

    CAUSAL_LM = "CausalLM"
    SFT = "SFT"


class RunModel(Model):
    """A new model by architecture and config, or weights at a location; exactly one is set."""

    architecture: str | None = None
    config: dict[str, Any] = Field(default_factory=dict)
    weights: Location | None = None
    gguf_file: str | None = None


class RunTokenizer(Model):
    """Where the tokenizer comes from; with neither, it is the weights' own."""

    location: Location | None = None
    train: TrainedTokenizer | None = None


class RunSource(Location):
    """One source; `format` is a TextFormat for CausalLM and a RecordFormat for SFT."""

    format: TextFormat | RecordFormat
    field: str
    weight: float


class RunData(Model):
    """What is read and how it fills sequences."""

    sources: list[RunSource]
    sequence_length: int
    packing: Packing
    chat_template: str | None = None
    validation: Validation | None = None


class RunBatch(Model):
    """Sizes of the batch; micro_sequences None means: decide in the pod."""

    global_sequences: int
    micro_sequences: int | None


class RunParallelism(Model):
    """ZeRO stage (None means: decide in the pod) and offload."""

    zero_stage: int | None
    offload_optimizer: OffloadDevice
    offload_parameters: OffloadDevice


class RunWorkers(Model):
    """The group of processes."""

    nodes: int
    processes_per_node: int
    uses_accelerators: bool
    device_memory_gib: float | None = Field(None, alias="deviceMemoryGiB")


class RunCheckpoints(Model):
    """Where and when; `folder` is the run's own folder `<store>/<namespace>/<name>`."""

    folder: Location
    every_steps: int | None
    every_minutes: float | None
    keep_last: int
    keep_best: int
    resume_from: Location | None = None  # another run's folder, or one step-N folder of it
    resume_from_step: int | None = None


class RunOutput(Model):
    """Where the finished model goes, and what it is asked to complete."""

    uri: str
    merge: bool
    sample_prompts: list[str]
    sample_tokens: int


class Run(Model):
    """Everything the trainer needs to know, the same on every node."""

    kind: str
    namespace: str
    name: str
    uid: str
    attempt: int
    objective: RunObjective
    sft_loss: SFTLoss | None = None
    model: RunModel
    tokenizer: RunTokenizer
    adapter: Adapter
    data: RunData
    budget: Budget
    batch: RunBatch
    optimizer: Optimizer
    schedule: Schedule
    precision: Precision
    parallelism: RunParallelism
    activation_checkpointing: ActivationCheckpointing
    workers: RunWorkers
    checkpoints: RunCheckpoints
    output: RunOutput
    tracking: Tracking = Field(default_factory=Tracking)  # with every default filled in
    seed: int

    @property
    def world_size(self) -> int:
        """Processes in all."""
        return self.workers.nodes * self.workers.processes_per_node
