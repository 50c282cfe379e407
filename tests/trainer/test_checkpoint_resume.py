"""What an attempt starts from: the newest checkpoint that verifies, or that of another run."""

import json
from collections.abc import Callable

import pytest
from trainwright_api.report import Manifest
from trainwright_api.run import Run
from trainwright_trainer.errors import UserError
from trainwright_trainer.settings import Settings
from trainwright_trainer.store import Store, open_store

from tests.trainer.checkpoint_harness import (
    FIELD,
    SHARD,
    Place,
    folder_of,
    is_whole,
    open_manager,
    place,
    resumed,
    save,
    truncate,
)
from tests.trainer.run_builder import build_run
from tests.trainer.s3_server import S3Server, s3_server, settings

__all__ = ["place", "s3_server", "settings"]


Damage = Callable[[Store, str], None]


def save_two(run: Run, settings: Settings) -> None:
    """Save a run's steps 1 and 2."""
    manager = open_manager(run, settings)
    manager.find_resume()
    save(manager, 1)
    save(manager, 2)


def flip(store: Store, step: str) -> None:
    content = bytearray(store.read_bytes(f"{step}/{SHARD}"))
    content[1000] ^= 1
    store.write_bytes(f"{step}/{SHARD}", bytes(content))


def lose_file(store: Store, step: str) -> None:
    store.delete([f"{step}/engine/model_states.pt"])


def lose_manifest(store: Store, step: str) -> None:
    store.delete([f"{step}/manifest.json"])


def break_manifest(store: Store, step: str) -> None:
    store.write_bytes(f"{step}/manifest.json", b'{"step": 3')


def misdate_manifest(store: Store, step: str) -> None:
    manifest = json.loads(store.read_bytes(f"{step}/manifest.json")) | {"savedAt": "yesterday"}
    store.write_bytes(f"{step}/manifest.json", json.dumps(manifest).encode())


def move_manifest(store: Store, step: str) -> None:
    store.write_bytes(f"{step}/manifest.json", store.read_bytes("step-000001/manifest.json"))


@pytest.mark.parametrize(
    ("damage", "warnings"),
    [
        (truncate, ["checkpoint of step 2 is not used: engine/rank_0_optim_states.pt has 5 bytes instead of 2000"]),
        (
            flip,
            ["checkpoint of step 2 is not used: the SHA-256 of engine/rank_0_optim_states.pt is not that of the manifest"],
        ),
        (lose_file, ["checkpoint of step 2 is not used: engine/model_states.pt is missing"]),
        (break_manifest, ["checkpoint of step 2 is not used: its manifest cannot be read"]),
        (misdate_manifest, ["checkpoint of step 2 is not used: its manifest cannot be read"]),
        (move_manifest, ["checkpoint of step 2 is not used: its manifest is of step 1"]),
        (lose_manifest, []),  # was never a checkpoint
    ],
)  # fmt: skip
def test_a_damaged_checkpoint_gives_way_to_the_one_before(
    place: Place, settings: Settings, damage: Damage, warnings: list[str]
) -> None:
    save_two(place.run(), settings)
    damage(place.store(settings), "step-000002")

    second = open_manager(place.run(), settings)
    fetched = resumed(second)
    assert fetched is not None
    assert fetched.point.manifest.step == 1
    assert is_whole(fetched)
    assert second.warnings == warnings
    assert [record.step for record in second.records] == [1]
    save(second, 2)  # the way is clear for a new checkpoint of that step

    third = open_manager(place.run(), settings)
    fetched = resumed(third)
    assert fetched is not None
    assert (fetched.point.manifest.step, is_whole(fetched), third.warnings) == (2, True, [])


def test_what_is_downloaded_is_chosen_for_each_checkpoint_that_is_tried(
    place: Place, settings: Settings
) -> None:
    save_two(place.run(), settings)
    flip(place.store(settings), "step-000002")

    def choose(manifest: Manifest) -> Callable[[str], bool]:
        return {1: "engine/model_states.pt", 2: SHARD}[manifest.step].__eq__

    second = open_manager(place.run(), settings)
    point = second.find_resume()
    assert point is not None
    assert point.manifest.step == 2
    fetched = second.fetch(point, choose)
    assert fetched is not None
    files = [path.name for path in fetched.folder.rglob("*") if path.is_file()]
    assert (fetched.point.manifest.step, files) == (1, ["model_states.pt"])


