"""What a run reads: sources, tokenizer, packing, validation.

`TrainingData` is for pretraining (documents of text), `FineTuningData` for records with roles.
"""

from enum import StrEnum
from typing import ClassVar

from pydantic import Field

from trainwright_api.base import Model, Rule


class TextFormat(StrEnum):
    """How a pretraining source stores its documents."""

    TEXT = "Text"
    JSONL = "JSONL"
    PARQUET = "Parquet"


class RecordFormat(StrEnum):
    """How a fine-tuning source stores its records (files end in .jsonl or .parquet)."""

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


class Location(Model):
    """A place in a store, with what is needed to reach it."""

    RULES: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "self.uri.matches('^s3://[a-z0-9][a-z0-9.-]+(/.*)?$') || self.uri.matches('^pvc://[a-z0-9]([-a-z0-9.]*[a-z0-9])?(/.*)?$') || self.uri.matches('^file:///.+$') || self.uri.matches('^hf://[^/]+/[^/]+(/.*)?$')",
            "expected s3://bucket/prefix, pvc://claim/path, file:///path or hf://organization/name",
            message_expression="'got ' + self.uri + ', expected s3://bucket/prefix, pvc://claim/path, file:///path or hf://organization/name'",
            field_path=".uri",
        ),
        Rule(
            "!has(self.endpoint) || self.endpoint.matches('^https?://[^ ]+$')",
            "expected a URL such as https://minio.storage:9000",
            message_expression="'got ' + self.endpoint + ', expected a URL such as https://minio.storage:9000'",
            field_path=".endpoint",
        ),
    )

    uri: str = Field(
        description="Where: s3://bucket/prefix/, pvc://claim/path/, file:///path/ (in the container) or "
        "hf://organization/name.",
        max_length=1024,
    )
    endpoint: str | None = Field(
        None,
        description="URL of the S3 endpoint; default: the Secret's AWS_ENDPOINT_URL, then the operator's "
        "setting, then AWS.",
    )
    region: str | None = Field(
        None, description="Region of the bucket; default: the Secret's AWS_REGION."
    )
    credentials_secret: str | None = Field(
        None,
        description="Name of a Secret in the run's namespace with AWS_ACCESS_KEY_ID and "
        "AWS_SECRET_ACCESS_KEY (for hf://: HF_TOKEN); default: that of checkpoints.store for s3://.",
    )


class TextSource(Location):
    """A weighted source of documents."""

    format: TextFormat = Field(
        description="Text (each file is a document), JSONL or Parquet (each row is a document)."
    )
    field: str = Field(
        "text", description="JSONL and Parquet: the field that holds the text. Default text."
    )
    weight: float = Field(
        1.0,
        gt=0,
        description="Share of this source in the mixture, relative to the other weights; 1 each takes "
        "the sources in their natural proportion. Default 1.",
    )


class RecordSource(Location):
    """A weighted source of fine-tuning records."""

    format: RecordFormat = Field(
        description="Messages (a list of {role, content}) or PromptCompletion (fields prompt and completion)."
    )
    field: str = Field(
        "messages", description="Messages: the field that holds the list. Default messages."
    )
    weight: float = Field(
        1.0,
        gt=0,
        description="Share of this source in the mixture, relative to the other weights; 1 each takes "
        "the sources in their natural proportion. Default 1.",
    )


class Validation(Model):
    """Held-out data and how often its loss is measured."""

    fraction: float = Field(
        0.01,
        gt=0,
        lt=1,
        description="Fraction of the documents held out, chosen by a hash of their position. Default 0.01.",
    )
    every_steps: int = Field(
        100,
        ge=1,
        description="Optimizer steps between measurements (also at the end). Default 100.",
    )
    max_sequences: int = Field(
        256, ge=1, description="Sequences measured at most each time. Default 256."
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
        description="Entries of the vocabulary, special tokens included. Default 32000.",
    )


class Tokenizer(Model):
    """The tokenizer of a run: given by uri, or trained from the data."""

    RULES: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "!(has(self.location) && has(self.train))",
            "got both location and train, expected at most one; remove one of them",
        ),
    )

    location: Location | None = Field(
        None, description="A folder with a tokenizer of transformers."
    )
    train: TrainedTokenizer | None = Field(None, description="Train a tokenizer from the data.")


class TrainingData(Model):
    """Data of a pretraining run."""

    sources: list[TextSource] = Field(
        min_length=1, max_length=64, description="Weighted sources of documents."
    )
    sequence_length: int = Field(
        2048, ge=8, le=1048576, description="Tokens per sequence. Default 2048."
    )
    packing: Packing = Field(
        Packing.ISOLATED,
        description="Isolated: documents share sequences but never see each other; Contiguous: attention "
        "crosses documents; None: one document per sequence, padded or cut. Default Isolated.",
    )
    validation: Validation | None = Field(None, description="Held-out data; none if not given.")


class FineTuningData(Model):
    """Data of a fine-tuning job."""

    sources: list[RecordSource] = Field(
        min_length=1, max_length=64, description="Weighted sources of records."
    )
    sequence_length: int = Field(
        2048,
        ge=8,
        le=1048576,
        description="Tokens per sequence; longer records are cut. Default 2048.",
    )
    packing: Packing = Field(
        Packing.ISOLATED,
        description="Isolated: records share sequences but never see each other; Contiguous: attention "
        "crosses records; None: one record per sequence, padded. Default Isolated.",
    )
    chat_template: str | None = Field(
        None,
        max_length=65536,
        description="Jinja chat template; default: the tokenizer's own. Its hash is kept with every checkpoint.",
    )
    validation: Validation | None = Field(None, description="Held-out data; none if not given.")
