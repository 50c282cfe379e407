import numpy as np
import pytest
from trainwright_trainer.data.permutation import combine, hash_text, mix, permute

FROZEN_ORDER = [6, 4, 5, 2, 3, 1, 7, 0]
FROZEN_HASH = 15671754871817308195
FROZEN_TEXT_HASH = 13065124075911182665


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 15, 16, 17, 1000, 65536, 65537])
@pytest.mark.parametrize("key", [0, 1, 2**64 - 1])
def test_permute_is_a_bijection_of_its_range(size: int, key: int) -> None:
    places = permute(np.arange(size), size, np.uint64(key))
    assert sorted(places.tolist()) == list(range(size))


def test_permute_gives_single_elements_of_the_whole_shuffle() -> None:
    whole = permute(np.arange(1000), 1000, combine(7))
    for index in (0, 1, 499, 999):
        assert permute(np.array([index]), 1000, combine(7))[0] == whole[index]


def test_permute_takes_a_size_and_a_key_for_each_element() -> None:
    sizes, keys = np.array([10, 20, 10]), combine(1, np.array([1, 2, 3]))
    together = permute(np.array([3, 3, 3]), sizes, keys)
    alone = [permute(np.array([3]), int(s), k)[0] for s, k in zip(sizes, keys, strict=True)]
    assert together.tolist() == alone


def test_another_key_gives_another_shuffle_without_pattern() -> None:
    one, other = (permute(np.arange(10_000), 10_000, combine(seed)) for seed in (1, 2))
    assert (one == other).sum() < 20  # 1 is expected by chance
    assert abs(np.corrcoef(one, other)[0, 1]) < 0.05
    assert abs(np.corrcoef(one[:-1], one[1:])[0, 1]) < 0.05


def test_every_place_is_equally_likely() -> None:
    places = np.array([permute(np.array([0]), 8, combine(seed))[0] for seed in range(4000)])
    counts = np.bincount(places, minlength=8)
    assert counts.min() > 400  # 500 expected, standard deviation 21
    assert counts.max() < 600


def test_the_order_never_changes_between_versions() -> None:
    """These values are part of every checkpoint's meaning: a change breaks exact resume."""
    assert permute(np.arange(8), 8, combine(42, 1)).tolist() == FROZEN_ORDER
    assert int(mix(np.array(0, np.uint64))) == 0xE220A8397B1DCDAF  # splitmix64's first output
    assert int(combine(1, 2)) == FROZEN_HASH
    assert hash_text("file:///a") == FROZEN_TEXT_HASH


def test_combine_tells_apart_order_and_large_seeds() -> None:
    values = [combine(1, 2), combine(2, 1), combine(1), combine(2**70 + 1, 2), combine(1, 2, 0)]
    assert len({int(value) for value in values[:3] + values[4:]}) == 4
    assert int(values[3]) == int(combine((2**70 + 1) % 2**64, 2))
