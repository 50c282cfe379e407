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

from trainwright_operator.calls import ClusterCallError
from trainwright_operator.decision import Notice
from trainwright_operator.facts import EventFacts, parse_events, parse_version
from trainwright_operator.operator_metrics import OperatorMetrics
from trainwright_operator.untrusted import clean_text

MERGE_PATCH = "application/merge-patch+json"
JSON_PATCH = "application/json-patch+json"
REQUEST_TIMEOUT_SECONDS = 20
MAXIMUM_EVENT_TEXT = 1000
LIST_CHUNK = 500
MAXIMUM_WARNINGS = 50

Raw = dict[str, Any]


class ClusterClient:
    """Calls of the API server for runs and what belongs to them."""

    def __init__(self, num_threads: int, metrics: OperatorMetrics) -> None:
        self._api = kubernetes.client.ApiClient(_load_settings())
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
            answer, code, _ = self._api.call_api(
                path,
                verb,
                query_params=query,
                header_params={"Accept": "application/json", "Content-Type": content_type},
                body=body,
                auth_settings=["BearerToken"],
                response_type="object",
                _request_timeout=REQUEST_TIMEOUT_SECONDS,
            )
        except ApiException as error:
            self._metrics.count_call(verb, str(error.status))
            raise _describe(error) from error
        except (HTTPError, OSError) as error:
            self._metrics.count_call(verb, "error")
            raise ClusterCallError(0, "Unreachable", str(error)) from error
        self._metrics.count_call(verb, str(code))
        return answer

    async def create_config_map(self, manifest: Mapping[str, Any]) -> None:
        """Create a config map, or change the one of the same run; a ClusterCallError of 409 if it is another's.

        Not applied, as a job is not: that would take over what somebody else has made.
        """
        meta = manifest["metadata"]
        path = f"/api/v1/namespaces/{meta['namespace']}/configmaps"
        query = [("fieldManager", names.FIELD_MANAGER)]
        try:
            await self._call("POST", path, query=query, body=dict(manifest))
        except ClusterCallError as error:
            if error.reason != "AlreadyExists":
                raise
            path, run_uid = f"{path}/{meta['name']}", meta["labels"][names.LABEL_RUN_UID]
            data = {"op": "add", "path": "/data", "value": manifest["data"]}
            if await self._change_own(path, run_uid, data) is None:
                raise

    async def _change_own(self, path: str, run_uid: str, *changes: Raw) -> Raw | None:
        """Change an object of a run and return it; None if it is gone or another's, of which nothing is read."""
        label = names.LABEL_RUN_UID.replace("/", "~1")
        is_own = {"op": "test", "path": f"/metadata/labels/{label}", "value": run_uid}
        query = [("fieldManager", names.FIELD_MANAGER)]
        try:
            answer: Raw = await self._call(
                "PATCH", path, query=query, body=[is_own, *changes], content_type=JSON_PATCH
            )
        except ClusterCallError as error:
            if error.status in (404, 422):
                return None
            raise
        return answer

    async def create_job(self, namespace: str, job: Any) -> Raw:
        """Create a PyTorchJob and return it; a ClusterCallError of 409 if its name is in use.

        Not applied: that would take over the job, and the pods, of a deleted run of the same name.
        """
        body = self._api.sanitize_for_serialization(job)
        query = [("fieldManager", names.FIELD_MANAGER)]
        answer: Raw = await self._call("POST", _jobs(namespace), query=query, body=body)
        return answer

    async def delete_config_map(self, namespace: str, name: str, run_uid: str) -> None:
        """Delete a config map, if it is this run's; fine if it is gone."""
        path = f"/api/v1/namespaces/{namespace}/configmaps/{name}"
        if (own := await self._change_own(path, run_uid)) is not None:
            await self._delete(path, {"preconditions": {"uid": own["metadata"]["uid"]}})

    async def delete_job(self, namespace: str, name: str) -> bool:
        """Delete a PyTorchJob and, in the background, its pods; return whether it is gone already."""
        body = {"propagationPolicy": "Background"}
        return await self._delete(f"{_jobs(namespace)}/{name}", body)

    async def delete_pod(
        self, namespace: str, name: str, grace_seconds: int | None, uid: str | None = None
    ) -> bool:
        """Delete a pod (None: with its own grace, 0: by force), with a uid only if it is this one.

        Return whether it is gone already.
        """
        body: Raw = {} if grace_seconds is None else {"gracePeriodSeconds": grace_seconds}
        if uid is not None:
            body["preconditions"] = {"uid": uid}
        return await self._delete(f"/api/v1/namespaces/{namespace}/pods/{name}", body)

    async def delete_run(self, run: Raw) -> None:
        """Delete a run, if it is still this one."""
        preconditions = {"uid": run["metadata"]["uid"]}
        body = {"propagationPolicy": "Background", "preconditions": preconditions}
        await self._delete(_run(run), body)

    async def suspend_run(self, run: Raw) -> None:
        """Set a run's spec.suspend, if it is still this one."""
        body = {"metadata": {"uid": run["metadata"]["uid"]}, "spec": {"suspend": True}}
        query = [("fieldManager", names.FIELD_MANAGER)]
        try:
            await self._call("PATCH", _run(run), query=query, body=body, content_type=MERGE_PATCH)
        except ClusterCallError as error:
            if error.status != 404 and "metadata.uid" not in error.message:
                raise

    async def _delete(self, path: str, body: Raw) -> bool:
        """Delete an object; return whether nothing is left to wait for."""
        try:
            answer = await self._call("DELETE", path, body=body)
        except ClusterCallError as error:
            if error.status not in (404, 409):
                raise
            return error.status == 404
        # The server answers with the object while it lingers, and with a Status once it is gone.
        return bool(answer.get("kind") == "Status")

    async def write_status(self, run: Raw, patch: Raw) -> Raw | None:
        """Merge a patch into a run's status and return the run; None if it is not as seen any more.

        The version goes with the patch: a new run of the same name never gets an old one's status.
        (A uid would not do: the API server ignores the metadata in patches of a status.)
        """
        body = {
            "metadata": {"resourceVersion": run["metadata"]["resourceVersion"]},
            "status": patch,
        }
        query = [("fieldManager", names.FIELD_MANAGER)]
        try:
            answer: Raw = await self._call(
                "PATCH", f"{_run(run)}/status", query=query, body=body, content_type=MERGE_PATCH
            )
        except ClusterCallError as error:
            if error.status in (404, 409):
                return None
            raise
        return answer

    async def read_run(self, run: Raw) -> Raw | None:
        """Return a run as it is now; None if it is gone, whatever has its name since."""
        try:
            found: Raw = await self._call("GET", _run(run))
        except ClusterCallError as error:
            if error.status == 404:
                return None
            raise
        return found if found["metadata"]["uid"] == run["metadata"]["uid"] else None

    async def list_objects(
        self, path: str, label_selector: str = ""
    ) -> tuple[list[Raw], int] | None:
        """Return all objects below a path and the version of the list; None if there is no such kind."""
        query = [("limit", str(LIST_CHUNK)), ("labelSelector", label_selector)]
        items: list[Raw] = []
        token = ""
        while True:
            try:
                page = await self._call("GET", path, query=[*query, ("continue", token)])
            except ClusterCallError as error:
                if error.status == 404:
                    return None
                raise
            kind = {"apiVersion": page["apiVersion"], "kind": page["kind"].removesuffix("List")}
            items += [{**kind, **item} for item in page.get("items") or ()]
            token = page["metadata"].get("continue", "")
            if not token:
                return items, parse_version(page)

    async def fetch_warnings(self, namespace: str, selector: str) -> list[EventFacts]:
        """Return the warnings that a field selector of events chooses, newest first."""
        query = [("fieldSelector", f"type=Warning,{selector}"), ("limit", str(LIST_CHUNK))]
        answer = await self._call("GET", f"/api/v1/namespaces/{namespace}/events", query=query)
        return parse_events(answer.get("items") or ())[:MAXIMUM_WARNINGS]

    async def post_event(self, run: Raw, notice: Notice, name: str, now: str) -> None:
        """Post an event about a run, once for each name."""
        path = f"/api/v1/namespaces/{run['metadata']['namespace']}/events"
        try:
            await self._call("POST", path, body=_build_event(run, notice, name, now))
        except ClusterCallError as error:
            if error.status != 409:
                raise


