"""Checkpoints of two ranks as real processes that share a node, over a real S3 server."""

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from trainwright_trainer.settings import Settings
from trainwright_trainer.store import Store, open_store

from tests.trainer.checkpoint_harness import FIELD, is_whole, open_manager, resumed
from tests.trainer.ranks import HANG_SECONDS
from tests.trainer.run_builder import build_run
from tests.trainer.s3_server import S3Server, make_settings, s3_server, settings

__all__ = ["s3_server", "settings"]


class Ranks:
    """Starts groups of two workers on one run."""

    def __init__(self, server: S3Server, settings: Settings, tmp_path: Path) -> None:
        server.bucket("ranks")
        location = server.location(f"s3://ranks/{tmp_path.name}/")
        self.store: Store = open_store(location, settings, field=FIELD)
        self._folder = tmp_path
        self.run = build_run(folder=location)
        (tmp_path / "run.json").write_text(self.run.model_dump_json(by_alias=True))
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
            outputs = [process.communicate(timeout=HANG_SECONDS)[0] for process in processes]
            assert [process.returncode for process in processes] == [0, 0]
        return [[json.loads(line) for line in output.splitlines()] for output in outputs]

    def files(self) -> list[str]:
        return [file.path for file in self.store.list_files()]


@dataclass(frozen=True)
class Story:
    """What two ranks told, word by word, and where their checkpoints are."""

    ranks: Ranks
    seen: list[list[dict[str, Any]]]

    def told(self, *numbers: int, rank: int = 0) -> list[dict[str, Any]]:
        return [self.seen[rank][number] for number in numbers]


@pytest.fixture(scope="module")
def story(s3_server: S3Server, tmp_path_factory: pytest.TempPathFactory) -> Story:
    """One group of processes lives through three attempts; starting torch is what takes time."""
    folder = tmp_path_factory.mktemp("story")
    ranks = Ranks(s3_server, make_settings(folder), folder)
    seen = ranks.seen(
        *("resume", "save:1", "save:2", "resume"),
        *("flip:2", "resume", "save:2", "resume"),
        *("fail:3", "save:4"),
        *("lock", "resume"),
    )
    return Story(ranks, seen)


def test_two_ranks_save_one_checkpoint_and_each_fetches_what_it_wants(story: Story) -> None:
    assert story.told(0, 1, 2) == [
        {"resumed": None, "warnings": []},
        {"saved": 1, "error": None, "records": [1]},
        {"saved": 2, "error": None, "records": [2, 1]},
    ]
    # The folder is shared: both ranks' files are in it.
    files = ["model_states.pt", "rank_0_optim_states.pt", "rank_1_optim_states.pt"]
    whole = {"resumed": 2, "whole": True, "files": files, "warnings": [], "gone": True}
    assert story.told(3) == story.told(3, rank=1) == [whole]


def test_a_checkpoint_holds_the_files_of_all_ranks_and_nothing_else(story: Story) -> None:
    names = ("model_states.pt", "rank_0_optim_states.pt", "rank_1_optim_states.pt")
    files = [*(f"engine/{name}" for name in names), "manifest.json"]
    expected = [f"step-{step:06d}/{name}" for step in (1, 2, 4) for name in files]
    assert [path for path in story.ranks.files() if not path.startswith("step-000003")] == expected


@pytest.mark.parametrize("rank", [0, 1])
def test_a_bad_shard_of_one_rank_turns_all_to_the_checkpoint_before(
    story: Story, rank: int
) -> None:
    warning = (
        "checkpoint of step 2 is not used: the SHA-256 of engine/rank_1_optim_states.pt is not that of "
        "the manifest"
    )
    turned, saved, again = story.told(4, 5, 6, rank=rank)
    assert (turned["resumed"], turned["whole"], turned["warnings"]) == (1, True, [warning])
    assert saved["error"] is None
    assert (again["resumed"], again["whole"], again["warnings"]) == (2, True, [])


def test_a_rank_that_cannot_upload_fails_the_save_and_the_run_goes_on(story: Story) -> None:
    failed, saved = story.told(7, 8)
    assert (
        failed["error"]
        == "checkpoint of step 3: rank 1 could not upload: no space left in the store"
    )
    [failed] = story.told(7, rank=1)
    assert failed["error"] == "checkpoint of step 3: no space left in the store"
    assert saved == {"saved": 4, "error": None, "records": [4, 2, 1]}
    assert "step-000003/manifest.json" not in story.ranks.files()


@pytest.mark.parametrize("rank", [0, 1])
def test_an_error_of_rank_0_is_the_error_of_all(story: Story, rank: int) -> None:
    [refused] = story.told(9, rank=rank)
    assert refused["resumed"] is None
    assert refused["error"].startswith(f"{FIELD}.credentialsSecret: got credentials that s3://")


def test_killed_in_the_middle_of_an_upload_leaves_the_checkpoint_before(
    s3_server: S3Server, settings: Settings, tmp_path: Path
) -> None:
    ranks = Ranks(s3_server, settings, tmp_path)
    with ranks.started("resume", "save:1", "half:2") as processes:
        for process in processes:
            assert process.stdout is not None
            while "half" not in (line := process.stdout.readline()):
                assert line, "the worker ended"
        for process in processes:
            process.kill()
    assert "step-000002/engine/model_states.pt" in ranks.files()  # half of it arrived
    after = open_manager(ranks.run, settings)  # another world size finds it as well
    fetched = resumed(after)
    assert fetched is not None
    assert (fetched.point.manifest.step, fetched.point.manifest.world_size) == (1, 2)
    assert is_whole(fetched, 0)
    assert is_whole(fetched, 1)
    assert after.warnings == []
    assert [path for path in ranks.files() if path.startswith("step-000002")] == []
