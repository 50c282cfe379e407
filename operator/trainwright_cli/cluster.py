"""The CLI's only access to Kubernetes: runs, their pods, their logs.

The client is imported when a cluster is really asked (it takes a second). Its errors become the
CLI's: no answer, or one that may be another in a moment -> UnreachableError, no right -> NotAllowedError,
nothing there -> NotFoundError.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from trainwright_api.names import (
    GROUP,
    LABEL_ATTEMPT,
    LABEL_KIND,
    LABEL_REPLICA_INDEX,
    LABEL_REPLICA_TYPE,
    LABEL_RUN,
    PLURALS,
    TRAINER_CONTAINER,
    TRAINER_PORT,
    VERSION,
)

from trainwright_cli.errors import CliError, NotAllowedError, NotFoundError, UnreachableError
from trainwright_cli.options import Target
from trainwright_cli.proxies import find_proxy
from trainwright_cli.run_names import KINDS, RunName
from trainwright_cli.runs import RunView, parse_run

if TYPE_CHECKING:
    from kubernetes.client import ApiClient

_CONNECT_SECONDS, _READ_SECONDS = 5, 30
_TIMEOUT = (_CONNECT_SECONDS, _READ_SECONDS)
_INSTALL_HINT = "install it: helm install trainwright helm/trainwright"


@dataclass(frozen=True, slots=True)
class PodView:
    """One pod of a run; `node_rank` 0 is the master."""

    name: str
    attempt: int
    node_rank: int
    phase: str


@dataclass(frozen=True, slots=True)
class EventView:
    """One Kubernetes event about a run."""

    seen_at: datetime | None
    is_warning: bool
    reason: str
    message: str
    count: int = 1


class Cluster:
    """Runs of one namespace, or of all, with the user's own rights."""

    def __init__(self, api: ApiClient, namespace: str) -> None:
        from kubernetes import client

        self.namespace = namespace
        self._objects = client.CustomObjectsApi(api)
        self._core = client.CoreV1Api(api)

    @classmethod
    def connect(cls, target: Target) -> Cluster:
        """Return the cluster that kubectl would talk to. Raises UnreachableError without a kubeconfig."""
        from kubernetes import client
        from kubernetes.config.config_exception import ConfigException
        from urllib3.exceptions import HTTPError
        from yaml import YAMLError

        settings = client.Configuration()
        settings.retries = False
        try:
            namespace = _load_kubeconfig(target, settings)
            api = client.ApiClient(settings)
        except (ConfigException, OSError, YAMLError) as error:
            raise UnreachableError(
                f"no cluster: {_one_line(error)}; set KUBECONFIG, or --kubeconfig and --context"
            ) from error
        except HTTPError as error:  # nothing of it is shown: a proxy's URL may hold a password
            raise UnreachableError(
                "no cluster: the proxy of the kubeconfig or of HTTPS_PROXY is no http:// or https:// URL; "
                "use such a one, or name the server in NO_PROXY"
            ) from error
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            # The client looks for fields without a check; of a value, which may be a key, it shows none.
            raise UnreachableError(
                f"no cluster: the kubeconfig has not the form of one ({_one_line(error)}); see `kubectl config "
                "view`, or set KUBECONFIG, or --kubeconfig and --context"
            ) from error
        return cls(api, target.namespace or namespace or "default")

    def fetch_runs(self, *, all_namespaces: bool = False) -> list[RunView]:
        """Return all runs of both kinds, by namespace, then newest first."""
        views: list[RunView] = []
        for kind in KINDS:
            with _translated(
                f"list {PLURALS[kind]}", f"the cluster has no {kind}s; {_INSTALL_HINT}"
            ):
                if all_namespaces:
                    answer = self._objects.list_cluster_custom_object(
                        GROUP, VERSION, PLURALS[kind], _request_timeout=_TIMEOUT
                    )
                else:
                    answer = self._objects.list_namespaced_custom_object(
                        GROUP, VERSION, self.namespace, PLURALS[kind], _request_timeout=_TIMEOUT
                    )
            views += [parse_run({"kind": kind} | item) for item in answer["items"]]
        newest_first = sorted(views, key=lambda view: str(view.created_at), reverse=True)
        return sorted(newest_first, key=lambda view: view.namespace)

    def fetch_run(self, wanted: RunName) -> RunView:
        """Return one run. Raises NotFoundError if there is none, CliError if both kinds have one."""
        found = [view for kind in wanted.kinds if (view := self._fetch(kind, wanted.name))]
        if not found:
            kinds = " or ".join(wanted.kinds)
            raise NotFoundError(
                f"no {kinds} {wanted.name} in namespace {self.namespace}; see `trainwright status -A`"
            )
        if len(found) > 1:
            raise CliError(
                f"{wanted.name} is a TrainingRun and a FineTuneJob; say tr/{wanted.name} or "
                f"ftj/{wanted.name}"
            )
        return found[0]

    def apply_suspend(self, view: RunView, *, suspend: bool) -> None:
        """Set spec.suspend of a run."""
        with _translated(f"change {view.title}", f"{view.title} is gone"):
            self._objects.patch_namespaced_custom_object(
                GROUP,
                VERSION,
                view.namespace,
                PLURALS[view.kind],
                view.name,
                {"spec": {"suspend": suspend}},
                _request_timeout=_TIMEOUT,
            )

    def fetch_pods(self, view: RunView) -> list[PodView]:
        """Return the run's pods that still exist, by attempt and rank."""
        selector = f"{LABEL_RUN}={view.name},{LABEL_KIND}={view.kind}"
        with _translated("list pods", "the namespace is gone"):
            answer = self._core.list_namespaced_pod(
                view.namespace, label_selector=selector, _request_timeout=_TIMEOUT
            )
        pods = [_pod_view(pod) for pod in answer.items]
        return sorted(pods, key=lambda pod: (pod.attempt, pod.node_rank))

    def stream_log(
        self, namespace: str, pod: str, *, follow: bool, tail_lines: int | None
    ) -> Iterator[str]:
        """Yield the lines of the trainer's log. Raises NotFoundError if the pod has none (yet)."""
        with _translated(f"read the log of {pod}", f"pod {pod} is gone; see `trainwright status`"):
            response = self._core.read_namespaced_pod_log(
                pod,
                namespace,
                container=TRAINER_CONTAINER,
                follow=follow,
                tail_lines=tail_lines,
                _preload_content=False,
                _request_timeout=(_CONNECT_SECONDS, None) if follow else _TIMEOUT,
            )
            rest = b""
            for chunk in response.stream():
                *lines, rest = (rest + chunk).split(b"\n")
                yield from (line.decode("utf-8", "replace") for line in lines)
            if rest:
                yield rest.decode("utf-8", "replace")

    def fetch_history(self, view: RunView) -> bytes | None:
        """Return the history that rank 0 of a live run serves; None if no pod answers."""
        pods = self.fetch_pods(view)
        running = [pod for pod in pods if pod.node_rank == 0 and pod.phase == "Running"]
        return self._fetch_page(view.namespace, running[-1].name, "history") if running else None

    def fetch_metrics(self, namespace: str, pod: str) -> str | None:
        """Return the page of metrics that a trainer's pod serves; None if it does not answer."""
        page = self._fetch_page(namespace, pod, "metrics")
        return None if page is None else page.decode("utf-8", "replace")

    def fetch_events(self, view: RunView) -> list[EventView]:
        """Return the events about a run, newest first."""
        selector = f"involvedObject.kind={view.kind},involvedObject.name={view.name}"
        with _translated("list events", "the namespace is gone"):
            answer = self._core.list_namespaced_event(
                view.namespace, field_selector=selector, _request_timeout=_TIMEOUT
            )
        events = [_event_view(event) for event in answer.items]
        return sorted(events, key=lambda event: str(event.seen_at), reverse=True)

    def _fetch_page(self, namespace: str, pod: str, path: str) -> bytes | None:
        from kubernetes.client.exceptions import ApiException
        from urllib3.exceptions import HTTPError

        try:
            answer = self._core.connect_get_namespaced_pod_proxy_with_path(
                f"{pod}:{TRAINER_PORT}",
                namespace,
                path,
                _preload_content=False,
                _request_timeout=_TIMEOUT,
            )
            data: bytes = answer.data
        except (ApiException, HTTPError):
            return None
        return data

    def _fetch(self, kind: str, name: str) -> RunView | None:
        try:
            with _translated(f"get {kind}/{name}", "absent"):
                manifest = self._objects.get_namespaced_custom_object(
                    GROUP, VERSION, self.namespace, PLURALS[kind], name, _request_timeout=_TIMEOUT
                )
        except NotFoundError:
            return None
        return parse_run({"kind": kind} | manifest)


