"""What a run reads: sources, tokenizer, packing, validation.

`TrainingData` is for pretraining (documents of text), `FineTuningData` for records with roles.
"""

from enum import StrEnum
from typing import ClassVar

from pydantic import Field

from trainwright_api.base import Model, Rule, expects


class TextFormat(StrEnum):
    """How a pretraining source stores its documents."""

    TEXT = "Text"
    JSONL = "JSONL"
    PARQUET = "Parquet"


class RecordFormat(StrEnum):
    """What a row of a fine-tuning source holds, in JSON lines or Parquet."""

    MESSAGES = "Messages"
    PROMPT_COMPLETION = "PromptCompletion"


class Packing(StrEnum):
    """How documents fill sequences."""

    ISOLATED = "Isolated"
    CONTIGUOUS = "Contiguous"
    NONE = "None"


class TokenizerAlgorithm(StrEnum):
    """Algorithms of tokenizers that can be trained from the data."""

    BPE = "BPE"
    UNIGRAM = "Unigram"


NO_WAY_UP = expects(
    "!has(self.uri) || !self.uri.matches('/[.][.](/|$)')",
    "a path without ..; write it out",
    at=".uri",
    got="self.uri",
)

# For objects with uri, endpoint, region and credentialsSecret; uri may be optional in them.
LOCATION_RULES = (
    expects(
        "!has(self.uri) || self.uri.matches('^s3://[a-z0-9][a-z0-9.-]+(/.*)?$')"
        " || self.uri.matches('^pvc://[a-z0-9]([-a-z0-9.]*[a-z0-9])?(/.*)?$')"
        " || self.uri.matches('^file:///.+$') || self.uri.matches('^hf://[^/]+/[^/]+(/.*)?$')",
        "s3://bucket/prefix, pvc://claim/path, file:///path or hf://organization/name; write one of these",
        at=".uri",
        got="self.uri",
    ),
    NO_WAY_UP,
    expects(
        "!has(self.endpoint) || self.endpoint.matches('^https?://[^/ ]+/?$')",
        "a URL such as https://minio.storage:9000; write scheme, host and port",
        at=".endpoint",
        got="self.endpoint",
    ),
    expects(
        "!has(self.endpoint) || !has(self.uri) || self.uri.matches('^(s3|hf)://')",
        "it with s3:// and hf:// only; remove it",
        at=".endpoint",
        said="endpoint with a uri that is no s3:// or hf://",
    ),
    expects(
        "!has(self.region) || !has(self.uri) || self.uri.startsWith('s3://')",
        "it with s3:// only; remove it",
        at=".region",
        said="region with a uri that is no s3://",
    ),
    expects(
        "!has(self.credentialsSecret) || !has(self.uri) || self.uri.matches('^(s3|hf)://')",
        "it with s3:// and hf:// only; remove it",
        at=".credentialsSecret",
        said="credentialsSecret with a uri that is no s3:// or hf://",
    ),
    expects(
        "!has(self.credentialsSecret) || self.credentialsSecret.matches('^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$')",
        "the name of a Secret in the run's namespace; make one and write its name here",
        at=".credentialsSecret",
        got="self.credentialsSecret",
    ),
)


class Location(Model):
    """A place in a store, with what is needed to reach it."""

    RULES: ClassVar[tuple[Rule, ...]] = LOCATION_RULES

    uri: str = Field(
        description="A folder or file: s3://bucket/prefix/, pvc://claim/path/, file:///path/ (in the container), "
        "hf://organization/name or hf://datasets/organization/name, the last two with @revision after the name and a "
        "/path if wanted. No default.",
        max_length=1024,
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
        description="Name of a Secret in the run's namespace with AWS_ACCESS_KEY_ID and "
        "AWS_SECRET_ACCESS_KEY (for hf://: HF_TOKEN). Default: that of checkpoints.store for s3://, none "
        "for hf://; without one, s3:// is opened with what the pod's own environment or identity gives.",
    )


class TextSource(Location):
    """A weighted source of documents."""

    RULES: ClassVar[tuple[Rule, ...]] = (
        *LOCATION_RULES,
        expects(
            "self.format != 'Text' || self.field == 'text'",
            "it with format JSONL or Parquet only, as Text is read whole; remove it",
            at=".field",
            got="self.field",
        ),
    )

    format: TextFormat = Field(
        description="Text (each file is a document), JSONL or Parquet (each row is a document). Of a folder and those "
        "below it, but none whose name begins with a dot, Text takes all files, JSONL those that end in .jsonl, .ndjson or "
        ".json, Parquet those in .parquet. Text and JSONL that end in .gz are unpacked. No default."
    )
    field: str = Field(
        "text",
        min_length=1,
        max_length=256,
        description="JSONL and Parquet: the field that holds the text. Default text.",
    )
    weight: float = Field(
        1.0,
        gt=0,
        le=1000000,
        description="Share of this source in the mixture, relative to the other weights; 1 each takes "
        "the sources in their natural proportion, 2 against 1 doubles how often its sequences come. Default 1 (unit: none, "
        "a ratio).",
    )


