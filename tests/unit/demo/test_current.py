"""Nothing on somebody's cluster is changed before it has been named and agreed to."""

import io
import json
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from demo import current
from demo.console import Console
from demo.errors import DemoError
from demo.manifests import FINE_TUNING, PRETRAINING
from demo.place import JSON, Place, Store
from demo.settings import Settings, read_settings

SETTINGS = {
    "CLUSTER": "current",
    "REGISTRY": "registry.example/team",
    "NAMESPACE": "team",
    "AWS_ACCESS_KEY_ID": "key",
    "AWS_SECRET_ACCESS_KEY": "secret",
}
UPLOADS = [
    f"upload example files below s3://{folder}/, replacing objects of the same names"
    for folder in ("datasets/stdlib", "datasets/chat", "models/smollm2-135m-instruct")
]
FULL = [
    "upgrade Helm release trainwright-system/trainwright (revision 12), keeping its values but for the "
    "images",
    "overwrite Secret team/s3",
    f"delete TrainingRun team/{PRETRAINING} (Running) and train it afresh",
    f"delete the checkpoints below s3://checkpoints/team/{PRETRAINING}/",
    f"delete FineTuneJob team/{FINE_TUNING} (not seen by an operator yet) and train it afresh",
    *UPLOADS,
]


@dataclass(frozen=True)
class PlayedPlace(Place):
    """A cluster with these objects; any command but one that reads fails the test."""

    objects: dict[str, JSON] = field(default_factory=dict)

    def kubectl(self, *arguments: str, stdin: str | None = None) -> str:
        match arguments:
            case ("get", "crd", name, *_):
                return '{"kind": "Definition"}' if any(name in o for o in self.objects) else ""
            case ("get", "secrets,configmaps", "-n", "trainwright-system", *_):
                return json.dumps({"items": self.objects.get("releases", {}).get("items", [])})
            case ("get", resource, name, "-n", "team", "--ignore-not-found", *_):
                found = self.objects.get(f"{resource}/{name}")
                return json.dumps(found) if found else ""
        raise AssertionError(arguments)


def a_place(objects: dict[str, JSON] | None = None) -> PlayedPlace:
    return PlayedPlace("played", "team", Store("", "", "", "", ""), objects=objects or {})


@pytest.fixture
def full_place(monkeypatch: pytest.MonkeyPatch) -> PlayedPlace:
    monkeypatch.setattr(current, "has_checkpoints", lambda store, ns, name: name == PRETRAINING)
    revisions = [{"metadata": {"labels": {"version": str(number)}}} for number in (9, 12, 11)]
    return a_place(
        {
            "releases": {"items": revisions},
            "namespace/team": {"kind": "Namespace"},
            "secret/s3": {"kind": "Secret"},
            f"trainingruns.trainwright.dev/{PRETRAINING}": {"status": {"phase": "Running"}},
            f"finetunejobs.trainwright.dev/{FINE_TUNING}": {"kind": "FineTuneJob"},
        }
    )


def test_all_that_would_be_changed_is_found(full_place: PlayedPlace) -> None:
    assert list(current.find_changes(full_place, Settings())) == FULL
    one = read_settings({"DEMO_FINE_TUNE": "0"})
    assert list(current.find_changes(full_place, one)) == [*FULL[:4], *UPLOADS]


def test_on_a_cluster_that_never_saw_the_product_a_missing_namespace_and_the_uploads_are_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(current, "has_checkpoints", lambda *_: False)
    named = ["create namespace team", *UPLOADS]
    assert list(current.find_changes(a_place(), Settings())) == named
    place = PlayedPlace("played", "team", Store("", "", "", "", "", bucket="ours"))
    below = [line.replace("s3://", "s3://ours/") for line in named]
    assert list(current.find_changes(place, Settings())) == below


def test_an_image_is_pushed_under_a_tag_of_its_content(monkeypatch: pytest.MonkeyPatch) -> None:
    pushed: list[str] = []

    def build_image(_name: str, _base: str | None, reference: str, *, push: bool) -> None:
        assert push
        pushed.append(reference)

    monkeypatch.setattr(current, "build_image", build_image)
    given = {"TRAINER_IMAGE": "trainer:1"}
    images = current.push_images(read_settings(SETTINGS | given), Console())
    assert pushed == [f"registry.example/team/{images.operator}"]
    assert re.fullmatch(r"trainwright-operator:demo-[0-9a-f]{12}", images.operator)
    assert images.trainer == "trainer:1"


