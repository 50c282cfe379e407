"""Values: each does something, none is misspelt unnoticed, and the files are up to date."""

import copy
from collections.abc import Iterator
from typing import Any

import pytest

from tests.chart.rendering import CHART, EVERYTHING, RenderError, Values, render_text
from tools.chart.__main__ import build_files
from tools.chart.render import list_values
from tools.chart.values import ChartValues

REFUSED = [
    ({"imagePullSecret": []}, "imagePullSecret"),
    ({"image": {"repo": "x"}}, "repo"),
    ({"trainer": {"image": {"pullPolicy": "Sometimes"}}}, "pullPolicy"),
    ({"logLevel": "TRACE"}, "logLevel"),
    ({"watchNamespaces": ["Not_A_Name"]}, "watchNamespaces"),
    ({"watchNamespaces": "team-a"}, "watchNamespaces"),
    ({"imagePullSecrets": ["pull"]}, "imagePullSecrets"),
    ({"image": {"digest": "sha256:12"}}, "digest"),
    ({"podDisruptionBudget": {"maxUnavailable": 2}}, "maxUnavailable"),
    ({"trainer": {"s3Endpoint": "minio:9000"}}, "s3Endpoint"),
    ({"monitoring": {"podMonitor": {"interval": "15"}}}, "interval"),
    ({"networkPolicies": {"apiServerPorts": [0]}}, "apiServerPorts"),
    ({"crds": {"keep": True}}, "keep"),
    ({"image": {"tag": True}}, "tag"),
    ({"fullnameOverride": "My_Name"}, "fullnameOverride"),
    ({"nameOverride": "-x"}, "nameOverride"),
    ({"serviceAccount": {"name": "My Account"}}, "serviceAccount/name"),
    ({"prices": {"cpu": "cheap"}}, "prices"),
    ({"grafana": {"url": "grafana.example"}}, "url"),
    ({"monitoring": {"dashboards": {"kind": "Secret"}}}, "kind"),
    ({"monitoring": {"prometheusRule": {"runbookBaseUrl": "docs/runbooks"}}}, "runbookBaseUrl"),
]


@pytest.mark.parametrize(("values", "named"), REFUSED)
def test_wrong_values_are_refused_by_name(values: Values, named: str) -> None:
    with pytest.raises(RenderError, match=named):
        render_text(values)


def test_global_values_of_a_parent_chart_are_accepted() -> None:
    assert render_text({"global": {"anything": 1}})


def test_generated_files_are_up_to_date() -> None:
    for path, text in build_files().items():
        assert (CHART.parents[1] / path).read_text() == text, f"{path}: run `make generate`"


OTHER_VALUES: dict[str, Any] = {
    "image.digest": "sha256:" + "a" * 64,
    "trainer.image.digest": "sha256:" + "b" * 64,
    "serviceAccount.create": None,  # needs a name; test_switches has it
    "image.pullPolicy": "Always",
    "trainer.image.pullPolicy": "Always",
    "prices": {"cpu": 0.5},
    "utilization.minimumPercent": 7,
    "utilization.minutes": 7.5,
    "logLevel": "DEBUG",
    "watchNamespaces": ["other"],
    "networkPolicies.trainerNamespaces": ["other"],
    "trainer.s3Endpoint": "https://other",
    "podDisruptionBudget.maxUnavailable": 0,
    "terminationGracePeriodSeconds": 31,
    "monitoring.serviceMonitor.interval": "31s",
    "monitoring.podMonitor.interval": "31s",
    "networkPolicies.apiServerPorts": [16443],
    "imagePullSecrets": [{"name": "other"}],
    "trainer.imagePullSecrets": [{"name": "other"}],
    "networkPolicies.metricsFrom": [{"namespaceSelector": {"matchLabels": {"a": "b"}}}],
    "networkPolicies.extraEgress": [{"ports": [{"port": 5353}]}],
    "extraEnv": [{"name": "OTHER", "value": "1"}],
    "tolerations": [{"operator": "Exists"}],
    "grafana.url": "https://other",
    "monitoring.prometheusRule.runbookBaseUrl": "https://other",
    "otlpEndpoint": "https://other",
    "monitoring.dashboards.kind": "GrafanaDashboard",
    # Of the other kind only: test_switches has them.
    "monitoring.dashboards.instanceSelector": None,
    "monitoring.dashboards.folder": None,
}


def changes() -> Iterator[tuple[str, Any]]:
    """Each value of the chart with another content than in EVERYTHING."""
    for path, default, _ in list_values(ChartValues()):
        if path in OTHER_VALUES:
            other = OTHER_VALUES[path]
        elif isinstance(default, bool):
            other = not at(EVERYTHING, path, default)
        elif isinstance(default, dict):
            other = {"other": "other"}
        else:
            other = "other"
        if other is not None:
            yield path, other


def at(values: Values, path: str, default: Any) -> Any:
    found: Any = values
    for key in path.split("."):
        found = found.get(key, default) if isinstance(found, dict) else default
    return found


def changed(path: str, other: Any) -> Values:
    values = copy.deepcopy(EVERYTHING)
    *groups, last = path.split(".")
    group = values
    for key in groups:
        group = group.setdefault(key, {})
    group[last] = other
    return values


@pytest.mark.parametrize(("path", "other"), list(changes()))
def test_every_value_changes_what_is_installed(path: str, other: Any) -> None:
    assert render_text(changed(path, other)) != render_text(EVERYTHING)
