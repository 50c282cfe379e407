"""The chart's life on a real cluster: install, upgrade, uninstall, install again.

The operator runs from the image built from its Dockerfile, with the chart's rights and hardening.
A suspended run stands for a user's work: nothing of the chart's life may harm it.
"""

import json
import os
import shlex
import shutil
import subprocess
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from tests.cluster import Cluster, ClusterSpec, KubectlError
from tests.cluster.binaries import HELM, ensure_binaries
from tests.docs.pages import read_commands
from tools.images import Built, build_archive
from tools.machine import PROJECT

NAMESPACE = "trainwright-system"
CHART = PROJECT / "helm" / "trainwright"
DEPLOYMENT = "deployment/trainwright"
CRDS = {"finetunejobs.trainwright.dev", "trainingruns.trainwright.dev"}
RUN = {
    "apiVersion": "trainwright.dev/v1alpha1",
    "kind": "TrainingRun",
    "metadata": {"name": "kept", "namespace": "default"},
    "spec": {
        "suspend": True,
        "model": {"architecture": "llama", "config": {"hidden_size": 64}},
        "tokenizer": {"train": {"algorithm": "BPE", "vocabularySize": 512}},
        "data": {"sources": [{"uri": "s3://datasets/x/", "format": "Text"}], "sequenceLength": 64},
        "budget": {"steps": 10},
        "batch": {"globalSequences": 2},
        "workers": {"nodes": 1, "accelerator": "None", "resources": {"cpu": 1, "memory": "1Gi"}},
        "checkpoints": {"store": {"uri": "s3://checkpoints/", "credentialsSecret": "s3"}},
    },
}

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="the embedded cluster needs root on Linux"),
    pytest.mark.timeout(900),
]


def documented(start: str) -> list[str]:
    """The words of the docs' one command that begins so, without the program.

    Images that it names by the reader's registry are on the nodes here.
    """
    (line,) = {c.text for c in read_commands() if c.text.startswith(f"{start} ")}
    return shlex.split(line.replace("registry.example/team", "localhost"))[1:]


def as_options(settings: Iterable[str]) -> list[str]:
    """Chart values as Helm takes them."""
    return [part for setting in settings for part in ("--set", setting)]


