"""Which text is trained, shown by decoding the trained tokens, for many kinds of template."""

import numpy as np
import pytest
from trainwright_trainer.data.chat import ChatTemplate, ChatTemplateError
from trainwright_trainer.data.encoding import RecordEncoder, clean, mask_of_spans
from trainwright_trainer.data.records import Conversation, PlainCompletion, Record

from tests.trainer.tokenizer_builder import CHATML, byte_tokenizer

CHATML_GENERATION = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' }}"
    "{% if message['role'] == 'assistant' %}"
    "{% generation %}{{ message['content'] + '<|im_end|>' }}{% endgeneration %}"
    "{% else %}{{ message['content'] + '<|im_end|>' }}{% endif %}{{ '\\n' }}{% endfor %}"
)
# Like Llama 2 and Mistral: no header of its own for the assistant, content trimmed.
INSTRUCTION = (
    "{% for message in messages %}{% if message['role'] == 'user' %}"
    "{{ '[INST] ' + message['content'] | trim + ' [/INST]' }}"
    "{% elif message['role'] == 'assistant' %}{{ ' ' + message['content'] | trim + ' <|end|>' }}"
    "{% else %}{{ raise_exception('only user and assistant, got ' + message['role']) }}"
    "{% endif %}{% endfor %}"
)
# No special token at all: the end of the last answer has to be added.
PLAIN = (
    "{% for message in messages %}{{ '### ' + message['role'] + ':\\n' + message['content'] + '\\n\\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '### assistant:\\n' }}{% endif %}"
)
# Like Qwen 3: only the last answer gets a (here empty) block of thoughts; others lose it.
LAST_THINKS = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' }}"
    "{% if loop.last and message['role'] == 'assistant' %}{{ '<think>\\n\\n</think>\\n\\n' }}{% endif %}"
    "{{ message['content'] + '<|im_end|>\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)
# Refuses to render an empty conversation.
NEEDS_FIRST = "{{ '(' + messages[0]['role'] + ')' }}" + CHATML
# The header depends on the content that follows it.
SHOUTS = (
    "{% for message in messages %}{{ message['role'] + (message['content'] | length | string) + ':' "
    "+ message['content'] | upper + '<|im_end|>' }}{% endfor %}"
)
# Drops what the assistant says.
HIDES = (
    "{% for message in messages %}{% if message['role'] != 'assistant' %}"
    "{{ message['content'] + '<|im_end|>' }}{% endif %}{% endfor %}"
)

TWO_TURNS = Conversation(
    [
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "Hello, Zoë 👋"},
        {"role": "user", "content": "Bye"},
        {"role": "assistant", "content": "See you"},
    ]
)
GREETING = Conversation(
    [
        {"role": "assistant", "content": "Welcome"},
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "So?"},
    ]
)
ENDS_WITH_USER = Conversation(TWO_TURNS.messages[:3])


def trained_texts(template: str, record: Record) -> list[str]:
    """Return the runs of trained text of a record."""
    tokenizer = byte_tokenizer()
    encoder = RecordEncoder(tokenizer, ChatTemplate(template, tokenizer))
    [encoded] = encoder.encode([record])
    borders = np.flatnonzero(np.diff(np.concatenate([[0], encoded.trained, [0]])))
    return [
        tokenizer.decode(encoded.tokens[start:end])
        for start, end in borders.reshape(-1, 2).tolist()
    ]


