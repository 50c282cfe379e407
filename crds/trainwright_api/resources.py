"""The two kinds that users write: TrainingRun and FineTuneJob."""

from enum import StrEnum
from typing import Any, ClassVar, Literal

from pydantic import Field

from trainwright_api.base import Model, Rule
from trainwright_api.checkpoints import Checkpoints, RunReference
from trainwright_api.data import FineTuningData, Location, Tokenizer, TrainingData
from trainwright_api.status import RunStatus
from trainwright_api.training import (
    ActivationCheckpointing,
    Batch,
    Budget,
    Optimizer,
    Parallelism,
    Precision,
    Schedule,
)
from trainwright_api.workers import Recovery, Workers


class Objective(StrEnum):
    """What a pretraining run learns."""

    CAUSAL_LM = "CausalLM"


class PretrainedModel(Model):
    """The model of a pretraining run: a new one by architecture and config, or weights to continue from."""

    RULES: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "[has(self.architecture), has(self.weights), has(self.run)].filter(x, x).size() == 1",
            "got none or several of architecture, weights and run, expected exactly one; architecture makes a new model, the others continue one",
        ),
    )

    architecture: str | None = Field(
        None,
        max_length=64,
        description="model_type of transformers for a new model, such as llama, qwen3 or gpt2.",
    )
    config: dict[str, Any] = Field(
        default_factory=dict,
        description="Fields of the architecture's transformers config; the vocabulary size is set from the "
        "tokenizer. With weights or run: fields that replace those of the loaded config.",
    )
    weights: Location | None = Field(
        None, description="Weights to continue pretraining from: a folder that transformers loads."
    )
    run: RunReference | None = Field(
        None, description="Continue from the finished model of another run in this namespace."
    )


class BaseModelSource(Model):
    """What a fine-tuning job starts from: exactly one of uri, run."""

    RULES: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "[has(self.uri), has(self.run)].filter(x, x).size() == 1",
            "got none or both of uri and run, expected exactly one; keep the one you mean",
        ),
        Rule(
            "!has(self.uri) || self.uri.matches('^(s3|pvc|hf)://[^/].*$') || self.uri.matches('^file:///.+$')",
            "expected s3://bucket/prefix, pvc://claim/path, file:///path or hf://organization/name",
            message_expression="'got ' + self.uri + ', expected s3://bucket/prefix, pvc://claim/path, file:///path or hf://organization/name'",
            field_path=".uri",
        ),
        Rule(
            "!has(self.ggufFile) || has(self.uri)",
            "got ggufFile with run, expected it with uri only; a finished model is no GGUF",
            field_path=".ggufFile",
        ),
    )

    uri: str | None = Field(
        None,
        max_length=1024,
        description="A folder that transformers loads: s3://, pvc://, file:// or hf://.",
    )
    endpoint: str | None = Field(
        None, description="URL of the S3 endpoint; default as checkpoints.store."
    )
    region: str | None = Field(
        None, description="Region of the bucket; default as checkpoints.store."
    )
    credentials_secret: str | None = Field(
        None,
        description="Secret with the credentials; default: that of checkpoints.store for s3://.",
    )
    gguf_file: str | None = Field(
        None,
        description="Name of a GGUF file in the folder; its weights are converted when they are loaded.",
    )
    run: RunReference | None = Field(
        None, description="The finished model of another run in this namespace."
    )


class SFTLoss(StrEnum):
    """Which tokens are trained."""

    ASSISTANT_ONLY = "AssistantOnly"
    ALL_TOKENS = "AllTokens"


class SFT(Model):
    """Supervised fine-tuning."""

    loss: SFTLoss = Field(
        SFTLoss.ASSISTANT_ONLY,
        description="AssistantOnly trains on the assistant's answers (completions), AllTokens on everything. "
        "Default AssistantOnly.",
    )


class Method(Model):
    """The fine-tuning method: exactly one block."""

    RULES: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "has(self.sft)",
            "got no method, expected exactly one block; write sft: {} for supervised fine-tuning",
        ),
    )

    sft: SFT | None = Field(None, description="Supervised fine-tuning on given answers.")


