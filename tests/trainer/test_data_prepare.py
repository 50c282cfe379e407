"""Pretraining data from files to batches: every property that training relies on."""

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from trainwright_api.data import Packing
from trainwright_trainer.data import prepare_data
from trainwright_trainer.settings import Settings

from tests.trainer.batch_checks import END, TOKENIZER, check_form, epoch, prepare, segments, texts
from tests.trainer.run_builder import build_run, source, write_json_lines
from tests.trainer.s3_server import settings

__all__ = ["settings"]


@pytest.mark.parametrize("packing", list(Packing))
@pytest.mark.parametrize("length", [8, 33, 200])
def test_pretraining_batches_have_the_form_and_all_tokens(
    tmp_path: Path, settings: Settings, packing: Packing, length: int
) -> None:
    documents = texts(60)
    path = write_json_lines(tmp_path / "d.jsonl", [{"text": text} for text in documents])
    run = build_run(source(path, "JSONL"), packing=packing, sequence_length=length)
    data = prepare(run, settings)
    batch = epoch(data.train)
    check_form(batch, length, packing)
    assert (data.num_tokens, data.num_trained_tokens) == (
        batch.num_tokens,
        batch.num_trained_tokens,
    )
    ends = Counter(batch.input_ids[batch.segment_ids != 0].tolist())[END]
    all_tokens = [[*TOKENIZER.backend_tokenizer.encode(text).ids, END] for text in documents]
    if packing is Packing.NONE:
        assert sorted(segments(batch)) == sorted(tokens[:length] for tokens in all_tokens)
    elif packing is Packing.CONTIGUOUS:
        assert ends >= 59  # a last token alone in its sequence has nothing to learn from
        sizes = (batch.segment_ids != 0).sum(axis=1)
        assert (np.sort(sizes)[1:] == length).all()
    else:
        chunks = [t[n : n + length] for t in all_tokens for n in range(0, len(t), length)]
        assert sorted(segments(batch)) == sorted(chunk for chunk in chunks if len(chunk) > 1)


def test_contiguous_documents_follow_each_other_across_sequences(
    tmp_path: Path, settings: Settings
) -> None:
    documents = texts(30)
    path = write_json_lines(tmp_path / "d.jsonl", [{"text": text} for text in documents])
    run = build_run(source(path, "JSONL"), packing=Packing.CONTIGUOUS, sequence_length=16)
    train: Any = prepare(run, settings).train
    [plan], [tokens] = train.plans, train.documents
    starts = tokens.offsets[plan.pieces.document] + plan.pieces.start
    joined = [
        token
        for start, size in zip(starts.tolist(), plan.pieces.length.tolist(), strict=True)
        for token in tokens.tokens[start : start + size].tolist()
    ]
    found = str(TOKENIZER.decode(joined)).split("<|end|>")
    assert sorted(found[:-1]) == sorted(documents)
    assert found[-1] == ""


def test_position_in_the_data_is_a_pure_function_of_seed_epoch_and_number(
    tmp_path: Path, settings: Settings
) -> None:
    """Exact resume: any rank of any world size reads the same sequences by their numbers."""
    paths = [
        write_json_lines(tmp_path / f"{n}.jsonl", [{"text": text} for text in texts(50, n)])
        for n in range(2)
    ]
    run = build_run(*(source(p, "JSONL", weight=w) for p, w in zip(paths, (3, 1), strict=True)))
    train = prepare(run, settings).train
    total = 3 * len(train)
    whole = train.sequences(0, total)
    fresh = prepare_data(
        run, TOKENIZER, Settings(scratch_folder=settings.scratch_folder / "another node")
    ).train
    for world_size, accumulation in ((1, 1), (2, 2), (3, 1), (4, 2)):
        per_step = world_size * accumulation
        for first in range(0, total - per_step, 7):  # as after a restart at any sample
            for rank in range(world_size):
                part = fresh.sequences(first + rank * accumulation, accumulation)
                place = slice(first + rank * accumulation, first + (rank + 1) * accumulation)
                assert (part.input_ids == whole.input_ids[place]).all()
                assert (part.labels == whole.labels[place]).all()


def test_epochs_hold_the_same_sequences_in_another_order(
    tmp_path: Path, settings: Settings
) -> None:
    path = write_json_lines(tmp_path / "d.jsonl", [{"text": text} for text in texts(80)])
    train = prepare(build_run(source(path, "JSONL")), settings).train
    one, two = epoch(train, 0).input_ids.tolist(), epoch(train, 1).input_ids.tolist()
    assert sorted(one) == sorted(two)
    assert one != two


@pytest.mark.parametrize("weights", [(1, 1), (2, 1), (1, 5)])
def test_weights_set_the_shares(
    tmp_path: Path, settings: Settings, weights: tuple[int, int]
) -> None:
    paths = [
        write_json_lines(tmp_path / f"{n}.jsonl", [{"text": text} for text in texts(400, n, 30)])
        for n in (1, 2)
    ]
    run = build_run(
        *(source(p, "JSONL", weight=w) for p, w in zip(paths, weights, strict=True)),
        packing=Packing.NONE,
    )
    train = prepare(run, settings).train
    for number in range(2):
        firsts = Counter(TOKENIZER.decode(row[:1]) for row in epoch(train, number).input_ids)
        expected = 800 * weights[0] / sum(weights)
        assert abs(firsts["1"] - expected) <= 1
        assert firsts.total() == 800


@pytest.mark.parametrize("packing", list(Packing))
def test_validation_never_shares_a_document_with_training(
    tmp_path: Path, settings: Settings, packing: Packing
) -> None:
    documents = texts(200)
    path = write_json_lines(tmp_path / "d.jsonl", [{"text": text} for text in documents])
    run = build_run(source(path, "JSONL"), packing=packing, validation=0.2, sequence_length=200)
    data = prepare(run, settings)
    assert data.validation is not None
    found = []
    for half in (data.train, data.validation):
        batch = epoch(half)
        check_form(batch, 200, packing)
        joined = TOKENIZER.decode(batch.input_ids[batch.segment_ids != 0])
        found.append({text for text in documents if f"{text}<|end|>" in joined})
    train, validation = found
    assert not train & validation
    if (
        packing is Packing.CONTIGUOUS
    ):  # documents are cut at the sequences' ends: few are found whole
        assert 0 < len(validation) < 60
    else:
        assert 20 < len(validation) < 60
        assert train | validation == set(documents)


def test_validation_is_the_same_for_every_seed(tmp_path: Path, settings: Settings) -> None:
    path = write_json_lines(tmp_path / "d.jsonl", [{"text": text} for text in texts(100)])
    held_out = []
    for seed in (1, 2):
        run = build_run(source(path, "JSONL"), validation=0.1, packing=Packing.NONE, seed=seed)
        validation = prepare(run, settings).validation
        assert validation is not None
        held_out.append(sorted(epoch(validation).input_ids.tolist()))
    assert held_out[0] == held_out[1]
