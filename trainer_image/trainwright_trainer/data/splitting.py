"""Which documents are held out for validation: by a hash of their position, not by chance. Pure.

The position is the URI of the file and the row in it, so the split is the same for every seed and
world size, files added later move nothing, and a file that two sources share is split alike in both.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from trainwright_trainer.data.permutation import Uint64Array, combine, hash_text

BoolArray = npt.NDArray[np.bool_]


def position_hash(file_uri: str, row: int) -> int:
    """Return the hash of a document's position."""
    return int(combine(hash_text(file_uri), row))


def is_held_out(position_hashes: Uint64Array, fraction: float) -> BoolArray:
    """Tell which positions belong to validation."""
    return np.asarray(position_hashes < np.uint64(min(int(fraction * 2**64), 2**64 - 1)))


def split_documents(hashes: Sequence[Uint64Array], fraction: float | None) -> list[BoolArray]:
    """Return for each source which of its documents are held out.

    At least one document is held out and at least one is not, if there are two or more in all.
    """
    if fraction is None:
        return [np.zeros(len(part), np.bool_) for part in hashes]
    everything = np.concatenate(list(hashes))
    held_out = is_held_out(everything, fraction)
    if len(everything) > 1 and not held_out.any():
        held_out[everything.argmin()] = True
    if len(everything) > 1 and held_out.all():
        held_out[everything.argmax()] = False
    return np.split(held_out, np.cumsum([len(part) for part in hashes])[:-1])
