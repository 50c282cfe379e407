"""One test per switch: what it adds, what it changes, and what it leaves alone."""

import json
from typing import Any

import pytest

from tests.chart.rendering import (
    CHART,
    EVERYTHING,
    FULL_NAME,
    KUBERNETES,
    NAMESPACE,
    RELEASE,
    RenderError,
    Rendering,
    Values,
    helm,
    render,
    render_notes,
)

GRAFANA_OPERATOR = {"monitoring": {"dashboards": {"enabled": True, "kind": "GrafanaDashboard"}}}
RUN_PODS = {"matchExpressions": [{"key": "trainwright.dev/run", "operator": "Exists"}]}


@pytest.fixture(scope="module")
def default() -> Rendering:
    return render()


def pod_spec(rendering: Rendering) -> dict[str, Any]:
    return dict(rendering.only("Deployment")["spec"]["template"]["spec"])


def test_default_installs_one_operator_with_account_and_roles(default: Rendering) -> None:
    kinds = [kind for kind in default.kinds() if kind != "CustomResourceDefinition"]
    assert kinds == [
        "ClusterRole",  # the operator's, then edit and view
        "ClusterRole",
        "ClusterRole",
        "ClusterRoleBinding",
        "Deployment",
        "ServiceAccount",
    ]


def test_default_runs_one_operator_at_a_time(default: Rendering) -> None:
    spec = default.only("Deployment")["spec"]
    assert (spec["replicas"], spec["strategy"]) == (1, {"type": "Recreate"})


def test_default_is_hardened(default: Rendering) -> None:
    pod, container = pod_spec(default), default.operator_container()
    assert pod["securityContext"] == {
        "runAsNonRoot": True,
        "runAsUser": 65532,
        "runAsGroup": 65532,
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert container["resources"]["limits"]["memory"] == "512Mi"
    assert pod["enableServiceLinks"] is False
    assert not {"hostNetwork", "hostPID", "hostIPC", "volumes"} & pod.keys()


def test_default_probes_ask_the_metrics_port(default: Rendering) -> None:
    container = default.operator_container()
    assert [port["name"] for port in container["ports"]] == ["metrics"]
    assert container["livenessProbe"]["httpGet"] == {"path": "/healthz", "port": "metrics"}
    assert container["readinessProbe"]["httpGet"] == {"path": "/readyz", "port": "metrics"}


def test_selector_matches_pod_template(default: Rendering) -> None:
    spec = default.only("Deployment")["spec"]
    labels = spec["template"]["metadata"]["labels"]
    assert spec["selector"]["matchLabels"].items() <= labels.items()


IMAGES = [
    ({}, "localhost/trainwright-operator:0.1.0"),
    ({"registry": "r.example/t/"}, "r.example/t/trainwright-operator:0.1.0"),
    ({"registry": ""}, "trainwright-operator:0.1.0"),
    ({"image": {"repository": "x/y", "tag": "v2"}}, "localhost/x/y:v2"),
    (
        {"image": {"tag": "v2", "digest": "sha256:" + "a" * 64}},
        "localhost/trainwright-operator@sha256:" + "a" * 64,
    ),
]


@pytest.mark.parametrize(("values", "expected"), IMAGES)
def test_operator_image(values: Values, expected: str) -> None:
    assert render(values).operator_container()["image"] == expected


@pytest.mark.parametrize("group", ["image", "trainer.image"])
@pytest.mark.parametrize(
    ("option", "tag"), [("--set", "123"), ("--set", "0"), ("--set-json", "1.10")]
)
def test_a_tag_of_digits_has_to_be_text_and_the_error_says_how(
    group: str, option: str, tag: str
) -> None:
    arguments = ("template", RELEASE, str(CHART), "--kube-version", KUBERNETES)
    refused = helm(*arguments, option, f"{group}.tag={tag}")
    assert f"{group}.tag: got the number" in refused.stderr
    assert f"use --set-string {group}.tag=" in refused.stderr
    taken = helm(*arguments, "--set-string", f"{group}.tag={tag}")
    assert f':{tag}"\n' in taken.stdout


def test_trainer_image_follows_the_registry_too() -> None:
    values = {"registry": "r.example", "trainer": {"image": {"tag": "v3", "pullPolicy": "Always"}}}
    environment = render(values).environment()
    assert environment["TRAINWRIGHT_TRAINER_IMAGE"] == "r.example/trainwright-trainer:v3"
    assert environment["TRAINWRIGHT_TRAINER_IMAGE_PULL_POLICY"] == "Always"


def test_extra_env_comes_last_and_pod_settings_reach_the_pod() -> None:
    rendering = render(EVERYTHING)
    pod = pod_spec(rendering)
    assert rendering.operator_container()["env"][-1] == EVERYTHING["extraEnv"][0]
    for key in ("imagePullSecrets", "priorityClassName", "nodeSelector", "tolerations", "affinity"):
        assert pod[key] == EVERYTHING[key]


def test_service_account_of_ones_own() -> None:
    rendering = render({"serviceAccount": {"create": False, "name": "mine"}})
    assert not rendering.all("ServiceAccount")
    assert pod_spec(rendering)["serviceAccountName"] == "mine"
    (subject,) = rendering.only("ClusterRoleBinding")["subjects"]
    assert subject == {"kind": "ServiceAccount", "name": "mine", "namespace": NAMESPACE}


def test_service_account_of_ones_own_needs_its_name() -> None:
    with pytest.raises(RenderError, match=r"serviceAccount\.name: empty"):
        render({"serviceAccount": {"create": False}})


def test_crds_can_be_left_out() -> None:
    assert not render({"crds": {"install": False}}).all("CustomResourceDefinition")


def test_disruption_budget_selects_the_operator(default: Rendering) -> None:
    budget = render({"podDisruptionBudget": {"enabled": True, "maxUnavailable": 0}}).only(
        "PodDisruptionBudget"
    )
    assert budget["spec"] == {
        "maxUnavailable": 0,
        "selector": default.only("Deployment")["spec"]["selector"],
    }


def test_operator_policy_lets_metrics_in_and_api_dns_trainers_out(default: Rendering) -> None:
    policy = render({"networkPolicies": {"operator": True}}).only("NetworkPolicy")
    selector = default.only("Deployment")["spec"]["selector"]
    assert policy["spec"]["podSelector"] == selector
    assert policy["spec"]["ingress"] == [
        {"from": [{"namespaceSelector": {}}], "ports": [{"port": "metrics"}]}
    ]
    allowed = [[port["port"] for port in rule["ports"]] for rule in policy["spec"]["egress"]]
    assert allowed == [[53, 53], [443, 6443], [8470]]
    assert policy["spec"]["egress"][2]["to"] == [{"namespaceSelector": {}, "podSelector": RUN_PODS}]


def test_the_operator_reaches_more_where_one_says_so() -> None:
    more = [{"to": [{"ipBlock": {"cidr": "10.0.0.0/8"}}], "ports": [{"port": 3128}]}]
    policies = {"operator": True, "extraEgress": more}
    wider = render({"networkPolicies": policies}).only("NetworkPolicy")["spec"]["egress"]
    closed = render({"networkPolicies": {"operator": True}}).only("NetworkPolicy")["spec"]["egress"]
    assert wider == [*closed, *more]


def test_trainer_policy_stands_in_each_namespace_of_runs(default: Rendering) -> None:
    policies = render({"networkPolicies": {"trainer": True, "trainerNamespaces": ["a", "b"]}}).all(
        "NetworkPolicy"
    )
    assert [policy["metadata"]["namespace"] for policy in policies] == ["a", "b"]
    operator, metrics, ranks = policies[0]["spec"]["ingress"]
    assert policies[0]["spec"]["podSelector"] == RUN_PODS
    assert operator["from"] == [
        {
            "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": NAMESPACE}},
            "podSelector": default.only("Deployment")["spec"]["selector"],
        }
    ]
    assert operator["ports"] == metrics["ports"] == [{"port": 8470}]
    assert ranks == {"from": [{"podSelector": RUN_PODS}]}