@pytest.mark.parametrize(
    ("template", "record", "expected"),
    [
        (CHATML, TWO_TURNS, ["Hello, Zoë 👋<|im_end|>", "See you<|im_end|>"]),
        (CHATML_GENERATION, TWO_TURNS, ["Hello, Zoë 👋<|im_end|>", "See you<|im_end|>"]),
        (INSTRUCTION, TWO_TURNS, [" Hello, Zoë 👋 <|end|>", " See you <|end|>"]),
        (PLAIN, TWO_TURNS, ["Hello, Zoë 👋\n\n", "See you\n\n<|end|>"]),
        (
            LAST_THINKS,
            TWO_TURNS,
            ["Hello, Zoë 👋<|im_end|>", "<think>\n\n</think>\n\nSee you<|im_end|>"],
        ),
        (NEEDS_FIRST, TWO_TURNS, ["Hello, Zoë 👋<|im_end|>", "See you<|im_end|>"]),
        (CHATML, GREETING, ["Welcome<|im_end|>", "So?<|im_end|>"]),
        (NEEDS_FIRST, GREETING, ["Welcome<|im_end|>", "So?<|im_end|>"]),
        (CHATML, ENDS_WITH_USER, ["Hello, Zoë 👋<|im_end|>"]),
        (PLAIN, ENDS_WITH_USER, ["Hello, Zoë 👋\n\n"]),
        (CHATML, Conversation(TWO_TURNS.messages, first_trained=2), ["See you<|im_end|>"]),
        (
            CHATML_GENERATION,
            Conversation(TWO_TURNS.messages, first_trained=2),
            ["See you<|im_end|>"],
        ),
        (CHATML, PlainCompletion("2 + 2 =", " 4"), [" 4<|end|>"]),
        (CHATML, PlainCompletion("", "once"), ["once<|end|>"]),
    ],
)
def test_answers_and_their_ends_are_trained_and_nothing_else(
    template: str, record: Record, expected: list[str]
) -> None:
    assert trained_texts(template, record) == expected


@pytest.mark.parametrize(
    "content", ["", " ", "\n", "  lead", "trail  ", "<|im_end|> inside", "a\nb"]
)
def test_odd_contents_stay_inside_their_turn(content: str) -> None:
    messages = [{"role": "user", "content": "Q"}, {"role": "assistant", "content": content}]
    assert "".join(trained_texts(CHATML, Conversation(messages))) == f"{content}<|im_end|>"


@pytest.mark.parametrize(
    ("template", "record", "why"),
    [
        (SHOUTS, TWO_TURNS, "what it writes before or after answer 1 changes with the answer"),
        (HIDES, TWO_TURNS, "what it writes before or after answer 1 changes with the answer"),
        (
            INSTRUCTION,
            Conversation([{"role": "system", "content": "S"}, *TWO_TURNS.messages]),
            "it fails: TemplateError: only user and assistant, got system",
        ),
        (
            CHATML_GENERATION.replace("'assistant'", "'model'"),
            TWO_TURNS,
            r"its {% generation %} blocks mark 0 of 2 answers",
        ),
        (
            "{{ messages | nofilter }}",
            TWO_TURNS,
            "it fails: TemplateAssertionError: No filter named",
        ),
    ],
)
def test_templates_that_cannot_be_masked_are_refused(
    template: str, record: Conversation, why: str
) -> None:
    with pytest.raises(ChatTemplateError) as caught:
        trained_texts(template, record)
    assert str(caught.value).startswith(why)


def test_tools_and_calls_reach_the_template_and_are_trained() -> None:
    template = CHATML.replace(
        "+ message['content'] ",
        "+ message['content'] + (message.tool_calls | tojson if message.tool_calls else '') ",
    )
    call = {"role": "assistant", "content": "", "tool_calls": [{"name": "f"}]}
    record = Conversation([{"role": "user", "content": "go"}, call], tools=[{"name": "f"}])
    assert trained_texts("{{ tools | length }}" + template, record) == ['[{"name": "f"}]<|im_end|>']


@pytest.mark.parametrize(
    ("offsets", "spans", "expected"),
    [
        ([(0, 2), (2, 4), (4, 6)], [(2, 4)], [0, 1, 0]),
        ([(0, 3), (3, 6)], [(2, 6)], [1, 1]),  # the token that carries the answer's first letter
        ([(0, 3), (3, 6)], [(0, 5)], [1, 0]),  # a token that goes beyond the answer is not trained
        ([(0, 0), (0, 2)], [(0, 2)], [0, 1]),  # special tokens of the tokenizer have no width
        ([(0, 2), (2, 2), (2, 4)], [(2, 4)], [0, 0, 1]),
        ([], [(0, 5)], []),
        ([(0, 1), (1, 2), (2, 3)], [(0, 1), (2, 3)], [1, 0, 1]),
    ],
)
def test_mask_of_spans(
    offsets: list[tuple[int, int]], spans: list[tuple[int, int]], expected: list[int]
) -> None:
    assert mask_of_spans(offsets, spans).astype(int).tolist() == expected


def test_clean_keeps_the_length() -> None:
    assert clean("a\ud800b\udfffc👋") == "a\ufffdb\ufffdc👋"
