"""What may change on a run that exists, and what may not."""

from tests.manifests.build import JOB, REMOVED, RUN, Update

_VALIDATION: dict[str, object] = {"data.validation": {}}

UPDATES = (
    Update("suspend", RUN, {}, {"suspend": True}),
    Update("deadline", RUN, {}, {"deadlineSeconds": 60}),
    Update(
        "time to live", JOB, {"ttlSecondsAfterFinished": 5}, {"ttlSecondsAfterFinished": REMOVED}
    ),
    Update("use of devices", RUN, {}, {"utilization": {"action": "Suspend"}}),
    Update("recovery", RUN, {}, {"recovery": {"budgets": {"unknown": 9}}}),
    Update(
        "checkpoints kept", JOB, _VALIDATION, {"checkpoints.keepLast": 9, "checkpoints.keepBest": 1}
    ),
    Update("labels", RUN, {}, {"metadata.labels": {"team": "nlp"}}),
    Update("a default written out", RUN, {}, {"seed": 42, "batch.microSequences": "Auto"}),
    Update("budget", RUN, {}, {"budget.steps": 200}, "spec.budget"),
    Update("batch", RUN, {}, {"batch.globalSequences": 32}, "spec.batch"),
    Update("optimizer", RUN, {}, {"optimizer": {"learningRate": 0.1}}, "spec.optimizer"),
    Update("schedule", RUN, {}, {"schedule": {"type": "Linear"}}, "spec.schedule"),
    Update("precision", RUN, {}, {"precision": "FP32"}, "spec.precision"),
    Update("parallelism", RUN, {}, {"parallelism": {"zeroStage": 2}}, "spec.parallelism"),
    Update(
        "activation checkpointing",
        RUN,
        {},
        {"activationCheckpointing": "Full"},
        "spec.activationCheckpointing",
    ),
    Update("nodes", RUN, {}, {"workers.nodes": 4}, "spec.workers"),
    Update(
        "what only overrides say",
        RUN,
        {"workers.podOverrides": {"spec": {"hostNetwork": True}}},
        {"workers.podOverrides": {"spec": {"hostNetwork": False}}},
        "spec.workers",
    ),
    Update("output", RUN, {}, {"output": {"sampleTokens": 9}}, "spec.output"),
    Update(
        "tracking",
        RUN,
        {},
        {"tracking": {"mlflow": {"trackingUri": "http://mlflow"}}},
        "spec.tracking",
    ),
    Update("seed", RUN, {}, {"seed": 7}, "spec.seed"),
    Update("model", RUN, {}, {"model.architecture": "gpt2"}, "spec.model"),
    Update(
        "what only the architecture knows",
        RUN,
        {"model.config.rope_theta": 10000},
        {"model.config.rope_theta": 20000},
        "spec.model",
    ),
    Update("tokenizer", RUN, {}, {"tokenizer.train.vocabularySize": 999}, "spec.tokenizer"),
    Update("data", RUN, {}, {"data.sequenceLength": 512}, "spec.data"),
    Update("base model", JOB, {}, {"baseModel.uri": "s3://models/other/"}, "spec.baseModel"),
    Update("method", JOB, {}, {"method.sft.loss": "AllTokens"}, "spec.method"),
    Update("adapter", JOB, {}, {"adapter.rank": 32}, "spec.adapter"),
    Update("store", RUN, {}, {"checkpoints.store.uri": "s3://b2/"}, "spec.checkpoints.store"),
    Update("interval", RUN, {}, {"checkpoints.everySteps": 5}, "spec.checkpoints.everySteps"),
    Update(
        "no interval",
        RUN,
        {"checkpoints.everyMinutes": 5},
        {"checkpoints.everyMinutes": REMOVED},
        "spec.checkpoints.everyMinutes",
    ),
    Update(
        "resume from another run",
        RUN,
        {"checkpoints.resumeFrom": {"run": {"name": "a"}}},
        {"checkpoints.resumeFrom": {"run": {"name": "b"}}},
        "spec.checkpoints.resumeFrom",
    ),
)