@pytest.fixture
def start(
    full_place: PlayedPlace, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., tuple[int | str, list[str]]]:
    """Starts the demo there; its exit code or error, and the steps that it went on to."""

    def start(
        push_images: Callable[..., None] | None = None, **environment: str
    ) -> tuple[int | str, list[str]]:
        went_on: list[str] = []
        push = push_images or (lambda *_: went_on.append("push"))
        monkeypatch.setattr(current, "current_context", lambda: "prod-eu")
        monkeypatch.setattr(current, "Place", lambda *_, context: full_place)
        monkeypatch.setattr(current, "ensure_namespace", lambda _: went_on.append("namespace"))
        monkeypatch.setattr(current, "push_images", push)
        monkeypatch.setattr(current, "run_story", lambda *_: went_on.append("story") or 0)
        try:
            settings = read_settings({**SETTINGS, **environment})
            return current.run_on_current_cluster(settings, Console()), went_on
        except DemoError as problem:
            return str(problem), went_on

    return start


def test_without_a_terminal_it_refuses_and_names_the_context_and_all(
    start: Callable[..., tuple[int | str, list[str]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("y\n"))
    assert start() == (
        "On the cluster of kubectl's context 'prod-eu' the demo installs Trainwright and trains two "
        "models in namespace 'team'. It will\n  - "
        + "\n  - ".join(FULL)
        + "\nThere is nobody to ask; say YES=1 to agree. Nothing was touched.",
        [],
    )


@pytest.mark.parametrize(
    ("answer", "expected"),
    [("n", ("nothing was touched", [])), ("y", (0, ["namespace", "push", "story"]))],
)
def test_the_question_names_the_context_and_all(
    start: Callable[..., tuple[int | str, list[str]]],
    monkeypatch: pytest.MonkeyPatch,
    answer: str,
    expected: tuple[int | str, list[str]],
) -> None:
    asked: list[str] = []
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)
    monkeypatch.setattr("builtins.input", lambda text: asked.append(text) or answer)
    assert start() == expected
    assert all(part in asked[0] for part in ("'prod-eu'", *FULL, "[y/N]"))


def test_agreed_beforehand_it_still_says_what_it_replaces(
    start: Callable[..., tuple[int | str, list[str]]], capsys: pytest.CaptureFixture[str]
) -> None:
    assert start(YES="1") == (0, ["namespace", "push", "story"])
    printed = capsys.readouterr().out
    assert all(line in printed for line in ("'prod-eu'", *FULL))


@pytest.mark.parametrize(
    ("error", "expected"),
    [(EOFError, "nothing was touched"), (KeyboardInterrupt, "stopped; nothing was touched")],
)
def test_ctrl_d_and_ctrl_c_at_the_question_touch_nothing(
    start: Callable[..., tuple[int | str, list[str]]],
    monkeypatch: pytest.MonkeyPatch,
    error: type[BaseException],
    expected: str,
) -> None:
    def answer(_text: str) -> str:
        raise error

    monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)
    monkeypatch.setattr("builtins.input", answer)
    assert start() == (expected, [])


def test_after_ctrl_c_the_command_that_ends_the_runs_names_the_cluster(
    start: Callable[..., tuple[int | str, list[str]]],
) -> None:
    def push_images(*_: object) -> None:
        raise KeyboardInterrupt

    told = start(YES="1", push_images=push_images)
    assert told == (
        "stopped; a run that it has applied goes on (`kubectl --context prod-eu -n team delete "
        "--ignore-not-found trainingrun/stdlib-gpt finetunejob/smollm2-chat` ends it)",
        ["namespace"],
    )


@pytest.mark.parametrize("name", ["AWS_ENDPOINT_URL", "S3_ENDPOINT", "PROMETHEUS_URL"])
def test_what_is_no_url_is_refused_before_anything_is_asked(
    start: Callable[..., tuple[int | str, list[str]]], name: str
) -> None:
    told, went_on = start(YES="1", **{name: "prometheus.example/metrics"})
    assert str(told).startswith(f"{name}: got 'prometheus.example/metrics', expected a URL")
    assert went_on == []


def test_keys_for_a_while_and_the_buckets_region_reach_the_store() -> None:
    store = current.build_store(
        read_settings(SETTINGS | {"AWS_SESSION_TOKEN": "token", "AWS_DEFAULT_REGION": "eu-west-1"})
    )
    assert (store.access_key, store.secret_key) == ("key", "secret")
    assert (store.session_token, store.region) == ("token", "eu-west-1")
    assert "token" not in repr(store)
    assert "secret" not in repr(store)