class RecordSource(Location):
    """A weighted source of fine-tuning records."""

    RULES: ClassVar[tuple[Rule, ...]] = (
        *LOCATION_RULES,
        expects(
            "self.format != 'PromptCompletion' || self.field == 'messages'",
            "it with format Messages only, as the others are called prompt and completion; remove it",
            at=".field",
            got="self.field",
        ),
    )

    format: RecordFormat = Field(
        description="Messages (a list of {role, content}, one of them at least the assistant's; a field tools goes to the "
        "chat template) or PromptCompletion (fields prompt and completion: two texts, or two such lists), a record a row. "
        "Of a folder and those below it, but none whose name begins with a dot, files that end in .jsonl, .ndjson or "
        ".json (also with .gz) or in .parquet count. No default."
    )
    field: str = Field(
        "messages",
        min_length=1,
        max_length=256,
        description="Messages: the field that holds the list. Default messages.",
    )
    weight: float = Field(
        1.0,
        gt=0,
        le=1000000,
        description="Share of this source in the mixture, relative to the other weights; 1 each takes "
        "the sources in their natural proportion, 2 against 1 doubles how often its sequences come. Default 1 (unit: none, "
        "a ratio).",
    )


class Validation(Model):
    """Held-out data and how often its loss is measured."""

    fraction: float = Field(
        0.01,
        gt=0,
        lt=1,
        description="Fraction of the documents held out (0 to 1), chosen by a hash of their position. Default 0.01.",
    )
    every_steps: int = Field(
        100,
        ge=1,
        le=1000000000,
        description="Optimizer steps between measurements, one more at the end (unit: steps). Default 100.",
    )
    max_sequences: int = Field(
        256,
        ge=1,
        le=1000000000,
        description="Sequences measured at most each time (unit: sequences). Default 256.",
    )


class TrainedTokenizer(Model):
    """A tokenizer that is trained from the run's own data before training starts."""

    algorithm: TokenizerAlgorithm = Field(
        TokenizerAlgorithm.BPE, description="BPE (byte level) or Unigram. Default BPE."
    )
    vocabulary_size: int = Field(
        32000,
        ge=300,
        le=1000000,
        description="Entries of the vocabulary, special tokens included (unit: tokens). Default 32000.",
    )


class Tokenizer(Model):
    """The tokenizer of a run: given by uri, or trained from the data."""

    RULES: ClassVar[tuple[Rule, ...]] = (
        expects(
            "!(has(self.location) && has(self.train))",
            "at most one; remove one of them",
            said="both location and train",
        ),
    )

    location: Location | None = Field(
        None,
        description="A folder with a tokenizer of transformers. Default: that of the weights to continue from.",
    )
    train: TrainedTokenizer | None = Field(
        None,
        description="Train a tokenizer from the data; for new architectures. Not done by default.",
    )


class TrainingData(Model):
    """Data of a pretraining run."""

    sources: list[TextSource] = Field(
        min_length=1, max_length=64, description="Weighted sources of documents. No default."
    )
    sequence_length: int = Field(
        2048, ge=8, le=1048576, description="Length of a sequence (unit: tokens). Default 2048."
    )
    packing: Packing = Field(
        Packing.ISOLATED,
        description="Isolated: documents share sequences but never see each other; Contiguous: attention "
        "crosses documents; None: one document per sequence, padded or cut. Default Isolated.",
    )
    validation: Validation | None = Field(
        None, description="Held-out data whose loss is measured. None by default."
    )


class FineTuningData(Model):
    """Data of a fine-tuning job."""

    sources: list[RecordSource] = Field(
        min_length=1, max_length=64, description="Weighted sources of records. No default."
    )
    sequence_length: int = Field(
        2048,
        ge=8,
        le=1048576,
        description="Length of a sequence; longer records are cut (unit: tokens). Default 2048.",
    )
    packing: Packing = Field(
        Packing.ISOLATED,
        description="Isolated: records share sequences but never see each other; Contiguous: attention "
        "crosses records; None: one record per sequence, padded. Default Isolated.",
    )
    chat_template: str | None = Field(
        None,
        min_length=1,
        max_length=65536,
        description="Jinja chat template of lists of messages; its hash is kept with every checkpoint. Default: the "
        "tokenizer's own.",
    )
    validation: Validation | None = Field(
        None, description="Held-out data whose loss is measured. None by default."
    )
