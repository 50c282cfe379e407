"""Rows of the table, and the valid manifests that they change in one place.

A change is a path below the spec (or from `metadata`) and the value to put there; `REMOVED` deletes.
Numbers in a path are places in a list: `data.sources.0.uri`.
"""

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any, Literal

Kind = Literal["TrainingRun", "FineTuneJob"]
RUN: Kind = "TrainingRun"
JOB: Kind = "FineTuneJob"
REMOVED = object()

_SHARED: dict[str, Any] = {
    "budget": {"steps": 100},
    "batch": {"globalSequences": 16},
    "workers": {"nodes": 2, "accelerator": "None", "resources": {"cpu": 1, "memory": "3Gi"}},
    "checkpoints": {"store": {"uri": "s3://checkpoints/", "credentialsSecret": "s3"}},
}
_OWN: dict[Kind, dict[str, Any]] = {
    RUN: {
        "model": {"architecture": "llama", "config": {"hidden_size": 64, "num_attention_heads": 4}},
        "tokenizer": {"train": {"vocabularySize": 4096}},
        "data": {"sources": [{"uri": "s3://datasets/text/", "format": "Text"}]},
    },
    JOB: {
        "baseModel": {"uri": "s3://models/base/"},
        "method": {"sft": {}},
        "adapter": {"type": "LoRA"},
        "data": {"sources": [{"uri": "s3://datasets/chat.jsonl", "format": "Messages"}]},
    },
}


@dataclass(frozen=True)
class Good:
    """A manifest that both take."""

    name: str
    kind: Kind
    changes: Mapping[str, Any] = field(default_factory=dict)

    def build(self) -> dict[str, Any]:
        return build(self.kind, self.changes)


@dataclass(frozen=True)
class Bad:
    """A manifest that both refuse, for one reason.

    The CLI names `path` and says `says`. The server says the same where a rule of ours speaks; where
    its schema does, it has its own words, `server`.
    """

    name: str
    kind: Kind
    changes: Mapping[str, Any]
    path: str
    says: str
    server: str = ""

    def build(self) -> dict[str, Any]:
        return build(self.kind, self.changes)


@dataclass(frozen=True)
class Update:
    """A change of a run that exists; refused with `says` at `path`, or taken if there is no path."""

    name: str
    kind: Kind
    before: Mapping[str, Any]
    changes: Mapping[str, Any]
    path: str = ""
    says: str = "create a new run, with checkpoints.resumeFrom to go on from this one"

    def build_before(self) -> dict[str, Any]:
        return build(self.kind, self.before)

    def build_after(self) -> dict[str, Any]:
        return build(self.kind, {**self.before, **self.changes})


def build(kind: Kind, changes: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """A valid manifest of this kind with some changes."""
    manifest: dict[str, Any] = {
        "apiVersion": "trainwright.dev/v1alpha1",
        "kind": kind,
        "metadata": {"name": "example"},
        "spec": deepcopy(_OWN[kind] | _SHARED),
    }
    for path, value in (changes or {}).items():
        where = path if path.startswith("metadata") else f"spec.{path}"
        put(manifest, where, value if value is REMOVED else deepcopy(value))
    return manifest


def put(target: Any, path: str, value: Any) -> None:
    """Set the value at a path; objects on the way are made."""
    first, _, rest = path.partition(".")
    key: Any = int(first) if isinstance(target, list) else first
    if rest:
        if isinstance(target, dict):
            target.setdefault(key, {})
        put(target[key], rest, value)
    elif value is REMOVED:
        target.pop(key, None)
    else:
        target[key] = value
