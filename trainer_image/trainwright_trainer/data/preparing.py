"""From sources to packed sequences, once per node.

Every rank calls `prepare_data` before weights load. The first on a node tokenizes each source (its
share of it, where several nodes have the same to do) and plans the sequences into folders on scratch;
the others wait for them and map the same files.
"""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from trainwright_api.data import Packing, RecordFormat
from trainwright_api.resources import SFTLoss
from trainwright_api.run import Run, RunObjective

from trainwright_trainer.data.batch import PreparedData
from trainwright_trainer.data.chat import ChatTemplate, missing_template_error
from trainwright_trainer.data.documents import Documents
from trainwright_trainer.data.mixture import Mixture
from trainwright_trainer.data.packing import PackingPlan, Pieces
from trainwright_trainer.data.planning import SourcePlan, plan_source
from trainwright_trainer.data.sequences import PackedSequences
from trainwright_trainer.data.sharing import tokenize_together
from trainwright_trainer.data.sources import Source, open_sources
from trainwright_trainer.data.splitting import split_documents
from trainwright_trainer.data.tokenizing import check_not_empty, tokenize_source
from trainwright_trainer.errors import UserError
from trainwright_trainer.groups import Group, SingleGroup
from trainwright_trainer.scratch import build_once
from trainwright_trainer.settings import Settings

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

CACHE_VERSION = 1  # raise it when tokens, masks or the order of the same data change
PLAN_ARRAYS = ("document", "start", "length", "offsets")


@dataclass(frozen=True)
class _Part:
    """One half of the split: a plan for each source."""

    plans: list[SourcePlan]

    @property
    def num_sequences(self) -> int:
        return sum(len(plan.packing) for plan in self.plans)


def prepare_data(
    run: Run,
    tokenizer: "PreTrainedTokenizerFast",
    settings: Settings,
    group: Group | None = None,
) -> PreparedData:
    """Tokenize, split and pack the sources of a run; local ranks share one copy on scratch.

    Called by every rank before weights load; the first on a node works, the others wait for it.
    Collective with a group; without one, this process does all by itself.
    Raises UserError naming source, file, row and field for data that cannot be trained on, and
    StoreError if scratch is full.
    """
    folder = settings.scratch_folder / "data"
    template = _chat_template(run, tokenizer)
    sources = open_sources(run, settings)
    documents = [
        _tokenized(source, run, tokenizer, template, folder, group or SingleGroup())
        for source in sources
    ]
    held_out = split_documents(
        [np.asarray(part.positions) for part in documents],
        run.data.validation.fraction if run.data.validation else None,
    )
    train = _planned(run, documents, [~part for part in held_out], "train", folder)
    validation = _planned(run, documents, held_out, "validation", folder)
    _check_split(run, documents, train, validation)
    weights = [source.weight for source in run.data.sources]
    data_sha256 = _data_sha256(run, documents)
    _check_same_data(data_sha256, group or SingleGroup())
    return PreparedData(
        train=_sequences(run, tokenizer, documents, train, weights),
        validation=(
            _sequences(run, tokenizer, documents, validation, [1.0] * len(weights))
            if run.data.validation
            else None
        ),
        num_tokens=sum(plan.num_tokens for plan in train.plans),
        num_trained_tokens=sum(plan.num_trained for plan in train.plans),
        num_documents=sum(len(part) for part in documents),
        longest_text=_longest_text(run, [*train.plans, *validation.plans]),
        data_sha256=data_sha256,
        template_sha256=template.sha256 if template else None,
        warnings=_warnings(run, documents, train, validation),
    )


def _check_same_data(data_sha256: str, group: Group) -> None:
    """Refuse to train on data that changed while the ranks read it; collective."""
    found = group.all_gather(data_sha256)
    other = next((rank for rank, sha256 in enumerate(found) if sha256 != found[0]), None)
    if other is not None:
        raise UserError(
            f"spec.data.sources: got other data on rank {other} than on rank 0, expected files that stay "
            "as they are while a run reads them; start it again once they do"
        )


def _chat_template(run: Run, tokenizer: "PreTrainedTokenizerFast") -> ChatTemplate | None:
    if run.objective is not RunObjective.SFT:
        return None
    text = run.data.chat_template or tokenizer.chat_template
    if isinstance(text, str):
        return ChatTemplate(text, tokenizer)
    if any(source.format is RecordFormat.MESSAGES for source in run.data.sources):
        raise missing_template_error()
    return None


def _has_mask(run: Run) -> bool:
    return run.objective is RunObjective.SFT and run.sft_loss is not SFTLoss.ALL_TOKENS


def _tokenized(
    source: Source,
    run: Run,
    tokenizer: "PreTrainedTokenizerFast",
    template: ChatTemplate | None,
    folder: Path,
    group: Group,
) -> Documents:
    spec = source.spec

    def place_of(part: Source) -> Path:
        key = _key(
            kind="documents",
            source=[spec.uri, spec.endpoint, spec.format, spec.field],
            files=[[file.path, file.size_bytes, file.version] for file in part.files],
            tokenizer=tokenizer.backend_tokenizer.to_str(),
            special=[tokenizer.bos_token_id, tokenizer.eos_token_id],
            template=template and template.sha256,
            objective=run.objective,
            has_mask=_has_mask(run),
        )
        return folder / f"documents-{key}"

    def tokenize(part: Source) -> Path:
        return build_once(
            place_of(part),
            lambda target: tokenize_source(
                part,
                tokenizer,
                template,
                objective=run.objective,
                has_mask=_has_mask(run),
                folder=target,
            ),
        )

    if run.workers.nodes > 1 and group.world_size > 1 and run.objective is RunObjective.CAUSAL_LM:
        per_node = run.workers.processes_per_node
        tokenize_together(
            source,
            place_of(source),
            tokenize,
            group=group,
            first_ranks=range(0, group.world_size, per_node),
            vocabulary_size=len(tokenizer),
        )
    documents = Documents.load(tokenize(source))
    check_not_empty(source, documents.counts)
    return documents


