import re
from pathlib import Path

import pytest
from trainwright_api.data import Location
from trainwright_api.run import RunModel
from trainwright_trainer.settings import Settings

from tests.trainer.run_builder import build_run
from tests.trainer.s3_server import S3Server, s3_server, settings
from tests.trainer.small_disk import needs_mounts, run_on_small_disk

__all__ = ["s3_server", "settings"]

FETCH = """
import sys
from pathlib import Path
from trainwright_api.run import Run
from trainwright_trainer.base_model import fetch_weights
from trainwright_trainer.settings import Settings
run, scratch, credentials = (Path(text) for text in sys.argv[1:])
settings = Settings(scratch_folder=scratch, credentials_folder=credentials)
fetch_weights(Run.model_validate_json(run.read_text()), settings)
"""


@needs_mounts
@pytest.mark.parametrize("store", ["file", "s3"])
def test_weights_that_do_not_fit_on_the_scratch_disk_say_what_to_raise(
    store: str,
    s3_server: S3Server,
    settings: Settings,
    tmp_path: Path,
) -> None:
    folder = s3_server.bucket("models") / "base"
    folder.mkdir(exist_ok=True)
    (folder / "model.safetensors").write_bytes(bytes(3 * 2**20))
    uris = {
        "file": Location(uri=f"file://{folder}/"),
        "s3": s3_server.location("s3://models/base/"),
    }
    run = build_run().model_copy(update={"model": RunModel(weights=uris[store])})
    (tmp_path / "run.json").write_text(run.model_dump_json(by_alias=True))
    scratch, credentials = str(settings.scratch_folder), str(settings.credentials_folder)
    told = run_on_small_disk(
        settings.scratch_folder, FETCH, f"{tmp_path}/run.json", scratch, credentials
    )
    # What was fetched of a file may be deleted again before the free space is looked at.
    assert re.match(
        r".*StoreError: spec\.workers\.resources\.ephemeral-storage: got (0 B|2\.0 MiB) free of 2\.0 MiB on the "
        "node's scratch space, expected room for the base model, ",
        told,
    )
