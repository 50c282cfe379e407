import numpy as np
import pytest
from trainwright_trainer.data.splitting import is_held_out, position_hash, split_documents


def hashes(uri: str, count: int) -> np.ndarray:
    return np.array([position_hash(uri, row) for row in range(count)], np.uint64)


@pytest.mark.parametrize("fraction", [0.01, 0.1, 0.5, 0.99])
def test_the_fraction_is_met(fraction: float) -> None:
    share = is_held_out(hashes("s3://b/a.jsonl", 5000), fraction).mean()
    assert abs(share - fraction) < 4 * np.sqrt(fraction * (1 - fraction) / 5000)


def test_a_document_stays_on_its_side_when_data_is_added_and_when_files_are_shared() -> None:
    first = hashes("s3://b/a.jsonl", 100)
    alone = split_documents([first], 0.2)
    with_more = split_documents([hashes("s3://b/0.jsonl", 50), hashes("s3://b/a.jsonl", 300)], 0.2)
    shared = split_documents([first, first], 0.2)
    assert with_more[1][:100].tolist() == alone[0].tolist()
    assert shared[0].tolist() == shared[1].tolist()


def test_a_larger_fraction_holds_out_a_superset() -> None:
    small, large = (split_documents([hashes("x", 500)], f)[0] for f in (0.1, 0.3))
    assert not (small & ~large).any()


@pytest.mark.parametrize("fraction", [1e-6, 1 - 1e-6])
@pytest.mark.parametrize("counts", [[2], [1, 1], [5, 0, 3]])
def test_both_sides_have_a_document_if_there_are_two(fraction: float, counts: list[int]) -> None:
    parts = [hashes(f"file:///{n}", count) for n, count in enumerate(counts)]
    split = np.concatenate(split_documents(parts, fraction))
    assert 0 < split.sum() < len(split)
    assert [len(part) for part in split_documents(parts, fraction)] == counts


def test_without_validation_nothing_is_held_out() -> None:
    assert not split_documents([hashes("x", 50)], None)[0].any()
