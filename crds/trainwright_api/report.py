"""What the trainer tells the operator: the /status document, the termination message, manifests.

The operator treats all of it as untrusted input: it parses with these models and bounds every text.
"""

from pydantic import Field

from trainwright_api.base import Model
from trainwright_api.names import Cause, Outcome
from trainwright_api.status import CheckpointRecord, Hardware, ModelStatus, Plan, Progress

TERMINATION_MESSAGE_LIMIT_BYTES = 4096  # the kubelet cuts longer messages
# Raised only when fields come to mean something else: older readers leave out new ones.
MANIFEST_FORMAT = 1


class RunReport(Model):
    """Served by rank 0 on GET /status; `sequence` grows with each change, so a reader can skip."""

    attempt: int
    sequence: int
    plan: Plan | None = None
    progress: Progress = Field(default_factory=Progress)
    hardware: Hardware | None = None
    checkpoints: list[CheckpointRecord] = Field(default_factory=list)
    best_checkpoint: CheckpointRecord | None = None
    resumed_from_step: int | None = None
    step_seconds: dict[str, float] = Field(default_factory=dict)
    """Recent mean seconds of a step on rank 0 by part (`metrics.STEP_PARTS`)."""
    model: ModelStatus | None = None
    warnings: list[str] = Field(default_factory=list)


class TerminationMessage(Model):
    """Written to the container's termination log by the launcher, as JSON, on every end."""

    outcome: Outcome
    cause: Cause | None = None
    message: str = ""
    step: int | None = None
    checkpoint: CheckpointRecord | None = None
    # Steps of all checkpoints that are left in the store; None where the rank did not look.
    checkpoint_steps: list[int] | None = None
    rank: int | None = None
    node: str | None = None
    exit_code: int | None = None
    signal: str | None = None
    resumed_from_step: int | None = None
    progress: Progress | None = None
    model: ModelStatus | None = None


class ManifestFile(Model):
    """One file of a checkpoint; `sha256` is of its whole content."""

    path: str
    size_bytes: int
    sha256: str


class ManifestFormat(Model):
    """What a manifest of any version says, whatever else has changed."""

    format: int = MANIFEST_FORMAT


class Manifest(ManifestFormat):
    """manifest.json of a checkpoint, written last: without it, there is no checkpoint."""

    run: str
    namespace: str
    uid: str
    attempt: int
    step: int
    samples: int
    tokens: int
    epoch: float
    world_size: int
    zero_stage: int
    precision: str
    saved_at: str
    loss: float | None = None
    validation_loss: float | None = None
    template_sha256: str | None = None
    data_sha256: str | None = None
    base_sha256: str | None = None
    """Of the weights that the checkpoint leaves out, as they are not trained: those under an adapter."""
    versions: dict[str, str] = Field(default_factory=dict)
    plan: Plan | None = None
    files: list[ManifestFile]


def parse_manifest(content: bytes) -> Manifest:
    """Return a manifest, also one of a newer trainer that says more. Raises ValidationError if damaged."""
    return Manifest.model_validate_json(content, extra="ignore")
