"""Names of Services and endpoints, as Kubernetes' DNS specification has them."""

from typing import Any

import pytest

from tests.cluster.attendant import follow_once
from tests.cluster.dns_records import Records

Object = dict[str, Any]


def a_service(name: str, namespace: str = "ns", cluster_ip: str = "None") -> Object:
    metadata = {"name": name, "namespace": namespace}
    return {"metadata": metadata, "spec": {"clusterIP": cluster_ip}}


def an_endpoint(address: str, hostname: str = "", ready: bool | None = True) -> Object:
    endpoint: Object = {"addresses": [address], "conditions": {}}
    if ready is not None:
        endpoint["conditions"]["ready"] = ready
    return {**endpoint, "hostname": hostname} if hostname else endpoint


def a_slice(service: str, *endpoints: Object, namespace: str = "ns") -> Object:
    labels = {"kubernetes.io/service-name": service}
    metadata = {"name": f"{service}-x", "namespace": namespace, "labels": labels}
    return {"metadata": metadata, "endpoints": list(endpoints)}


@pytest.fixture
def records() -> Records:
    known = Records()
    for service in (a_service("web", cluster_ip="10.96.0.7"), a_service("job"), a_service("none")):
        known.apply_service("ADDED", service)
    endpoints = [
        an_endpoint("10.199.1.9", "job-1"),
        an_endpoint("10.199.1.2", "job-0"),
        an_endpoint("10.199.1.3", ready=False),
        an_endpoint("10.199.1.4", ready=None),
    ]
    known.apply_slice("ADDED", a_slice("job", *endpoints))
    known.apply_slice("ADDED", a_slice("job", an_endpoint("10.199.9.9"), namespace="other"))
    return known


@pytest.mark.parametrize(
    ("name", "addresses"),
    [
        ("web.ns.svc.cluster.local", ["10.96.0.7"]),
        ("job.ns.svc.cluster.local", ["10.199.1.2", "10.199.1.4", "10.199.1.9"]),
        ("job-1.job.ns.svc.cluster.local", ["10.199.1.9"]),
        ("job-2.job.ns.svc.cluster.local", None),
        ("none.ns.svc.cluster.local", None),
        ("web.other.svc.cluster.local", None),
        ("web.ns", None),
        ("web.ns.svc", None),
        ("svc.cluster.local", None),
        ("a.job-1.job.ns.svc.cluster.local", None),
        ("example.org", None),
        ("", None),
    ],
)
def test_name_resolves_to(records: Records, name: str, addresses: list[str] | None) -> None:
    assert records.resolve(name) == addresses


def test_deleted_service_is_forgotten(records: Records) -> None:
    records.apply_service("DELETED", a_service("web"))
    assert records.resolve("web.ns.svc.cluster.local") is None


def test_endpoints_follow_changes(records: Records) -> None:
    records.apply_slice("MODIFIED", a_slice("job", an_endpoint("10.199.1.77")))
    assert records.resolve("job.ns.svc.cluster.local") == ["10.199.1.77"]


def test_what_vanished_between_two_watches_is_deleted(records: Records) -> None:
    first = [("ADDED", a_service("web")), ("SYNCED", {}), ("ADDED", a_service("new"))]
    known: dict[tuple[str, str], Object] = {}
    follow_once(first, known, records.apply_service)
    follow_once([("SYNCED", {})], known, records.apply_service)
    assert records.resolve("web.ns.svc.cluster.local") is None


def test_object_made_anew_between_two_watches_is_kept(records: Records) -> None:
    known: dict[tuple[str, str], Object] = {}
    follow_once([("ADDED", a_service("web"))], known, records.apply_service)
    again = a_service("web", cluster_ip="10.96.0.8")
    follow_once([("ADDED", again), ("SYNCED", {})], known, records.apply_service)
    assert records.resolve("web.ns.svc.cluster.local") == ["10.96.0.8"]