def _planned(
    run: Run, documents: list[Documents], selected: list[np.ndarray], name: str, folder: Path
) -> _Part:
    plans = []
    for number, (part, mask) in enumerate(zip(documents, selected, strict=True)):

        def make(part: Documents = part, mask: np.ndarray = mask) -> SourcePlan:
            return plan_source(
                part,
                np.flatnonzero(mask),
                objective=run.objective,
                packing=run.data.packing,
                sequence_length=run.data.sequence_length,
                seed=run.seed,
            )

        key = _key(kind=name, number=number, documents=part.sha256, order=_order(run))
        plans.append(_load_plan(build_once(folder / f"plan-{key}", _plan_builder(make))))
    return _Part(plans)


def _plan_builder(make: Callable[[], SourcePlan]) -> Callable[[Path], None]:
    def build(folder: Path) -> None:
        plan = make()
        pieces = plan.packing.pieces
        arrays = (pieces.document, pieces.start, pieces.length, plan.packing.offsets)
        for name, array in zip(PLAN_ARRAYS, arrays, strict=True):
            np.save(folder / f"{name}.npy", array)
        counts = {name: getattr(plan, name) for name in SourcePlan.__slots__ if name != "packing"}
        (folder / "counts.json").write_text(json.dumps(counts))

    return build


def _load_plan(folder: Path) -> SourcePlan:
    document, start, length, offsets = (
        np.load(folder / f"{name}.npy", mmap_mode="r") for name in PLAN_ARRAYS
    )
    counts = json.loads((folder / "counts.json").read_text())
    return SourcePlan(PackingPlan(Pieces(document, start, length), offsets), **counts)


def _check_split(run: Run, documents: list[Documents], train: _Part, validation: _Part) -> None:
    num_documents = sum(len(part) for part in documents)
    if run.data.validation and num_documents < 2:
        raise UserError(
            f"spec.data.validation.fraction: got {run.data.validation.fraction} of {num_documents} "
            "document, expected at least 2 documents to hold one out; leave validation away, or "
            "split the data into more files or rows"
        )
    for name, part in (("data", train), ("data.validation", validation)):
        if not part.num_sequences and (part is train or run.data.validation):
            raise UserError(
                f"spec.{name}: got {num_documents} documents without a token to train on within "
                f"{run.data.sequence_length} tokens, expected answers that are reached; raise "
                "spec.data.sequenceLength, or give more data"
            )


def _sequences(
    run: Run,
    tokenizer: "PreTrainedTokenizerFast",
    documents: list[Documents],
    part: _Part,
    weights: list[float],
) -> PackedSequences:
    plans = [plan.packing for plan in part.plans]
    return PackedSequences(
        documents=documents,
        plans=plans,
        mixture=Mixture.build([len(plan) for plan in plans], weights, run.seed),
        sequence_length=run.data.sequence_length,
        packing=run.data.packing,
        padding_token=tokenizer.pad_token_id or 0,
    )


def _longest_text(run: Run, plans: list[SourcePlan]) -> int:
    """Return the most positions that follow each other in a sequence."""
    if run.data.packing is Packing.CONTIGUOUS:
        return run.data.sequence_length
    return max(int(plan.packing.pieces.length.max(initial=0)) for plan in plans)


def _order(run: Run) -> list[Any]:
    """What decides, beside the documents, which sequence has which number."""
    fraction = run.data.validation.fraction if run.data.validation else None
    weights = [source.weight for source in run.data.sources]
    return [run.seed, run.data.packing, run.data.sequence_length, fraction, weights, run.objective]


def _data_sha256(run: Run, documents: list[Documents]) -> str:
    positions = [hashlib.sha256(np.asarray(part.positions).data).hexdigest() for part in documents]
    return _digest(order=_order(run), tokens=[part.sha256 for part in documents], split=positions)


def _key(**parts: Any) -> str:
    return _digest(**parts)[:24]


def _digest(**parts: Any) -> str:
    content = json.dumps({"version": CACHE_VERSION, **parts}, sort_keys=True)
    return hashlib.sha256(content.encode()).hexdigest()


def _warnings(run: Run, documents: list[Documents], train: _Part, validation: _Part) -> list[str]:
    warnings = [warning for part in documents for warning in part.warnings]
    for number, (one, other) in enumerate(zip(train.plans, validation.plans, strict=True)):
        path, total = f"spec.data.sources[{number}]", len(documents[number])
        if not len(one.packing) and len(other.packing):
            warnings.append(
                f"{path}: all of its {total} documents are held out for validation or left out, none is "
                "trained on; lower spec.data.validation.fraction, or split the data into more files or rows"
            )
        if num_cut := one.num_cut + other.num_cut:
            warnings.append(
                f"{path}: {num_cut} of {total} documents are longer than spec.data.sequenceLength "
                f"({run.data.sequence_length}) and cut"
            )
        if num_dropped := one.num_dropped + other.num_dropped:
            warnings.append(
                f"{path}: {num_dropped} of {total} documents have no token to train on within "
                "spec.data.sequenceLength and are left out"
            )
    return warnings
