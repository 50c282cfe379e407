"""Fine-tuning data from records to batches: which tokens are trained, cut and dropped."""

import hashlib
from pathlib import Path
from typing import Any

import pytest
from trainwright_api.data import Packing
from trainwright_api.resources import SFTLoss
from trainwright_trainer.data.batch import IGNORED_LABEL
from trainwright_trainer.settings import Settings

from tests.trainer.batch_checks import TOKENIZER, check_form, epoch, prepare
from tests.trainer.run_builder import build_run, source, write_json_lines
from tests.trainer.s3_server import settings

__all__ = ["settings"]


def chat(question: str, answer: str) -> dict[str, Any]:
    return {
        "messages": [
            {"role": "user", "content": question},
            {"role": "assistant", "content": answer},
        ]
    }


@pytest.mark.parametrize("packing", list(Packing))
@pytest.mark.parametrize("loss", list(SFTLoss))
def test_fine_tuning_trains_answers_and_their_ends(
    tmp_path: Path, settings: Settings, packing: Packing, loss: SFTLoss
) -> None:
    path = write_json_lines(
        tmp_path / "c.jsonl", [chat(f"question {n}?", f"answer-{n}!") for n in range(30)]
    )
    length = 4096 if packing is Packing.CONTIGUOUS else 256  # so that no answer is cut in two
    run = build_run(source(path, "Messages"), sft=loss, packing=packing, sequence_length=length)
    data = prepare(run, settings)
    batch = epoch(data.train)
    check_form(batch, length, packing)
    trained = TOKENIZER.decode(batch.labels[batch.labels != IGNORED_LABEL])
    if loss is SFTLoss.ASSISTANT_ONLY:
        assert sorted(trained.split("<|im_end|>")) == sorted(
            ["", *(f"answer-{n}!" for n in range(30))]
        )
    else:
        assert all(f"question {n}?" in trained and f"answer-{n}!" in trained for n in range(30))
    assert data.num_trained_tokens == batch.num_trained_tokens
    assert data.template_sha256 == hashlib.sha256(str(TOKENIZER.chat_template).encode()).hexdigest()


def test_records_are_cut_and_those_without_an_answer_left_are_dropped_and_counted(
    tmp_path: Path, settings: Settings
) -> None:
    head = len("<|im_start|>user\n") - len("<|im_start|>") + 1
    records = [chat("short", "kept"), chat("q" * 100, "never reached"), chat("q", "a" * 100)]
    path = write_json_lines(tmp_path / "c.jsonl", records)
    run = build_run(source(path, "Messages"), sft=SFTLoss.ASSISTANT_ONLY, sequence_length=50)
    data = prepare(run, settings)
    batch = epoch(data.train)
    trained = TOKENIZER.decode(batch.labels[batch.labels != IGNORED_LABEL])
    assert "kept<|im_end|>" in trained
    assert 0 < trained.count("a") - 0 <= 50 - head
    assert "q" * 100 not in TOKENIZER.decode(batch.input_ids.ravel())
    assert data.warnings == [
        "spec.data.sources[0]: 2 of 3 documents are longer than spec.data.sequenceLength (50) and cut",
        "spec.data.sources[0]: 1 of 3 documents have no token to train on within "
        "spec.data.sequenceLength and are left out",
    ]


def test_contiguous_fine_tuning_drops_sequences_without_an_answer(
    tmp_path: Path, settings: Settings
) -> None:
    path = write_json_lines(
        tmp_path / "c.jsonl", [chat("q" * 500, f"answer-{n}") for n in range(5)]
    )
    run = build_run(
        source(path, "Messages"),
        sft=SFTLoss.ASSISTANT_ONLY,
        packing=Packing.CONTIGUOUS,
        sequence_length=64,
    )
    batch = epoch(prepare(run, settings).train)
    check_form(batch, 64, Packing.CONTIGUOUS)
    assert 5 <= len(batch.input_ids) <= 10  # of about 44


def test_prompt_and_completion_as_texts_and_as_messages(tmp_path: Path, settings: Settings) -> None:
    records = [
        {"prompt": "2+2=", "completion": "4"},
        {
            "prompt": chat("hi", "earlier answer")["messages"],
            "completion": [{"role": "assistant", "content": "later answer"}],
        },
    ]
    path = write_json_lines(tmp_path / "c.jsonl", records)
    run = build_run(
        source(path, "PromptCompletion"), sft=SFTLoss.ASSISTANT_ONLY, sequence_length=128
    )
    batch = epoch(prepare(run, settings).train)
    trained = TOKENIZER.decode(batch.labels[batch.labels != IGNORED_LABEL])
    assert sorted(trained.replace("<|end|>", "|").replace("<|im_end|>", "|").split("|")) == [
        "",
        "4",
        "later answer",
    ]