def test_trainer_policy_without_namespaces_says_what_to_set() -> None:
    with pytest.raises(RenderError, match=r"networkPolicies\.trainerNamespaces"):
        render({"networkPolicies": {"trainer": True}})


def test_metrics_can_be_limited_to_some_peers() -> None:
    policies = render(EVERYTHING).all("NetworkPolicy")
    assert policies[0]["spec"]["ingress"][0]["from"] == [{"podSelector": {}}]


def test_monitors_select_operator_and_trainers() -> None:
    rendering = render(EVERYTHING)
    service = rendering.only("Service")
    monitor, pods = rendering.only("ServiceMonitor"), rendering.only("PodMonitor")
    selected = monitor["spec"]["selector"]["matchLabels"]
    assert selected.items() <= service["metadata"]["labels"].items()
    assert monitor["metadata"]["labels"]["release"] == "prometheus"
    assert pods["spec"]["selector"] == RUN_PODS
    assert pods["spec"]["namespaceSelector"] == {"matchNames": ["team-a", "on"]}
    (endpoint,) = pods["spec"]["podMetricsEndpoints"]
    assert endpoint["port"] == "http-trainer"
    assert {"run", "namespace"} <= {label["targetLabel"] for label in endpoint["relabelings"]}


def test_pod_monitor_looks_everywhere_by_default() -> None:
    monitor = render({"monitoring": {"podMonitor": {"enabled": True}}}).only("PodMonitor")
    assert monitor["spec"]["namespaceSelector"] == {"any": True}


def test_rules_and_dashboards_are_the_generated_files() -> None:
    rendering = render(EVERYTHING)
    rule = rendering.only("PrometheusRule")
    assert "trainwright.alerts" in [group["name"] for group in rule["spec"]["groups"]]
    dashboards = rendering.all("ConfigMap")
    assert dashboards
    for found in dashboards:
        assert found["metadata"]["labels"]["grafana_dashboard"] == "1"
        ((name, text),) = found["data"].items()
        assert name.endswith(".json")
        assert json.loads(text)["panels"]