def _load_settings() -> Any:
    """Return how to reach the API server: as the pod's service account, else by the user's kubeconfig.

    A proxy injected into the pod is for what is outside the cluster. kopf's watches leave it out, too; the
    client would take it, and does not look at NO_PROXY.
    """
    settings = kubernetes.client.Configuration()
    try:
        kubernetes.config.load_incluster_config(settings)
        settings.proxy = None
    except kubernetes.config.ConfigException:
        kubernetes.config.load_kube_config(client_configuration=settings)
    return settings


def _build_event(run: Raw, notice: Notice, name: str, now: str) -> Raw:
    meta = run["metadata"]
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": name, "namespace": meta["namespace"]},
        "involvedObject": {
            "apiVersion": names.API_VERSION,
            "kind": run["kind"],
            "name": meta["name"],
            "namespace": meta["namespace"],
            "uid": meta["uid"],
        },
        "type": notice.type,
        "reason": notice.reason,
        "message": clean_text(notice.message, MAXIMUM_EVENT_TEXT),
        "source": {"component": names.FIELD_MANAGER},
        "reportingComponent": names.FIELD_MANAGER,
        "firstTimestamp": now,
        "lastTimestamp": now,
        "count": 1,
    }


def _jobs(namespace: str) -> str:
    return f"/apis/kubeflow.org/v1/namespaces/{namespace}/pytorchjobs"


def _run(run: Raw) -> str:
    meta = run["metadata"]
    plural = names.PLURALS[run["kind"]]
    return f"/apis/{names.API_VERSION}/namespaces/{meta['namespace']}/{plural}/{meta['name']}"


def _describe(error: ApiException) -> ClusterCallError:
    try:
        body = json.loads(error.body or "{}")
    except ValueError:
        body = {}
    if not isinstance(body, dict):  # what stands before the API server has words of its own
        body = {}
    reason = body.get("reason") or error.reason or ""
    return ClusterCallError(
        int(error.status or 0), str(reason), clean_text(body.get("message") or str(error))
    )
