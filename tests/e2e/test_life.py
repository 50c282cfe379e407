"""The ends of a run: deletion without an operator, deadline, TTL, and one name in two namespaces."""

from collections.abc import Iterator

import pytest
from trainwright_api.names import Phase

from demo.install import apply_secret
from demo.place import Place
from tests.e2e.builders import ONE_POD, training_run
from tests.e2e.world import World, pods_of, wait_for, wait_for_phase, wait_for_status
from tests.manifests.orphans import PREFIX, build_orphans

pytestmark = pytest.mark.timeout(300)

GONE_SECONDS = 10
KINDS = "trainingruns,pytorchjobs,pods,configmaps,services"


@pytest.fixture
def operator_again(world: World) -> Iterator[None]:
    """The operator is there again at the end."""
    yield
    world.scale_operator(1)


@pytest.mark.parametrize("operators", [1, 0], ids=["with-operator", "without-operator"])
def test_deletion_leaves_nothing(
    world: World, place: Place, operator_again: None, operators: int
) -> None:
    run = training_run("deleted", steps=3000)
    place.apply(run, *build_orphans())
    wait_for_phase(place, run, Phase.RUNNING, 120)
    wait_for("two pods", lambda: len(pods_of(place, run)) == 2, 10)
    wait_for("the garbage collector knows the kinds", lambda: not names_of(place, PREFIX), 60)
    world.scale_operator(operators)

    place.kubectl("delete", "trainingrun", "deleted", "-n", place.namespace, "--wait=false")

    def leftovers() -> list[str]:
        return [name for name in names_of(place) if "kube-root-ca" not in name]

    wait_for("all is gone", lambda: not leftovers(), GONE_SECONDS, leftovers)


def names_of(place: Place, text: str = "") -> list[str]:
    """Kind and name of what is in the namespace, of those that hold a text."""
    names = [f"{item['kind']}/{item['metadata']['name']}" for item in place.get(KINDS)["items"]]
    return [name for name in names if text in name]


def test_deadline_fails_the_run_and_ttl_removes_it(place: Place) -> None:
    late = training_run("late", steps=100000, deadlineSeconds=25)
    short = training_run("short", steps=5, workers=ONE_POD, ttlSecondsAfterFinished=3)
    place.apply(late, short)

    status = wait_for_phase(place, late, Phase.FAILED, 90)
    assert "eadline" in status["reason"]
    assert "25" in status["message"]
    wait_for("its pods are gone or ended", lambda: not running(place, late), 40)

    wait_for("the short run is deleted", lambda: "short" not in run_names(place), 150)
    wait_for("so are its pods", lambda: not pods_of(place, short), 20)
    assert "late" in run_names(place)


def run_names(place: Place) -> set[str]:
    return {item["metadata"]["name"] for item in place.get("trainingruns")["items"]}


def running(place: Place, run: dict[str, object]) -> list[str]:
    pods = pods_of(place, run)
    return [p["metadata"]["name"] for p in pods if p["status"]["phase"] in ("Pending", "Running")]


def test_one_name_in_two_namespaces_is_two_runs(world: World, place: Place) -> None:
    other = world.make_namespace("test_twin")
    apply_secret(other)
    run = training_run("twin", steps=5, workers=ONE_POD)
    places = (place, other)
    for here in places:
        here.apply(run)

    folders = [wait_for_phase(here, run, Phase.SUCCEEDED, 150)["model"]["uri"] for here in places]

    assert folders == [f"s3://checkpoints/{here.namespace}/twin/model/" for here in places]
    other.kubectl("delete", "namespace", other.namespace, "--wait=false")
    status = wait_for_status(place, run, "is still there", lambda s: s["phase"], 5)
    assert status["phase"] == Phase.SUCCEEDED
