"""What the embedded cluster does: pods, names, volumes, jobs, S3, and nodes that fail."""

import json
import os
import re
import zlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config

from tests.cluster import Cluster, ClusterSpec, KubectlError, Mount
from tests.cluster.binaries import TOOLBOX, binary
from tests.cluster.gpus import GPU_RESOURCE
from tests.cluster.images import TOOLBOX_IMAGE
from tests.cluster.oci import ImageFile, build_oci_archive
from tests.cluster.processes import wait_until
from tests.cluster.spec import S3_PORT

Object = dict[str, Any]
GPUS = 2
GIVEN_IMAGE = "localhost/given:1"
DEADLINE = 60

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="the embedded cluster needs root on Linux"),
    pytest.mark.timeout(300),
]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    folder = tmp_path_factory.mktemp("mounted")
    folder.chmod(0o755)
    (folder / "greeting").write_text("from the machine")
    mounts = (Mount(str(folder), "/opt/mounted"),)
    image = write_image(tmp_path_factory.mktemp("image"), GIVEN_IMAGE)
    spec = ClusterSpec(
        "cluster-work",
        nodes=2,
        gpus_per_node=GPUS,
        mounts=mounts,
        images=(str(image),),
        node_grace_seconds=4,
    )
    with Cluster.running(spec) as cluster:
        yield cluster


@pytest.fixture
def namespace(cluster: Cluster, request: pytest.FixtureRequest) -> Iterator[str]:
    words = re.sub("[^a-z0-9]+", "-", request.node.name.removeprefix("test_"))
    # Long names of two parameters would begin alike.
    name = f"{words[:50].strip('-')}-{zlib.crc32(words.encode()):08x}"
    cluster.kubectl("create", "namespace", name)
    yield name
    cluster.kubectl("delete", "namespace", name, "--wait=false")


def a_container(*arguments: str, **fields: Any) -> Object:
    return {"name": "pytorch", "image": TOOLBOX_IMAGE, "args": list(arguments), **fields}


def a_pod(name: str, *arguments: str, node: str | None = None, **fields: Any) -> Object:
    spec = {"containers": [a_container(*arguments, **fields)], "restartPolicy": "Never"}
    metadata = {"name": name, "labels": {"app": name}}
    pinned = {"nodeName": node} if node else {}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": {**spec, **pinned}}


def apply(cluster: Cluster, namespace: str, *objects: Object) -> None:
    listed = {"apiVersion": "v1", "kind": "List", "items": list(objects)}
    cluster.kubectl("apply", "-n", namespace, "-f", "-", stdin=json.dumps(listed))


def get_pod(cluster: Cluster, namespace: str, name: str) -> Object:
    return cluster.client.get(f"/api/v1/namespaces/{namespace}/pods/{name}")


def get_pods(cluster: Cluster, namespace: str) -> list[Object]:
    pods: list[Object] = cluster.client.get(f"/api/v1/namespaces/{namespace}/pods")["items"]
    return pods


def get_node(cluster: Cluster, name: str) -> Object:
    return cluster.client.get(f"/api/v1/nodes/{name}")


def log_of_succeeded(cluster: Cluster, namespace: str, pod: str) -> str:
    def ended() -> str:
        phase: str = get_pod(cluster, namespace, pod)["status"]["phase"]
        return phase if phase in ("Succeeded", "Failed") else ""

    phase = wait_until(f"pod {pod} has ended", ended, DEADLINE)
    log = cluster.kubectl("logs", "-n", namespace, pod)
    assert phase == "Succeeded", log
    return log


def is_ready(cluster: Cluster, node: str) -> bool:
    conditions = get_node(cluster, node)["status"]["conditions"]
    return any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)


@pytest.mark.parametrize("client_node", ["node-1", "node-2"])
def test_pods_reach_a_service_by_name_from_every_node(
    cluster: Cluster, namespace: str, client_node: str
) -> None:
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "server"},
        "spec": {"selector": {"app": "server"}, "ports": [{"port": 80, "targetPort": 8080}]},
    }
    probe = {"httpGet": {"port": 8080}, "periodSeconds": 1}
    server = a_pod("server", "serve", ":8080", "hello", node="node-1", readinessProbe=probe)
    client = a_pod("client", "fetch", "http://server", node=client_node)
    apply(cluster, namespace, service, server, client)
    assert log_of_succeeded(cluster, namespace, "client").endswith("hello")


