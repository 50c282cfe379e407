"""Checkpoints of two ranks as real processes that share a node, over a real S3 server."""

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from trainwright_trainer.settings import Settings
from trainwright_trainer.store import Store, open_store

from tests.trainer.checkpoint_harness import FIELD
from tests.trainer.run_builder import build_run
from tests.trainer.s3_server import S3Server, s3_server, settings

__all__ = ["s3_server", "settings"]


class Ranks:
    """Starts groups of two workers on one run."""

    def __init__(self, server: S3Server, settings: Settings, tmp_path: Path) -> None:
        server.bucket("ranks")
        location = server.location(f"s3://ranks/{tmp_path.name}/")
        self.store: Store = open_store(location, settings, field=FIELD)
        self._folder = tmp_path
        (tmp_path / "run.json").write_text(
            build_run(folder=location).model_dump_json(by_alias=True)
        )
        folders = {
            name: str(getattr(settings, name))
            for name in ("credentials_folder", "volumes_folder", "scratch_folder")
        }
        (tmp_path / "settings.json").write_text(json.dumps(folders))

    @contextlib.contextmanager
    def started(self, *plan: str) -> Iterator[list[subprocess.Popen[str]]]:
        """Run a plan on two ranks until the end of the block."""
        rendezvous = self._folder / "rendezvous"
        rendezvous.unlink(missing_ok=True)
        files = (str(self._folder / "run.json"), str(self._folder / "settings.json"))
        processes = [
            subprocess.Popen(
                [sys.executable, "-m", "tests.trainer.checkpoint_worker", *files, str(rank), "2", str(rendezvous), *plan],
                stdout=subprocess.PIPE,
                text=True,
                env={**os.environ, "PYTHONPATH": str(Path.cwd()), "OMP_NUM_THREADS": "1"},
            )
            for rank in range(2)
        ]  # fmt: skip
        try:
            yield processes
        finally:
            for process in processes:
                process.kill()
                process.wait()

    def seen(self, *plan: str) -> list[list[dict[str, Any]]]:
        """Return what each rank said of a plan that ends by itself."""
        with self.started(*plan) as processes:
            outputs = [process.communicate(timeout=120)[0] for process in processes]
            assert [process.returncode for process in processes] == [0, 0]
        return [[json.loads(line) for line in output.splitlines()] for output in outputs]

    def files(self) -> list[str]:
        return [file.path for file in self.store.list_files()]


@pytest.fixture
def ranks(s3_server: S3Server, settings: Settings, tmp_path: Path) -> Ranks:
    return Ranks(s3_server, settings, tmp_path)


def test_two_ranks_save_one_checkpoint_and_each_fetches_what_it_wants(ranks: Ranks) -> None:
    zero, one = ranks.seen("resume", "save:1", "save:2", "resume")
    assert zero[1:3] == [
        {"saved": 1, "error": None, "records": [1]},
        {"saved": 2, "error": None, "records": [2, 1]},
    ]
    assert ranks.files() == [
        f"step-{step:06d}/{name}"
        for step in (1, 2)
        for name in (
            "engine/model_states.pt",
            "engine/rank_0_optim_states.pt",
            "engine/rank_1_optim_states.pt",
            "manifest.json",
        )
    ]
    shared = ["model_states.pt", "rank_0_optim_states.pt", "rank_1_optim_states.pt"]
    for seen in (zero, one):  # the folder is shared: both ranks' files are in it
        assert seen[0] == {"resumed": None, "warnings": []}
        assert seen[3] == {
            "resumed": 2,
            "whole": True,
            "files": shared,
            "warnings": [],
            "gone": True,
        }


def test_a_bad_shard_of_one_rank_turns_all_to_the_checkpoint_before(ranks: Ranks) -> None:
    ranks.seen("resume", "save:1", "save:2")
    path = "step-000002/engine/rank_1_optim_states.pt"
    content = bytearray(ranks.store.read_bytes(path))
    content[7] ^= 128
    ranks.store.write_bytes(path, bytes(content))
    warning = (
        "checkpoint of step 2 is not used: the SHA-256 of engine/rank_1_optim_states.pt is not that of "
        "the manifest"
    )
    for seen in ranks.seen("resume", "save:2"):
        assert (seen[0]["resumed"], seen[0]["whole"], seen[0]["warnings"]) == (1, True, [warning])
    for seen in ranks.seen("resume"):
        assert (seen[0]["resumed"], seen[0]["warnings"]) == (2, [])


def test_killed_in_the_middle_of_an_upload_leaves_the_checkpoint_before(ranks: Ranks) -> None:
    with ranks.started("resume", "save:1", "half:2") as processes:
        for process in processes:
            assert process.stdout is not None
            while "half" not in (line := process.stdout.readline()):
                assert line, "the worker ended"
        for process in processes:
            process.kill()
    assert "step-000002/engine/model_states.pt" in ranks.files()  # half of it arrived
    for seen in ranks.seen("resume", "save:2"):
        assert (seen[0]["resumed"], seen[0]["whole"], seen[0]["warnings"]) == (1, True, [])
        assert (seen[1]["saved"], seen[1]["error"]) == (2, None)
    assert not [path for path in ranks.files() if "/.part-" in path]


def test_a_rank_that_cannot_upload_fails_the_save_and_the_run_goes_on(ranks: Ranks) -> None:
    zero, one = ranks.seen("resume", "save:1", "fail:2", "save:3")
    assert (
        zero[2]["error"]
        == "checkpoint of step 2: rank 1 could not upload: no space left in the store"
    )
    assert one[2]["error"] == "checkpoint of step 2: no space left in the store"
    assert zero[3] == {"saved": 3, "error": None, "records": [3, 1]}
    steps = {path.partition("/")[0] for path in ranks.files() if path.endswith("manifest.json")}
    assert steps == {"step-000001", "step-000003"}


def test_an_error_of_rank_0_is_the_error_of_all(ranks: Ranks, settings: Settings) -> None:
    (settings.credentials_folder / "s3" / "AWS_SECRET_ACCESS_KEY").write_text("other")
    for seen in ranks.seen("resume"):
        assert seen[0]["resumed"] is None
        assert seen[0]["error"].startswith(f"{FIELD}.credentialsSecret: got credentials that s3://")
