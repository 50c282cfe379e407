"""Builds the objects of an attempt: the config map with the resolved run, and the PyTorchJob; pure."""

import hashlib
from typing import Any

from kubeflow.training.models import (
    KubeflowOrgV1PyTorchJob,
    KubeflowOrgV1PyTorchJobSpec,
    KubeflowOrgV1ReplicaSpec,
    KubeflowOrgV1RunPolicy,
)
from trainwright_api import names
from trainwright_api.data import Location
from trainwright_api.resources import Resource
from trainwright_api.run import Run

from trainwright_operator.accounting import NO_ACCELERATOR
from trainwright_operator.overrides import merge_template
from trainwright_operator.settings import Settings

USER_ID = 65532
TERMINATION_GRACE_SECONDS = 60  # a step and a checkpoint of it
_PVC = "pvc://"

Template = dict[str, Any]


def object_name(resource: Resource, attempt: int) -> str:
    """Return the name of an attempt's objects."""
    return f"{resource.metadata.name}-{attempt}"


def build_labels(resource: Resource, attempt: int) -> dict[str, str]:
    """Return the labels of everything that belongs to an attempt."""
    return {
        names.LABEL_KIND: resource.kind,
        names.LABEL_RUN: resource.metadata.name,
        names.LABEL_RUN_UID: resource.metadata.uid or "",
        names.LABEL_ATTEMPT: str(attempt),
    }


def build_owner(resource: Resource) -> dict[str, Any]:
    """Return the owner reference by which children go with their run."""
    return {
        "apiVersion": resource.api_version,
        "kind": resource.kind,
        "name": resource.metadata.name,
        "uid": resource.metadata.uid,
        "controller": True,
        "blockOwnerDeletion": False,
    }


def build_config_map(resource: Resource, run: Run) -> dict[str, Any]:
    """Return the config map that carries the resolved run."""
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": _metadata(resource, run.attempt),
        "data": {names.RUN_FILE_KEY: run.model_dump_json(by_alias=True)},
    }


def _metadata(resource: Resource, attempt: int) -> dict[str, Any]:
    return {
        "name": object_name(resource, attempt),
        "namespace": resource.metadata.namespace,
        "labels": build_labels(resource, attempt),
        "ownerReferences": [build_owner(resource)],
    }


def build_job(resource: Resource, run: Run, settings: Settings) -> KubeflowOrgV1PyTorchJob:
    """Return the PyTorchJob of an attempt.

    Pods are never restarted singly (restartPolicy Never) nor cleaned up by Kubeflow: the operator
    reads every pod's end first, then restarts the whole group as a new job.
    """
    template = build_pod_template(resource, run, settings)
    replicas = {"Master": _replica(template, 1)}
    if run.workers.nodes > 1:
        replicas["Worker"] = _replica(template, run.workers.nodes - 1)
    return KubeflowOrgV1PyTorchJob(
        api_version="kubeflow.org/v1",
        kind="PyTorchJob",
        metadata=_metadata(resource, run.attempt),
        spec=KubeflowOrgV1PyTorchJobSpec(
            nproc_per_node="1",
            run_policy=KubeflowOrgV1RunPolicy(clean_pod_policy="None", backoff_limit=0),
            pytorch_replica_specs=replicas,
        ),
    )


def _replica(template: Template, count: int) -> KubeflowOrgV1ReplicaSpec:
    return KubeflowOrgV1ReplicaSpec(replicas=count, restart_policy="Never", template=template)


def build_pod_template(resource: Resource, run: Run, settings: Settings) -> Template:
    """Return the pod template: hardened, with the run's own overrides merged into it."""
    workers = resource.spec.workers
    spec: Template = {
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": TERMINATION_GRACE_SECONDS,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": USER_ID,
            "runAsGroup": USER_ID,
            "fsGroup": USER_ID,
            "fsGroupChangePolicy": "OnRootMismatch",
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [_build_container(resource, run, settings)],
        "volumes": _build_volumes(resource, run),
    }
    if settings.trainer_image_pull_secrets:
        spec["imagePullSecrets"] = [{"name": n} for n in settings.trainer_image_pull_secrets]
    if workers.node_selector:
        spec["nodeSelector"] = dict(workers.node_selector)
    if workers.tolerations:
        spec["tolerations"] = [toleration.to_manifest() for toleration in workers.tolerations]
    if workers.priority_class_name:
        spec["priorityClassName"] = workers.priority_class_name
    labels = build_labels(resource, run.attempt)
    metadata: Template = {"labels": labels}
    if settings.scrape_annotations:
        metadata["annotations"] = {
            "prometheus.io/scrape": "true",
            "prometheus.io/port": str(names.TRAINER_PORT),
            "prometheus.io/path": "/metrics",
        }
    template: Template = {"metadata": metadata, "spec": spec}
    for override in (settings.pod_defaults, workers.pod_overrides):
        template = merge_template(template, override)
    # By its labels the operator finds a pod again: an override may add some, not change these.
    return merge_template(template, {"metadata": {"labels": labels}})