class AdapterType(StrEnum):
    """What is trained: all weights, or an adapter beside the frozen ones."""

    NONE = "None"
    LORA = "LoRA"


class Adapter(Model):
    """A low-rank adapter (peft)."""

    type: AdapterType = Field(
        AdapterType.NONE,
        description="None trains all weights; LoRA a low-rank adapter. Default None.",
    )
    rank: int = Field(16, ge=1, le=1024, description="Rank of the adapter's matrices. Default 16.")
    alpha: float | None = Field(
        None,
        gt=0,
        description="Scaling numerator: updates are scaled by alpha/rank. Default: twice the rank.",
    )
    dropout: float = Field(0.0, ge=0, lt=1, description="Dropout before the adapter. Default 0.")
    target_modules: list[str] = Field(
        ["AllLinear"],
        min_length=1,
        max_length=64,
        description="Names of the linear layers to adapt, or AllLinear for all but the output head. "
        "Default AllLinear.",
    )


class Output(Model):
    """Where the finished model goes."""

    RULES: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "!has(self.uri) || self.uri.matches('^(s3|pvc)://[^/].*$')",
            "expected s3://bucket/prefix or pvc://claim/path",
            message_expression="'got ' + self.uri + ', expected s3://bucket/prefix or pvc://claim/path'",
            field_path=".uri",
        ),
    )

    uri: str | None = Field(
        None,
        max_length=1024,
        description="Folder of the finished model in the same store as the checkpoints. Default: model/ beside them.",
    )
    merge: bool = Field(
        False,
        description="LoRA: also merge the adapter into the base model's weights. Default false.",
    )
    sample_prompts: list[str] = Field(
        default_factory=list,
        max_length=4,
        description="Prompts that the model completes before and after training; the texts go to status.model. "
        "None by default.",
    )
    sample_tokens: int = Field(
        48, ge=1, le=512, description="Tokens generated for each prompt. Default 48."
    )


