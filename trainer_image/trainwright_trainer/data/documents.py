"""Tokenized documents as flat files that every process of a node maps into memory.

A folder holds all tokens one after the other, for fine-tuning a byte per token that tells whether
it is trained, where each document begins, and the hash of each document's position.
"""

import hashlib
import json
from array import array
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from trainwright_trainer.data.permutation import Int64Array, Uint64Array

TOKENS, TRAINED, OFFSETS, POSITIONS, META = (
    "tokens.bin",
    "trained.bin",
    "offsets.npy",
    "positions.npy",
    "meta.json",
)
COUNTED_AT_ONCE = 65536  # runs of tokens; bounds the memory of counting


@dataclass
class DocumentCounts:
    """What was found while a source was read."""

    rows: int = 0
    empty_rows: int = 0
    files_with_invalid_text: int = 0
    binary_files: int = 0


class DocumentWriter:
    """Writes the folder of one source; memory holds only the offsets (16 bytes a document)."""

    def __init__(self, folder: Path, *, vocabulary_size: int, has_mask: bool) -> None:
        self._folder = folder
        self._type = np.dtype(np.uint16 if vocabulary_size <= 2**16 else np.uint32)
        self._tokens: BinaryIO = (folder / TOKENS).open("wb")
        self._trained: BinaryIO | None = (folder / TRAINED).open("wb") if has_mask else None
        self._offsets = array("q", [0])
        self._positions = array("Q")
        self._end = 0
        self._digest = hashlib.sha256()

    def append(self, tokens: npt.ArrayLike, trained: npt.ArrayLike | None = None) -> None:
        """Add tokens (and their mask) to the document that is being written."""
        content = np.asarray(tokens, self._type)
        self._tokens.write(content.data)
        self._digest.update(content.data)
        self._end += len(content)
        if self._trained is not None:
            mask = np.asarray(trained, np.uint8)
            self._trained.write(mask.data)
            self._digest.update(mask.data)

    def end_document(self, position_hash: int) -> None:
        """End the document; what is appended next belongs to the next one."""
        self._offsets.append(self._end)
        self._positions.append(position_hash)

    def end_documents(self, lengths: Int64Array, position_hashes: Uint64Array) -> None:
        """End several documents at once, whose tokens were appended one after the other."""
        self._offsets.frombytes((self._offsets[-1] + np.cumsum(lengths, dtype=np.int64)).tobytes())
        self._positions.frombytes(np.asarray(position_hashes, np.uint64).tobytes())

    def close(self, counts: DocumentCounts, warnings: list[str]) -> None:
        """Write what describes the documents; nothing may be appended afterwards."""
        if self._trained is not None:
            self._trained.write(b"\0")  # a sentinel, so that sums may end behind the last token
            self._trained.close()
        self._tokens.close()
        offsets = np.frombuffer(self._offsets, np.int64)
        np.save(self._folder / OFFSETS, offsets)
        np.save(self._folder / POSITIONS, np.frombuffer(self._positions, np.uint64))
        self._digest.update(offsets.data)
        meta = {
            "tokenType": self._type.name,
            "sha256": self._digest.hexdigest(),
            "counts": vars(counts),
            "warnings": warnings,
        }
        (self._folder / META).write_text(json.dumps(meta))


@dataclass(frozen=True, repr=False)
class Documents:
    """The tokenized documents of one source. `trained` is None if every token is trained."""

    tokens: npt.NDArray[Any]
    trained: npt.NDArray[np.uint8] | None
    offsets: Int64Array
    positions: Uint64Array
    sha256: str
    counts: DocumentCounts
    warnings: list[str] = field(default_factory=list)

    @classmethod
    def load(cls, folder: Path) -> "Documents":
        """Map the files of a folder; pages are read when they are used and shared between processes."""
        meta = json.loads((folder / META).read_text())
        trained = folder / TRAINED
        return cls(
            tokens=_map(folder / TOKENS, np.dtype(meta["tokenType"])),
            trained=_map(trained, np.dtype(np.uint8)) if trained.exists() else None,
            offsets=np.load(folder / OFFSETS, mmap_mode="r"),
            positions=np.load(folder / POSITIONS, mmap_mode="r"),
            sha256=meta["sha256"],
            counts=DocumentCounts(**meta["counts"]),
            warnings=meta["warnings"],
        )

    def __len__(self) -> int:
        """Number of documents."""
        return len(self.offsets) - 1

    @property
    def lengths(self) -> Int64Array:
        """Tokens of each document."""
        return np.diff(self.offsets)

    def count_trained(self, starts: Int64Array, lengths: Int64Array) -> Int64Array:
        """Return how many trained tokens lie in each run of tokens (positions in `tokens`)."""
        if self.trained is None:
            return lengths.copy()
        counts = np.zeros(len(starts), np.int64)
        order = np.argsort(starts, kind="stable")
        for first in range(0, len(order), COUNTED_AT_ONCE):
            block = order[first : first + COUNTED_AT_ONCE]
            low = starts[block[0]]
            bounds = np.stack([starts[block], starts[block] + lengths[block]], axis=1) - low
            mask = self.trained[low : low + bounds.max() + 1]
            sums = np.add.reduceat(mask, bounds.ravel(), dtype=np.int64)[::2]
            counts[block] = np.where(lengths[block] > 0, sums, 0)
        return counts


def _map(path: Path, kind: np.dtype[Any]) -> npt.NDArray[Any]:
    if not path.stat().st_size:
        return np.zeros(0, kind)
    return np.memmap(path, kind, mode="r")
