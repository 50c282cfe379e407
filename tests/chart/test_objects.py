"""What Helm renders is valid Kubernetes, and the chart passes Helm's own strict lint."""

import kubernetes_validate
import pytest

from tests.chart.foreign import GROUPS, fetch_schemas, find_faults
from tests.chart.rendering import (
    CHART,
    EVERYTHING,
    KUBERNETES,
    Values,
    helm,
    parse_objects,
    render,
)

_ALL_NAMESPACES = {**EVERYTHING, "watchNamespaces": [], "networkPolicies": {"operator": True}}
_CONFIGURATIONS: list[Values] = [{}, EVERYTHING, _ALL_NAMESPACES]


@pytest.mark.parametrize("values", _CONFIGURATIONS, ids=["default", "everything", "all namespaces"])
def test_objects_match_the_schemas_of_kubernetes(values: Values) -> None:
    for found in render(values).objects:
        if found["apiVersion"].partition("/")[0] not in GROUPS:
            kubernetes_validate.validate(found, KUBERNETES.rpartition(".")[0], strict=True)


def test_objects_of_other_operators_match_their_own_definitions() -> None:
    schemas = fetch_schemas()
    grafana = {"monitoring": {"dashboards": {"enabled": True, "kind": "GrafanaDashboard"}}}
    found = [*render(EVERYTHING).objects, *render(grafana).objects]
    foreign = [o for o in found if o["apiVersion"].partition("/")[0] in GROUPS]
    assert {o["kind"] for o in foreign} == {
        "GrafanaDashboard",
        "PodMonitor",
        "PrometheusRule",
        "ServiceMonitor",
    }
    for resource in foreign:
        schema = schemas[resource["apiVersion"], resource["kind"]]
        assert find_faults(resource, schema) == [], resource["metadata"]["name"]
        misspelled = {**resource, "spec": {**resource["spec"], "misspelled": 1}}
        assert find_faults(misspelled, schema)


@pytest.mark.parametrize("values", [{}, EVERYTHING], ids=["default", "everything"])
def test_lint_is_clean(values: Values) -> None:
    ended = helm("lint", "--strict", str(CHART), "--kube-version", KUBERNETES, values=values)
    assert ended.returncode == 0, ended.stdout
    assert "WARNING" not in ended.stdout


@pytest.mark.parametrize(("version", "is_taken"), [("1.29.9", False), ("1.30.0-gke.1", True)])
def test_a_server_that_cannot_read_the_definitions_is_refused(version: str, is_taken: bool) -> None:
    ended = helm("template", "tw", str(CHART), "--kube-version", version)
    assert (ended.returncode == 0) == is_taken
    assert is_taken or "requires kubeVersion: >=1.30" in ended.stderr


def test_names_that_yaml_reads_as_something_else_stay_text() -> None:
    for found in render({"watchNamespaces": ["on", "123"]}).objects:
        assert isinstance(found["metadata"].get("namespace", ""), str)
        assert all(isinstance(value, str) for value in found["metadata"]["labels"].values())


def test_numeric_names_of_ones_own_stay_text() -> None:
    account = {"create": False, "name": "123"}
    values = {"nameOverride": "1", "fullnameOverride": "2", "serviceAccount": account}
    for namespaces in ([], ["team-a"]):
        rendering = render({**values, "watchNamespaces": namespaces, "priorityClassName": "7"})
        for found in rendering.objects:
            names = [found["metadata"]["name"], *found["metadata"]["labels"].values()]
            assert all(isinstance(name, str) for name in names)
        pod = rendering.only("Deployment")["spec"]["template"]["spec"]
        assert (pod["serviceAccountName"], pod["priorityClassName"]) == ("123", "7")
        for kind in ("RoleBinding", "ClusterRoleBinding"):
            for binding in rendering.all(kind):
                assert isinstance(binding["roleRef"]["name"], str)


def test_a_namespace_named_twice_is_served_once() -> None:
    twice = {"watchNamespaces": ["a", "b", "a"], "networkPolicies": {"trainer": True}}
    monitored = {"monitoring": {"podMonitor": {"enabled": True}}}
    once = {**twice, "watchNamespaces": ["a", "b"]}
    assert render({**twice, **monitored}) == render({**once, **monitored})
    policies = {"trainer": True, "trainerNamespaces": ["a", "a"]}
    assert len(render({"networkPolicies": policies}).all("NetworkPolicy")) == 1


def test_custom_resources_are_kept_at_uninstall_and_otherwise_as_generated() -> None:
    files = sorted((CHART / "files" / "crds").glob("*.yaml"))
    generated = {o["metadata"]["name"]: o for f in files for o in parse_objects(f.read_text())}
    rendered = render().all("CustomResourceDefinition")
    assert {found["metadata"]["name"] for found in rendered} == generated.keys()
    assert len(rendered) == 2
    for found in rendered:
        wanted = generated[found["metadata"]["name"]]
        assert found["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep"
        assert found["metadata"]["labels"]["app.kubernetes.io/managed-by"] == "Helm"
        assert found["spec"] == wanted["spec"]
        annotations = wanted["metadata"].get("annotations", {})
        assert annotations.items() <= found["metadata"]["annotations"].items()
