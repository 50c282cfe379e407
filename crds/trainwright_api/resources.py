"""The two kinds that users write: TrainingRun and FineTuneJob."""

from enum import StrEnum
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from trainwright_api.base import SAID_IF_WRITTEN, Model, Rule, expects, immutable
from trainwright_api.data import FineTuningData, Tokenizer, TrainingData
from trainwright_api.model_sources import BaseModelSource, PretrainedModel
from trainwright_api.run_spec import RunSpec
from trainwright_api.status import RunStatus


class Objective(StrEnum):
    """What pretraining optimizes."""

    CAUSAL_LM = "CausalLM"


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
        expects(
            "has(self.sft)",
            "exactly one block; write sft: {} for supervised fine-tuning",
            said="no method",
        ),
    )

    sft: SFT | None = Field(
        None, description="Supervised fine-tuning on given answers. No default."
    )


class AdapterType(StrEnum):
    """What is trained: all weights, or an adapter beside the frozen ones."""

    NONE = "None"
    LORA = "LoRA"


class Adapter(Model):
    """A low-rank adapter (peft)."""

    RULES: ClassVar[tuple[Rule, ...]] = (
        expects(
            "has(self.type)",
            "LoRA or None; write type: LoRA, as without it all weights would be trained",
            at=".type",
            said="an adapter without type",
        ),
        expects(
            "!has(self.type) || self.type != 'None' || self.rank == 16 && !has(self.alpha)"
            " && self.dropout == 0.0 && self.targetModules == ['AllLinear']",
            "them with type LoRA only; set type to LoRA or remove them",
            said="settings of an adapter with type None",
        ),
        expects(
            "self.targetModules.size() == 1 || !('AllLinear' in self.targetModules)",
            "AllLinear alone or names of layers; remove one of both",
            at=".targetModules",
            said="AllLinear beside names of layers",
        ),
    )

    type: AdapterType = Field(
        AdapterType.NONE,
        description="None trains all weights; LoRA a low-rank adapter. Must be said if adapter is given. "
        "Default None without adapter.",
        json_schema_extra=SAID_IF_WRITTEN,
    )
    rank: int = Field(
        16,
        ge=1,
        le=1024,
        description="Rank of the adapter's matrices (unit: none, a count). Default 16.",
    )
    alpha: float | None = Field(
        None,
        gt=0,
        le=100000,
        description="Scaling numerator: updates are scaled by alpha/rank (unit: none, a factor). Default: twice "
        "the rank.",
    )
    dropout: float = Field(
        0.0, ge=0, lt=1, description="Dropout before the adapter (fraction, 0 to 1). Default 0."
    )
    target_modules: list[Annotated[str, Field(min_length=1, max_length=256)]] = Field(
        ["AllLinear"],
        min_length=1,
        max_length=64,
        description="Names of the linear layers to adapt, or AllLinear for all but the output head. "
        "Default [AllLinear].",
    )


class TrainingRunSpec(RunSpec):
    """Pretraining or continued pretraining."""

    RULES: ClassVar[tuple[Rule, ...]] = (
        *RunSpec.RULES,
        expects(
            "!has(self.model.architecture) || has(self.tokenizer.location) || has(self.tokenizer.train)",
            "tokenizer.location or tokenizer.train; write tokenizer: {train: {}} to train one from the data",
            at=".tokenizer",
            said="a new model without a tokenizer",
        ),
        expects(
            "!has(self.tokenizer.train) || has(self.model.architecture)",
            "it for a new architecture only, as weights belong to their vocabulary; remove it",
            at=".tokenizer.train",
            said="train with weights to continue from",
        ),
        expects(
            "!has(self.tokenizer.train) || !has(self.model.config.vocab_size)"
            " || self.model.config.vocab_size >= self.tokenizer.train.vocabularySize",
            "at least the {size} of tokenizer.train.vocabularySize; remove it and it is set from the tokenizer",
            at=".model.config.vocab_size",
            got="self.model.config.vocab_size",
            size="self.tokenizer.train.vocabularySize",
        ),
        expects(
            "!has(self.model.config.max_position_embeddings)"
            " || self.data.sequenceLength <= self.model.config.max_position_embeddings",
            "at most the {positions} of model.config.max_position_embeddings; change one of them",
            at=".data.sequenceLength",
            got="self.data.sequenceLength",
            positions="self.model.config.max_position_embeddings",
        ),
        expects(
            "!self.output.merge",
            "false, as only the adapter of a FineTuneJob can be merged; remove it",
            at=".output.merge",
            said="true",
        ),
        *immutable("objective", "model", "tokenizer", "data"),
    )

    objective: Objective = Field(
        Objective.CAUSAL_LM,
        description="What is learned: CausalLM predicts the next token. Default CausalLM.",
    )
    model: PretrainedModel = Field(
        description="The model: a new one, or weights to continue from. No default."
    )
    tokenizer: Tokenizer = Field(
        default_factory=Tokenizer,
        description="The tokenizer: given or trained. Default: that of the weights to continue from.",
    )
    data: TrainingData = Field(description="The documents to train on. No default.")


