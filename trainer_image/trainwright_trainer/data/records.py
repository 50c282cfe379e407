"""Fine-tuning records: what a row must hold to be a conversation or a prompt with its completion."""

from dataclasses import dataclass
from typing import Any

from trainwright_api.data import RecordFormat

from trainwright_trainer.data.reading import Row, SourceReader, describe

Message = dict[str, Any]
ASSISTANT = "assistant"


@dataclass(frozen=True, slots=True)
class Conversation:
    """Messages of which those from `first_trained` on are trained where the assistant speaks."""

    messages: list[Message]
    tools: list[Any] | None = None
    first_trained: int = 0


@dataclass(frozen=True, slots=True)
class PlainCompletion:
    """A text and how it goes on; no chat template is involved."""

    prompt: str
    completion: str


Record = Conversation | PlainCompletion


def parse_record(reader: SourceReader, row: Row) -> Record:
    """Return the record of a row. Raises UserError that names file, row, field and remedy."""
    if reader.source.spec.format == RecordFormat.MESSAGES:
        return _parse_conversation(reader, row)
    prompt, completion = (reader.field_of(row, name) for name in ("prompt", "completion"))
    if isinstance(prompt, str) and isinstance(completion, str):
        if not completion:
            raise reader.row_error(
                row, "an empty completion", "text to be learned", "remove the record", "format"
            )
        return PlainCompletion(prompt, completion)
    if isinstance(prompt, list) and isinstance(completion, list):
        messages = _parse_messages(reader, row, "prompt", prompt)
        answers = _parse_messages(reader, row, "completion", completion)
        return _with_an_answer(
            reader, row, Conversation(messages + answers, first_trained=len(messages))
        )
    raise reader.row_error(
        row,
        f"prompt {describe(prompt)} and completion {describe(completion)}",
        "two texts, or two lists of {role, content}",
        "write both alike",
        "format",
    )


def _parse_conversation(reader: SourceReader, row: Row) -> Conversation:
    name = reader.source.spec.field
    value = reader.field_of(row, name)
    if not isinstance(value, list):
        raise reader.row_error(
            row,
            f"{describe(value)} in field {name}",
            "a list of {role, content}",
            "set field to the one that holds the messages",
            "field",
        )
    tools = row.record.get("tools")
    messages = _parse_messages(reader, row, name, value)
    return _with_an_answer(
        reader, row, Conversation(messages, tools if isinstance(tools, list) and tools else None)
    )


def _parse_messages(reader: SourceReader, row: Row, name: str, value: list[Any]) -> list[Message]:
    messages = []
    for number, message in enumerate(value):
        path = f"{name}[{number}]"
        if not isinstance(message, dict) or not isinstance(message.get("role"), str):
            has = f" (it has: {', '.join(sorted(message))})" if isinstance(message, dict) else ""
            raise reader.row_error(
                row,
                f"{describe(message)} without role as {path}{has}",
                "{role, content}",
                "write from/value pairs as role/content",
                "format",
            )
        known = {key: item for key, item in message.items() if item is not None}
        content = known.get("content")
        if not isinstance(content, str) and not (content is None and "tool_calls" in known):
            raise reader.row_error(
                row,
                f"{describe(content)} as {path}.content",
                "a text",
                "write the message as text (or with tool_calls)",
                "format",
            )
        messages.append(known if content is not None else {**known, "content": ""})
    return messages


def _with_an_answer(reader: SourceReader, row: Row, conversation: Conversation) -> Conversation:
    roles = [message["role"] for message in conversation.messages]
    if ASSISTANT not in roles[conversation.first_trained :]:
        raise reader.row_error(
            row,
            f"roles {', '.join(roles) or 'none'}",
            "at least one message of the assistant to learn from",
            "remove the record, or name that role assistant",
            "format",
        )
    return conversation