class RunSpec(Model):
    """What both kinds share."""

    RULES: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "self.precision == 'FP32' || type(self.parallelism.zeroStage) == string || self.parallelism.zeroStage >= 1",
            "got 0 with BF16 or FP16, expected 1 to 3 or Auto: DeepSpeed's first optimizer step is wrong at stage 0 in mixed precision; use 1",
            field_path=".parallelism.zeroStage",
        ),
        Rule(
            "self.batch.globalSequences % self.workers.nodes * (self.workers.accelerator != 'None' ? self.workers.acceleratorsPerNode : has(self.workers.processesPerNode) ? self.workers.processesPerNode : 1) == 0",
            "expected a multiple of the number of processes (nodes times processes per node)",
            field_path=".batch.globalSequences",
        ),
        Rule(
            "type(self.batch.microSequences) == string || self.batch.globalSequences % (self.batch.microSequences * (self.workers.nodes * (self.workers.accelerator != 'None' ? self.workers.acceleratorsPerNode : has(self.workers.processesPerNode) ? self.workers.processesPerNode : 1))) == 0",
            "expected a number whose product with the number of processes divides globalSequences; use Auto",
            message_expression="'got ' + string(self.batch.microSequences) + ', expected a number whose product with the number of processes divides globalSequences; use Auto'",
            field_path=".batch.microSequences",
        ),
        Rule(
            "self.budget == oldSelf.budget",
            "may not change after admission; create a new run, with checkpoints.resumeFrom to go on from this one",
            field_path=".budget",
        ),
        Rule(
            "self.batch == oldSelf.batch",
            "may not change after admission; create a new run, with checkpoints.resumeFrom to go on from this one",
            field_path=".batch",
        ),
        Rule(
            "self.optimizer == oldSelf.optimizer",
            "may not change after admission; create a new run, with checkpoints.resumeFrom to go on from this one",
            field_path=".optimizer",
        ),
        Rule(
            "self.schedule == oldSelf.schedule",
            "may not change after admission; create a new run, with checkpoints.resumeFrom to go on from this one",
            field_path=".schedule",
        ),
        Rule(
            "self.precision == oldSelf.precision",
            "may not change after admission; create a new run, with checkpoints.resumeFrom to go on from this one",
            field_path=".precision",
        ),
        Rule(
            "self.parallelism == oldSelf.parallelism",
            "may not change after admission; create a new run, with checkpoints.resumeFrom to go on from this one",
            field_path=".parallelism",
        ),
        Rule(
            "self.activationCheckpointing == oldSelf.activationCheckpointing",
            "may not change after admission; create a new run, with checkpoints.resumeFrom to go on from this one",
            field_path=".activationCheckpointing",
        ),
        Rule(
            "self.workers == oldSelf.workers",
            "may not change after admission; create a new run, with checkpoints.resumeFrom to go on from this one",
            field_path=".workers",
        ),
        Rule(
            "self.output == oldSelf.output",
            "may not change after admission; create a new run, with checkpoints.resumeFrom to go on from this one",
            field_path=".output",
        ),
        Rule(
            "self.seed == oldSelf.seed",
            "may not change after admission; create a new run, with checkpoints.resumeFrom to go on from this one",
            field_path=".seed",
        ),
    )

    budget: Budget = Field(description="How long to train: exactly one of steps, tokens, epochs.")
    batch: Batch = Field(default_factory=Batch, description="Sizes of the batch.")
    optimizer: Optimizer = Field(
        default_factory=Optimizer, description="The optimizer and its constants."
    )
    schedule: Schedule = Field(
        default_factory=Schedule, description="The learning rate over the run."
    )
    precision: Precision = Field(
        Precision.BF16,
        description="BF16 or FP16 (mixed precision with FP32 master weights) or FP32. Default BF16.",
    )
    parallelism: Parallelism = Field(
        default_factory=Parallelism, description="How model state is spread over the accelerators."
    )
    activation_checkpointing: ActivationCheckpointing = Field(
        ActivationCheckpointing.AUTO,
        description="Full recomputes activations in the backward pass to save memory, None keeps them, Auto "
        "recomputes only if the run does not fit otherwise. Default Auto.",
    )
    workers: Workers = Field(default_factory=Workers, description="The pods of the run.")
    checkpoints: Checkpoints = Field(description="Where checkpoints go and which are kept.")
    output: Output = Field(default_factory=Output, description="Where the finished model goes.")
    recovery: Recovery = Field(
        default_factory=Recovery, description="What happens when an attempt fails."
    )
    suspend: bool = Field(
        False,
        description="true stops the pods after a checkpoint and keeps the run; false goes on. Default false.",
    )
    deadline_seconds: int | None = Field(
        None,
        ge=1,
        description="Seconds from creation after which the run fails (suspended time counts). No default.",
    )
    ttl_seconds_after_finished: int | None = Field(
        None,
        ge=0,
        description="Seconds after the end at which the run and its pods are deleted; checkpoints stay. No default.",
    )
    seed: int = Field(
        42, ge=0, description="Seed of initial weights, data order and dropout. Default 42."
    )


class TrainingRunSpec(RunSpec):
    """Pretraining or continued pretraining."""

    RULES: ClassVar[tuple[Rule, ...]] = (
        *RunSpec.RULES,
        Rule(
            "!has(self.model.architecture) || has(self.tokenizer.location) || has(self.tokenizer.train)",
            "got a new model without a tokenizer, expected tokenizer.location or tokenizer.train; write tokenizer: {train: {}} to train one from the data",
            field_path=".tokenizer",
        ),
        Rule(
            "self.objective == oldSelf.objective",
            "may not change after admission; create a new run, with checkpoints.resumeFrom to go on from this one",
            field_path=".objective",
        ),
        Rule(
            "self.model == oldSelf.model",
            "may not change after admission; create a new run, with checkpoints.resumeFrom to go on from this one",
            field_path=".model",
        ),
        Rule(
            "self.tokenizer == oldSelf.tokenizer",
            "may not change after admission; create a new run, with checkpoints.resumeFrom to go on from this one",
            field_path=".tokenizer",
        ),
        Rule(
            "self.data == oldSelf.data",
            "may not change after admission; create a new run, with checkpoints.resumeFrom to go on from this one",
            field_path=".data",
        ),
    )

    objective: Objective = Field(
        Objective.CAUSAL_LM,
        description="What is learned: CausalLM predicts the next token. Default CausalLM.",
    )
    model: PretrainedModel = Field(description="The model: a new one, or weights to continue from.")
    tokenizer: Tokenizer = Field(
        default_factory=Tokenizer,
        description="The tokenizer: given or trained; default: that of the weights to continue from.",
    )
    data: TrainingData = Field(description="The documents to train on.")


