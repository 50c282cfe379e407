"""An example that does not succeed ends the demo with the reason, on a terminal and elsewhere."""

import errno
import io
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest
from rich.console import Console as RichConsole

from demo import __main__ as command
from demo import story
from demo.alone import alone_on
from demo.console import Console
from demo.errors import DemoError
from demo.follow import follow_run
from demo.manifests import PRETRAINING, read_example
from demo.place import JSON, Place
from demo.settings import Settings, read_settings
from tests.cluster import ClusterError

RUNNING = {"phase": "Running", "progress": {"step": 3, "totalSteps": 9, "loss": 5.25}}
FAILED = {"phase": "Failed", "reason": "UserError", "message": "spec.data.sources[0]: got x"}


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its locks are not those of a demo that runs beside the tests."""
    monkeypatch.setenv("TRAINWRIGHT_CACHE", str(tmp_path / "cache"))


class Cluster:
    """A place whose run has one status after the other, the last for ever."""

    namespace, store = "default", SimpleNamespace(bucket="")

    def __init__(self, *statuses: JSON) -> None:
        self.statuses = list(statuses)
        self.asked: list[str] = []

    def kubectl(self, *arguments: str) -> str:
        self.asked.append(" ".join(arguments))
        return ""

    def apply(self, *_objects: JSON) -> None:
        pass

    def get_run(self, _kind: str, _name: str) -> JSON:
        return {"status": self.statuses.pop(0) if len(self.statuses) > 1 else self.statuses[0]}


def place_with(*statuses: JSON) -> Place:
    return cast(Place, Cluster(*statuses))


def test_a_failed_example_ends_the_demo_with_its_reason(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(story, "delete_checkpoints", lambda *_: None)

    def run(_settings: object, console: Console) -> int:
        manifest = read_example(PRETRAINING)
        story.run_example(place_with(FAILED), console, manifest, story.ignore)
        return 0

    monkeypatch.setattr(command, "run", run)
    assert command.main([]) == 1
    told = "demo: TrainingRun/stdlib-gpt failed: UserError: spec.data.sources[0]: got x"
    assert told in capsys.readouterr().out


def test_checkpoints_are_deleted_when_no_pod_can_save_any_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    place = Cluster({"phase": "Succeeded"})
    monkeypatch.setattr(story, "delete_checkpoints", lambda *_: place.asked.append("checkpoints"))
    manifest = read_example(PRETRAINING)
    story.run_example(cast(Place, place), Console(), manifest, story.ignore)
    run, pods, checkpoints = place.asked
    assert run.startswith(f"delete TrainingRun {PRETRAINING} ")
    assert pods.startswith("wait -n default --for=delete pods -l trainwright.dev/run=stdlib-gpt ")
    assert checkpoints == "checkpoints"


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, "(`make demo-down` ends it)"),
        ({"DEMO_CLUSTER": "mine"}, "(`make demo-down DEMO_CLUSTER=mine` ends it)"),
    ],
)
def test_after_ctrl_c_it_says_what_ends_what_goes_on(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    environment: dict[str, str],
    expected: str,
) -> None:
    def stop(*_: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(command, "read_settings", lambda: read_settings(environment))
    monkeypatch.setattr(command, "find_cluster_obstacle", lambda: None)
    monkeypatch.setattr(story, "run_on_embedded_cluster", stop)
    assert command.main([]) == 130
    assert expected in capsys.readouterr().out


def test_a_second_demo_does_not_take_the_runs_of_the_first(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    begun: list[str] = []

    def begin(settings: Settings, _console: Console) -> int:
        begun.append(settings.cluster_name)
        return 0

    monkeypatch.setattr(command, "find_cluster_obstacle", lambda: None)
    monkeypatch.setattr(story, "run_on_embedded_cluster", begin)
    with alone_on("demo"):
        assert command.main([]) == 1
        assert "another `make demo` trains on the cluster 'demo'; wait" in capsys.readouterr().out
        monkeypatch.setenv("DEMO_CLUSTER", "beside")
        assert command.main([]) == 0
    monkeypatch.delenv("DEMO_CLUSTER")
    assert command.main([]) == 0
    assert begun == ["beside", "demo"]


def test_what_is_no_name_of_a_cluster_is_refused_before_it_is_a_path() -> None:
    with pytest.raises(ClusterError, match="expected lower-case letters"), alone_on("../x"):
        pass


def test_a_full_disk_ends_the_demo_with_a_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fill(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device", "/x/data")

    monkeypatch.setattr(command, "run", fill)
    assert command.main([]) == 1
    assert "demo: /x/data: No space left on device; make room" in capsys.readouterr().out


@pytest.mark.parametrize("arguments", [["--help"], ["up"], ["down", "mine"]])
def test_what_is_no_command_begins_nothing(
    arguments: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("run", "take_down"):
        monkeypatch.delattr(command, name)
    assert command.main(arguments) == 2
    assert f"got {' '.join(arguments)!r}, expected `python -m demo" in capsys.readouterr().out


@pytest.mark.parametrize(("is_there", "code"), [(True, 1), (False, 0)])
def test_a_cluster_of_root_is_not_said_to_be_none(
    is_there: bool,
    code: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("tests.cluster.spec.CLUSTERS", tmp_path)
    monkeypatch.setattr(command, "find_cluster_obstacle", lambda: "it needs root")
    if is_there:
        (tmp_path / "demo").mkdir()
    assert command.main(["down"]) == code
    said = "'demo' is there and cannot be ended" if is_there else "nothing to take down"
    assert said in capsys.readouterr().out


def test_a_letter_that_the_locale_lacks_ends_no_demo(monkeypatch: pytest.MonkeyPatch) -> None:
    def show(_settings: Settings, console: Console) -> int:
        console.show("caf\u00e9 \u2026")
        return 0

    shown = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(shown, "ascii"))
    monkeypatch.setattr(command, "run", show)
    assert command.main([]) == 0
    sys.stdout.flush()
    assert shown.getvalue() == b"caf? ?\n"


class Away(Cluster):
    """A place whose API server is away for some calls."""

    def __init__(self, num_failures: int, *statuses: JSON) -> None:
        super().__init__(*statuses)
        self.num_failures = num_failures

    def get_run(self, kind: str, name: str) -> JSON:
        self.num_failures -= 1
        if self.num_failures >= 0:
            raise DemoError("kubectl get: TLS handshake timeout")
        return super().get_run(kind, name)


def test_an_api_server_that_is_away_for_a_moment_is_told_once_and_ends_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("demo.follow.POLL_SECONDS", 0)
    screen = io.StringIO()
    console = Console(RichConsole(file=screen))
    place = cast(Place, Away(2, {"phase": "Succeeded"}))
    run = follow_run(place, console, "TrainingRun", "gpt", deadline_seconds=60)
    assert run["status"]["phase"] == "Succeeded"
    assert screen.getvalue().count("TLS handshake timeout; trying again") == 1


def test_one_that_stays_away_ends_the_demo(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("demo.follow.PATIENCE_SECONDS", -1)
    place = cast(Place, Away(1, {"phase": "Succeeded"}))
    with pytest.raises(DemoError, match="TLS handshake timeout"):
        follow_run(place, Console(), "TrainingRun", "gpt", deadline_seconds=60)


def test_an_example_that_takes_too_long_ends_the_demo_with_where_it_is() -> None:
    console = Console(RichConsole(file=io.StringIO()))
    with pytest.raises(DemoError, match=r"TrainingRun/gpt is still Running after .*: no message"):
        follow_run(place_with(RUNNING), console, "TrainingRun", "gpt", deadline_seconds=-1)


def test_on_a_terminal_a_bar_moves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("demo.follow.POLL_SECONDS", 0.2)
    screen = io.StringIO()
    console = Console(RichConsole(file=screen, force_terminal=True, width=120))
    ended = {**RUNNING, "phase": "Succeeded"}
    follow_run(place_with(RUNNING, ended), console, "TrainingRun", "gpt", deadline_seconds=60)
    assert "gpt Running" in screen.getvalue()
    assert "3/9 steps  loss 5.250" in screen.getvalue()
    assert "━" in screen.getvalue()
