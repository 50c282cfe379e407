"""Places and pods that cannot be: rules of ours refuse them, in the same words here and there."""

from tests.manifests.build import JOB, REMOVED, RUN, Bad

_SHAPES = "expected s3://bucket/prefix, pvc://claim/path, file:///path or hf://organization/name"
_SOURCE = "data.sources.0"
_ENV = "workers.env"


def _uri(name: str, uri: str, says: str = _SHAPES) -> Bad:
    return Bad(
        name, RUN, {f"{_SOURCE}.uri": uri}, f"spec.{_path(_SOURCE)}.uri", f"got {uri}, {says}"
    )


def _path(changed: str) -> str:
    return changed.replace(".0", "[0]")


def _variable(name: str, variable: str, says: str) -> Bad:
    changes = {_ENV: [{"name": variable, "value": "1"}]}
    return Bad(name, RUN, changes, f"spec.{_ENV}[0].name", f"got {variable}, {says}")


def _tracker(name: str, tracker: str, fields: dict[str, object], at: str, says: str) -> Bad:
    return Bad(name, JOB, {f"tracking.{tracker}": fields}, f"spec.tracking.{tracker}{at}", says)


def _toleration(name: str, toleration: dict[str, object], path: str, says: str) -> Bad:
    changes = {"workers.tolerations": [toleration]}
    return Bad(name, RUN, changes, f"spec.workers.tolerations[0].{path}", says)