def test_if_none_verifies_training_starts_anew_and_says_so(
    place: Place, settings: Settings
) -> None:
    manager = open_manager(place.run(), settings)
    manager.find_resume()
    save(manager, 1)
    truncate(place.store(settings), "step-000001")
    again = open_manager(place.run(), settings)
    assert again.find_resume() is None
    assert again.warnings[-1] == "no checkpoint verifies: training starts again from step 0"


def test_if_none_of_its_own_verifies_a_run_starts_again_where_it_began_and_says_so(
    place: Place, settings: Settings
) -> None:
    other = folder_of(place.location.uri.replace("/run/", "/other/"), place.location)
    save_two(build_run(folder=other), settings)
    run = place.run(resume_from=other)
    manager = open_manager(run, settings)
    manager.find_resume()
    save(manager, 7)
    truncate(place.store(settings), "step-000007")
    again = open_manager(run, settings)
    fetched = resumed(again)
    assert fetched is not None
    assert (fetched.point.manifest.step, fetched.point.is_own) == (2, False)
    assert again.warnings[-1].endswith(
        "starts again from the one that spec.checkpoints.resumeFrom names"
    )


def test_a_run_made_anew_goes_on_after_its_namesake_and_says_so(
    place: Place, settings: Settings
) -> None:
    manager = open_manager(place.run(), settings)
    manager.find_resume()
    save(manager, 3)
    anew = open_manager(place.run().model_copy(update={"uid": "uid-2"}), settings)
    assert resumed(anew) is not None
    assert anew.warnings[-1].startswith("goes on after step 3 of an earlier run of this name")
    assert anew.warnings[-1].endswith("to begin anew, use another name or delete its folder")


@pytest.mark.parametrize(
    ("uri", "step", "expected"),
    [("", None, 2), ("step-000001", None, 1), ("step-000001/", None, 1), ("", 1, 1)],
)
def test_a_run_starts_from_another_runs_checkpoint_until_it_has_its_own(
    place: Place, settings: Settings, uri: str, step: int | None, expected: int
) -> None:
    other = folder_of(place.location.uri.replace("/run/", "/other/"), place.location)
    save_two(build_run(folder=other), settings)
    run = place.run(resume_from=folder_of(f"{other.uri}{uri}", other), resume_from_step=step)
    manager = open_manager(run, settings)
    fetched = resumed(manager)
    assert fetched is not None
    assert (fetched.point.manifest.step, fetched.point.is_own) == (expected, False)
    assert is_whole(fetched)
    assert manager.records == []
    save(manager, 1)
    own = resumed(open_manager(run, settings))
    assert own is not None
    assert (own.point.manifest.step, own.point.is_own) == (1, True)


@pytest.mark.parametrize(
    ("uri", "step", "message"),
    [
        ("nothing/", None, r"got .*nothing/ with no checkpoint that verifies \(none there\), expected one; name a run or step .*"),
        ("other/", 5, r"got .*other/ with no checkpoint of step 5 that verifies \(none there\), .*"),
        ("other/step-000001", None, r"got .* with no checkpoint of step 1 that verifies \(step 1: engine/rank_0_.* has 5 bytes .*\), .*"),
    ],
)  # fmt: skip
def test_a_resume_point_that_is_none_is_refused(
    place: Place, settings: Settings, uri: str, step: int | None, message: str
) -> None:
    other = folder_of(place.location.uri.replace("/run/", "/other/"), place.location)
    source = open_manager(build_run(folder=other), settings)
    source.find_resume()
    save(source, 1)
    truncate(open_store(other, settings, field=FIELD), "step-000001")
    base = place.location.uri.removesuffix("run/")
    run = place.run(resume_from=folder_of(f"{base}{uri}", other), resume_from_step=step)
    with pytest.raises(UserError, match=rf"spec\.checkpoints\.resumeFrom: {message}"):
        open_manager(run, settings).find_resume()


@pytest.mark.parametrize(
    ("uri", "credentials", "message"),
    [
        ("s3://no-such-bucket/x/", "s3", "create no-such-bucket or name another"),
        ("s3://checkpoints/x/", "wrong", "correct the Secret that it names"),
    ],
)
def test_a_store_that_cannot_be_read_ends_the_start(
    s3_server: S3Server, settings: Settings, uri: str, credentials: str, message: str
) -> None:
    s3_server.bucket("checkpoints")
    run = build_run(folder=s3_server.location(uri, credentials))
    with pytest.raises(UserError, match=message):
        open_manager(run, settings).find_resume()
