"""Kubeflow's training-operator inside the cluster, from the manifests of its own module.

They are rendered once (`build`) and applied at each start. Two things are prepared before: an init
container that needs no image from elsewhere, and the webhook's Secret already filled, since a pod
that mounts it empty sees the certificates only a minute or two later.
"""

from __future__ import annotations

import base64
import json
import os
import tempfile
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from tests.cluster.api import ApiClient
from tests.cluster.binaries import TRAINING_OPERATOR, run_go
from tests.cluster.cache import Report, build_key, cache_folder, make_once, read_recipe
from tests.cluster.certificates import build_authority, build_certificate
from tests.cluster.images import TOOLBOX_IMAGE, training_operator_image
from tests.cluster.processes import run_tool
from tests.cluster.spec import Layout

NAMESPACE = "kubeflow"
OPERATOR = "training-operator"
PYTORCH_JOB_CRD = "pytorchjobs.kubeflow.org"
_SECRET = "training-operator-webhook-cert"
_WEBHOOK_PATH = (
    "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations/"
    "validator.training-operator.kubeflow.org"
)

# A worker's pod waits in it for its master's name. Resources as in the operator's own template.
_INIT_CONTAINER = f"""\
- name: init-pytorch
  image: {TOOLBOX_IMAGE}
  imagePullPolicy: IfNotPresent
  resources:
    limits: {{cpu: 100m, memory: 20Mi}}
    requests: {{cpu: 50m, memory: 10Mi}}
  command: [/bin/toolbox, resolve, "{{{{.MasterAddr}}}}"]
"""


def build_overlay(base: str) -> dict[str, Any]:
    """The kustomization over the module's stand-alone one, at the relative path `base`."""
    container = "/spec/template/spec/containers/0"
    volumes = "/spec/template/spec/volumes/-"
    deployment = [
        {"op": "replace", "path": f"{container}/image", "value": training_operator_image()},
        {"op": "replace", "path": f"{container}/readinessProbe/initialDelaySeconds", "value": 0},
        {"op": "replace", "path": f"{container}/readinessProbe/periodSeconds", "value": 1},
        {
            "op": "add",
            "path": f"{container}/volumeMounts/-",
            "value": {"name": "config", "mountPath": "/etc/config"},
        },
        {
            "op": "add",
            "path": volumes,
            "value": {"name": "config", "configMap": {"name": "training-operator-config"}},
        },
    ]
    no_secret = {"$patch": "delete", "apiVersion": "v1", "kind": "Secret"}
    metadata = {"name": _SECRET, "namespace": NAMESPACE}
    return {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "namespace": NAMESPACE,
        "resources": [base],
        "generatorOptions": {"disableNameSuffixHash": True},
        "configMapGenerator": [
            {
                "name": "training-operator-config",
                "literals": [f"initContainer.yaml={_INIT_CONTAINER}"],
            }
        ],
        "patches": [
            {"target": {"kind": "Deployment", "name": OPERATOR}, "patch": json.dumps(deployment)},
            {"patch": json.dumps({**no_secret, "metadata": metadata})},
        ],
    }


def ensure_manifests(report: Report = print) -> Path:
    """The folder of the rendered manifests: crds.yaml and operator.yaml."""
    overlay = json.dumps(build_overlay(""))
    key = build_key(TRAINING_OPERATOR.version, overlay, read_recipe(__file__))
    entry = cache_folder() / "kubeflow" / key

    def render(folder: Path) -> None:
        report(f"rendering the manifests of training-operator {TRAINING_OPERATOR.version}")
        module = TRAINING_OPERATOR.version_of
        run_go(TRAINING_OPERATOR, "mod", "download", module)
        found = run_go(TRAINING_OPERATOR, "list", "-m", "-f", "{{.Dir}}", module).strip()
        folder.mkdir()
        documents = _kustomize(Path(found) / "manifests" / "overlays" / "standalone")
        for name, is_crd in (("crds.yaml", True), ("operator.yaml", False)):
            chosen = [d for d in documents if ("kind: CustomResourceDefinition" in d) == is_crd]
            (folder / name).write_text("\n---\n".join(chosen))
        definition = next(d for d in documents if f"\n  name: {PYTORCH_JOB_CRD}\n" in d)
        parsed = YAML(typ="safe").load(definition)
        (folder / "pytorchjob.json").write_text(json.dumps(parsed))

    return make_once(entry, render, forgets=True)


def pytorch_job_definition() -> dict[str, Any]:
    """The PyTorchJob's definition, for a control plane that runs no training-operator."""
    definition: dict[str, Any] = json.loads((ensure_manifests() / "pytorchjob.json").read_text())
    return definition


def apply_prerequisites(client: ApiClient) -> None:
    """The namespace and the webhook's certificates."""
    path = f"/api/v1/namespaces/{NAMESPACE}"
    client.apply(path, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}})
    client.apply(f"{path}/secrets/{_SECRET}", build_webhook_secret())


def apply_manifests(layout: Layout, file_name: str) -> None:
    """Apply crds.yaml or operator.yaml; server-side, since the definitions are too big otherwise."""
    manifest = ensure_manifests() / file_name
    flags = ["--server-side", "--force-conflicts", "--validate=false"]
    access = [f"--kubeconfig={layout.kubeconfig}", f"--cache-dir={layout.kubectl_cache}"]
    run_tool(["kubectl", *access, "apply", *flags, "-f", manifest])


def is_available(client: ApiClient) -> bool:
    """Whether the operator runs *and* its webhook can be called: before that, jobs are refused."""
    deployment = client.find(f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments/{OPERATOR}")
    configuration = client.find(_WEBHOOK_PATH)
    if deployment is None or configuration is None:
        return False
    webhooks = configuration["webhooks"]
    has_authority = all(webhook["clientConfig"].get("caBundle") for webhook in webhooks)
    return bool(deployment.get("status", {}).get("availableReplicas")) and has_authority


def build_webhook_secret() -> dict[str, Any]:
    """A Secret as the operator's certificate keeper would fill it: RSA keys, traditional PEM."""
    authority = build_authority("training-operator-ca", ["training-operator-ca"], is_rsa=True)
    host = f"{OPERATOR}.{NAMESPACE}.svc"
    server = build_certificate(authority, host, names=[host], is_rsa=True)
    data = {
        "ca.crt": authority.certificate_pem(),
        "ca.key": authority.key_pem(),
        "tls.crt": server.certificate_pem(),
        "tls.key": server.key_pem(),
    }
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": _SECRET},
        "data": {name: base64.b64encode(value).decode() for name, value in data.items()},
    }


def _kustomize(base: Path) -> list[str]:
    with tempfile.TemporaryDirectory() as folder:
        overlay = build_overlay(os.path.relpath(base, Path(folder).resolve()))
        (Path(folder) / "kustomization.yaml").write_text(json.dumps(overlay))
        unrestricted = "--load-restrictor=LoadRestrictionsNone"
        rendered = run_tool(["kubectl", "kustomize", unrestricted, folder])
    return rendered.split("\n---\n")
