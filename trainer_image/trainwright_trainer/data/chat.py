"""Chat templates: a conversation as text, and which parts of it the assistant says.

Templates with {% generation %} mark these parts themselves. For the others, each turn is rendered
with what is before it: what a longer conversation adds to a shorter one belongs to the new turn.
Where a template makes that impossible (it rewrites earlier turns), the answer's text is found by
putting a marker in its place. Everything is verified on every record; nothing is guessed.
"""

import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from jinja2 import TemplateError

from trainwright_trainer.data.records import ASSISTANT, Conversation, Message
from trainwright_trainer.errors import UserError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

Span = tuple[int, int]

_GENERATION = re.compile(r"\{%-?\s*generation\s*-?%\}")
_MARKER = "\u2e28trainwright\u2e29"


class ChatTemplateError(Exception):
    """A conversation does not go with the template; the text says why."""


def missing_template_error() -> UserError:
    """Build the error for conversations without a template."""
    return UserError(
        "spec.data.chatTemplate: got none, and the base model's tokenizer has none, expected a Jinja "
        "template for messages; give one, or use format PromptCompletion with texts"
    )


@dataclass(frozen=True)
class RenderedChat:
    """A conversation as text. `is_open` if the last answer has no end-of-turn token."""

    text: str
    spans: list[Span]
    is_open: bool


class ChatTemplate:
    """A template with the special tokens of its tokenizer."""

    def __init__(self, template: str, tokenizer: "PreTrainedTokenizerFast") -> None:
        self._template = template
        self._variables = dict(tokenizer.special_tokens_map)
        self._end_tokens = tuple(
            {
                token.content
                for token in tokenizer.added_tokens_decoder.values()
                if token.special and token.content
            }
        )
        self._marks_answers = _GENERATION.search(template) is not None

    @property
    def sha256(self) -> str:
        """Hash of the template's text."""
        return hashlib.sha256(self._template.encode()).hexdigest()

    def render(self, conversation: Conversation) -> RenderedChat:
        """Return the text and the spans of the trained answers, each with its end-of-turn token.

        Raises ChatTemplateError if the template refuses the conversation or the spans are unclear.
        """
        if self._marks_answers:
            text, spans = self._render_marked(conversation)
        else:
            text = self._text(conversation.messages, conversation.tools)
            spans = [
                self._find_span(conversation, number, text)
                for number, message in enumerate(conversation.messages)
                if message["role"] == ASSISTANT and number >= conversation.first_trained
            ]
        is_last = conversation.messages[-1]["role"] == ASSISTANT
        is_open = is_last and not text.rstrip().endswith(self._end_tokens)
        return RenderedChat(text, spans, is_open)

    def _render_marked(self, conversation: Conversation) -> tuple[str, list[Span]]:
        texts, spans = self._call(conversation.messages, conversation.tools, marked=True)
        answers = [
            number
            for number, message in enumerate(conversation.messages)
            if message["role"] == ASSISTANT
        ]
        if len(spans[0]) != len(answers):
            raise ChatTemplateError(
                f"its {{% generation %}} blocks mark {len(spans[0])} of {len(answers)} answers"
            )
        trained = [
            span
            for number, span in zip(answers, spans[0], strict=True)
            if number >= conversation.first_trained
        ]
        return texts[0], trained

    def _find_span(self, conversation: Conversation, number: int, text: str) -> Span:
        span = self._span_by_prefix(conversation, number, text)
        if span is None:
            span = self._span_by_marker(conversation, number, text)
        if span is None:
            raise ChatTemplateError(
                f"what it writes before or after answer {number} changes with the answer"
            )
        return span

    def _span_by_prefix(self, conversation: Conversation, number: int, text: str) -> Span | None:
        """What render(messages up to the answer) has more than render(those before it)."""
        messages, tools = conversation.messages, conversation.tools
        is_last = number == len(messages) - 1
        try:
            before = self._text(messages[:number], tools, add_generation_prompt=True)
            until = text if is_last else self._text(messages[: number + 1], tools)
        except ChatTemplateError:
            return None  # some templates refuse an empty or an unfinished conversation
        content = messages[number]["content"].strip()
        if (
            not (text.startswith(until) and until.startswith(before))
            or content not in until[len(before) :]
        ):
            return None
        return len(before), self._end_of_turn(until, len(before))

    def _end_of_turn(self, until: str, start: int) -> int:
        """Leave out what a template writes behind the end-of-turn token (a line break, mostly)."""
        stripped = until.rstrip()
        is_closed = len(stripped) > start and stripped.endswith(self._end_tokens)
        return len(stripped) if is_closed else len(until)

    def _span_by_marker(self, conversation: Conversation, number: int, text: str) -> Span | None:
        """Where the answer's own text stands, with the end-of-turn token that follows it."""
        messages = list(conversation.messages)
        content = messages[number]["content"].strip()
        if not content or "tool_calls" in messages[number]:
            return None
        messages[number] = {**messages[number], "content": _MARKER}
        before, marker, after = self._text(messages, conversation.tools).partition(_MARKER)
        end = len(text) - len(after)
        is_same = text.startswith(before) and text.endswith(after) and end > len(before)
        if (
            not marker
            or _MARKER in after
            or not is_same
            or text[len(before) : end].strip() != content
        ):
            return None
        rest = after.lstrip()
        closing = max((t for t in self._end_tokens if rest.startswith(t)), key=len, default=None)
        if closing is not None:
            end += len(after) - len(rest) + len(closing)
        return len(before), end

    def _text(
        self, messages: list[Message], tools: list[Any] | None, add_generation_prompt: bool = False
    ) -> str:
        texts, _ = self._call(messages, tools, add_generation_prompt=add_generation_prompt)
        return texts[0]

    def _call(
        self,
        messages: list[Message],
        tools: list[Any] | None,
        *,
        add_generation_prompt: bool = False,
        marked: bool = False,
    ) -> tuple[list[str], list[list[Span]]]:
        # Here, as the check of the data, before a rank's heavy imports, needs no templates.
        from transformers.utils.chat_template_utils import render_jinja_template

        render: Callable[..., Any] = render_jinja_template
        try:
            rendered: tuple[list[str], list[list[Span]]] = render(
                conversations=[messages],
                tools=tools,
                chat_template=self._template,
                return_assistant_tokens_mask=marked,
                add_generation_prompt=add_generation_prompt,
                **self._variables,
            )
        except (TemplateError, TypeError, ValueError, KeyError, IndexError) as error:
            raise ChatTemplateError(f"it fails: {type(error).__name__}: {error}") from error
        return rendered