def test_commands_run_inside_a_pod(cluster: Cluster, namespace: str) -> None:
    apply(cluster, namespace, a_pod("server", "serve", ":8080", "x"))
    cluster.kubectl("wait", "-n", namespace, "--for=condition=Ready", "pod/server")
    line = [
        "exec",
        "-n",
        namespace,
        "server",
        "--",
        "/bin/toolbox",
        "resolve",
        "kubernetes.default",
    ]
    assert cluster.kubectl(*line) == "kubernetes.default [10.96.0.1]\n"


def test_two_pod_job_that_takes_all_gpus_succeeds_and_a_third_pod_waits(
    cluster: Cluster, namespace: str
) -> None:
    limits = {"resources": {"limits": {GPU_RESOURCE: GPUS}}}
    template = {"spec": {"containers": [a_container("resolve", "localhost", **limits)]}}
    replica = {"replicas": 1, "restartPolicy": "Never", "template": template}
    job = {
        "apiVersion": "kubeflow.org/v1",
        "kind": "PyTorchJob",
        "metadata": {"name": "job"},
        "spec": {
            "nprocPerNode": "1",
            "runPolicy": {"cleanPodPolicy": "None"},
            "pytorchReplicaSpecs": {"Master": replica, "Worker": replica},
        },
    }
    apply(cluster, namespace, job)
    cluster.kubectl(
        *("wait", "-n", namespace, "--for=condition=Succeeded", "pytorchjob/job"),
        f"--timeout={DEADLINE}s",
    )
    pods = get_pods(cluster, namespace)
    assert {pod["spec"]["nodeName"] for pod in pods} == {"node-1", "node-2"}
    too_many = {"limits": {GPU_RESOURCE: GPUS + 1}}
    apply(cluster, namespace, a_pod("greedy", "resolve", "localhost", resources=too_many))
    reason = wait_until(
        "it is judged", lambda: unschedulable(cluster, namespace, "greedy"), DEADLINE
    )
    assert f"Insufficient {GPU_RESOURCE}" in reason


def unschedulable(cluster: Cluster, namespace: str, pod: str) -> str:
    conditions = get_pod(cluster, namespace, pod)["status"].get("conditions", ())
    return "".join(c.get("message", "") for c in conditions if c["type"] == "PodScheduled")


def test_webhook_refuses_a_wrong_job(cluster: Cluster, namespace: str) -> None:
    replica = {
        "replicas": 1,
        "template": {"spec": {"containers": [{"name": "wrong", "image": "x"}]}},
    }
    job = {
        "apiVersion": "kubeflow.org/v1",
        "kind": "PyTorchJob",
        "metadata": {"name": "job"},
        "spec": {"pytorchReplicaSpecs": {"Master": replica}},
    }
    with pytest.raises(KubectlError, match="denied the request"):
        apply(cluster, namespace, job)


def test_pods_see_mounted_folders_read_only(cluster: Cluster, namespace: str) -> None:
    apply(
        cluster,
        namespace,
        a_pod("reader", "print", "/opt/mounted/greeting"),
        a_pod("mounts", "print", "/proc/self/mounts"),
    )
    assert log_of_succeeded(cluster, namespace, "reader") == "from the machine"
    mounts = log_of_succeeded(cluster, namespace, "mounts").splitlines()
    (options,) = [line.split()[3] for line in mounts if line.split()[1] == "/opt/mounted"]
    assert "ro" in options.split(",")


def test_s3_has_the_same_objects_from_the_machine_and_from_pods(
    cluster: Cluster, namespace: str
) -> None:
    environment = cluster.environment()
    keys = {
        "aws_access_key_id": environment["AWS_ACCESS_KEY_ID"],
        "aws_secret_access_key": environment["AWS_SECRET_ACCESS_KEY"],
        "region_name": environment["AWS_REGION"],
    }
    outside = boto3.client("s3", endpoint_url=environment["AWS_ENDPOINT_URL"], **keys)
    outside.put_object(Bucket="datasets", Key="folder/object", Body=b"stored")
    # Signing calls nobody: the URL is for the pod alone.
    inside = boto3.client(
        "s3",
        endpoint_url=cluster.inner_s3_endpoint,
        config=Config(signature_version="s3v4"),
        **keys,
    )
    wanted = {"Bucket": "datasets", "Key": "folder/object"}
    url = inside.generate_presigned_url("get_object", Params=wanted)
    apply(cluster, namespace, a_pod("reader", "fetch", url))
    assert log_of_succeeded(cluster, namespace, "reader").endswith("stored")
    assert cluster.forward("10.199.0.1", S3_PORT) == cluster.state.s3_port