class FineTuneJobSpec(RunSpec):
    """Fine-tuning of an existing model."""

    RULES: ClassVar[tuple[Rule, ...]] = (
        *RunSpec.RULES,
        Rule(
            "!self.output.merge || self.adapter.type != 'None'",
            "got true without an adapter, expected it with adapter.type LoRA only; remove it",
            field_path=".output.merge",
        ),
        Rule(
            "self.baseModel == oldSelf.baseModel",
            "may not change after admission; create a new run, with checkpoints.resumeFrom to go on from this one",
            field_path=".baseModel",
        ),
        Rule(
            "self.method == oldSelf.method",
            "may not change after admission; create a new run, with checkpoints.resumeFrom to go on from this one",
            field_path=".method",
        ),
        Rule(
            "self.adapter == oldSelf.adapter",
            "may not change after admission; create a new run, with checkpoints.resumeFrom to go on from this one",
            field_path=".adapter",
        ),
        Rule(
            "self.data == oldSelf.data",
            "may not change after admission; create a new run, with checkpoints.resumeFrom to go on from this one",
            field_path=".data",
        ),
    )

    base_model: BaseModelSource = Field(
        description="The model to start from: exactly one of uri, run."
    )
    method: Method = Field(description="The fine-tuning method: exactly one block.")
    adapter: Adapter = Field(
        default_factory=Adapter, description="Adapter to train instead of all weights."
    )
    data: FineTuningData = Field(description="The records to train on.")


# Names of children are <name>-<attempt>, and Kubeflow wants them to be DNS-1035 labels.
NAME_RULE = Rule(
    "self.metadata.name.size() <= 50 && self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')",
    "metadata.name: expected at most 50 lower-case letters, digits and dashes that start with a letter",
    message_expression="'metadata.name: got ' + self.metadata.name + ', expected at most 50 lower-case letters, digits and dashes that start with a letter'",
)


class ObjectMeta(Model):
    """The part of an object's metadata that the CLI and the resolver read; the rest passes through."""

    model_config = Model.model_config | {"extra": "allow"}

    name: str = ""
    namespace: str | None = None
    uid: str | None = None
    generation: int | None = None
    labels: dict[str, str] = Field(default_factory=dict)
    annotations: dict[str, str] = Field(default_factory=dict)
    creation_timestamp: str | None = None
    deletion_timestamp: str | None = None


class TrainingRun(Model):
    """A pretraining run of one model on a group of pods, with checkpoints and progress in its status."""

    RULES: ClassVar[tuple[Rule, ...]] = (NAME_RULE,)

    api_version: Literal["trainwright.dev/v1alpha1"] = "trainwright.dev/v1alpha1"
    kind: Literal["TrainingRun"] = "TrainingRun"
    metadata: ObjectMeta
    spec: TrainingRunSpec
    status: RunStatus | None = None


class FineTuneJob(Model):
    """A fine-tuning job of one base model on a group of pods, with checkpoints and progress in its status."""

    RULES: ClassVar[tuple[Rule, ...]] = (NAME_RULE,)

    api_version: Literal["trainwright.dev/v1alpha1"] = "trainwright.dev/v1alpha1"
    kind: Literal["FineTuneJob"] = "FineTuneJob"
    metadata: ObjectMeta
    spec: FineTuneJobSpec
    status: RunStatus | None = None


Resource = TrainingRun | FineTuneJob
