"""Pure rules of checkpoints: names, what verifies, what is kept."""

import pytest
from trainwright_api.report import Manifest, ManifestFile
from trainwright_api.status import CheckpointRecord
from trainwright_trainer.checkpoint.catalog import find_problem
from trainwright_trainer.checkpoint.layout import is_part, parse_step, part_path, step_folder
from trainwright_trainer.checkpoint.retention import best_of, decide_deletions


@pytest.mark.parametrize(
    ("name", "step"),
    [
        ("step-000123", 123),
        ("step-000000", 0),
        ("step-1234567", 1234567),
        ("step-12", None),
        ("step-000123.bak", None),
        ("model", None),
        ("step-", None),
    ],
)
def test_parse_step_is_the_inverse_of_step_folder(name: str, step: int | None) -> None:
    assert parse_step(name) == step
    assert step is None or step_folder(step) == name


def test_parts_are_told_from_shards() -> None:
    assert is_part(part_path(5, "session", 3).partition("/")[2])
    assert not is_part("engine/.part-file")
    assert not is_part("part-0.pt")


@pytest.mark.parametrize(
    ("sizes", "problem"),
    [
        ({"a": 1, "b/c": 2}, None),
        ({"a": 1, "b/c": 2, "extra": 9}, None),
        ({"a": 1}, "b/c is missing"),
        ({"a": 1, "b/c": 1}, "b/c has 1 bytes instead of 2"),
    ],
)
def test_find_problem(sizes: dict[str, int], problem: str | None) -> None:
    files = [ManifestFile(path=p, size_bytes=s, sha256="") for p, s in (("a", 1), ("b/c", 2))]
    manifest = Manifest.model_construct(files=files)
    assert find_problem(manifest, sizes) == problem


@pytest.mark.parametrize("path", ["../x", "a/../../x", "/etc/passwd"])
def test_a_manifest_cannot_lead_out_of_its_folder(path: str) -> None:
    files = [ManifestFile(path=path, size_bytes=1, sha256="")]
    problem = find_problem(Manifest.model_construct(files=files), {path: 1})
    assert problem == f"its manifest names {path}, outside its folder"


def records(
    *entries: tuple[int, float | None], unverified: tuple[int, ...] = ()
) -> list[CheckpointRecord]:
    return [
        CheckpointRecord(
            step=step,
            uri="",
            size_bytes=1,
            saved_at="",
            verified=step not in unverified,
            validation_loss=loss,
        )
        for step, loss in entries
    ]


N = None
NAN = float("nan")


@pytest.mark.parametrize(
    ("entries", "unverified", "keep_last", "keep_best", "deleted"),
    [
        ([(1, N), (2, N), (3, N)], (), 3, 0, []),
        ([(1, N), (2, N), (3, N), (4, N)], (), 3, 0, [1]),
        ([(4, N), (2, N), (3, N), (1, N)], (), 1, 0, [3, 2, 1]),
        ([(1, 0.1), (2, 0.5), (3, 0.4)], (), 1, 1, [2]),
        ([(1, 0.1), (2, 0.2), (3, 0.9)], (), 1, 2, []),
        ([(1, 0.5), (2, 0.5), (3, 0.9)], (), 1, 1, [1]),  # of equals the newest is kept
        ([(1, N), (2, 0.5), (3, N)], (), 1, 1, [1]),
        ([(1, NAN), (2, 0.5), (3, 0.6)], (), 1, 1, [1]),
        ([(1, N), (2, N), (3, N)], (2, 3), 2, 0, []),  # the last verified one stays
        ([(1, N), (2, N), (3, N), (4, N)], (3, 4), 1, 0, [3, 1]),
        ([], (), 3, 2, []),
    ],
)
def test_decide_deletions(
    entries: list[tuple[int, float | None]],
    unverified: tuple[int, ...],
    keep_last: int,
    keep_best: int,
    deleted: list[int],
) -> None:
    found = decide_deletions(records(*entries, unverified=unverified), keep_last, keep_best)
    assert [record.step for record in found] == deleted


@pytest.mark.parametrize(
    ("entries", "best"),
    [
        ([(1, 0.5), (2, 0.4)], 2),
        ([(1, 0.4), (2, 0.4)], 2),
        ([(1, N)], None),
        ([(1, NAN), (2, 9.0)], 2),
    ],
)
def test_best_of(entries: list[tuple[int, float | None]], best: int | None) -> None:
    found = best_of(records(*entries))
    assert (found and found.step) == best