class FineTuneJobSpec(RunSpec):
    """Fine-tuning of an existing model."""

    RULES: ClassVar[tuple[Rule, ...]] = (
        *RunSpec.RULES,
        expects(
            "!self.output.merge || !has(self.adapter.type) || self.adapter.type != 'None'",
            "it with adapter.type LoRA only; remove it",
            at=".output.merge",
            said="true without an adapter",
        ),
        *immutable("baseModel", "method", "adapter", "data"),
    )

    base_model: BaseModelSource = Field(
        description="The model to start from: exactly one of uri, run. No default."
    )
    method: Method = Field(description="The fine-tuning method: exactly one block. No default.")
    adapter: Adapter = Field(
        default_factory=Adapter,
        description="Adapter to train instead of all weights. Default: none, all weights are trained.",
    )
    data: FineTuningData = Field(description="The records to train on. No default.")


class ObjectMeta(Model):
    """The part of an object's metadata that is read here; the rest passes through."""

    model_config = Model.model_config | {"extra": "allow"}

    name: str = ""
    namespace: str | None = None
    uid: str | None = None
    generation: int | None = None
    labels: dict[str, str] = Field(default_factory=dict)
    annotations: dict[str, str] = Field(default_factory=dict)
    creation_timestamp: str | None = None
    deletion_timestamp: str | None = None


# Names of children are <name>-<attempt>, and Kubeflow wants them to be DNS-1035 labels.
NAME_RULE = expects(
    "self.metadata.name.size() <= 50 && self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')",
    "at most 50 lower-case letters, digits and dashes that start with a letter; rename the run",
    at=".metadata.name",
    got="self.metadata.name",
)


def _not_itself(kind: str, reference: str, remedy: str) -> Rule:
    """Return the rule that a run does not refer to itself."""
    parts = reference.split(".")
    there = " && ".join(f"has(self.spec.{'.'.join(parts[: n + 1])})" for n in range(len(parts)))
    other = f"self.spec.{reference}"
    return expects(
        f"!({there}) || {other}.kind != '{kind}' || {other}.name != self.metadata.name",
        f"another run; {remedy}",
        at=f".spec.{reference}.name",
        said="the run itself",
    )


_RESUME_ITSELF = "remove it, as a run goes on from its own checkpoints by itself"


class TrainingRun(Model):
    """A pretraining run of one model on a group of pods, with checkpoints and progress in its status."""

    RULES: ClassVar[tuple[Rule, ...]] = (
        NAME_RULE,
        _not_itself("TrainingRun", "model.run", "name the run to continue"),
        _not_itself("TrainingRun", "checkpoints.resumeFrom.run", _RESUME_ITSELF),
    )

    api_version: Literal["trainwright.dev/v1alpha1"] = "trainwright.dev/v1alpha1"
    kind: Literal["TrainingRun"] = "TrainingRun"
    metadata: ObjectMeta
    spec: TrainingRunSpec
    status: RunStatus | None = None


class FineTuneJob(Model):
    """A fine-tuning job of one base model on a group of pods, with checkpoints and progress in its status."""

    RULES: ClassVar[tuple[Rule, ...]] = (
        NAME_RULE,
        _not_itself("FineTuneJob", "baseModel.run", "name the run to start from"),
        _not_itself("FineTuneJob", "checkpoints.resumeFrom.run", _RESUME_ITSELF),
    )

    api_version: Literal["trainwright.dev/v1alpha1"] = "trainwright.dev/v1alpha1"
    kind: Literal["FineTuneJob"] = "FineTuneJob"
    metadata: ObjectMeta
    spec: FineTuneJobSpec
    status: RunStatus | None = None


Resource = TrainingRun | FineTuneJob
KINDS: dict[str, type[Resource]] = {"TrainingRun": TrainingRun, "FineTuneJob": FineTuneJob}
