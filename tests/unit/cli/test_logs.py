"""Which pod's log is printed."""

from types import SimpleNamespace

import pytest
from trainwright_cli.cluster import Cluster, PodView
from trainwright_cli.commands.logs import choose_pod
from trainwright_cli.errors import ExitCode, NotFoundError
from trainwright_cli.run_names import RunName
from trainwright_cli.runs import RunView, parse_run

from tests.unit.cli.manifests import a_training_run, invoke

PODS = [
    PodView("gpt-1-master-0", 1, 0, "Failed"),
    PodView("gpt-1-worker-0", 1, 1, "Failed"),
    PodView("gpt-2-master-0", 2, 0, "Running"),
    PodView("gpt-2-worker-0", 2, 1, "Running"),
]


def a_view(per_node: int = 1) -> RunView:
    return parse_run(a_training_run(workers={"nodes": 2, "acceleratorsPerNode": per_node}))


@pytest.mark.parametrize(
    ("rank", "pod", "attempt", "per_node", "expected"),
    [
        (None, None, None, 1, "gpt-2-master-0"),
        (1, None, None, 1, "gpt-2-worker-0"),
        (7, None, None, 8, "gpt-2-master-0"),
        (8, None, None, 8, "gpt-2-worker-0"),
        (1, None, 1, 1, "gpt-1-worker-0"),
        (None, "gpt-1-master-0", None, 1, "gpt-1-master-0"),
    ],
)
def test_the_pod_is_that_of_the_rank_in_the_newest_attempt(
    rank: int | None, pod: str | None, attempt: int | None, per_node: int, expected: str
) -> None:
    assert choose_pod(a_view(per_node), PODS, rank, pod, attempt).name == expected


def test_a_pod_that_is_not_there_lists_those_that_are() -> None:
    with pytest.raises(NotFoundError, match=r"there are gpt-1-master-0 \(attempt 1\), "):
        choose_pod(a_view(), PODS, 99, None, None)
    with pytest.raises(NotFoundError, match="has no pods; see `trainwright status stdlib-gpt`"):
        choose_pod(a_view(), [], None, None, None)


@pytest.mark.parametrize(
    ("rank", "code", "stdout"),
    [("1", ExitCode.OK, "gpt-1-worker-0\n"), ("2", ExitCode.NOT_FOUND, "")],
)
def test_a_pod_that_is_still_to_be_made_is_waited_for_and_one_that_never_comes_is_not(
    monkeypatch: pytest.MonkeyPatch, rank: str, code: int, stdout: str
) -> None:
    answers = [PODS[:1], PODS[:2]]
    cluster = SimpleNamespace(
        fetch_run=lambda wanted: a_view(),
        fetch_pods=lambda view: answers.pop(0),
        stream_log=lambda namespace, pod, **_: [pod],
    )
    monkeypatch.setattr(Cluster, "connect", lambda target: cluster)
    monkeypatch.setattr("trainwright_cli.commands.logs.POLL_SECONDS", 0)
    done = invoke("logs", "gpt", "--rank", rank)
    assert (done.exit_code, done.stdout) == (code, stdout)


def test_following_ends_with_the_run_though_its_last_pods_never_started(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    phases = ["Running", "Restarting", "Failed"]
    pods = [PODS[0], PodView("gpt-2-master-0", 2, 0, "Pending")]
    asked: list[tuple[str, ...]] = []

    def fetch_run(wanted: RunName) -> RunView:
        asked.append(wanted.kinds)
        return parse_run(a_training_run() | {"status": {"phase": phases.pop(0)}})

    cluster = SimpleNamespace(
        fetch_run=fetch_run,
        fetch_pods=lambda view: pods if view.status.phase != "Running" else pods[:1],
        stream_log=lambda *_, **__: ["a line"],
    )
    monkeypatch.setattr(Cluster, "connect", lambda target: cluster)
    monkeypatch.setattr("trainwright_cli.commands.logs.POLL_SECONDS", 0)
    done = invoke("logs", "gpt", "-f")
    assert (done.exit_code, done.stdout) == (ExitCode.OK, "a line\n")
    assert asked[1:] == [("TrainingRun",), ("TrainingRun",)], "not a FineTuneJob of the same name"
