"""Names and labels: as long as Kubernetes takes, of one release only, and found whatever they are."""

import re
from typing import Any

import pytest
from ruamel.yaml import YAML

from tests.chart.rendering import (
    CHART,
    EVERYTHING,
    KUBERNETES,
    NAMESPACE,
    Object,
    RenderError,
    Values,
    helm,
    parse_objects,
    render,
)
from tests.monitoring.discovery import build_targets

DNS_LABEL = re.compile(r"[a-z]([-a-z0-9]{0,61}[a-z0-9])?")
LONGEST_RELEASE = "r" * 53
# They take the longest to read, and their names are their own.
NO_CRDS: Values = {"crds": {"install": False}}


def render_release(release: str, values: Values) -> list[Object]:
    arguments = (release, str(CHART), "--namespace", NAMESPACE, "--kube-version", KUBERNETES)
    ended = helm("template", *arguments, values=values)
    assert ended.returncode == 0, ended.stderr
    return parse_objects(ended.stdout)


@pytest.mark.parametrize(
    ("release", "own"),
    [
        (LONGEST_RELEASE, {}),
        ("a.release.with.dots", {}),
        ("tw", {"fullnameOverride": f"{'f' * 54}-{'g' * 20}"}),
        (LONGEST_RELEASE, {"nameOverride": "n" * 63}),
    ],
    ids=["longest release", "dots", "cut at a dash", "longest chart name"],
)
def test_names_and_labels_are_not_longer_than_kubernetes_takes(release: str, own: Values) -> None:
    objects = render_release(release, {**EVERYTHING, **NO_CRDS, **own})
    (service,) = [found for found in objects if found["kind"] == "Service"]
    assert DNS_LABEL.fullmatch(service["metadata"]["name"])
    for found in objects:
        assert re.fullmatch(r"[a-z0-9][-.a-z0-9]{0,251}[a-z0-9]", found["metadata"]["name"])
        for label in found["metadata"]["labels"].values():
            assert re.fullmatch(r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?", label)


def test_two_releases_with_long_names_share_nothing_outside_their_namespace() -> None:
    names = [
        found["metadata"]["name"]
        for last in "ab"
        for found in render({**NO_CRDS, "fullnameOverride": "f" * 62 + last}).objects
        if found["kind"].startswith("ClusterRole")
    ]
    assert len(names) == 2 * 4
    assert len(set(names)) == 2 * 3  # a role and its binding have one name


def matches(rule: dict[str, Any], labels: dict[str, str]) -> bool:
    """Whether a target stays, by a rule of Prometheus that keeps some."""
    value = ";".join(labels.get(label, "") for label in rule["source_labels"])
    return re.fullmatch(rule["regex"], value) is not None


@pytest.mark.parametrize("own", [{}, {"nameOverride": "ops"}, {"fullnameOverride": "ops"}])
def test_a_plain_prometheus_finds_the_operator_whatever_it_is_called(own: Values) -> None:
    (trainer, operator) = YAML(typ="safe").load(CHART / "files/monitoring/scrape-configs.yaml")
    template = render({**NO_CRDS, **own}).only("Deployment")["spec"]["template"]
    metadata = {"name": "x", "namespace": NAMESPACE, **template["metadata"]}
    status = {"podIP": "10.0.0.1", "phase": "Running"}
    (target,) = build_targets({**template, "metadata": metadata, "status": status})

    def is_kept(job: dict[str, Any]) -> bool:
        keeps = [rule for rule in job["relabel_configs"] if rule.get("action") == "keep"]
        assert keeps
        return all(matches(rule, target["labels"]) for rule in keeps)

    assert is_kept(operator)
    assert not is_kept(trainer)


def test_monitors_find_the_operator_whatever_it_is_called() -> None:
    rendering = render({**EVERYTHING, **NO_CRDS, "nameOverride": "ops", "fullnameOverride": "mine"})
    service, monitor = rendering.only("Service"), rendering.only("ServiceMonitor")
    selected = monitor["spec"]["selector"]["matchLabels"]
    assert selected.items() <= service["metadata"]["labels"].items()
    pod = rendering.only("Deployment")["spec"]["template"]["metadata"]
    assert service["spec"]["selector"].items() <= pod["labels"].items()


def test_labels_and_annotations_of_ones_own_stand_in_the_place_of_the_charts() -> None:
    own = {"app.kubernetes.io/part-of": "kube-prometheus"}
    monitoring = {
        name: {"enabled": True, "labels": own}
        for name in ("serviceMonitor", "podMonitor", "prometheusRule", "dashboards")
    }
    annotations = {"prometheus.io/scrape": "false"}
    rendering = render({**NO_CRDS, "monitoring": monitoring, "podAnnotations": annotations})
    for kind in ("ServiceMonitor", "PodMonitor", "PrometheusRule", "ConfigMap"):
        for found in rendering.all(kind):
            assert own.items() <= found["metadata"]["labels"].items()
    pod = rendering.only("Deployment")["spec"]["template"]["metadata"]
    assert annotations.items() <= pod["annotations"].items()


def test_labels_by_which_the_operator_is_found_cannot_be_replaced() -> None:
    with pytest.raises(RenderError, match=r"podLabels: got app\.kubernetes\.io/name, expected"):
        render({"podLabels": {"app.kubernetes.io/name": "mine"}})


def test_labels_and_annotations_may_be_null() -> None:
    nothing = {"podLabels": None, "podAnnotations": None}
    assert render({**nothing, "monitoring": {"serviceMonitor": {"enabled": True, "labels": None}}})