def _load_kubeconfig(target: Target, settings: Any) -> str | None:
    """Put server, proxy and user of the chosen context into the client's settings; its namespace.

    Raises ConfigException. The client's own way to a context's namespace fails without a current one, and
    it takes HTTP_PROXY for all servers and leaves out NO_PROXY and a cluster's own proxy.
    """
    from kubernetes.config.config_exception import ConfigException
    from kubernetes.config.kube_config import (
        KUBE_CONFIG_DEFAULT_LOCATION,
        KubeConfigLoader,
        KubeConfigMerger,
    )

    # As for kubectl, a KUBECONFIG that is empty is none.
    paths = target.kubeconfig or KUBE_CONFIG_DEFAULT_LOCATION or "~/.kube/config"
    files = KubeConfigMerger(paths)
    if files.config is None:
        raise ConfigException("there is no kubeconfig")
    loader = KubeConfigLoader(
        files.config, target.context, config_base_path=None, config_persister=files.save_changes
    )
    loader.load_and_set(settings)
    context: dict[str, Any] = loader.current_context["context"]
    cluster = files.config["clusters"].get_with_name(context["cluster"])["cluster"]
    own_proxy = cluster.safe_get("proxy-url")
    settings.proxy, settings.no_proxy = (
        (own_proxy, None) if own_proxy else find_proxy(settings.host)
    )
    return context.get("namespace")