@pytest.mark.parametrize("name", [GIVEN_IMAGE, "localhost/loaded:7", "localhost/asked-for:7"])
def test_image_given_at_the_start_or_later_runs_on_every_node(
    cluster: Cluster, namespace: str, tmp_path: Path, name: str
) -> None:
    if name == "localhost/loaded:7":
        cluster.load_image(write_image(tmp_path, name))
    if name == "localhost/asked-for:7":
        images = (str(write_image(tmp_path, name)),)
        assert Cluster.up(replace(cluster.state.spec, images=images)).is_reused
    for node in ("node-1", "node-2"):
        pod = a_pod(node, node=node)
        pod["spec"]["containers"] = [{"name": "c", "image": name}]
        apply(cluster, namespace, pod)
        assert log_of_succeeded(cluster, namespace, node) == name


def write_image(folder: Path, name: str) -> Path:
    """An image that prints its own name."""
    program = ImageFile(binary(TOOLBOX).read_bytes(), 0o755)
    files = {"tool": program, "name": ImageFile(name.encode())}
    archive = folder / "image.tar"
    archive.write_bytes(build_oci_archive(name, files, ["/tool", "print", "/name"]))
    return archive


def test_deleted_namespace_goes_with_all_that_is_in_it(cluster: Cluster) -> None:
    cluster.kubectl("create", "namespace", "gone")
    apply(cluster, "gone", a_pod("server", "serve", ":8080", "x"))
    cluster.kubectl("wait", "-n", "gone", "--for=condition=Ready", "pod/server")
    cluster.kubectl("delete", "pod", "-n", "gone", "server", "--grace-period=1")
    cluster.kubectl("delete", "namespace", "gone", "--timeout=30s")
    with pytest.raises(KubectlError, match="not found"):
        cluster.kubectl("get", "namespace", "gone")


def test_killed_kubelet_leaves_containers_running_until_it_is_back(
    cluster: Cluster, namespace: str
) -> None:
    apply(cluster, namespace, a_pod("orphan", "serve", ":8080", "alive", node="node-2"))
    cluster.kubectl("wait", "-n", namespace, "--for=condition=Ready", "pod/orphan")
    address = get_pod(cluster, namespace, "orphan")["status"]["podIP"]
    cluster.kill_kubelet("node-2")
    wait_until("node-2 is NotReady", lambda: not is_ready(cluster, "node-2"), 30)
    probe = a_pod("probe", "fetch", f"http://{address}:8080", node="node-1")
    apply(cluster, namespace, probe)
    assert log_of_succeeded(cluster, namespace, "probe").endswith("alive")
    cluster.start_kubelet("node-2")
    assert is_ready(cluster, "node-2")
    assert cluster.find_faults() == []


def test_power_cut_moves_pods_and_the_node_comes_back_with_its_gpus(
    cluster: Cluster, namespace: str
) -> None:
    deployment = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web"},
        "spec": {
            "selector": {"matchLabels": {"app": "web"}},
            "template": {
                "metadata": {"labels": {"app": "web"}},
                "spec": {
                    "containers": [a_container("serve", ":8080", "x")],
                    "affinity": prefer_node("node-2"),
                },
            },
        },
    }
    apply(cluster, namespace, deployment)
    wait_until("it runs on node-2", lambda: ready_nodes(cluster, namespace) == ["node-2"], DEADLINE)
    cluster.cut_power("node-2")
    wait_until("it runs on node-1", lambda: ready_nodes(cluster, namespace) == ["node-1"], DEADLINE)
    assert not is_ready(cluster, "node-2")
    cluster.restore_power("node-2")
    assert is_ready(cluster, "node-2")
    wait_until(
        "node-2 has its GPUs",
        lambda: get_node(cluster, "node-2")["status"]["allocatable"].get(GPU_RESOURCE) == str(GPUS),
        DEADLINE,
    )
    apply(cluster, namespace, a_pod("again", "resolve", "kubernetes.default", node="node-2"))
    assert "10.96.0.1" in log_of_succeeded(cluster, namespace, "again")
    assert cluster.find_faults() == []


def prefer_node(node: str) -> Object:
    wanted = {"key": "kubernetes.io/hostname", "operator": "In", "values": [node]}
    term = {"weight": 100, "preference": {"matchExpressions": [wanted]}}
    return {"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [term]}}


def ready_nodes(cluster: Cluster, namespace: str) -> list[str]:
    return [
        pod["spec"]["nodeName"]
        for pod in get_pods(cluster, namespace)
        if not pod["metadata"].get("deletionTimestamp")
        and any(
            c["type"] == "Ready" and c["status"] == "True"
            for c in pod["status"].get("conditions", ())
        )
    ]
