"""Renders the chart as `helm install` would and hands out the objects; used by all tests here."""

import copy
import json
import re
import shutil
import subprocess
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from ruamel.yaml import YAML

from tests.cluster.binaries import HELM, ensure_binaries

CHART = Path(__file__).resolve().parents[2] / "helm" / "trainwright"
KUBERNETES = "1.36.0"
RELEASE, NAMESPACE = "tw", "tw-system"
FULL_NAME = "tw-trainwright"

Object = dict[str, Any]
Values = dict[str, Any]

EVERYTHING: Values = {
    "imagePullSecrets": [{"name": "pull"}],
    "trainer": {
        "imagePullSecrets": [{"name": "pull-a"}, {"name": "pull-b"}],
        "s3Endpoint": "http://minio.storage:9000",
        "podDefaults": {"spec": {"hostIPC": True}},
    },
    "watchNamespaces": ["team-a", "on"],
    "prices": {"nvidia.com/gpu": 2.5, "cpu": 1000000},
    "utilization": {"minimumPercent": 12.5, "minutes": 90},
    "otlpEndpoint": "http://collector:4318",
    "extraEnv": [{"name": "HTTPS_PROXY", "value": "http://proxy:3128"}],
    "serviceAccount": {"annotations": {"a": "b"}},
    "podAnnotations": {"a": "b"},
    "podLabels": {"team": "ml"},
    "priorityClassName": "system-cluster-critical",
    "nodeSelector": {"pool": "cpu"},
    "tolerations": [{"key": "dedicated", "operator": "Exists"}],
    "affinity": {"nodeAffinity": {}},
    "podDisruptionBudget": {"enabled": True},
    "networkPolicies": {
        "operator": True,
        "trainer": True,
        "metricsFrom": [{"podSelector": {}}],
        "extraEgress": [{"ports": [{"port": 3128}]}],
    },
    "monitoring": {
        "serviceMonitor": {"enabled": True, "labels": {"release": "prometheus"}},
        "podMonitor": {"enabled": True, "labels": {"release": "prometheus"}},
        "prometheusRule": {"enabled": True, "labels": {"release": "prometheus"}},
        "dashboards": {"enabled": True, "annotations": {"grafana_folder": "Training"}},
    },
    "grafana": {"url": "https://grafana.example/"},
}
"""Every switch on and every list filled."""


class RenderError(Exception):
    """Helm refused the values or the template; the text is Helm's."""


@dataclass(frozen=True)
class Rendering:
    """The objects of one rendering."""

    objects: tuple[Object, ...]

    def kinds(self) -> list[str]:
        return sorted(found["kind"] for found in self.objects)

    def all(self, kind: str) -> list[Object]:
        return [found for found in self.objects if found["kind"] == kind]

    def only(self, kind: str) -> Object:
        """The single object of a kind."""
        (found,) = self.all(kind)
        return found

    def operator_container(self) -> Object:
        (container,) = self.only("Deployment")["spec"]["template"]["spec"]["containers"]
        return dict(container)

    def environment(self) -> dict[str, str]:
        return {entry["name"]: entry["value"] for entry in self.operator_container()["env"]}


@cache
def helm_program() -> str:
    return str(ensure_binaries(HELM) / "helm")


def helm(*arguments: str, values: Values | None = None) -> subprocess.CompletedProcess[str]:
    """Runs helm; the values go in by standard input, as a file would."""
    return subprocess.run(
        [helm_program(), *arguments, "--values", "-"],
        input=json.dumps(values or {}),
        capture_output=True,
        text=True,
        check=False,
    )


def render_text(values: Values | None = None) -> str:
    """What `helm template` prints; RenderError with Helm's words if it refuses."""
    return _render_once(json.dumps(values or {}))


@cache
def _render_once(values: str) -> str:
    arguments = (RELEASE, str(CHART), "--namespace", NAMESPACE, "--kube-version", KUBERNETES)
    ended = helm("template", *arguments, values=json.loads(values))
    if ended.returncode:
        raise RenderError(ended.stderr)
    return ended.stdout


def render(values: Values | None = None) -> Rendering:
    """The objects of the chart with these values on top of its own."""
    return Rendering(tuple(parse_objects(render_text(values))))


def render_notes(values: Values | None = None) -> str:
    """What `helm install` tells the person; `helm template` shows it as a template of another name."""
    with TemporaryDirectory() as folder:
        chart = Path(folder) / "trainwright"
        shutil.copytree(CHART, chart)
        notes = chart / "templates" / "NOTES.txt"
        text = f'{{{{- define "notes" -}}}}\n{notes.read_text()}{{{{- end }}}}\n'
        (chart / "templates" / "notes.yaml").write_text(
            text + 'notes: {{ include "notes" . | toJson }}\n'
        )
        notes.unlink()
        arguments = [str(chart), "--namespace", NAMESPACE, "--kube-version", KUBERNETES]
        arguments += ["--show-only", "templates/notes.yaml"]
        ended = helm("template", RELEASE, *arguments, values=values)
    if ended.returncode:
        raise RenderError(ended.stderr)
    return str(parse_objects(ended.stdout)[0]["notes"])


def parse_objects(text: str) -> list[Object]:
    parts = re.split(r"^---\n", text, flags=re.MULTILINE)
    return [found for part in parts if (found := copy.deepcopy(_parse_once(part)))]


@cache
def _parse_once(text: str) -> Object | None:
    """The object of a document; definitions and dashboards, which take the longest, are in most renderings."""
    loaded: Object | None = YAML(typ="safe").load(text)
    return loaded
