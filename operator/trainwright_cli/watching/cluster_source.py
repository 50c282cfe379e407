"""The cluster as the screen's source: runs, and the details of one with what each answer allows.

Details are a courtesy: a missing right, a pod that does not answer or a store without credentials
leaves a part of the screen empty, and never the rest of it.
"""

import time
from collections.abc import Sequence
from contextlib import suppress

from trainwright_api.history import HistoryRow

from trainwright_cli.cluster import Cluster, EventView, PodView
from trainwright_cli.errors import CliError
from trainwright_cli.histories import fetch_history, parse_history
from trainwright_cli.runs import RunView
from trainwright_cli.watching.figures import parse_figures
from trainwright_cli.watching.snapshot import Detail, RankFigures
from trainwright_cli.watching.state import key_of

HISTORY_SECONDS = 10.0
MAXIMUM_PODS = 8
LOG_LINES = 300


def choose_pods(pods: Sequence[PodView], view: RunView) -> list[PodView]:
    """Return the pods whose ranks are shown: the one that holds the worst rank before all others."""
    hardware, plan = view.status.hardware, view.status.plan
    worst = hardware.worst_rank if hardware else None
    nodes = view.manifest.get("spec", {}).get("workers", {}).get("nodes", 1)
    per_node = max(1, plan.num_devices // nodes) if plan else 1
    worst_node = None if worst is None else worst // per_node
    running = [pod for pod in pods if pod.phase == "Running"]
    return sorted(running, key=lambda pod: pod.node_rank != worst_node)[:MAXIMUM_PODS]


class ClusterSource:
    """Asks the API server with the user's own rights."""

    def __init__(self, cluster: Cluster, *, all_namespaces: bool) -> None:
        self._cluster, self._all_namespaces = cluster, all_namespaces
        self._histories: dict[str, tuple[float, tuple[HistoryRow, ...]]] = {}

    def fetch_views(self) -> Sequence[RunView]:
        """See Source."""
        return self._cluster.fetch_runs(all_namespaces=self._all_namespaces)

    def apply_suspend(self, view: RunView, *, suspend: bool) -> None:
        """See Source."""
        self._cluster.apply_suspend(view, suspend=suspend)

    def fetch_detail(self, view: RunView, previous: Detail | None) -> Detail:
        """See Source."""
        pods = self._fetch_pods(view)
        title, log = self._fetch_log(view, pods)
        return Detail(
            key=key_of(view),
            history=self._fetch_history(view),
            ranks=self._fetch_ranks(view, pods),
            events=self._fetch_events(view),
            log=log,
            log_title=title,
        )

    def _fetch_pods(self, view: RunView) -> list[PodView]:
        try:
            pods = self._cluster.fetch_pods(view)
        except CliError:
            return []
        newest = max((pod.attempt for pod in pods), default=0)
        return [pod for pod in pods if pod.attempt == newest]

    def _fetch_log(self, view: RunView, pods: list[PodView]) -> tuple[str, tuple[str, ...]]:
        master = next((pod for pod in pods if pod.node_rank == 0), None)
        if master is None:
            return "No log: the run has no pods", ()
        try:
            lines = self._cluster.stream_log(
                view.namespace, master.name, follow=False, tail_lines=LOG_LINES
            )
            return f"Log of {master.name}", tuple(lines)
        except CliError as error:
            if master.phase == "Pending":
                return f"No log: {master.name} is Pending", ()
            return f"No log: {error.format_message()}", ()

    def _fetch_ranks(self, view: RunView, pods: list[PodView]) -> tuple[RankFigures, ...]:
        ranks: list[RankFigures] = []
        for pod in choose_pods(pods, view):
            page = self._cluster.fetch_metrics(view.namespace, pod.name)
            ranks += parse_figures(page, pod.node_rank) if page else []
        return tuple(sorted(ranks, key=lambda rank: rank.rank))

    def _fetch_events(self, view: RunView) -> tuple[EventView, ...]:
        try:
            return tuple(self._cluster.fetch_events(view))
        except CliError:
            return ()

    def _fetch_history(self, view: RunView) -> tuple[HistoryRow, ...]:
        """From the pod every few seconds; from the store, which is slow, once the run has ended."""
        asked_at, rows = self._histories.get(key_of(view), (float("-inf"), ()))
        if time.monotonic() - asked_at < HISTORY_SECONDS:
            return rows
        with suppress(CliError):  # then what the polls have seen is drawn
            rows = tuple(self._read_history(view)) or rows
        asked_at = float("inf") if view.has_ended else time.monotonic()
        self._histories[key_of(view)] = (asked_at, rows)
        return rows

    def _read_history(self, view: RunView) -> list[HistoryRow]:
        if view.has_ended:
            return fetch_history(self._cluster, view, None)
        return parse_history(self._cluster.fetch_history(view) or b"", view)
