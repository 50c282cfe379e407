"""From texts and records to tokens, and for records to the mask of what is trained.

Texts are tokenized in batches by the tokenizers library, in parallel and without Python's lock.
A mask comes from the places of the tokens in the text: a token is trained if its last character
lies in a trained span.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from trainwright_trainer.data.chat import ChatTemplate, Span, missing_template_error
from trainwright_trainer.data.records import PlainCompletion, Record
from trainwright_trainer.errors import UserError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

_SURROGATES = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class EncodedRecord:
    """Tokens of one record and which of them are trained."""

    tokens: npt.NDArray[np.int64]
    trained: npt.NDArray[np.bool_]


class TextEncoder:
    """Tokenizes texts without special tokens; knows the ones that begin and end a document."""

    def __init__(self, tokenizer: "PreTrainedTokenizerFast") -> None:
        self._backend = tokenizer.backend_tokenizer
        self._backend.no_truncation()  # a limit in the tokenizer's file would cut silently
        self._backend.no_padding()
        if tokenizer.eos_token_id is None:
            raise UserError(
                "spec.tokenizer: got a tokenizer without an end-of-text token, expected eos_token "
                "in its tokenizer_config.json; add it there"
            )
        self.end: list[int] = [tokenizer.eos_token_id]
        first = self._backend.encode("a").ids[:1]
        self.begin: list[int] = first if first == [tokenizer.bos_token_id] else []

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        """Return the tokens of each text."""
        encodings = self._backend.encode_batch_fast(  # without the places of tokens in the text
            [clean(text) for text in texts], add_special_tokens=False
        )
        return [encoding.ids for encoding in encodings]


class RecordEncoder:
    """Tokenizes fine-tuning records."""

    def __init__(self, tokenizer: "PreTrainedTokenizerFast", template: ChatTemplate | None) -> None:
        self._text = TextEncoder(tokenizer)
        self._backend = tokenizer.backend_tokenizer
        self._template = template

    def encode(self, records: Sequence[Record]) -> Iterator[EncodedRecord]:
        """Yield tokens and mask of each record.

        Raises ChatTemplateError (from the first record that is at fault) if a conversation does
        not go with the template.
        """
        rendered = [self._render(record) for record in records]
        encodings = self._backend.encode_batch(
            [clean(text) for text, *_ in rendered], add_special_tokens=False
        )
        for (_, spans, begin, end), encoding in zip(rendered, encodings, strict=True):
            mask = mask_of_spans(encoding.offsets, spans)
            yield EncodedRecord(
                np.array([*begin, *encoding.ids, *end], np.int64),
                np.concatenate([np.zeros(len(begin), bool), mask, np.ones(len(end), bool)]),
            )

    def _render(self, record: Record) -> tuple[str, list[Span], list[int], list[int]]:
        """Return the text, its trained spans, and the special tokens around it."""
        if isinstance(record, PlainCompletion):
            text = record.prompt + record.completion
            return text, [(len(record.prompt), len(text))], self._text.begin, self._text.end
        if self._template is None:
            raise missing_template_error()
        chat = self._template.render(record)
        return chat.text, chat.spans, [], self._text.end if chat.is_open else []


def mask_of_spans(
    offsets: Sequence[tuple[int, int]], spans: Iterable[Span]
) -> npt.NDArray[np.bool_]:
    """Return which tokens end inside one of the spans (beginning excluded, end included).

    A token that only touches a span from the left is not trained; one that carries the first
    characters of an answer is, whatever it carries before them.
    """
    ends = np.array([end for _, end in offsets], np.int64)
    mask = np.zeros(len(ends), bool)
    for start, stop in spans:
        mask |= (ends > start) & (ends <= stop)
    return mask


def clean(text: str) -> str:
    """Replace lone surrogates, which JSON can spell but no encoding can hold; keeps the length."""
    return text if text.isascii() else _SURROGATES.sub("\ufffd", text)
