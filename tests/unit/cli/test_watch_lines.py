"""`trainwright watch` in lines: what it shows of an answer, and which failures it waits out."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from click.testing import Result
from trainwright_cli.cluster import Cluster
from trainwright_cli.errors import CliError, ExitCode, NotAllowedError, UnreachableError
from trainwright_cli.runs import RunView, parse_run

from tests.unit.cli.manifests import a_training_run, invoke

Answer = Sequence[RunView] | CliError
AWAY = UnreachableError("no answer from the cluster: refused; check KUBECONFIG and the network")
REFUSED = NotAllowedError("not allowed to list trainingruns: no; use another --context")


class Answers:
    """A cluster that gives these answers, one a poll."""

    namespace = "team"

    def __init__(self, answers: Sequence[Answer]) -> None:
        self.left = list(answers)

    def fetch_runs(self, *, all_namespaces: bool = False) -> Sequence[RunView]:
        answer = self.left.pop(0)
        if isinstance(answer, CliError):
            raise answer
        return answer

    def fetch_run(self, wanted: object) -> RunView:
        return self.fetch_runs()[0]


def a_view(namespace: str, phase: str, **status: Any) -> RunView:
    manifest = a_training_run("gpt")
    manifest["metadata"]["namespace"] = namespace
    return parse_run(manifest | {"status": {"phase": phase} | status})


@pytest.fixture
def watch(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """Watch a cluster that gives these answers, without pauses."""

    def run(answers: Sequence[Answer], *arguments: str) -> Result:
        cluster = Answers(answers)
        monkeypatch.setattr(Cluster, "connect", lambda target: cluster)
        monkeypatch.setattr("trainwright_cli.commands.watch.POLL_SECONDS", 0)
        done = invoke("watch", *arguments)
        assert cluster.left == [], "not asked to the end"
        return done

    return run


def said(done: Result) -> list[str]:
    """The lines without the time of day."""
    return [line.partition("  ")[2] for line in done.stdout.splitlines()]


def test_all_namespaces_are_told_apart(watch: Callable[..., Result]) -> None:
    now = [a_view("lab", "Running"), a_view("team", "Pending")]
    ended = [a_view("lab", "Succeeded"), a_view("team", "Failed")]
    done = watch([now, now, now, ended], "-A", "--plain")
    assert said(done) == [
        "lab/TrainingRun/gpt  Running",
        "team/TrainingRun/gpt  Pending",
        "lab/TrainingRun/gpt  Succeeded",
        "team/TrainingRun/gpt  Failed",
    ]
    one = watch([now[:1], ended[:1]], "--plain")
    assert said(one) == ["TrainingRun/gpt  Running", "TrainingRun/gpt  Succeeded"]


def test_a_cluster_that_is_away_is_told_once_and_asked_again(watch: Callable[..., Result]) -> None:
    done = watch([[a_view("team", "Running")], AWAY, AWAY, [a_view("team", "Succeeded")]], "gpt")
    assert done.exit_code == ExitCode.OK
    assert done.stdout.count("refused; check KUBECONFIG and the network; trying again") == 1
    assert said(done)[-1] == "TrainingRun/gpt  Succeeded"


def test_a_cluster_that_stays_away_ends_the_watch(
    watch: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trainwright_cli.commands.watch.PATIENCE_SECONDS", -1)
    done = watch([AWAY], "--plain")
    assert (done.exit_code, done.stdout) == (ExitCode.UNREACHABLE, "")


@pytest.mark.parametrize("arguments", [("gpt",), ("-A", "--plain")])
def test_a_missing_right_ends_the_watch_at_once(
    watch: Callable[..., Result], arguments: tuple[str, ...]
) -> None:
    done = watch([[a_view("team", "Running")], REFUSED], *arguments)
    assert done.exit_code == ExitCode.UNREACHABLE
    assert done.stderr == f"error: {REFUSED.format_message()}\n"
    assert "trying again" not in done.stdout


def test_a_run_that_makes_no_steps_is_told(watch: Callable[..., Result]) -> None:
    progress = {"step": 5, "totalSteps": 20, "activity": "train"}
    hour_ago = (datetime.now(UTC) - timedelta(hours=1)).isoformat()
    stuck = a_view("team", "Running", progress=progress | {"updatedAt": hour_ago})
    done = watch([[stuck], [stuck], [a_view("team", "Failed", progress=progress)]], "--plain")
    lines = said(done)
    assert len(lines) == 2
    assert "step 5/20 (0 %)  no step for 1h00m" in lines[0]
    assert "no step" not in lines[1]