class Installation:
    """The cluster and Helm's commands against it."""

    def __init__(self, cluster: Cluster, image: Built, folder: Path) -> None:
        self.cluster = cluster
        self._image = image
        self._program = ensure_binaries(HELM) / "helm"
        self._environment = {
            **os.environ,
            **cluster.environment(),
            **{f"HELM_{name}_HOME": str(folder / name) for name in ("CACHE", "CONFIG", "DATA")},
        }

    def helm(self, *arguments: str) -> str:
        """Helm's output; fails the test with its words if it ends with an error."""
        ended = subprocess.run(
            [self._program, *arguments],
            cwd=PROJECT,
            env=self._environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert ended.returncode == 0, ended.stderr
        return ended.stdout

    def install(self, *settings: str) -> str:
        """Installs as documented and waits until the operator is ready; returns the notes."""
        image = f"image.repository=trainwright-operator,image.tag={self._image.tag}"
        return self.helm(*documented("helm install"), *as_options((image, *settings)))

    def upgrade(self, *settings: str, chart: Path | None = None) -> None:
        """Upgrades as documented, to another chart if one is given."""
        words = documented("helm upgrade")
        words[words.index("helm/trainwright")] = str(chart or "helm/trainwright")
        self.helm(*words, *as_options(settings))

    def uninstall(self) -> None:
        """Uninstalls as documented and waits until the pod is gone."""
        self.helm(*documented("helm uninstall"), "--wait", "--cascade", "foreground")

    def columns(self) -> list[Any]:
        """The columns that `kubectl get trainingruns` shows."""
        (version,) = self.get("crd", "trainingruns.trainwright.dev")["spec"]["versions"]
        return list(version.get("additionalPrinterColumns", []))

    def get(self, *what: str) -> dict[str, Any]:
        return dict(json.loads(self.cluster.kubectl("get", *what, "-o", "json")))

    def names(self, *what: str) -> set[str]:
        return {item["metadata"]["name"] for item in self.get(*what)["items"]}

    def operator_pod(self) -> dict[str, Any]:
        selector = "app.kubernetes.io/component=operator"
        (pod,) = self.get("pods", "-n", NAMESPACE, "-l", selector)["items"]
        return dict(pod)

    def operator_log(self) -> str:
        return self.cluster.kubectl("logs", "-n", NAMESPACE, DEPLOYMENT)


@pytest.fixture(scope="module")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    image = build_archive("operator")
    assert image.archive
    spec = ClusterSpec(name="chart", s3=False, images=(str(image.archive),))
    with Cluster.running(spec) as cluster:
        yield Installation(cluster, image, tmp_path_factory.mktemp("helm"))


def test_install_makes_a_hardened_operator_ready(installation: Installation) -> None:
    notes = installation.install()
    assert "Next steps" in notes
    assert "MISSING" not in notes  # PyTorchJobs are there
    (status,) = installation.operator_pod()["status"]["containerStatuses"]
    assert (status["ready"], status["restartCount"]) == (True, 0)
    script = "import os; print(os.getuid(), os.access('/', os.W_OK), os.access('/tmp', os.W_OK))"
    inside = ("exec", "-n", NAMESPACE, DEPLOYMENT, "--", "/opt/operator/bin/python", "-c", script)
    assert installation.cluster.kubectl(*inside).split() == ["65532", "False", "False"]


def test_rights_of_the_chart_are_enough_and_no_more(installation: Installation) -> None:
    account = f"system:serviceaccount:{NAMESPACE}:trainwright"
    kubectl = installation.cluster.kubectl
    assert "orbidden" not in installation.operator_log()
    for verb, what in (("get", "secrets"), ("create", "clusterroles"), ("create", "trainingruns")):
        with pytest.raises(KubectlError, match="no"):
            kubectl("auth", "can-i", verb, what, "--as", account, "-n", "default")


def test_edit_role_of_a_namespace_includes_runs(installation: Installation) -> None:
    kubectl = installation.cluster.kubectl
    kubectl("create", "rolebinding", "ann", "--clusterrole=edit", "--user=ann", "-n", "default")
    can = ("auth", "can-i", "create", "trainingruns.trainwright.dev", "--as=ann")
    assert kubectl(*can, "-n", "default").strip() == "yes"
    with pytest.raises(KubectlError, match="no"):
        kubectl(*can, "-n", "kube-system")


def write_older_chart(folder: Path) -> Path:
    """The chart as a release might have been that knew no columns."""
    older = folder / "trainwright"
    shutil.copytree(CHART, older)
    file = older / "files" / "crds" / "trainwright.dev_trainingruns.yaml"
    yaml = YAML()
    definition = yaml.load(file)
    for version in definition["spec"]["versions"]:
        del version["additionalPrinterColumns"]
    yaml.dump(definition, file)
    return older


def test_upgrade_brings_definitions_and_settings_up_to_date_and_keeps_runs(
    installation: Installation, tmp_path: Path
) -> None:
    installation.upgrade(chart=write_older_chart(tmp_path))
    assert not installation.columns()
    installation.cluster.kubectl("apply", "-f", "-", stdin=json.dumps(RUN))
    uid = installation.get("trainingrun", "kept")["metadata"]["uid"]
    before = installation.operator_pod()["metadata"]["uid"]

    installation.upgrade("logLevel=DEBUG")

    assert installation.columns()
    assert installation.operator_pod()["metadata"]["uid"] != before
    assert installation.get("trainingrun", "kept")["metadata"]["uid"] == uid


def test_uninstall_leaves_definitions_and_runs_and_nothing_else(installation: Installation) -> None:
    uid = installation.get("trainingrun", "kept")["metadata"]["uid"]
    installation.uninstall()
    kinds = "all,serviceaccounts,roles,rolebindings,configmaps,networkpolicies"
    names = installation.names(kinds, "-n", NAMESPACE)
    names |= installation.names("clusterroles,clusterrolebindings")
    assert not [name for name in names if "trainwright" in name]
    assert installation.names("crds") >= CRDS
    assert installation.get("trainingrun", "kept")["metadata"]["uid"] == uid


def test_installing_again_takes_over_what_was_left(installation: Installation) -> None:
    uid = installation.get("trainingrun", "kept")["metadata"]["uid"]
    installation.install("watchNamespaces={default}")
    kept = installation.get("trainingrun", "kept")
    assert kept["metadata"]["uid"] == uid
    assert "orbidden" not in installation.operator_log()


def test_runs_can_be_deleted_after_uninstall(installation: Installation) -> None:
    installation.uninstall()
    installation.cluster.kubectl("delete", "trainingrun", "kept", "--timeout=10s")
    assert not installation.names("trainingruns")
    installation.cluster.kubectl(*documented("kubectl delete crd"))
    assert not installation.names("crds") & CRDS
