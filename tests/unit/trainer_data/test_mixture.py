import numpy as np
import pytest
from trainwright_trainer.data.mixture import Mixture, plan_quotas


@pytest.mark.parametrize(
    ("sizes", "weights", "quotas"),
    [
        ([100, 50], [1, 1], [100, 50]),
        ([100, 50], [7, 7], [100, 50]),  # only the relation counts
        ([100, 100], [2, 1], [133, 67]),
        ([100, 300], [3, 1], [200, 200]),
        ([100, 1], [1, 1], [100, 1]),
        ([10, 1000], [1e-9, 1], [1, 1009]),  # no source is ever silent
        ([100, 0, 50], [1, 5, 1], [100, 0, 50]),  # but one without sequences
        ([3, 3, 3], [1, 1, 2], [2, 2, 5]),
        ([1, 1, 1], [1, 1, 1000], [1, 1, 1]),
    ],
)
def test_plan_quotas_follows_its_definition(
    sizes: list[int], weights: list[float], quotas: list[int]
) -> None:
    assert plan_quotas(sizes, weights) == quotas


@pytest.mark.parametrize("seed", range(30))
def test_plan_quotas_of_random_mixtures_sum_up_and_are_close(seed: int) -> None:
    chance = np.random.default_rng(seed)
    sizes = chance.integers(1, 1000, chance.integers(1, 9)).tolist()
    weights = chance.uniform(0.1, 5, len(sizes)).tolist()
    quotas = plan_quotas(sizes, weights)
    mass = [s * w for s, w in zip(sizes, weights, strict=True)]
    assert sum(quotas) == sum(sizes)
    for quota, part in zip(quotas, mass, strict=True):
        assert quota >= 1
        assert abs(quota - sum(sizes) * part / sum(mass)) < 2 or quota == 1


def located(mixture: Mixture, first: int, count: int) -> list[tuple[int, int]]:
    sources, sequences = mixture.locate(np.arange(first, first + count))
    return list(zip(sources.tolist(), sequences.tolist(), strict=True))


def test_with_equal_weights_an_epoch_is_every_sequence_once() -> None:
    mixture = Mixture.build([40, 7, 13], [1, 1, 1], seed=3)
    everything = sorted((source, n) for source, size in enumerate((40, 7, 13)) for n in range(size))
    for epoch in range(3):
        assert sorted(located(mixture, epoch * 60, 60)) == everything
    assert located(mixture, 0, 60) != located(mixture, 60, 60)


def test_weights_hold_in_every_epoch_and_no_sequence_is_neglected() -> None:
    mixture = Mixture.build([30, 30], [2, 1], seed=1)
    for epoch in range(4):
        counts = np.bincount([source for source, _ in located(mixture, epoch * 60, 60)])
        assert counts.tolist() == [40, 20]
    seen = located(mixture, 0, 180)  # three epochs: 120 of source 0, 60 of source 1
    for source, times in ((0, 4), (1, 2)):
        assert [seen.count((source, n)) for n in range(30)] == [times] * 30


def test_a_number_means_the_same_sequence_whatever_was_read_before() -> None:
    mixture = Mixture.build([100, 33], [1, 3], seed=9)
    whole = located(mixture, 0, 400)
    for first, count in ((0, 1), (17, 40), (130, 10), (399, 1)):
        assert located(mixture, first, count) == whole[first : first + count]


def test_another_seed_gives_another_order() -> None:
    one, other = (located(Mixture.build([100], [1], seed), 0, 100) for seed in (1, 2))
    assert sum(a == b for a, b in zip(one, other, strict=True)) < 10


def test_sources_are_spread_over_the_epoch() -> None:
    mixture = Mixture.build([500, 500], [1, 1], seed=5)
    first_half = [source for source, _ in located(mixture, 0, 500)]
    assert 200 < sum(first_half) < 300
