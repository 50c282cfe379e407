"""What a killed upload leaves half-written is invisible, takes space, and goes when the run starts again."""

from pathlib import Path

import pytest
from trainwright_api.data import Location
from trainwright_api.names import UNFINISHED_PREFIX
from trainwright_trainer.settings import Settings
from trainwright_trainer.store.s3 import S3Store

from tests.trainer.checkpoint_harness import Place, folder_of, open_manager, save
from tests.trainer.run_builder import build_run
from tests.trainer.s3_server import S3Server, s3_server, settings

__all__ = ["s3_server", "settings"]

HALF = f"engine/{UNFINISHED_PREFIX}0123"


@pytest.fixture
def folder(tmp_path: Path) -> Place:
    return Place(Location(uri=f"file://{tmp_path}/team/run/"), tmp_path / "team" / "run")


def leave_half(folder: Path) -> Path:
    """Leave what SIGKILL leaves of a file that is being uploaded to a folder."""
    half = folder / HALF
    half.parent.mkdir(parents=True, exist_ok=True)
    half.write_bytes(b"half")
    return half


def test_half_files_go_with_their_folders_and_whole_ones_stay(
    folder: Place, settings: Settings
) -> None:
    manager = open_manager(folder.run(keep_last=1), settings)
    manager.find_resume()
    save(manager, 1)
    of_no_other_file = leave_half(folder.disk / "step-000009")
    of_a_step_saved_later = leave_half(folder.disk / "step-000001")
    neighbour = leave_half(folder.disk.with_name("run-2") / "step-000009")

    again = open_manager(folder.run(keep_last=1), settings)
    point = again.find_resume()
    assert point is not None
    assert point.manifest.step == 1
    assert not of_a_step_saved_later.exists()
    assert not of_no_other_file.parents[1].exists()
    assert neighbour.exists()
    save(again, 2)
    assert folder.steps() == ["step-000002"]  # nothing kept the folder of step 1 from going


def test_those_of_another_run_are_its_own_affair(folder: Place, settings: Settings) -> None:
    other = folder_of(folder.location.uri.replace("/run/", "/other/"), folder.location)
    manager = open_manager(build_run(folder=other), settings)
    manager.find_resume()
    save(manager, 1)
    half = leave_half(folder.disk.with_name("other") / "step-000002")
    assert open_manager(folder.run(resume_from=other), settings).find_resume() is not None
    assert half.exists()


def test_multipart_uploads_are_aborted_below_the_runs_own_folder_only(
    s3_server: S3Server, settings: Settings
) -> None:
    s3_server.bucket("leftovers")
    place = Place(s3_server.location("s3://leftovers/team/run/"), s3_server.folder / "leftovers")
    store = place.store(settings)
    assert isinstance(store, S3Store)
    client = store._client
    for run in ("run", "run-2"):
        key = f"team/{run}/step-000009/engine/rank_0_optim_states.pt"
        upload = client.create_multipart_upload(Bucket="leftovers", Key=key)
        client.upload_part(
            Bucket="leftovers", Key=key, UploadId=upload["UploadId"], PartNumber=1, Body=b"half"
        )
    assert open_manager(place.run(), settings).find_resume() is None
    left = client.list_multipart_uploads(Bucket="leftovers").get("Uploads", [])
    assert [upload["Key"].split("/")[1] for upload in left] == ["run-2"]