def _build_container(resource: Resource, run: Run, settings: Settings) -> Template:
    workers = resource.spec.workers
    resources = {name: str(amount) for name, amount in workers.resources.items()}
    if workers.accelerator != NO_ACCELERATOR:
        resources[workers.accelerator] = str(workers.accelerators_per_node)
    return {
        "name": names.TRAINER_CONTAINER,
        "image": workers.image or settings.trainer_image,
        "imagePullPolicy": settings.trainer_image_pull_policy,
        "args": ["--run", names.RUN_FILE],
        "env": _build_environment(resource, settings),
        "ports": [
            {"name": names.TRAINER_PORT_NAME, "containerPort": names.TRAINER_PORT},
            {"name": "pytorchjob-port", "containerPort": names.RENDEZVOUS_PORT},
        ],
        "resources": {"requests": resources, "limits": resources} if resources else {},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "terminationMessagePath": names.TERMINATION_MESSAGE_FILE,
        "terminationMessagePolicy": "File",
        "volumeMounts": _build_mounts(run),
    }


def _build_environment(resource: Resource, settings: Settings) -> list[Template]:
    def field(name: str, path: str) -> Template:
        return {"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}}

    environment = [
        field(names.ENV_NODE_NAME, "spec.nodeName"),
        field(names.ENV_POD_NAME, "metadata.name"),
        {"name": "HF_HOME", "value": f"{names.SCRATCH_FOLDER}/huggingface"},
        {"name": "HOME", "value": names.SCRATCH_FOLDER},
    ]
    if settings.s3_endpoint:
        environment.append({"name": names.SECRET_ENDPOINT_URL, "value": settings.s3_endpoint})
    if settings.otlp_endpoint:
        environment.append({"name": "OTEL_EXPORTER_OTLP_ENDPOINT", "value": settings.otlp_endpoint})
    own = [variable.to_manifest() for variable in resource.spec.workers.env]
    taken = {variable["name"] for variable in own}
    return [variable for variable in environment if variable["name"] not in taken] + own


def find_secrets(run: Run) -> list[str]:
    """Return the credential Secrets that the run names, sorted."""
    of_stores = {loc.credentials_secret for loc in _locations(run) if loc.credentials_secret}
    return sorted(of_stores.union(run.tracking.secrets))


def find_claims(run: Run) -> list[str]:
    """Return the PersistentVolumeClaims of the run's pvc:// addresses, sorted."""
    uris = [loc.uri for loc in _locations(run)]
    uris.append(run.output.uri)
    return sorted({uri.removeprefix(_PVC).split("/")[0] for uri in uris if uri.startswith(_PVC)})


def _locations(run: Run) -> list[Location]:
    found = [
        *run.data.sources,
        run.checkpoints.folder,
        run.checkpoints.resume_from,
        run.model.weights,
        run.tokenizer.location,
    ]
    return [location for location in found if location is not None]


def _build_volumes(resource: Resource, run: Run) -> list[Template]:
    volumes: list[Template] = [
        {"name": "run", "configMap": {"name": object_name(resource, run.attempt)}},
        {"name": "shared-memory", "emptyDir": {"medium": "Memory"}},
        {"name": "scratch", "emptyDir": {}},
        {"name": "temporary", "emptyDir": {}},
    ]
    for secret in find_secrets(run):
        source = {"secretName": secret, "defaultMode": 0o440}
        volumes.append({"name": f"secret-{_short(secret)}", "secret": source})
    for claim in find_claims(run):
        volumes.append(
            {"name": f"claim-{_short(claim)}", "persistentVolumeClaim": {"claimName": claim}}
        )
    return volumes


def _build_mounts(run: Run) -> list[Template]:
    mounts: list[Template] = [
        {"name": "run", "mountPath": names.RUN_FILE.rsplit("/", 1)[0], "readOnly": True},
        {"name": "shared-memory", "mountPath": "/dev/shm"},  # noqa: S108 - the pod's own
        {"name": "scratch", "mountPath": names.SCRATCH_FOLDER},
        {"name": "temporary", "mountPath": "/tmp"},  # noqa: S108 - the pod's own
    ]
    for secret in find_secrets(run):
        path = f"{names.CREDENTIALS_FOLDER}/{secret}"
        mounts.append({"name": f"secret-{_short(secret)}", "mountPath": path, "readOnly": True})
    for claim in find_claims(run):
        mounts.append(
            {"name": f"claim-{_short(claim)}", "mountPath": f"{names.VOLUMES_FOLDER}/{claim}"}
        )
    return mounts


def _short(name: str) -> str:
    """Volume names are DNS labels of at most 63 characters; names of Secrets may be longer, with dots."""
    plain = name.replace(".", "-")[:40]
    return plain if plain == name else f"{plain}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"
