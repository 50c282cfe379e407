"""Small runs: a model of 100,000 parameters on text of a few words, two pods unless told otherwise."""

from trainwright_api.names import TRAINER_CONTAINER

from demo.manifests import with_fields
from demo.place import JSON

# Pods ask for little, so that many fit at once, and still get a whole core when it is free.
SMALL_REQUEST = {
    "spec": {"containers": [{"name": TRAINER_CONTAINER, "resources": {"requests": {"cpu": "50m"}}}]}
}
ONE_POD = {"nodes": 1}  # for what does not depend on there being two: a pod costs seconds of a core
STORE = {"uri": "s3://checkpoints/", "credentialsSecret": "s3"}


def training_run(name: str, *, steps: int = 20, **fields: object) -> JSON:
    """A small pretraining run; `fields` are merged into its spec."""
    manifest: JSON = {
        "apiVersion": "trainwright.dev/v1alpha1",
        "kind": "TrainingRun",
        "metadata": {"name": name},
        "spec": {
            "model": {
                "architecture": "llama",
                "config": {
                    "hidden_size": 64,
                    "intermediate_size": 128,
                    "num_hidden_layers": 2,
                    "num_attention_heads": 2,
                },
            },
            "tokenizer": {"train": {"algorithm": "BPE", "vocabularySize": 320}},
            "data": {
                "sources": [{"uri": "s3://datasets/small/", "format": "Text"}],
                "sequenceLength": 64,
            },
            "budget": {"steps": steps},
            "batch": {"globalSequences": 4},
            "precision": "FP32",
            "workers": {
                "nodes": 2,
                "accelerator": "None",
                "resources": {"cpu": 1, "memory": "2Gi"},
                "podOverrides": SMALL_REQUEST,
            },
            "checkpoints": {"store": STORE, "everySteps": 10, "keepLast": 3},
            "recovery": {"backoff": {"initialSeconds": 0.5, "maximumSeconds": 2}},
        },
    }
    return with_fields(manifest, dict(fields))


def fine_tune_job(name: str, **fields: object) -> JSON:
    """A fine-tuning of SmolLM2 that is only to fail early; `fields` are merged into its spec."""
    manifest = training_run(name)
    spec = manifest["spec"]
    for key in ("model", "tokenizer"):
        del spec[key]
    spec["baseModel"] = {"uri": "s3://models/smollm2-135m-instruct/"}
    spec["method"] = {"sft": {}}
    spec["data"]["sources"] = [{"uri": "s3://datasets/chat/train.jsonl", "format": "Messages"}]
    return with_fields({**manifest, "kind": "FineTuneJob"}, dict(fields))
