"""Kubeconfigs and certificates: complete, consistent, and readable by their owner alone."""

import base64
import json
import stat
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from tests.cluster.certificates import Pair, build_authority, build_certificate
from tests.cluster.cluster import Cluster
from tests.cluster.kubeconfig import build_kubeconfig, write_kubeconfig
from tests.cluster.kubeflow import build_webhook_secret
from tests.cluster.spec import ClusterSpec, Layout
from tests.cluster.state import State


@pytest.fixture(scope="module")
def authority() -> Pair:
    return build_authority("test")


def test_kubeconfig_names_one_cluster_and_carries_its_credentials(authority: Pair) -> None:
    client = build_certificate(authority, "admin", "system:masters")
    config = build_kubeconfig("https://127.0.0.1:1", authority, client, "x")
    assert config["current-context"] == config["contexts"][0]["name"] == "x"
    assert config["contexts"][0]["context"] == {"cluster": "x", "user": "x"}
    cluster, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
    assert cluster["server"] == "https://127.0.0.1:1"
    encoded = (cluster["certificate-authority-data"], user["client-certificate-data"])
    found = [x509.load_pem_x509_certificate(base64.b64decode(data)) for data in encoded]
    assert found == [authority.certificate, client.certificate]
    assert base64.b64decode(user["client-key-data"]) == client.key_pem()


def test_kubeconfig_is_for_its_owner_only(tmp_path: Path, authority: Pair) -> None:
    path = tmp_path / "kubeconfig"
    write_kubeconfig(path, "https://127.0.0.1:1", authority, authority, "x")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert json.loads(path.read_text())["kind"] == "Config"


def test_server_certificate_is_issued_for_names_and_addresses(authority: Pair) -> None:
    pair = build_certificate(authority, "server", names=["localhost", "10.199.0.1"])
    pair.certificate.verify_directly_issued_by(authority.certificate)
    names = pair.certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["localhost"]
    assert [str(a) for a in names.get_values_for_type(x509.IPAddress)] == ["10.199.0.1"]


def test_client_certificate_is_for_no_server(authority: Pair) -> None:
    pair = build_certificate(authority, "system:node:node-1", "system:nodes")
    usage = pair.certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(usage) == [ExtendedKeyUsageOID.CLIENT_AUTH]
    assert pair.certificate.subject.rfc4514_string() == "O=system:nodes,CN=system:node:node-1"


def test_webhook_secret_is_what_the_training_operator_reads() -> None:
    data = {k: base64.b64decode(v) for k, v in build_webhook_secret()["data"].items()}
    assert sorted(data) == ["ca.crt", "ca.key", "tls.crt", "tls.key"]
    # Its keeper parses PKCS#1 only; with anything else it would make new ones, minutes later.
    assert data["ca.key"].startswith(b"-----BEGIN RSA PRIVATE KEY-----")
    server = x509.load_pem_x509_certificate(data["tls.crt"])
    server.verify_directly_issued_by(x509.load_pem_x509_certificate(data["ca.crt"]))
    names = server.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["training-operator.kubeflow.svc"]


def test_what_kubectl_caches_goes_with_the_cluster() -> None:
    cluster = Cluster(State(ClusterSpec("mine", s3=False)))
    root = Layout("mine").root
    assert cluster.environment() == {
        "KUBECONFIG": str(root / "kubeconfig"),
        "KUBECACHEDIR": str(root / "kubectl-cache"),
    }
