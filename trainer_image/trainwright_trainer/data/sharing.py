"""The nodes of a run share the tokenizing of its texts: each takes some of the files, then all exchange.

Every node needs all tokens, and on CPUs making them is the longest part of a start. What comes out is
what one node alone would make, byte for byte. Called by `preparing`, on every rank.
"""

import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from trainwright_trainer.agreement import on_every_rank
from trainwright_trainer.data.documents import DocumentCounts, Documents, DocumentWriter
from trainwright_trainer.data.sources import Source
from trainwright_trainer.data.tokenizing import describe_counts
from trainwright_trainer.groups import Group
from trainwright_trainer.scratch import build_once
from trainwright_trainer.store import FileInfo

CHUNK_ITEMS = 2**22  # of an array, sent at once: bounds the memory of every rank


def tokenize_together(
    source: Source,
    target: Path,
    tokenize: Callable[[Source], Path],
    *,
    group: Group,
    first_ranks: Sequence[int],
    vocabulary_size: int,
) -> None:
    """Make the documents of a source of texts in `target`, on every node; collective.

    `tokenize` does a part of the source on the first rank of each node and returns its folder. Errors
    of one rank are raised on all.
    """
    if all(group.all_gather(target.is_dir())):
        return

    def tokenize_part() -> Path | None:
        if group.rank not in first_ranks:
            return None
        parts = divide_files(source.files, len(first_ranks))
        return tokenize(replace(source, files=parts[first_ranks.index(group.rank)]))

    part = on_every_rank(group, tokenize_part)[group.rank]
    documents = Documents.load(part) if part is not None else None

    def join(folder: Path) -> None:
        writer = DocumentWriter(folder, vocabulary_size=vocabulary_size, has_mask=False)
        counts = _exchange(documents, writer, group, first_ranks)
        writer.close(counts, list(describe_counts(source, counts)))

    if part is not None and not target.is_dir():
        build_once(target, join)
    else:  # the others need what this node has, or its part in the exchange
        _exchange(documents, None, group, first_ranks)
    if part is not None and part != target:
        shutil.rmtree(part)
    group.barrier()


def divide_files(files: Sequence[FileInfo], num_parts: int) -> list[tuple[FileInfo, ...]]:
    """Return consecutive files for each part, alike in size; a part may get none. Pure."""
    parts: list[list[FileInfo]] = [[] for _ in range(num_parts)]
    total = sum(file.size_bytes for file in files)
    num_before = 0  # bytes
    for file in files:
        middle = 2 * num_before + file.size_bytes
        parts[middle * num_parts // (2 * total)].append(file)
        num_before += file.size_bytes
    return [tuple(part) for part in parts]


def _exchange(
    own: Documents | None,
    writer: DocumentWriter | None,
    group: Group,
    first_ranks: Sequence[int],
) -> DocumentCounts:
    """Write the parts of all nodes in their order and return what they count; collective."""
    counts: Counter[str] = Counter()
    for owner in first_ranks:
        part = own if group.rank == owner else None
        for tokens in _send(group, owner, None if part is None else part.tokens):
            if writer is not None:
                writer.append(tokens)
        lengths = _send(group, owner, None if part is None else part.lengths)
        positions = _send(group, owner, None if part is None else part.positions)
        for some_lengths, some_positions in zip(lengths, positions, strict=True):
            if writer is not None:
                writer.end_documents(some_lengths, some_positions)
        # Not `if part`: it is false without documents, and what was left out counts then, too.
        counts.update(group.broadcast({} if part is None else vars(part.counts), owner))
    return DocumentCounts(**counts)


def _send(group: Group, owner: int, array: npt.NDArray[Any] | None) -> Iterator[npt.NDArray[Any]]:
    """Yield an array of the rank `owner` in chunks, on every rank; collective."""
    num_items = group.broadcast(0 if array is None else len(array), owner)
    for start in range(0, num_items, CHUNK_ITEMS):
        chunk = array[start : start + CHUNK_ITEMS] if array is not None else np.empty(0)
        yield group.broadcast(np.asarray(chunk), owner)
