"""Runs and models for the planner's tests: the demo's, changed field by field."""

from typing import Any

from trainwright_api.resolve import resolve_run
from trainwright_api.resources import Adapter, FineTuneJob, TrainingRun
from trainwright_api.run import Run
from trainwright_planner.facts import ModelFacts, model_facts_from_config

DEMO_CONFIG = {
    "hidden_size": 448,
    "intermediate_size": 1024,
    "num_hidden_layers": 3,
    "num_attention_heads": 7,
}
SMOLLM2_CONFIG = {
    "hidden_size": 576,
    "intermediate_size": 1536,
    "num_hidden_layers": 30,
    "num_attention_heads": 9,
    "num_key_value_heads": 3,
    "vocab_size": 49152,
    "tie_word_embeddings": True,
}
SEVEN_BILLION_CONFIG: dict[str, Any] = {}  # transformers' own defaults are Llama-2-7B's


def a_run(**spec: Any) -> Run:
    """Return the demo's pretraining run with these fields of the spec replaced."""
    manifest = {
        "metadata": {"name": "stdlib-gpt", "namespace": "default"},
        "spec": {
            "model": {"architecture": "llama", "config": DEMO_CONFIG},
            "tokenizer": {"train": {"vocabularySize": 4096}},
            "data": {
                "sources": [{"uri": "s3://datasets/stdlib/", "format": "Text"}],
                "sequenceLength": 256,
            },
            "budget": {"tokens": "400k"},
            "batch": {"globalSequences": 16},
            "workers": on_cpus(nodes=2, memory="3Gi"),
            "checkpoints": {"store": {"uri": "s3://checkpoints/"}},
        }
        | spec,
    }
    return _resolve(TrainingRun.model_validate(manifest))


def a_fine_tuning(**spec: Any) -> Run:
    """Return the demo's LoRA job with these fields of the spec replaced."""
    manifest = {
        "metadata": {"name": "smollm2-chat", "namespace": "default"},
        "spec": {
            "baseModel": {"uri": "s3://models/smollm2/"},
            "method": {"sft": {}},
            "adapter": {"type": "LoRA", "rank": 16},
            "data": {
                "sources": [{"uri": "s3://datasets/chat/", "format": "Messages"}],
                "sequenceLength": 256,
            },
            "budget": {"epochs": 1},
            "batch": {"globalSequences": 16},
            "workers": on_cpus(nodes=2, memory="6Gi"),
            "checkpoints": {"store": {"uri": "s3://checkpoints/"}},
        }
        | spec,
    }
    return _resolve(FineTuneJob.model_validate(manifest))


def on_cpus(*, nodes: int = 1, memory: str | None = None) -> dict[str, Any]:
    """Return workers that train on CPUs."""
    resources = {"memory": memory} if memory else {}
    return {"nodes": nodes, "accelerator": "None", "resources": resources}


def on_gpus(*, nodes: int = 1, per_node: int = 8, memory_gib: float = 80) -> dict[str, Any]:
    """Return workers with GPUs."""
    return {"nodes": nodes, "acceleratorsPerNode": per_node, "acceleratorMemoryGiB": memory_gib}


def a_model(
    config: dict[str, Any] = DEMO_CONFIG, *, vocabulary: int | None = None, lora_rank: int = 0
) -> ModelFacts:
    """Return the facts of a Llama; the demo's with its vocabulary of 4096 by default."""
    if config is DEMO_CONFIG and vocabulary is None:
        vocabulary = 4096
    adapter = Adapter.model_validate({"type": "LoRA", "rank": lora_rank} if lora_rank else {})
    facts = model_facts_from_config("llama", config, vocabulary_size=vocabulary, adapter=adapter)
    assert facts is not None
    return facts


def _resolve(resource: TrainingRun | FineTuneJob) -> Run:
    return resolve_run(resource, attempt=1, models={}, folders={})
