"""The names of Services and their endpoints, as Kubernetes' DNS specification has them. Pure.

`Records` is fed with watch events and asked for addresses by the DNS server.
"""

from __future__ import annotations

from typing import Any

from tests.cluster.spec import CLUSTER_DOMAIN

Object = dict[str, Any]
_SERVICE_OF_SLICE = "kubernetes.io/service-name"


class Records:
    """What is known of Services and EndpointSlices, each by (namespace, name)."""

    def __init__(self) -> None:
        self._services: dict[tuple[str, str], Object] = {}
        self._slices: dict[tuple[str, str], Object] = {}

    def resolve(self, name: str) -> list[str] | None:
        """The addresses of a full name; None if there is no such name."""
        head = name.removesuffix(f".svc.{CLUSTER_DOMAIN}")
        labels = head.split(".")
        if head == name or len(labels) not in (2, 3):
            return None
        namespace, service_name = labels[-1], labels[-2]
        service = self._services.get((namespace, service_name))
        if service is None:
            return None
        hostname = labels[0] if len(labels) == 3 else ""
        cluster_ip = service["spec"].get("clusterIP", "None")
        if cluster_ip not in ("None", "") and not hostname:
            return [cluster_ip]
        return self._endpoints(namespace, service_name, hostname) or None

    def apply_service(self, event: str, service: Object) -> None:
        """Take in one event of a watch on Services."""
        _apply(self._services, event, service)

    def apply_slice(self, event: str, endpoint_slice: Object) -> None:
        """Take in one event of a watch on EndpointSlices."""
        _apply(self._slices, event, endpoint_slice)

    def _endpoints(self, namespace: str, service: str, hostname: str) -> list[str]:
        # A slice says "ready" for all endpoints of a Service with publishNotReadyAddresses.
        return sorted(
            address
            for (slice_namespace, _), found in self._slices.copy().items()
            if slice_namespace == namespace
            and found["metadata"].get("labels", {}).get(_SERVICE_OF_SLICE) == service
            for endpoint in found.get("endpoints") or ()
            if endpoint.get("conditions", {}).get("ready", True)
            and (not hostname or endpoint.get("hostname") == hostname)
            for address in endpoint["addresses"]
        )


def _apply(table: dict[tuple[str, str], Object], event: str, item: Object) -> None:
    key = (item["metadata"]["namespace"], item["metadata"]["name"])
    if event == "DELETED":
        table.pop(key, None)
    else:
        table[key] = item
