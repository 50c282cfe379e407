from dataclasses import replace
from typing import Any

from trainwright_api import names
from trainwright_api.resolve import resolve_run
from trainwright_api.run import Run
from trainwright_operator.build import build_config_map, build_job, build_pod_template
from trainwright_operator.overrides import merge_template
from trainwright_operator.settings import Settings

from tests.unit.operator.builders import UID, raw_run, run

SETTINGS = Settings(trainer_image="registry/trainer:1", s3_endpoint="http://minio:9000")


def resolved(**changes: Any) -> tuple[Any, Run]:
    resource = run(**changes)
    return resource, resolve_run(
        resource,
        attempt=3,
        models={},
        folders={},
    )


def container(template: dict[str, Any]) -> dict[str, Any]:
    return next(c for c in template["spec"]["containers"] if c["name"] == "pytorch")


def test_the_config_map_carries_the_resolved_run_and_goes_with_its_owner() -> None:
    resource, resolved_run = resolved()
    manifest = build_config_map(resource, resolved_run)
    assert manifest["metadata"]["name"] == "gpt-3"
    assert manifest["metadata"]["ownerReferences"][0]["uid"] == UID
    assert Run.model_validate_json(manifest["data"]["run.json"]) == resolved_run


def test_the_job_never_restarts_single_pods() -> None:
    job = build_job(*resolved(), SETTINGS).to_dict()
    assert job["spec"]["run_policy"]["clean_pod_policy"] == "None"
    replicas = job["spec"]["pytorch_replica_specs"]
    assert {name: spec["replicas"] for name, spec in replicas.items()} == {"Master": 1, "Worker": 1}
    assert {spec["restart_policy"] for spec in replicas.values()} == {"Never"}


def test_one_node_has_no_worker() -> None:
    job = build_job(*resolved(nodes=1), SETTINGS).to_dict()
    assert set(job["spec"]["pytorch_replica_specs"]) == {"Master"}


def test_pods_are_hardened_and_have_what_the_trainer_needs() -> None:
    template = build_pod_template(*resolved(), SETTINGS)
    spec, trainer = template["spec"], container(template)
    assert spec["securityContext"]["runAsNonRoot"]
    assert spec["automountServiceAccountToken"] is False
    assert trainer["securityContext"]["readOnlyRootFilesystem"]
    assert trainer["image"] == "registry/trainer:1"
    assert {"name": "AWS_ENDPOINT_URL", "value": "http://minio:9000"} in trainer["env"]
    mounts = {m["mountPath"] for m in trainer["volumeMounts"]}
    assert mounts == {
        "/etc/trainwright",
        "/dev/shm",
        "/scratch",
        "/tmp",
        "/var/run/trainwright/credentials/s3",
    }


def test_accelerators_and_claims() -> None:
    resource, resolved_run = resolved(
        workers={"nodes": 2, "acceleratorsPerNode": 4, "resources": {"cpu": 8}},
        checkpoints={"store": {"uri": "pvc://shared/runs/"}},
    )
    template = build_pod_template(resource, resolved_run, SETTINGS)
    assert container(template)["resources"]["limits"] == {"cpu": "8", "nvidia.com/gpu": "4"}
    assert {"name": "claim-shared", "persistentVolumeClaim": {"claimName": "shared"}} in template[
        "spec"
    ]["volumes"]


def test_pods_are_placed_as_the_workers_say() -> None:
    tolerations = [
        {"key": "gpus-only", "operator": "Exists", "effect": "NoSchedule"},
        {"key": "maintenance", "value": "soon", "effect": "NoExecute", "tolerationSeconds": 60},
    ]
    placement = {
        "nodeSelector": {"pool": "training", "topology.kubernetes.io/zone": "b"},
        "tolerations": tolerations,
        "priorityClassName": "batch",
    }
    workers = {"nodes": 2, "accelerator": "None", **placement}
    job = build_job(*resolved(workers=workers), SETTINGS).to_dict()
    for replica in job["spec"]["pytorch_replica_specs"].values():
        spec = replica["template"]["spec"]
        assert {key: spec.get(key) for key in placement} == placement


