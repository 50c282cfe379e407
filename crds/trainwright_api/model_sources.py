"""The model that a run trains: a new one, weights to continue from, or the base of a fine-tuning job."""

from typing import Annotated, ClassVar

from pydantic import ConfigDict, Field
from typing_extensions import TypedDict

from trainwright_api.base import Model, Rule, expects, expects_one_of
from trainwright_api.checkpoints import RunReference
from trainwright_api.data import LOCATION_RULES, Location

Count = Annotated[int, Field(ge=1, le=1000000000)]


class ModelConfig(TypedDict, total=False):
    """Fields of a transformers config. Those named here are checked before anything starts.

    Names are transformers', therefore in snake_case. A dict at run time.
    """

    __pydantic_config__ = ConfigDict(extra="allow")  # type: ignore[misc]

    hidden_size: Annotated[Count, Field(description="Width of the model (unit: none, a count).")]
    num_hidden_layers: Annotated[Count, Field(description="Layers (unit: none, a count).")]
    num_attention_heads: Annotated[
        Count, Field(description="Heads of attention; divides hidden_size (unit: none, a count).")
    ]
    num_key_value_heads: Annotated[
        Count,
        Field(
            description="Heads of keys and values; divides num_attention_heads (unit: none, a count)."
        ),
    ]
    head_dim: Annotated[
        Count,
        Field(
            description="Width of a head, where it is not hidden_size / heads (unit: none, a count)."
        ),
    ]
    max_position_embeddings: Annotated[
        Count, Field(description="Longest sequence that the model takes (unit: tokens).")
    ]
    vocab_size: Annotated[
        Count,
        Field(description="Rows of the embedding, at least those of the tokenizer (unit: tokens)."),
    ]


class PretrainedModel(Model):
    """The model of a pretraining run: a new one by architecture and config, or weights to continue from."""

    RULES: ClassVar[tuple[Rule, ...]] = (
        expects_one_of(
            "architecture",
            "weights",
            "run",
            remedy="architecture makes a new model, the others continue one",
        ),
        expects(
            "!has(self.architecture) || self.architecture.matches('^[a-z0-9][a-z0-9_.-]*$')",
            "a model_type of transformers; write llama, qwen3 or gpt2, not the name of a class",
            at=".architecture",
            got="self.architecture",
        ),
        expects(
            "!has(self.config.num_attention_heads) || has(self.config.head_dim) || !has(self.config.hidden_size)"
            " || self.config.hidden_size % self.config.num_attention_heads == 0",
            "a multiple of the {heads} in num_attention_heads; change one of them or give head_dim",
            at=".config.hidden_size",
            got="self.config.hidden_size",
            heads="self.config.num_attention_heads",
        ),
        expects(
            "!has(self.config.num_key_value_heads) || !has(self.config.num_attention_heads)"
            " || self.config.num_attention_heads % self.config.num_key_value_heads == 0",
            "a divisor of the {heads} in num_attention_heads; change one of them",
            at=".config.num_key_value_heads",
            got="self.config.num_key_value_heads",
            heads="self.config.num_attention_heads",
        ),
    )

    architecture: str | None = Field(
        None,
        max_length=64,
        description="model_type of transformers for a new model, such as llama, qwen3 or gpt2. Excludes weights "
        "and run. No default.",
    )
    config: ModelConfig = Field(
        default_factory=ModelConfig,
        description="Fields of the architecture's transformers config; the vocabulary size is set from the "
        "tokenizer. With weights or run: fields that replace those of the loaded config. Default: the "
        "architecture's own.",
    )
    weights: Location | None = Field(
        None,
        description="Weights to continue pretraining from: a folder that transformers loads. Excludes "
        "architecture and run. No default.",
    )
    run: RunReference | None = Field(
        None,
        description="Continue from the finished model of another run in this namespace. Excludes architecture "
        "and weights. No default.",
    )


class BaseModelSource(Model):
    """What a fine-tuning job starts from: exactly one of uri, run."""

    RULES: ClassVar[tuple[Rule, ...]] = (
        expects_one_of("uri", "run", remedy="keep the one you mean"),
        *LOCATION_RULES,
        expects(
            "!has(self.ggufFile) || has(self.uri)",
            "it with uri only, as a finished model is no GGUF; remove it",
            at=".ggufFile",
            said="ggufFile with run",
        ),
        expects(
            "!has(self.ggufFile) || self.ggufFile.matches('^[^/]+[.]gguf$')",
            "the name of a .gguf file in the folder; put the folder into uri and its name here",
            at=".ggufFile",
            got="self.ggufFile",
        ),
        expects(
            "has(self.uri) || !has(self.endpoint) && !has(self.region) && !has(self.credentialsSecret)",
            "none of them, as the other run's store is used; remove them",
            said="endpoint, region or credentialsSecret with run",
        ),
    )

    uri: str | None = Field(
        None,
        max_length=1024,
        description="A folder that transformers loads: s3://, pvc://, file:// or hf://organization/name, with @revision if "
        "wanted. Excludes run. No default.",
    )
    endpoint: str | None = Field(
        None,
        max_length=512,
        description="URL of the S3 endpoint (of the hub for hf://). Default: that of checkpoints.store for s3://, then "
        "the Secret's AWS_ENDPOINT_URL, then the operator's setting, then AWS; for hf:// https://huggingface.co.",
    )
    region: str | None = Field(
        None,
        max_length=64,
        description="Region of the bucket, s3:// only. Default: that of checkpoints.store, then the Secret's AWS_REGION, "
        "then us-east-1.",
    )
    credentials_secret: str | None = Field(
        None,
        max_length=253,
        description="Name of a Secret in the run's namespace with AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (for "
        "hf://: HF_TOKEN). Default: that of checkpoints.store for s3://, none for hf://; without one, s3:// is opened with "
        "what the pod's own environment or identity gives.",
    )
    gguf_file: str | None = Field(
        None,
        max_length=256,
        description="Name of a GGUF file in the folder; its weights are converted when they are loaded. No default.",
    )
    run: RunReference | None = Field(
        None,
        description="The finished model of another run in this namespace. Excludes uri. No default.",
    )
