"""Reads runs, pods and logs from within the tests' process.

Tests poll thousands of times; a kubectl each time costs a tenth of a core's second, which the pods lack.
"""

import json
from functools import cache

from kubernetes.client import ApiClient, CoreV1Api, CustomObjectsApi
from kubernetes.config import new_client_from_config
from trainwright_api.names import GROUP, LABEL_RUN, PLURALS, VERSION

from demo.place import JSON, Place


@cache
def _connect(kubeconfig: str) -> ApiClient:
    """A client that keeps its connections."""
    return new_client_from_config(kubeconfig)


def connect(place: Place) -> ApiClient:
    """The client of a place's API server."""
    return _connect(place.environment["KUBECONFIG"])


def read_run(place: Place, kind: str, name: str) -> JSON:
    """A run with its status; raises ApiException if there is none."""
    api = CustomObjectsApi(connect(place))
    run: JSON = api.get_namespaced_custom_object(
        GROUP, VERSION, place.namespace, PLURALS[kind], name
    )
    return run


def read_pods(place: Place, run: str, **labels: str) -> list[JSON]:
    """The pods of a run, with all of these labels."""
    selector = ",".join(f"{name}={value}" for name, value in {LABEL_RUN: run, **labels}.items())
    answer = CoreV1Api(connect(place)).list_namespaced_pod(
        place.namespace, label_selector=selector, _preload_content=False
    )
    pods: list[JSON] = json.loads(answer.data)["items"]
    return pods


def read_log(place: Place, pod: str) -> str:
    """What a pod has printed; raises ApiException if its container does not run yet or is gone."""
    log: str = CoreV1Api(connect(place)).read_namespaced_pod_log(pod, place.namespace)
    return log
