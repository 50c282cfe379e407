"""The only module that talks to the API server; one method per kind of write or read.

The official client is synchronous: calls run in a bounded pool of threads, so that the event loop
never waits and the API server is never flooded. Every call is counted by verb and code.
"""

import asyncio
import functools
import json
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import kubernetes
from kubernetes.client.exceptions import ApiException
from trainwright_api import names
from urllib3.exceptions import HTTPError

from trainwright_operator.facts import EventFacts, clean_text
from trainwright_operator.operator_metrics import OperatorMetrics

JSON_PATCH_TYPE = "application/merge-patch+json"
APPLY_PATCH_TYPE = "application/apply-patch+yaml"
REQUEST_TIMEOUT_SECONDS = 20
MAXIMUM_EVENT_TEXT = 1000

Raw = dict[str, Any]


class ClusterCallError(Exception):
    """A call failed; `status` is the HTTP code, 0 if the server was not reached."""

    def __init__(self, status: int, reason: str, message: str) -> None:
        super().__init__(f"{status} {reason}: {message}")
        self.status, self.reason, self.message = status, reason, message


class ClusterClient:
    """Calls of the API server for runs and what belongs to them."""

    def __init__(self, num_threads: int, metrics: OperatorMetrics) -> None:
        try:
            kubernetes.config.load_incluster_config()
        except kubernetes.config.ConfigException:
            kubernetes.config.load_kube_config()
        self._api = kubernetes.client.ApiClient()
        self._pool = ThreadPoolExecutor(num_threads, thread_name_prefix="api")
        self._metrics = metrics

    async def _call(
        self,
        verb: str,
        path: str,
        *,
        query: Sequence[tuple[str, str]] = (),
        body: Any = None,
        content_type: str = "application/json",
    ) -> Any:
        work = functools.partial(self._call_now, verb, path, list(query), body, content_type)
        return await asyncio.get_running_loop().run_in_executor(self._pool, work)

    def _call_now(
        self, verb: str, path: str, query: list[tuple[str, str]], body: Any, content_type: str
    ) -> Any:
        try:
            answer = self._api.call_api(
                path,
                verb,
                query_params=query,
                header_params={"Accept": "application/json", "Content-Type": content_type},
                body=body,
                auth_settings=["BearerToken"],
                response_type="object",
                _return_http_data_only=True,
                _request_timeout=REQUEST_TIMEOUT_SECONDS,
            )
        except ApiException as error:
            self._metrics.count_call(verb, str(error.status))
            raise _describe(error) from error
        except (HTTPError, OSError) as error:
            self._metrics.count_call(verb, "error")
            raise ClusterCallError(0, "Unreachable", str(error)) from error
        self._metrics.count_call(verb, "200")
        return answer

    async def apply(self, path: str, manifest: Any) -> Raw:
        """Create or change an object by server-side apply; fields of others stay as they are."""
        body = self._api.sanitize_for_serialization(manifest)
        query = [("fieldManager", names.FIELD_MANAGER), ("force", "true")]
        answer: Raw = await self._call(
            "PATCH", path, query=query, body=body, content_type=APPLY_PATCH_TYPE
        )
        return answer

    async def apply_config_map(self, manifest: Mapping[str, Any]) -> None:
        """Create or change a config map."""
        meta = manifest["metadata"]
        await self.apply(
            f"/api/v1/namespaces/{meta['namespace']}/configmaps/{meta['name']}", manifest
        )

    async def apply_job(self, namespace: str, name: str, job: Any) -> None:
        """Create or change a PyTorchJob."""
        await self.apply(f"{_jobs(namespace)}/{name}", job)

    async def delete_job(self, namespace: str, name: str) -> None:
        """Delete a PyTorchJob and, in the background, its pods; fine if it is gone."""
        body = {"propagationPolicy": "Background"}
        await self._delete(f"{_jobs(namespace)}/{name}", body)

    async def delete_pod(self, namespace: str, name: str, *, is_forced: bool) -> None:
        """Delete a pod, with its own grace or at once; fine if it is gone."""
        body = {"gracePeriodSeconds": 0} if is_forced else {}
        await self._delete(f"/api/v1/namespaces/{namespace}/pods/{name}", body)

    async def delete_run(self, kind: str, namespace: str, name: str, uid: str) -> None:
        """Delete a run, if it is still the one of this uid."""
        body = {"propagationPolicy": "Background", "preconditions": {"uid": uid}}
        await self._delete(f"{_runs(kind, namespace)}/{name}", body)

    async def _delete(self, path: str, body: Raw) -> None:
        try:
            await self._call("DELETE", path, body=body)
        except ClusterCallError as error:
            if error.status not in (404, 409):
                raise

    async def write_status(self, kind: str, namespace: str, name: str, patch: Raw) -> Raw:
        """Merge a patch into a run's status and return the run."""
        path = f"{_runs(kind, namespace)}/{name}/status"
        query = [("fieldManager", names.FIELD_MANAGER)]
        answer: Raw = await self._call(
            "PATCH", path, query=query, body={"status": patch}, content_type=JSON_PATCH_TYPE
        )
        return answer

    async def fetch_run(self, kind: str, namespace: str, name: str) -> Raw:
        """Return a run."""
        answer: Raw = await self._call("GET", f"{_runs(kind, namespace)}/{name}")
        return answer

    async def fetch_warnings(self, namespace: str, object_name: str) -> list[EventFacts]:
        """Return the warnings posted about an object, newest first."""
        query = [
            ("fieldSelector", f"involvedObject.name={object_name},type=Warning"),
            ("limit", "50"),
        ]
        answer = await self._call("GET", f"/api/v1/namespaces/{namespace}/events", query=query)
        items = sorted(
            answer.get("items", ()), key=lambda e: e.get("lastTimestamp") or "", reverse=True
        )
        return [
            EventFacts(object_name, clean_text(e.get("reason"), 100), clean_text(e.get("message")))
            for e in items
        ]

    async def post_event(self, run: Raw, type_: str, reason: str, message: str, now: str) -> None:
        """Post an event about a run."""
        meta = run["metadata"]
        await self._call(
            "POST",
            f"/api/v1/namespaces/{meta['namespace']}/events",
            body={
                "apiVersion": "v1",
                "kind": "Event",
                "metadata": {"generateName": f"{meta['name']}-", "namespace": meta["namespace"]},
                "involvedObject": {
                    "apiVersion": names.API_VERSION,
                    "kind": run["kind"],
                    "name": meta["name"],
                    "namespace": meta["namespace"],
                    "uid": meta["uid"],
                },
                "type": type_,
                "reason": reason,
                "message": clean_text(message, MAXIMUM_EVENT_TEXT),
                "source": {"component": names.FIELD_MANAGER},
                "reportingComponent": names.FIELD_MANAGER,
                "firstTimestamp": now,
                "lastTimestamp": now,
                "count": 1,
            },
        )


def _jobs(namespace: str) -> str:
    return f"/apis/kubeflow.org/v1/namespaces/{namespace}/pytorchjobs"


def _runs(kind: str, namespace: str) -> str:
    return f"/apis/{names.GROUP}/{names.VERSION}/namespaces/{namespace}/{names.PLURALS[kind]}"


def _describe(error: ApiException) -> ClusterCallError:
    try:
        body = json.loads(error.body or "{}")
    except ValueError:
        body = {}
    reason = body.get("reason") or error.reason or ""
    return ClusterCallError(
        int(error.status or 0), str(reason), clean_text(body.get("message") or str(error))
    )