def _pod_view(pod: Any) -> PodView:
    labels = pod.metadata.labels or {}
    index = int(labels.get(LABEL_REPLICA_INDEX, 0))
    is_master = labels.get(LABEL_REPLICA_TYPE, "master").lower() == "master"
    return PodView(
        name=pod.metadata.name,
        attempt=int(labels.get(LABEL_ATTEMPT, 0)),
        node_rank=index if is_master else index + 1,
        phase=pod.status.phase or "Unknown",
    )


def _event_view(event: Any) -> EventView:
    seen = event.last_timestamp or event.event_time or event.metadata.creation_timestamp
    return EventView(
        seen_at=seen,
        is_warning=event.type == "Warning",
        reason=event.reason or "",
        message=event.message or "",
        count=event.count or 1,
    )


@contextmanager
def _translated(action: str, absent: str) -> Iterator[None]:
    """Turn the client's errors into the CLI's."""
    from kubernetes.client.exceptions import ApiException
    from urllib3.exceptions import HTTPError

    try:
        yield
    except ApiException as error:
        if error.status == 404:
            raise NotFoundError(absent) from error
        # Without the credentials that the kubeconfig's command should have given, it asks as nobody.
        if error.status == 401 or "system:anonymous" in _message_of(error):
            raise NotAllowedError(
                f"not allowed to {action}: the API server does not know you, or no more "
                f"({_one_line(_message_of(error))}); log in again as for kubectl, or use another --context"
            ) from error
        if error.status == 403:
            raise NotAllowedError(
                f"not allowed to {action}: {_one_line(_message_of(error))}; ask for the "
                "ClusterRole edit in the namespace, or use another --context"
            ) from error
        if not error.status:  # of a TLS connection that failed or broke
            raise _no_answer(error.reason) from error
        why = f"could not {action}: {_one_line(_message_of(error))}"
        if error.status == 429 or error.status >= 500:  # it starts, is too busy, or has no etcd
            raise UnreachableError(f"{why}; the API server has trouble, try again later") from error
        raise CliError(why) from error
    except HTTPError as error:
        raise _no_answer(error) from error


def _no_answer(why: object) -> UnreachableError:
    return UnreachableError(
        f"no answer from the cluster: {_one_line(why)}; check KUBECONFIG and the network"
    )


def _message_of(error: Any) -> str:
    """Return the API server's own sentence, if it sent one."""
    import json

    try:
        return str(json.loads(error.body)["message"])
    except (TypeError, ValueError, KeyError):
        return f"{error.status} {error.reason}"


def _one_line(error: object) -> str:
    return " ".join(str(error).split())[:300]