def test_pods_go_anywhere_unless_the_workers_say_where() -> None:
    spec = build_pod_template(*resolved(), SETTINGS)["spec"]
    assert not {"nodeSelector", "tolerations", "priorityClassName"} & spec.keys()


def test_the_time_to_save_is_the_one_that_suspend_tells() -> None:
    resource, resolved_run = resolved()
    spec = build_pod_template(resource, resolved_run, SETTINGS)["spec"]
    text = type(resource.spec).model_fields["suspend"].description or ""
    assert f"They have {spec['terminationGracePeriodSeconds']} s to save" in text


def test_overrides_win_in_order_and_named_lists_merge_by_name() -> None:
    overrides = {
        "metadata": {"labels": {names.LABEL_RUN_UID: "another's", "cost-center": "7"}},
        "spec": {
            "hostNetwork": True,
            "containers": [{"name": "pytorch", "env": [{"name": "NCCL_DEBUG", "value": "INFO"}]}],
            "volumes": [{"name": "scratch", "emptyDir": {"sizeLimit": "1Gi"}}],
        },
    }
    resource = run(workers={"nodes": 2, "accelerator": "None", "podOverrides": overrides})
    resolved_run = resolved()[1]
    settings = Settings(pod_defaults={"spec": {"hostNetwork": False, "dnsPolicy": "Default"}})
    template = build_pod_template(resource, resolved_run, settings)
    labels = template["metadata"]["labels"]
    assert (labels[names.LABEL_RUN_UID], labels["cost-center"]) == (UID, "7")
    assert template["spec"]["hostNetwork"] is True
    assert template["spec"]["dnsPolicy"] == "Default"
    assert {"name": "NCCL_DEBUG", "value": "INFO"} in container(template)["env"]
    (scratch,) = [v for v in template["spec"]["volumes"] if v["name"] == "scratch"]
    assert scratch["emptyDir"] == {"sizeLimit": "1Gi"}


def test_a_null_removes_a_field() -> None:
    assert merge_template({"a": 1, "b": {"c": 2}}, {"a": None, "b": {"c": None}}) == {"b": {}}


def test_the_builders_do_not_change_what_they_are_given() -> None:
    manifest = raw_run()
    before = str(manifest)
    build_job(*resolved(), SETTINGS)
    assert str(manifest) == before


def test_a_plain_prometheus_finds_the_pods_unless_the_operator_is_told_otherwise() -> None:
    annotations = build_pod_template(*resolved(), SETTINGS)["metadata"]["annotations"]
    assert annotations == {
        "prometheus.io/scrape": "true",
        "prometheus.io/port": "8470",
        "prometheus.io/path": "/metrics",
    }
    silent = replace(SETTINGS, scrape_annotations=False)
    assert "annotations" not in build_pod_template(*resolved(), silent)["metadata"]


def test_secrets_of_trackers_are_mounted_and_said_nowhere_else() -> None:
    mlflow = {"trackingUri": "http://mlflow", "credentialsSecret": "mlflow"}
    wandb = {"project": "lab", "credentialsSecret": "wandb"}
    template = build_pod_template(*resolved(tracking={"mlflow": mlflow, "wandb": wandb}), SETTINGS)
    sources = [v["secret"]["secretName"] for v in template["spec"]["volumes"] if "secret" in v]
    assert {"mlflow", "wandb"} <= set(sources)
    mounts = {mount["mountPath"] for mount in container(template)["volumeMounts"]}
    assert "/var/run/trainwright/credentials/wandb" in mounts
    assert "secretKeyRef" not in str(template)


def test_trainers_send_metrics_where_the_operator_does_unless_the_run_says_otherwise() -> None:
    settings = replace(SETTINGS, otlp_endpoint="http://collector:4318")
    ours = {"name": "OTEL_EXPORTER_OTLP_ENDPOINT", "value": "http://collector:4318"}
    assert ours in container(build_pod_template(*resolved(), settings))["env"]
    theirs = {**ours, "value": "http://mine:4318"}
    workers = {"nodes": 2, "accelerator": "None", "env": [theirs]}
    environment = container(build_pod_template(*resolved(workers=workers), settings))["env"]
    assert [entry for entry in environment if entry["name"] == ours["name"]] == [theirs]
