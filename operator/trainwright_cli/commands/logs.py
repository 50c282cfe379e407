"""`trainwright logs`: the log of a run's pods, chosen by rank, pod or attempt; or its curves."""

import time

import click
from trainwright_api.names import TENSORBOARD_FOLDER

from trainwright_cli.cluster import Cluster, PodView
from trainwright_cli.errors import EXIT_CODES_HELP, CliError, NotFoundError
from trainwright_cli.options import Target, cluster_options
from trainwright_cli.run_names import RunName, RunNameType
from trainwright_cli.runs import RunView

POLL_SECONDS = 1.0
START_SECONDS = 60.0
STARTED = ("Running", "Succeeded", "Failed")


@click.command(epilog=EXIT_CODES_HELP)
@click.argument("name", metavar="[KIND/]NAME", type=RunNameType())
@cluster_options
@click.option("--rank", type=click.IntRange(min=0), help="The pod that holds this rank. Default 0.")
@click.option("--pod", metavar="POD", help="This pod of the run.")
@click.option("--attempt", type=click.IntRange(min=1), help="Default: the newest with pods.")
@click.option("--tail", type=click.IntRange(min=0), help="Only the last lines.")
@click.option("-f", "--follow", is_flag=True, help="Go on until the run has ended.")
@click.option("--tensorboard", is_flag=True, help="Open TensorBoard on the run's event files.")
@click.option("--port", type=click.IntRange(1, 65535), help="Port of TensorBoard. Default 6006.")
@click.option("--endpoint", metavar="URL", help="S3 endpoint; default: the run's, then AWS's own.")
def logs(
    name: RunName,
    target: Target,
    rank: int | None,
    pod: str | None,
    attempt: int | None,
    tail: int | None,
    follow: bool,
    tensorboard: bool,
    port: int | None,
    endpoint: str | None,
) -> None:
    """Print the log of a run's pods.

    It waits a minute for a pod that has not started; with --follow, as long as it takes. With --follow
    it also goes on with the next attempt when one ends, unless --pod or --attempt is given.

    --tensorboard reads the run's event files from its store, with your own credentials, and refreshes
    them while the run lives.

    \b
    Example:
      trainwright logs stdlib-gpt -f
      trainwright logs tr/stdlib-gpt --rank 1 --attempt 2 --tail 50
      trainwright logs stdlib-gpt --tensorboard --port 6007
    """
    if tensorboard:
        if follow or any(option is not None for option in (rank, pod, attempt, tail)):
            raise click.UsageError(
                "--tensorboard shows the whole run; give no other choice with it"
            )
        _show_tensorboard(name, target, port, endpoint)
        return
    if port is not None or endpoint is not None:
        raise click.UsageError("--port and --endpoint are for --tensorboard")
    if pod is not None and rank is not None:
        raise click.UsageError("--pod and --rank exclude each other")
    cluster = Cluster.connect(target)
    view = cluster.fetch_run(name)
    chosen = _wait_for_pod(cluster, view, rank, pod, attempt, follow=follow)
    while True:
        for line in cluster.stream_log(view.namespace, chosen.name, follow=follow, tail_lines=tail):
            click.echo(line)
        if not follow or pod is not None or attempt is not None:
            return
        following = _next_attempt(cluster, RunName(view.name, (view.kind,)), rank, chosen)
        if following is None:
            return
        click.echo(f"--- attempt {following.attempt}, {following.name}", err=True)
        chosen, tail = following, None


def _show_tensorboard(
    name: RunName, target: Target, port: int | None, endpoint: str | None
) -> None:
    from trainwright_cli.event_files import check_tensorboard, show_events
    from trainwright_cli.run_folders import open_run_folder

    check_tensorboard()
    cluster = Cluster.connect(target)
    view = cluster.fetch_run(name)
    exact = RunName(view.name, (view.kind,))
    source = open_run_folder(view, f"{TENSORBOARD_FOLDER}/", endpoint)
    show_events(source, view.name, lambda: not cluster.fetch_run(exact).has_ended, port)


def _wait_for_pod(
    cluster: Cluster,
    view: RunView,
    rank: int | None,
    pod: str | None,
    attempt: int | None,
    *,
    follow: bool,
) -> PodView:
    """Return the pod that is asked for, once it has started."""
    deadline = time.monotonic() + START_SECONDS
    while True:
        pods, chosen = cluster.fetch_pods(view), None
        if pods or view.has_ended:
            chosen = _find_pod(view, pods, rank, pod, attempt)
            if chosen is not None and chosen.phase in STARTED:
                return chosen
        if not follow and time.monotonic() > deadline:
            what = f"pod {chosen.name} is {chosen.phase}" if chosen else "its pod is not there"
            raise CliError(
                f"{view.title} has no log yet, {what}; see `trainwright status {view.name}`"
            )
        time.sleep(POLL_SECONDS)
        view = cluster.fetch_run(RunName(view.name, (view.kind,)))


def _next_attempt(
    cluster: Cluster, name: RunName, rank: int | None, ended: PodView
) -> PodView | None:
    """Return the same rank's pod of a later attempt, or None once the run has ended."""
    while True:
        view = cluster.fetch_run(name)
        pods = [pod for pod in cluster.fetch_pods(view) if pod.attempt > ended.attempt]
        if pods:
            chosen = _find_pod(view, pods, rank, None, None)
            if chosen is not None and chosen.phase in STARTED:
                return chosen
        if view.has_ended or (view.is_suspended and not pods):
            return None
        time.sleep(POLL_SECONDS)


def _find_pod(
    view: RunView, pods: list[PodView], rank: int | None, pod: str | None, attempt: int | None
) -> PodView | None:
    """As choose_pod, but None for one that is still to be made: those of many nodes come one by one."""
    try:
        return choose_pod(view, pods, rank, pod, attempt)
    except NotFoundError:
        num_nodes = view.manifest.get("spec", {}).get("workers", {}).get("nodes", 1)
        has_rank = (rank or 0) // _processes_per_node(view) < num_nodes
        if view.has_ended or not has_rank or pod is not None or attempt is not None:
            raise
        return None


def choose_pod(
    view: RunView, pods: list[PodView], rank: int | None, pod: str | None, attempt: int | None
) -> PodView:
    """Return the pod that holds a rank, or has a name. Raises NotFoundError, saying what there is."""
    if not pods:
        raise NotFoundError(f"{view.title} has no pods; see `trainwright status {view.name}`")
    if pod is not None:
        wanted = [candidate for candidate in pods if candidate.name == pod]
    else:
        newest = max(candidate.attempt for candidate in pods)
        node_rank = (rank or 0) // _processes_per_node(view)
        wanted = [
            candidate
            for candidate in pods
            if candidate.attempt == (attempt or newest) and candidate.node_rank == node_rank
        ]
    if not wanted:
        there = ", ".join(f"{pod.name} (attempt {pod.attempt})" for pod in pods[:20])
        raise NotFoundError(f"{view.title} has no such pod; there are {there}")
    return wanted[-1]


def _processes_per_node(view: RunView) -> int:
    workers = view.manifest.get("spec", {}).get("workers", {})
    on_cpus = workers.get("accelerator") == "None"
    return int(workers.get("processesPerNode" if on_cpus else "acceleratorsPerNode") or 1)
