"""How the operator's client finds the API server."""

from pathlib import Path

import pytest
from kubernetes.client.exceptions import ApiException
from kubernetes.config import incluster_config
from trainwright_operator.cluster import ClusterClient, _describe
from trainwright_operator.operator_metrics import OperatorMetrics

from tests.unit.played_server import set_dead_proxy


def test_the_api_server_of_the_own_cluster_is_not_asked_through_a_proxy_of_the_pod(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_dead_proxy(monkeypatch)
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.96.0.1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "443")
    for name in ("TOKEN", "CERT"):
        path = tmp_path / name
        path.write_text("x")
        monkeypatch.setattr(incluster_config, f"SERVICE_{name}_FILENAME", str(path))
    client = ClusterClient(1, OperatorMetrics("test"))
    assert client._api.configuration.host == "https://10.96.0.1:443"
    assert client._api.configuration.get_api_key_with_prefix("authorization") == "bearer x"
    assert client._api.rest_client.pool_manager.proxy is None


@pytest.mark.parametrize(
    "body", ["", "<html>", '"busy"', "null", '["busy"]', '{"message": "busy"}']
)
def test_an_error_of_whatever_form_is_one_that_is_tried_again(body: str) -> None:
    answer = ApiException(status=503, reason="Service Unavailable")
    answer.body = body
    error = _describe(answer)
    assert (error.status, error.reason) == (503, "Service Unavailable")
    assert error.message
