"""How documents fill sequences: a plan of pieces, made once per source. Pure, arrays only.

A piece is a run of tokens of one document; a sequence is a list of pieces. The three ways to pack
differ only in the plan; `sequences` turns a plan into batches.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from trainwright_trainer.data.permutation import Int64Array, combine, permute


@dataclass(frozen=True, slots=True, repr=False)
class Pieces:
    """Runs of tokens: `length` tokens of `document` from its token `start` on."""

    document: Int64Array
    start: Int64Array
    length: Int64Array

    def __len__(self) -> int:
        """Number of pieces."""
        return len(self.length)

    def take(self, selection: Int64Array | npt.NDArray[np.bool_]) -> "Pieces":
        """Return the selected pieces, in the selection's order."""
        return Pieces(self.document[selection], self.start[selection], self.length[selection])


@dataclass(frozen=True, slots=True, repr=False)
class PackingPlan:
    """Sequence i holds the pieces from offsets[i] to offsets[i + 1], in that order."""

    pieces: Pieces
    offsets: Int64Array

    def __len__(self) -> int:
        """Number of sequences."""
        return len(self.offsets) - 1


def shuffle_documents(documents: Int64Array, seed: int) -> Int64Array:
    """Return the documents in an order of the seed's."""
    order = permute(np.arange(len(documents)), max(1, len(documents)), combine(seed))
    return documents[order]


def cut_to_first(documents: Int64Array, lengths: Int64Array, sequence_length: int) -> Pieces:
    """Return one piece per document: as much of its beginning as fits a sequence."""
    length = np.minimum(lengths[documents], sequence_length)
    return Pieces(documents, np.zeros_like(documents), length)


def cut_to_chunks(documents: Int64Array, lengths: Int64Array, sequence_length: int) -> Pieces:
    """Return all tokens of the documents in pieces that fit a sequence."""
    counts = -(-lengths[documents] // sequence_length)
    document = np.repeat(documents, counts)
    first_piece = np.cumsum(counts) - counts
    start = (np.arange(len(document)) - np.repeat(first_piece, counts)) * sequence_length
    return Pieces(document, start, np.minimum(lengths[document] - start, sequence_length))


def pack_alone(pieces: Pieces) -> PackingPlan:
    """Give every piece a sequence of its own."""
    return PackingPlan(pieces, np.arange(len(pieces) + 1))


def pack_best_fit(pieces: Pieces, sequence_length: int) -> PackingPlan:
    """Put pieces together so that sequences are full; no piece is cut.

    Best fit, longest pieces first: each piece goes to the fullest sequence that has room for it.
    A bit mask of the amounts of room that exist finds that sequence in constant time.
    """
    rooms: list[list[int]] = [[] for _ in range(sequence_length + 1)]  # sequences by their room
    existing_rooms = 0
    order = np.argsort(-pieces.length, kind="stable")
    sequence_of = np.empty(len(pieces), np.int64)
    num_sequences = 0
    for piece, length in zip(order.tolist(), pieces.length[order].tolist(), strict=True):
        fitting = existing_rooms >> length
        if fitting:
            room = length + (fitting & -fitting).bit_length() - 1
            sequence = rooms[room].pop()
            if not rooms[room]:
                existing_rooms ^= 1 << room
        else:
            room, sequence = sequence_length, num_sequences
            num_sequences += 1
        sequence_of[piece] = sequence
        rooms[room - length].append(sequence)
        existing_rooms |= 1 << (room - length)
    in_sequence = np.argsort(sequence_of, kind="stable")  # keeps the shuffled order inside
    counts = np.bincount(sequence_of, minlength=num_sequences)
    return PackingPlan(pieces.take(in_sequence), _offsets(counts))


def pack_contiguous(
    documents: Int64Array, lengths: Int64Array, sequence_length: int
) -> PackingPlan:
    """Join all documents to one run of tokens and cut it into sequences; the last may be shorter."""
    ends = np.cumsum(lengths[documents])
    total = int(ends[-1]) if len(ends) else 0
    sequence_starts = np.arange(0, total, sequence_length)
    begins = ends - lengths[documents]
    start = np.unique(np.concatenate([begins, sequence_starts]))
    owner = np.searchsorted(ends, start, side="right")
    length = np.diff(np.append(start, total))
    pieces = Pieces(documents[owner], start - begins[owner], length)
    counts = np.bincount(start // sequence_length, minlength=len(sequence_starts))
    return PackingPlan(pieces, _offsets(counts))


def keep_sequences(plan: PackingPlan, is_kept: npt.NDArray[np.bool_]) -> PackingPlan:
    """Return the plan without the other sequences."""
    counts = np.diff(plan.offsets)
    return PackingPlan(plan.pieces.take(np.repeat(is_kept, counts)), _offsets(counts[is_kept]))


def _offsets(counts: Int64Array) -> Int64Array:
    return np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
