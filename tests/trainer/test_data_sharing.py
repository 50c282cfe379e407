"""Several nodes tokenize a run's texts together: the same tokens as one alone makes, everywhere."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from trainwright_api.run import Run
from trainwright_trainer.data import prepare_data, preparing, sharing
from trainwright_trainer.data.sharing import divide_files
from trainwright_trainer.errors import UserError
from trainwright_trainer.settings import Settings
from trainwright_trainer.store import FileInfo

from tests.trainer.batch_checks import TOKENIZER, epoch, prepare
from tests.trainer.run_builder import build_run, source

NODES, PER_NODE = 3, 2
SIZE = NODES * PER_NODE


class ThreadGroup:
    """One rank of a group whose ranks are threads of this process."""

    world_size = SIZE

    def __init__(self, rank: int, shared: list[Any], barrier: threading.Barrier) -> None:
        self.rank, self.local_rank = rank, rank % PER_NODE
        self._shared, self._barrier = shared, barrier

    def all_gather(self, value: Any) -> list[Any]:
        self._shared[self.rank] = value
        self.barrier()
        told = list(self._shared)
        self.barrier()
        return told

    def broadcast(self, value: Any, source: int = 0) -> Any:
        return self.all_gather(value)[source]

    def barrier(self) -> None:
        self._barrier.wait(30)


def on_all_ranks(work: Callable[[ThreadGroup], Any]) -> list[Any]:
    """Return what each rank returned or raised."""
    shared: list[Any] = [None] * SIZE
    barrier = threading.Barrier(SIZE)

    def told(rank: int) -> Any:
        try:
            return work(ThreadGroup(rank, shared, barrier))
        except UserError as error:
            return error

    with ThreadPoolExecutor(SIZE) as pool:
        return list(pool.map(told, range(SIZE)))


def share(run: Run, folder: Path) -> list[Any]:
    def of_rank(group: ThreadGroup) -> Any:
        scratch = folder / f"node-{group.rank // PER_NODE}"
        return prepare_data(run, TOKENIZER, Settings(scratch_folder=scratch), group)

    return on_all_ranks(of_rank)


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Texts of a few files, among them an empty one, a binary one and one that is no UTF-8."""
    folder = tmp_path / "text"
    folder.mkdir()
    for number in range(20):
        (folder / f"{number:02d}.txt").write_text(f"{number}: " + "some text\n" * number**2)
    (folder / "blank.txt").write_text(" \n")
    (folder / "image.txt").write_bytes(b"\0\1\2")
    (folder / "latin.txt").write_bytes(b"caf\xe9")
    run = build_run(source(folder), validation=0.2)
    workers = run.workers.model_copy(update={"nodes": NODES, "processes_per_node": PER_NODE})
    return run.model_copy(update={"workers": workers})


def test_shared_documents_are_those_of_one_node(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    alone = prepare(run, Settings(scratch_folder=tmp_path / "alone"))
    read: list[str] = []
    tokenize = preparing.tokenize_source

    def noted(part: Any, *arguments: Any, **more: Any) -> None:
        read.extend(file.path for file in part.files)
        tokenize(part, *arguments, **more)

    monkeypatch.setattr(preparing, "tokenize_source", noted)
    monkeypatch.setattr(sharing, "CHUNK_ITEMS", 7)
    for data in share(run, tmp_path):
        assert (data.data_sha256, data.warnings) == (alone.data_sha256, alone.warnings)
        assert data.num_documents == alone.num_documents
        assert (epoch(data.train).input_ids == epoch(alone.train).input_ids).all()
        assert (epoch(data.validation).labels == epoch(alone.validation).labels).all()
    assert len(read) == len(set(read)) == 23


def test_a_node_that_lost_its_scratch_gets_the_same_again(run: Run, tmp_path: Path) -> None:
    first = share(run, tmp_path)[0].data_sha256
    (tmp_path / "node-1").rename(tmp_path / "lost")
    assert {data.data_sha256 for data in share(run, tmp_path)} == {first}


def test_a_part_without_text_is_no_error_and_a_source_without_is_one_everywhere(
    run: Run, tmp_path: Path
) -> None:
    folder = tmp_path / "text"
    for path in folder.iterdir():
        path.unlink()
    (folder / "a.txt").write_text(" " * 100)
    (folder / "b.txt").write_text("\n" * 100)
    errors = share(run, tmp_path / "without")
    assert all("text in it" in error.message for error in errors)
    (folder / "c.txt").write_text("a text")
    (folder / "d.txt").write_text("another text")
    assert {data.num_documents for data in share(run, tmp_path / "with")} == {2}


def test_what_a_part_without_documents_leaves_out_is_counted(run: Run, tmp_path: Path) -> None:
    folder = tmp_path / "text"
    for path in folder.iterdir():
        path.unlink()
    (folder / "a.bin").write_bytes(b"\0" * 100)  # each node gets one of the files
    (folder / "b.txt").write_text("\n" * 100)
    (folder / "c.txt").write_text("a text and another" * 5)
    assert [len(part) for part in divide_files([FileInfo("", 100)] * 3, NODES)] == [1, 1, 1]
    run = run.model_copy(update={"data": run.data.model_copy(update={"validation": None})})
    alone = prepare(run, Settings(scratch_folder=tmp_path / "alone"))
    assert alone.warnings == [
        "spec.data.sources[0]: 1 of 2 documents are empty and left out",
        "spec.data.sources[0]: 1 binary files are left out",
    ]
    assert [data.warnings for data in share(run, tmp_path)] == [alone.warnings] * SIZE


def test_an_error_of_one_node_is_raised_on_all(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokenize = preparing.tokenize_source

    def fail_at_the_last(part: Any, *arguments: Any, **more: Any) -> None:
        if any(file.path == "latin.txt" for file in part.files):
            raise UserError("spec.data: got latin.txt")
        tokenize(part, *arguments, **more)

    monkeypatch.setattr(preparing, "tokenize_source", fail_at_the_last)
    assert {error.message for error in share(run, tmp_path)} == {"spec.data: got latin.txt"}


@pytest.mark.parametrize("num_parts", [1, 2, 5])
def test_parts_hold_all_files_in_order_and_are_alike_in_size(num_parts: int) -> None:
    sizes = np.random.default_rng(0).integers(1, 100, 200)
    files = [FileInfo(str(number), int(size)) for number, size in enumerate(sizes)]
    parts = divide_files(files, num_parts)
    assert [file for part in parts for file in part] == files
    totals = [sum(file.size_bytes for file in part) for part in parts]
    assert max(totals) - min(totals) <= 200


def test_one_file_leaves_the_other_parts_empty() -> None:
    only = FileInfo("only", 5)
    assert divide_files([only], 3) == [(), (only,), ()]
