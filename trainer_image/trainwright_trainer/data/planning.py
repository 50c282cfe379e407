"""How the documents of a source become sequences of a run: cut, filtered, packed. Pure."""

from dataclasses import dataclass

import numpy as np
from trainwright_api.data import Packing
from trainwright_api.run import RunObjective

from trainwright_trainer.data.documents import Documents
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
from trainwright_trainer.data.permutation import Int64Array


@dataclass(frozen=True, slots=True)
class SourcePlan:
    """Packed sequences of one source, and what they hold."""

    packing: PackingPlan
    num_tokens: int
    num_trained: int
    num_cut: int
    num_dropped: int


def plan_source(
    documents: Documents,
    selected: Int64Array,
    *,
    objective: RunObjective,
    packing: Packing,
    sequence_length: int,
    seed: int,
) -> SourcePlan:
    """Pack the selected documents. Sequences without a trained token are left out and counted.

    Pretraining keeps all tokens of long documents (as several pieces) unless every document has a
    sequence of its own; fine-tuning records are cut, as an answer without its question teaches
    nothing.
    """
    lengths = documents.lengths
    order = shuffle_documents(selected, seed)
    if packing is Packing.CONTIGUOUS:
        return _plan_contiguous(documents, order, lengths, sequence_length)
    is_chunked = packing is Packing.ISOLATED and objective is RunObjective.CAUSAL_LM
    cut = cut_to_chunks if is_chunked else cut_to_first
    pieces = cut(order, lengths, sequence_length)
    trained = _count_trained(documents, pieces)
    kept = pieces.take(trained > 0)
    plan = pack_alone(kept) if packing is Packing.NONE else pack_best_fit(kept, sequence_length)
    return SourcePlan(
        plan,
        num_tokens=int(kept.length.sum()),
        num_trained=int(trained.sum()),
        num_cut=0 if is_chunked else int((lengths[selected] > sequence_length).sum()),
        num_dropped=len(selected) - len(np.unique(kept.document)),
    )


def _plan_contiguous(
    documents: Documents, order: Int64Array, lengths: Int64Array, sequence_length: int
) -> SourcePlan:
    plan = pack_contiguous(order, lengths, sequence_length)
    is_first = np.zeros(len(plan.pieces), bool)
    is_first[plan.offsets[:-1]] = True  # only a sequence's first token has nothing before it
    trained = _count_trained(documents, plan.pieces, is_first)
    per_sequence = np.add.reduceat(trained, plan.offsets[:-1]) if len(trained) else trained
    kept = keep_sequences(plan, per_sequence > 0)
    return SourcePlan(
        kept,
        num_tokens=int(kept.pieces.length.sum()),
        num_trained=int(trained.sum()),
        num_cut=0,
        num_dropped=len(order) - len(np.unique(kept.pieces.document)),
    )


def _count_trained(
    documents: Documents, pieces: Pieces, skips_first: np.ndarray | bool = True
) -> Int64Array:
    """Trained tokens of each piece; those that have nothing before them do not count."""
    skipped = np.broadcast_to(np.asarray(skips_first), pieces.length.shape).astype(np.int64)
    starts = np.asarray(documents.offsets)[pieces.document] + pieces.start
    return documents.count_trained(starts + skipped, pieces.length - skipped)