def test_dashboards_can_be_resources_of_the_grafana_operator() -> None:
    selector = {"matchLabels": {"team": "ml"}}
    dashboards = {"enabled": True, "kind": "GrafanaDashboard", "folder": "Training"}
    rendering = render({"monitoring": {"dashboards": {**dashboards, "instanceSelector": selector}}})
    assert not rendering.all("ConfigMap")
    found = rendering.all("GrafanaDashboard")
    names = {o["metadata"]["name"].removeprefix(f"{FULL_NAME}-dashboard-") for o in found}
    assert names == {"fleet", "hardware", "operator", "run"}
    for resource in found:
        assert resource["spec"]["instanceSelector"] == selector
        assert resource["spec"]["folder"] == "Training"
        assert resource["spec"]["allowCrossNamespaceImport"] is True
        assert json.loads(resource["spec"]["json"])["panels"]


def test_both_kinds_of_dashboards_hold_the_same() -> None:
    maps = render({"monitoring": {"dashboards": {"enabled": True}}}).all("ConfigMap")
    resources = render(GRAFANA_OPERATOR).all("GrafanaDashboard")
    assert [text for o in maps for text in o["data"].values()] == [
        o["spec"]["json"] for o in resources
    ]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({}, "trainwright dashboards export DIR"),
        ({"monitoring": {"dashboards": {"enabled": True}}}, "grafana_dashboard=1"),
        (GRAFANA_OPERATOR, "get grafanadashboards"),
    ],
    ids=["none", "ConfigMap", "GrafanaDashboard"],
)
def test_notes_say_how_grafana_gets_the_dashboards(values: Values, expected: str) -> None:
    assert expected in render_notes(values)


def test_notes_watch_one_kind_as_kubectl_refuses_to_watch_a_category() -> None:
    assert "kubectl get trainingruns -A --watch\n" in render_notes()


@pytest.mark.parametrize("is_on", [True, False])
def test_scrape_annotations_of_operator_and_trainers(is_on: bool) -> None:
    rendering = render({"monitoring": {"scrapeAnnotations": is_on}})
    template = rendering.only("Deployment")["spec"]["template"]
    annotations = template["metadata"]["annotations"]
    (port,) = rendering.operator_container()["ports"]
    found = {key: value for key, value in annotations.items() if key.startswith("prometheus.io")}
    wanted = {"scrape": "true", "port": str(port["containerPort"]), "path": "/metrics"}
    assert found == ({f"prometheus.io/{k}": v for k, v in wanted.items()} if is_on else {})
    assert rendering.environment()["TRAINWRIGHT_SCRAPE_ANNOTATIONS"] == str(is_on).lower()


def test_alerts_lead_to_the_runbooks_of_ones_own() -> None:
    rule = {"enabled": True, "runbookBaseUrl": "https://wiki.example/runbooks/"}
    (_, alerts) = render({"monitoring": {"prometheusRule": rule}}).only("PrometheusRule")["spec"][
        "groups"
    ]
    for alert in alerts["rules"]:
        expected = f"https://wiki.example/runbooks/{alert['alert']}.md"
        assert alert["annotations"]["runbook_url"] == expected


def test_alerts_have_no_link_where_nobody_says_where_the_runbooks_are() -> None:
    rule = render({"monitoring": {"prometheusRule": {"enabled": True}}}).only("PrometheusRule")
    (_, alerts) = rule["spec"]["groups"]
    for alert in alerts["rules"]:
        assert alert["annotations"].keys() == {"summary", "description"}


def test_the_operator_learns_where_grafana_is() -> None:
    assert "TRAINWRIGHT_GRAFANA_URL" not in render().environment()
    environment = render({"grafana": {"url": "https://grafana.example"}}).environment()
    assert environment["TRAINWRIGHT_GRAFANA_URL"] == "https://grafana.example"


def test_names_follow_the_overrides() -> None:
    assert render().only("Deployment")["metadata"]["name"] == FULL_NAME
    named = render({"fullnameOverride": "ops"}).only("Deployment")["metadata"]
    assert named["name"] == "ops"
    renamed = render({"nameOverride": "tw"}).only("Deployment")["metadata"]
    assert renamed["name"] == "tw"  # the release's name says it already
    assert renamed["labels"]["app.kubernetes.io/name"] == "tw"


@pytest.mark.parametrize(
    ("endpoint", "port"),
    [("http://collector:4318", 4318), ("https://otlp.example/in", 443), ("http://c1", 80)],
)
def test_a_closed_operator_reaches_its_otlp_receiver(endpoint: str, port: int) -> None:
    values = {"networkPolicies": {"operator": True}, "otlpEndpoint": endpoint}
    egress = render(values).only("NetworkPolicy")["spec"]["egress"]
    assert egress[-1] == {"ports": [{"port": port}]}
