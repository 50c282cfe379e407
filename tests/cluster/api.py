"""A minimal client of the API server: start-up, DNS and the GPU keeper need a few calls only.

The official client takes a second to import, more than some steps of the start.
"""

from __future__ import annotations

import http.client
import json
import ssl
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

from tests.cluster.errors import ClusterError

Object = dict[str, Any]
FIELD_MANAGER = "cluster"


class ApiError(ClusterError):
    """The API server refused, with its HTTP status and message."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(f"API server: {status}: {message}")
        self.status = status


class ApiClient:
    """Calls one API server with a client certificate."""

    def __init__(
        self, host: str, port: int, certificates: Path, timeout_seconds: float = 10
    ) -> None:
        self._address = (host, port)
        self._timeout_seconds = timeout_seconds
        self._context = ssl.create_default_context(cafile=str(certificates / "ca.crt"))
        self._context.load_cert_chain(certificates / "admin.crt", certificates / "admin.key")

    def get(self, path: str) -> Object:
        """The object or list at a path."""
        return self._call("GET", path)

    def find(self, path: str) -> Object | None:
        """The object at a path, None if there is none."""
        try:
            return self.get(path)
        except ApiError as error:
            if error.status == http.client.NOT_FOUND:
                return None
            raise

    def patch_status(self, path: str, patch: Object) -> Object:
        """Merge a patch into an object's status subresource."""
        kind = "application/merge-patch+json"
        return self._call("PATCH", f"{path}/status", {"status": patch}, kind)

    def apply(self, path: str, body: Object) -> Object:
        """Server-side apply: create the object or bring it to this form."""
        query = urlencode({"fieldManager": FIELD_MANAGER, "force": "true"})
        return self._call("PATCH", f"{path}?{query}", body, "application/apply-patch+yaml")

    def is_ready(self) -> bool:
        """Whether the API server answers its readiness check."""
        try:
            with closing(self._connect()) as connection:
                connection.request("GET", "/readyz")
                return connection.getresponse().status == http.client.OK
        except (OSError, http.client.HTTPException):
            # One that is about to end may answer with half a line, which is no HTTP.
            return False

    def watch(self, path: str) -> Iterator[tuple[str, Object]]:
        """List, then follow: yields ("ADDED" | "MODIFIED" | "DELETED", object) until cut off.

        A list ends with ("SYNCED", {}); a caller that starts again must forget what it knew.
        """
        listed = self.get(path)
        for item in listed["items"]:
            yield "ADDED", item
        yield "SYNCED", {}
        query = {"watch": "1", "resourceVersion": listed["metadata"]["resourceVersion"]}
        with closing(self._connect(timeout_seconds=600)) as connection:
            connection.request("GET", f"{path}?{urlencode(query)}")
            response = connection.getresponse()
            while line := response.readline():
                event = json.loads(line)
                if event["type"] == "ERROR":
                    return
                yield event["type"], event["object"]

    def _connect(self, timeout_seconds: float | None = None) -> http.client.HTTPSConnection:
        timeout = timeout_seconds or self._timeout_seconds
        host, port = self._address
        return http.client.HTTPSConnection(host, port, timeout=timeout, context=self._context)

    def _call(
        self, method: str, path: str, body: Object | None = None, kind: str = "application/json"
    ) -> Object:
        data = json.dumps(body).encode() if body is not None else None
        with closing(self._connect()) as connection:
            connection.request(method, quote(path, safe="/?&=%"), data, {"Content-Type": kind})
            response = connection.getresponse()
            text = response.read()
        if response.status >= http.client.BAD_REQUEST:
            raise ApiError(response.status, describe_refusal(text))
        answer: Object = json.loads(text)
        return answer


def describe_refusal(text: bytes) -> str:
    """The message in an answer that refuses a call; before a kind is served, that is plain text."""
    try:
        return str(json.loads(text)["message"])
    except (ValueError, TypeError, KeyError):
        return text.decode(errors="replace").strip()
