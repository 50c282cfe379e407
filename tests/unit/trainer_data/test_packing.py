"""Properties that every plan of packing has, over random documents."""

import numpy as np
import pytest
from trainwright_trainer.data.packing import (
    PackingPlan,
    Pieces,
    cut_to_chunks,
    cut_to_first,
    keep_sequences,
    pack_alone,
    pack_best_fit,
    pack_contiguous,
    shuffle_documents,
)

LENGTH = 16
CASES = [
    [1],
    [16],
    [17],
    [5, 5, 6],
    [8] * 9,
    [40, 1, 15, 16, 17, 3],
    *(np.random.default_rng(seed).integers(1, 50, 60).tolist() for seed in range(5)),
]


def runs(pieces: Pieces) -> list[tuple[int, int, int]]:
    return list(
        zip(pieces.document.tolist(), pieces.start.tolist(), pieces.length.tolist(), strict=True)
    )


def sequences(plan: PackingPlan) -> list[list[tuple[int, int, int]]]:
    pieces = runs(plan.pieces)
    return [
        pieces[start:end]
        for start, end in zip(plan.offsets.tolist(), plan.offsets[1:].tolist(), strict=False)
    ]


def tokens_of(pieces: list[tuple[int, int, int]]) -> list[tuple[int, int]]:
    return [(document, start + n) for document, start, length in pieces for n in range(length)]


def all_tokens(lengths: list[int]) -> list[tuple[int, int]]:
    return [(document, n) for document, length in enumerate(lengths) for n in range(length)]


@pytest.mark.parametrize("lengths", CASES)
def test_chunks_hold_every_token_once_and_fit(lengths: list[int]) -> None:
    pieces = runs(cut_to_chunks(np.arange(len(lengths)), np.array(lengths), LENGTH))
    assert tokens_of(pieces) == all_tokens(lengths)
    assert all(0 < length <= LENGTH for *_, length in pieces)


@pytest.mark.parametrize("lengths", CASES)
def test_cut_to_first_keeps_the_beginnings(lengths: list[int]) -> None:
    pieces = runs(cut_to_first(np.arange(len(lengths)), np.array(lengths), LENGTH))
    assert pieces == [(n, 0, min(length, LENGTH)) for n, length in enumerate(lengths)]


@pytest.mark.parametrize("lengths", CASES)
def test_best_fit_keeps_every_piece_whole_in_sequences_that_fit(lengths: list[int]) -> None:
    pieces = cut_to_chunks(np.arange(len(lengths)), np.array(lengths), LENGTH)
    packed = sequences(pack_best_fit(pieces, LENGTH))
    assert sorted(piece for sequence in packed for piece in sequence) == sorted(runs(pieces))
    sizes = [sum(length for *_, length in sequence) for sequence in packed]
    assert all(0 < size <= LENGTH for size in sizes)


@pytest.mark.parametrize(
    ("lengths", "num_sequences"),
    [([10, 6, 9, 7, 8, 8], 3), ([11, 5, 11, 5], 2), ([1] * 33, 3), ([9, 9, 9], 3)],
)
def test_best_fit_fills_sequences(lengths: list[int], num_sequences: int) -> None:
    pieces = cut_to_first(np.arange(len(lengths)), np.array(lengths), LENGTH)
    assert len(pack_best_fit(pieces, LENGTH)) == num_sequences


def test_best_fit_wastes_little_on_many_documents() -> None:
    lengths = np.random.default_rng(0).integers(5, 600, 5000)
    plan = pack_best_fit(cut_to_chunks(np.arange(5000), lengths, 512), 512)
    assert plan.pieces.length.sum() / (len(plan) * 512) > 0.99


@pytest.mark.parametrize("lengths", CASES)
def test_contiguous_joins_all_tokens_in_order_and_fills_all_but_the_last(
    lengths: list[int],
) -> None:
    packed = sequences(pack_contiguous(np.arange(len(lengths)), np.array(lengths), LENGTH))
    assert tokens_of([piece for sequence in packed for piece in sequence]) == all_tokens(lengths)
    sizes = [sum(length for *_, length in sequence) for sequence in packed]
    assert sizes[:-1] == [LENGTH] * (len(sizes) - 1)
    assert 0 < sizes[-1] <= LENGTH


def test_contiguous_takes_documents_in_the_given_order() -> None:
    packed = sequences(pack_contiguous(np.array([2, 0]), np.array([10, 99, 10]), LENGTH))
    assert packed == [[(2, 0, 10), (0, 0, 6)], [(0, 6, 4)]]


def test_alone_gives_each_piece_a_sequence() -> None:
    pieces = cut_to_first(np.arange(3), np.array([3, 30, 1]), LENGTH)
    assert sequences(pack_alone(pieces)) == [[(0, 0, 3)], [(1, 0, 16)], [(2, 0, 1)]]


def test_keep_sequences_drops_the_others_with_their_pieces() -> None:
    plan = pack_contiguous(np.arange(3), np.array([10, 10, 20]), LENGTH)
    kept = keep_sequences(plan, np.array([True, False, True]))
    assert sequences(kept) == [sequences(plan)[0], sequences(plan)[2]]


def test_nothing_packs_to_nothing() -> None:
    nothing = np.zeros(0, np.int64)
    lengths = np.array([3, 4])
    assert len(pack_best_fit(cut_to_chunks(nothing, lengths, LENGTH), LENGTH)) == 0
    assert len(pack_contiguous(nothing, lengths, LENGTH)) == 0
    assert len(pack_alone(cut_to_first(nothing, lengths, LENGTH))) == 0
    assert shuffle_documents(nothing, 1).tolist() == []


def test_shuffle_documents_keeps_all_and_follows_the_seed() -> None:
    documents = np.arange(10, 200)
    one, again, other = (shuffle_documents(documents, seed).tolist() for seed in (1, 1, 2))
    assert one == again
    assert one != other
    assert sorted(one) == documents.tolist()
