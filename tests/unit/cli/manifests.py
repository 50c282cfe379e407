"""Manifests for the CLI's tests, changed field by field, and how to write and run them."""

import copy
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from click.testing import CliRunner, Result
from trainwright_cli.app import app
from trainwright_cli.output import to_yaml

FAKE_TRAINER = Path(__file__).parent / "fake_trainer"
EXAMPLES = Path(__file__).parents[3] / "crds" / "examples"

_RUN: dict[str, Any] = {
    "apiVersion": "trainwright.dev/v1alpha1",
    "kind": "TrainingRun",
    "metadata": {"name": "stdlib-gpt"},
    "spec": {
        "model": {
            "architecture": "llama",
            "config": {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4},
        },
        "tokenizer": {"train": {"vocabularySize": 512}},
        "data": {
            "sources": [{"uri": "s3://datasets/stdlib/", "format": "Text"}],
            "sequenceLength": 64,
        },
        "budget": {"steps": 20},
        "batch": {"globalSequences": 8},
        "workers": {"nodes": 2, "accelerator": "None", "resources": {"memory": "3Gi"}},
        "checkpoints": {
            "store": {"uri": "s3://checkpoints/", "credentialsSecret": "s3"},
            "everySteps": 10,
        },
    },
}
_JOB_SPEC: dict[str, Any] = {
    "baseModel": {"uri": "s3://models/base/"},
    "method": {"sft": {}},
    "adapter": {"type": "LoRA"},
    "data": {"sources": [{"uri": "s3://datasets/chat.jsonl", "format": "Messages"}]},
}


def a_training_run(name: str = "stdlib-gpt", **spec: Any) -> dict[str, Any]:
    """Return a small valid TrainingRun with these fields of the spec replaced."""
    manifest = copy.deepcopy(_RUN)
    manifest["metadata"]["name"] = name
    manifest["spec"].update(spec)
    return manifest


def a_fine_tune_job(name: str = "chat", **spec: Any) -> dict[str, Any]:
    """Return a small valid FineTuneJob with these fields of the spec replaced."""
    manifest = a_training_run(name)
    manifest["kind"] = "FineTuneJob"
    shared = {k: v for k, v in manifest["spec"].items() if k not in ("model", "tokenizer", "data")}
    manifest["spec"] = shared | copy.deepcopy(_JOB_SPEC) | spec
    return manifest


def write(folder: Path, *manifests: Mapping[str, Any], name: str = "run.yaml") -> str:
    """Write manifests into one file and return its path."""
    path = folder / name
    path.write_text("\n---\n".join(to_yaml(manifest) for manifest in manifests), "utf-8")
    return str(path)


def invoke(*arguments: str, stdin: str | bytes | None = None) -> Result:
    """Run a command line in this process."""
    return CliRunner().invoke(app, list(arguments), input=stdin, env={"COLUMNS": "160"})


def command(*arguments: str) -> list[str]:
    """Return a command line for a process of its own."""
    return [sys.executable, "-m", "trainwright_cli", *arguments]


def environment_with_fake_trainer() -> dict[str, str]:
    """Return an environment in which the trainer is the fake one."""
    return {**os.environ, "PYTHONPATH": str(FAKE_TRAINER), "COLUMNS": "160"}


def call(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a command line in a process of its own, with the fake trainer."""
    return subprocess.run(
        command(*arguments),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env=environment_with_fake_trainer() | environment,
    )