BAD_STORAGE = (
    _uri("a scheme that there is not", "gs://bucket/text"),
    _uri("a path without a scheme", "/data/text"),
    _uri("a bucket in upper case", "s3://Bucket/text"),
    _uri("a claim with an underscore", "pvc://my_claim/text"),
    _uri("a relative file", "file://data/text"),
    _uri("a hub name without an organization", "hf://gpt2"),
    Bad(
        "a field of a text",
        RUN,
        {"data.sources.0.field": "content"},
        "spec.data.sources[0].field",
        "got content, expected it with format JSONL or Parquet only",
    ),
    Bad(
        "a field of prompts",
        JOB,
        {_SOURCE: {"uri": "s3://datasets/a.jsonl", "format": "PromptCompletion", "field": "chat"}},
        "spec.data.sources[0].field",
        "got chat, expected it with format Messages only",
    ),
    Bad(
        "a way out of the run to resume from",
        RUN,
        {"checkpoints.resumeFrom": {"uri": "s3://checkpoints/team/../other/run/"}},
        "spec.checkpoints.resumeFrom.uri",
        "got s3://checkpoints/team/../other/run/, expected a path without ..; write it out",
    ),
    _uri("a way out of the claim", "pvc://claim/../secrets", "expected a path without .."),
    Bad(
        "an endpoint without a scheme",
        RUN,
        {f"{_SOURCE}.endpoint": "minio:9000"},
        "spec.data.sources[0].endpoint",
        "got minio:9000, expected a URL such as https://minio.storage:9000; write scheme, host",
    ),
    Bad(
        "an endpoint of a volume",
        RUN,
        {_SOURCE: {"uri": "pvc://data/x", "format": "Text", "endpoint": "https://minio"}},
        "spec.data.sources[0].endpoint",
        "expected it with s3:// and hf:// only; remove it",
    ),
    Bad(
        "a region of the hub",
        JOB,
        {"baseModel": {"uri": "hf://organization/name", "region": "eu"}},
        "spec.baseModel.region",
        "got region with a uri that is no s3://, expected it with s3:// only; remove it",
    ),
    Bad(
        "credentials of a file",
        RUN,
        {_SOURCE: {"uri": "file:///data", "format": "Text", "credentialsSecret": "s3"}},
        "spec.data.sources[0].credentialsSecret",
        "expected it with s3:// and hf:// only; remove it",
    ),
    Bad(
        "a Secret of another namespace",
        RUN,
        {"checkpoints.store.credentialsSecret": "team/s3"},
        "spec.checkpoints.store.credentialsSecret",
        "got team/s3, expected the name of a Secret in the run's namespace",
    ),
    Bad(
        "checkpoints that vanish with the pod",
        RUN,
        {"checkpoints.store": {"uri": "file:///checkpoints/"}},
        "spec.checkpoints.store.uri",
        "got file:///checkpoints/, expected s3://bucket/prefix or pvc://claim/path; checkpoints must",
    ),
    Bad(
        "checkpoints on the hub",
        RUN,
        {"checkpoints.store": {"uri": "hf://organization/name"}},
        "spec.checkpoints.store.uri",
        "got hf://organization/name, expected s3://bucket/prefix or pvc://claim/path",
    ),
    Bad(
        "two intervals",
        RUN,
        {"checkpoints.everySteps": 5, "checkpoints.everyMinutes": 5},
        "spec.checkpoints",
        "got both everySteps and everyMinutes, expected at most one; remove one of them",
    ),
    Bad(
        "the best without a measure",
        RUN,
        {"checkpoints.keepBest": 1},
        "spec.checkpoints.keepBest",
        "got 1, expected data.validation with it",
    ),
    Bad(
        "resume from nowhere",
        RUN,
        {"checkpoints.resumeFrom": {"step": 5}},
        "spec.checkpoints.resumeFrom",
        "got none or both of run and uri, expected exactly one; keep the one you mean",
    ),
    Bad(
        "resume from two steps",
        RUN,
        {"checkpoints.resumeFrom": {"uri": "s3://checkpoints/a/b/step-000005/", "step": 6}},
        "spec.checkpoints.resumeFrom.step",
        "got step with a uri that ends in step-N, expected at most one of them; remove step",
    ),
    Bad(
        "resume from another store",
        RUN,
        {"checkpoints.resumeFrom": {"uri": "pvc://srv/default/earlier"}},
        "spec.checkpoints.resumeFrom.uri",
        "got pvc://srv/default/earlier, expected a folder in the same store as checkpoints.store",
    ),
    Bad(
        "resume from a bucket",
        RUN,
        {"checkpoints.resumeFrom": {"uri": "s3://checkpoints"}},
        "spec.checkpoints.resumeFrom.uri",
        "got s3://checkpoints, expected s3://bucket/.../run/ or pvc://claim/.../run/",
    ),
    Bad(
        "resume from itself",
        RUN,
        {"checkpoints.resumeFrom": {"run": {"name": "example"}}},
        "spec.checkpoints.resumeFrom.run.name",
        "got the run itself, expected another run; remove it, as a run goes on from its own",
    ),
    Bad(
        "a job that resumes from itself",
        JOB,
        {"checkpoints.resumeFrom": {"run": {"kind": "FineTuneJob", "name": "example"}}},
        "spec.checkpoints.resumeFrom.run.name",
        "got the run itself, expected another run; remove it",
    ),
    Bad(
        "a run that continues itself",
        RUN,
        {"model": {"run": {"name": "example"}}, "tokenizer": REMOVED},
        "spec.model.run.name",
        "got the run itself, expected another run; name the run to continue",
    ),
    Bad(
        "a model beside the bucket's folders",
        RUN,
        {"output": {"uri": "s3://models/../mine"}},
        "spec.output.uri",
        "got s3://models/../mine, expected a path without ..",
    ),
    Bad(
        "a job that starts from itself",
        JOB,
        {"baseModel": {"run": {"kind": "FineTuneJob", "name": "example"}}},
        "spec.baseModel.run.name",
        "got the run itself, expected another run; name the run to start from",
    ),
    Bad(
        "a kind that is none",
        JOB,
        {"baseModel": {"run": {"kind": "PyTorchJob", "name": "a"}}},
        "spec.baseModel.run.kind",
        "got PyTorchJob, expected TrainingRun or FineTuneJob",
    ),
    Bad(
        "a run of another namespace",
        JOB,
        {"baseModel": {"run": {"name": "team/first"}}},
        "spec.baseModel.run.name",
        "got team/first, expected the name of a run in this namespace",
    ),
    Bad(
        "two base models",
        JOB,
        {"baseModel.run": {"name": "first"}},
        "spec.baseModel",
        "got none or both of uri and run, expected exactly one; keep the one you mean",
    ),
    Bad(
        "access to a run's store",
        JOB,
        {"baseModel": {"run": {"name": "first"}, "region": "eu"}},
        "spec.baseModel",
        "got endpoint, region or credentialsSecret with run, expected none of them",
    ),
    Bad(
        "a GGUF file of a run",
        JOB,
        {"baseModel": {"run": {"name": "first"}, "ggufFile": "a.gguf"}},
        "spec.baseModel.ggufFile",
        "got ggufFile with run, expected it with uri only, as a finished model is no GGUF; remove it",
    ),
    Bad(
        "a GGUF file with its folder",
        JOB,
        {"baseModel.ggufFile": "models/a.gguf"},
        "spec.baseModel.ggufFile",
        "got models/a.gguf, expected the name of a .gguf file in the folder",
    ),
    Bad(
        "a model written to a folder of the pod",
        RUN,
        {"output": {"uri": "/models/mine"}},
        "spec.output.uri",
        "got /models/mine, expected s3://bucket/folder or pvc://claim/folder; write one of these",
    ),
    Bad(
        "a model in another store",
        RUN,
        {"output": {"uri": "pvc://srv/models/mine"}},
        "spec.output.uri",
        "got pvc://srv/models/mine, expected a folder in the same store as the checkpoints",
    ),
    Bad(
        "an accelerator by its short name",
        RUN,
        {"workers": {"accelerator": "gpu"}},
        "spec.workers.accelerator",
        "got gpu, expected None or an extended resource; write None or nvidia.com/gpu",
    ),
    Bad(
        "accelerators on CPUs",
        RUN,
        {"workers.acceleratorsPerNode": 2},
        "spec.workers.acceleratorsPerNode",
        "got 2, expected it with an accelerator only; use processesPerNode for CPU training",
    ),
    Bad(
        "processes on accelerators",
        RUN,
        {"workers": {"processesPerNode": 2}},
        "spec.workers.processesPerNode",
        "got processesPerNode together with an accelerator, expected it for CPU training only",
    ),
    Bad(
        "memory of no accelerator",
        RUN,
        {"workers.acceleratorMemoryGiB": 80},
        "spec.workers.acceleratorMemoryGiB",
        "got acceleratorMemoryGiB without an accelerator",
    ),
    Bad(
        "a quantity that is none",
        RUN,
        {"workers.resources": {"memory": "3 GB"}},
        "spec.workers.resources",
        "got 3 GB, expected a quantity of Kubernetes for memory; write 500m, 2 or 3Gi",
    ),
    Bad(
        "a quantity below nothing",
        RUN,
        {"workers.resources": {"cpu": -1}},
        "spec.workers.resources",
        "got -1, expected a quantity of Kubernetes for cpu",
    ),
    Bad(
        "a resource with a slip of the pen",
        RUN,
        {"workers.resources": {"cpu": 1, "memroy": "3Gi"}},
        "spec.workers.resources",
        "got memroy, expected cpu, memory, ephemeral-storage or an extended resource",
    ),
    Bad(
        "accelerators as a resource",
        RUN,
        {"workers": {"resources": {"nvidia.com/gpu": 8}}},
        "spec.workers.resources",
        "got nvidia.com/gpu, expected acceleratorsPerNode to say how many; remove it from resources",
    ),
    Bad(
        "a label with a space",
        RUN,
        {"workers.nodeSelector": {"gpu": "H100 80GB"}},
        "spec.workers.nodeSelector",
        "got something that no label can be",
    ),
    Bad(
        "an image with a space",
        RUN,
        {"workers.image": "trainer latest"},
        "spec.workers.image",
        "got trainer latest, expected an image such as registry.example/team/trainer:1",
    ),
    _variable("a variable with a dash", "MY-VAR", "expected a letter or _, then letters, digits"),
    _variable(
        "a key of telemetry in the spec",
        "OTEL_EXPORTER_OTLP_HEADERS",
        "expected no credentials in a spec, which many can read; put it into a Secret",
    ),
    _variable(
        "a rank by hand", "WORLD_SIZE", "expected a name that the platform does not set itself"
    ),
    _variable("a secret in the open", "HF_TOKEN", "expected no credentials in a spec"),
    _variable("a key of W&B in the open", "WANDB_API_KEY", "expected no credentials in a spec"),
    _tracker(
        "MLflow without a scheme",
        "mlflow",
        {"trackingUri": "mlflow:5000"},
        ".trackingUri",
        "expected a URL such as https://mlflow.tracking:5000",
    ),
    _tracker(
        "a password in MLflow's address",
        "mlflow",
        {"trackingUri": "https://me:secret@mlflow:5000"},
        ".trackingUri",
        "got something else in trackingUri, expected a URL such as https://mlflow.tracking:5000 without user",
    ),
    _tracker(
        "MLflow's Secret of another namespace",
        "mlflow",
        {"trackingUri": "http://mlflow", "credentialsSecret": "team/mlflow"},
        ".credentialsSecret",
        "got team/mlflow, expected the name of a Secret in the run's namespace",
    ),
    _tracker(
        "W&B online without a key",
        "wandb",
        {"project": "lab"},
        ".mode",
        "got Online without credentialsSecret, expected credentialsSecret with it",
    ),
    _tracker(
        "a project with a slash",
        "wandb",
        {"project": "team/lab", "mode": "Offline"},
        ".project",
        "got team/lab, expected letters, digits, _, . and -; rename the project",
    ),
    _tracker(
        "an entity with a space",
        "wandb",
        {"project": "lab", "entity": "my team", "mode": "Offline"},
        ".entity",
        "got my team, expected the name of a user or team",
    ),
    _tracker(
        "a server of W&B with a path",
        "wandb",
        {"project": "lab", "baseUrl": "wandb.example", "mode": "Offline"},
        ".baseUrl",
        "got something else in baseUrl, expected a URL such as https://wandb.example",
    ),
    _toleration(
        "an operator in lower case",
        {"key": "a", "operator": "exists"},
        "operator",
        "got exists, exp",
    ),
    _toleration(
        "an effect that is none", {"key": "a", "effect": "Evict"}, "effect", "got Evict, expected"
    ),
    _toleration(
        "no key", {"effect": "NoSchedule"}, "key", "got no key, expected a key, or operator Exists"
    ),
    _toleration(
        "a value that is not compared",
        {"key": "a", "operator": "Exists", "value": "b"},
        "value",
        "got value with operator Exists, expected it with operator Equal only",
    ),
    _toleration(
        "patience without eviction",
        {"key": "a", "effect": "NoSchedule", "tolerationSeconds": 5},
        "tolerationSeconds",
        "expected it with effect NoExecute only",
    ),
)
