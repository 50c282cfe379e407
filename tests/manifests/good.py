"""Manifests that the CLI and the API server take."""

from tests.manifests.build import JOB, REMOVED, RUN, Good

GPU_WORKERS = {"nodes": 8, "acceleratorsPerNode": 8, "acceleratorMemoryGiB": 80}
DEFAULTS = {"batch": REMOVED, "workers": {}}

GOOD = (
    Good("the smallest run", RUN, DEFAULTS),
    Good("the smallest job", JOB, {**DEFAULTS, "adapter": REMOVED}),
    Good("tokens as a count", RUN, {"budget": {"tokens": "1.5B"}}),
    Good("tokens as a number", RUN, {"budget": {"tokens": 20000000}}),
    Good("part of an epoch", JOB, {"budget": {"epochs": 0.5}}),
    Good("whole numbers for fractions", RUN, {"optimizer": {"weightDecay": 0, "betas": [0, 0.9]}}),
    Good("64 accelerators", RUN, {"workers": GPU_WORKERS, "batch.globalSequences": 512}),
    Good("a micro-batch by hand", RUN, {"batch": {"globalSequences": 16, "microSequences": 4}}),
    Good("processes on CPUs", RUN, {"workers.processesPerNode": 4}),
    Good(
        "ZeRO 3 with all offload",
        RUN,
        {
            "workers": {},
            "parallelism": {"zeroStage": 3, "offloadOptimizer": "CPU", "offloadParameters": "CPU"},
        },
    ),
    Good("ZeRO 0 in FP32", RUN, {"precision": "FP32", "parallelism": {"zeroStage": 0}}),
    Good("FP16 on accelerators", RUN, {"workers": {}, "precision": "FP16"}),
    Good(
        "warm-up in steps, then stable, then decay",
        RUN,
        {"schedule": {"type": "WarmupStableDecay", "warmupSteps": 10, "decayFraction": 0.3}},
    ),
    Good(
        "a long warm-up to a constant rate",
        RUN,
        {"schedule": {"type": "Constant", "warmupFraction": 1}},
    ),
    Good("down to nothing", RUN, {"schedule": {"type": "Linear", "minimumFraction": 0}}),
    Good(
        "a decay of the default's length to a low rate",
        RUN,
        {"schedule": {"type": "WarmupStableDecay", "minimumFraction": 0.01}},
    ),
    Good(
        "weights to continue from, with a longer context",
        RUN,
        {
            "model": {
                "weights": {"uri": "hf://organization/name", "credentialsSecret": "hub"},
                "config": {
                    "max_position_embeddings": 8192,
                    "rope_scaling": None,
                    "rope_theta": 1e6,
                },
            },
            "tokenizer": REMOVED,
            "data.sequenceLength": 8192,
        },
    ),
    Good("another run's model", RUN, {"model": {"run": {"name": "first"}}, "tokenizer": REMOVED}),
    Good("a job on a run's model", JOB, {"baseModel": {"run": {"name": "first"}}}),
    Good(
        "a job on a job's model", JOB, {"baseModel": {"run": {"kind": "FineTuneJob", "name": "a"}}}
    ),
    Good(
        "a GGUF file",
        JOB,
        {"baseModel": {"uri": "pvc://models/smol", "ggufFile": "SmolLM2-135M.Q4_1.gguf"}},
    ),
    Good(
        "everything on a volume",
        RUN,
        {
            "data.sources": [{"uri": "pvc://data/text", "format": "JSONL", "field": "body"}],
            "checkpoints.store": {"uri": "pvc://srv"},
            "output": {"uri": "pvc://srv/models/mine"},
        },
    ),
    Good(
        "a mixture from everywhere",
        RUN,
        {
            "data.sources": [
                {"uri": "file:///usr/share/doc/", "format": "Text", "weight": 0.5},
                {"uri": "hf://datasets/organization/name@main/train", "format": "Parquet"},
                {
                    "uri": "s3://my.bucket/a b/",
                    "format": "JSONL",
                    "endpoint": "https://minio.storage:9000",
                    "region": "eu-central-1",
                    "credentialsSecret": "other",
                },
            ],
            "data.validation": {"fraction": 0.1},
            "checkpoints.keepBest": 2,
        },
    ),
    Good("checkpoints by the clock", RUN, {"checkpoints.everyMinutes": 0.5}),
    Good(
        "resume from a run's step",
        RUN,
        {"checkpoints.resumeFrom": {"run": {"name": "earlier"}, "step": 500}},
    ),
    Good(
        "resume from a folder",
        RUN,
        {"checkpoints.resumeFrom": {"uri": "s3://checkpoints/default/earlier/step-000500"}},
    ),
    Good(
        "names that look alike",
        JOB,
        {"checkpoints.resumeFrom": {"run": {"kind": "TrainingRun", "name": "example"}}},
    ),
    Good("all weights", JOB, {"adapter": {"type": "None"}}),
    Good(
        "an adapter in full, merged",
        JOB,
        {
            "adapter": {
                "type": "LoRA",
                "rank": 8,
                "alpha": 16,
                "targetModules": ["q_proj", "v_proj"],
            },
            "output": {"merge": True, "samplePrompts": ["Hello"], "sampleTokens": 16},
        },
    ),
    Good("a chat template", JOB, {"data.chatTemplate": "{{ messages[0].content }}"}),
    Good(
        "a pod as one likes it",
        RUN,
        {
            "workers": {
                "nodeSelector": {
                    "gpu": "h100",
                    "zone": "",
                    "topology.kubernetes.io/zone": "a_B.c-1",
                },
                "tolerations": [
                    {"operator": "Exists"},
                    {"key": "gpu", "value": "yes", "effect": "NoExecute", "tolerationSeconds": 60},
                    {"key": "nvidia.com/gpu", "operator": "Equal", "value": "Only_1.x"},
                ],
                "resources": {
                    "cpu": "500m",
                    "memory": "1.5Gi",
                    "ephemeral-storage": 1000,
                    "hugepages-2Mi": "4Mi",
                    "example.com/nic": "2",
                    "rdma/hca_shared": 1,
                },
                "image": "registry.example:5000/team/trainer@sha256:0123",
                "priorityClassName": "high",
                "env": [{"name": "NCCL_DEBUG", "value": "INFO"}, {"name": "_X", "value": ""}],
                "podOverrides": {
                    "metadata": {"labels": {"team": "nlp"}},
                    "spec": {"containers": [{"name": "pytorch", "securityContext": {}}]},
                },
            }
        },
    ),
    Good(
        "devices that have to be used",
        RUN,
        {"utilization": {"minimumPercent": 50, "minutes": 10, "action": "Suspend"}},
    ),
    Good("idle devices are fine", JOB, {"utilization": {"minimumPercent": 0}}),
    Good(
        "patience",
        RUN,
        {
            "recovery": {
                "budgets": {"infrastructure": 50, "unknown": 0},
                "backoff": {"initialSeconds": 1, "maximumSeconds": 1},
            },
            "suspend": True,
            "deadlineSeconds": 86400,
            "ttlSecondsAfterFinished": 0,
        },
    ),
    Good(
        "MLflow in the open", RUN, {"tracking": {"mlflow": {"trackingUri": "http://mlflow:5000"}}}
    ),
    Good(
        "all trackers, with their credentials",
        JOB,
        {
            "tracking": {
                "mlflow": {
                    "trackingUri": "https://mlflow.example/team/",
                    "experiment": "chat models",
                    "credentialsSecret": "mlflow",
                },
                "wandb": {
                    "project": "chat_1.0",
                    "entity": "team",
                    "baseUrl": "https://wandb.example",
                    "credentialsSecret": "wandb",
                },
            }
        },
    ),
    Good("W&B offline", RUN, {"tracking": {"wandb": {"project": "lab", "mode": "Offline"}}}),
    Good("a name of 50 characters", RUN, {"metadata.name": "a" * 50}),
    Good(
        "labels and annotations as long as they may be",
        JOB,
        {
            "metadata.labels": {f"{'a' * 250}.io/{'B' * 63}": "_".join("c" * 32), "empty": ""},
            "metadata.annotations": {"Example.com/Note": "any text: ä\n"},
        },
    ),
    Good("nothing said, as null", RUN, {"optimizer": None, "data.validation": None, "seed": None}),
)
