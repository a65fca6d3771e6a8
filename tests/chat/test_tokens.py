"""Counting tokens in pieces and of whole requests."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatgpt_to_api.chat import tokens
from chatgpt_to_api.chat.request import (
    ChatRequest,
    Grammar,
    Image,
    JsonFormat,
    Message,
    Role,
    Text,
    Tool,
    ToolCall,
    ToolResult,
)
from chatgpt_to_api.chat.tokens import COUNT_AT, HARD_CUT, TokenCounter, prompt_tokens
from chatgpt_to_api.telemetry.token_tables import _bindings

O200K: Callable[[str], int] = _bindings().tokenizer_for_encoding("o200k_base").count
CL100K: Callable[[str], int] = _bindings().tokenizer_for_encoding("cl100k_base").count
TABLES = pytest.mark.parametrize("count", [O200K, CL100K], ids=["o200k", "cl100k"])

WORDS = [
    *("Hello", "it's", "DON'T", "x1y22", "3.14159", "http://a.b/c", "foo_bar", "CamelCaseWord"),
    *("你好，世界。", "こんにちは", "안녕하세요", "Привет", "مرحبا", "สวัสดี", "नमस्ते", "e\u0301"),
    *(
        "🙂",
        "👩‍👩‍👧",
        "—",
        "…",
        "“q”",
        "!!",
        "?!\n",
        "/\n",
        "//",
        "\n/",
        "'s",
        "’s",
        "'",
        '"',
        "{}",
    ),
    *(" ", "  ", "   \n", "\n", "\n\n", "\r\n", "\t", " \t ", "\u00a0", "\u3000", "\u200b", "\x1c"),
    *(
        "```python\n",
        "    return\n",
        "<|endoftext|>",
        "²",
        "Ⅷ",
        "一二三",
        "a\u0300b",
        "ǅ",
        "ʰ",
        "123456",
    ),
]
PIECES = st.lists(st.sampled_from(WORDS) | st.text(max_size=8), max_size=60)


@TABLES
@given(text=PIECES.map("".join), cuts=st.lists(st.integers(0, 400)))
def test_the_sum_over_pieces_is_the_whole_texts_count(
    count: Callable[[str], int], text: str, cuts: list[int]
) -> None:
    """Counting as pieces come, at every safe border there is, counts what the whole has."""
    counter = TokenCounter(count)
    counter._settle_at = 0  # every piece is settled at once: every border is tried
    at = 0
    for cut in sorted(cuts):
        counter.feed(text[at:cut])
        counter._settle_at = 0
        at = max(at, cut)
    counter.feed(text[at:])
    assert counter.total() == count(text)


@TABLES
def test_every_border_the_pattern_finds_is_safe(count: Callable[[str], int]) -> None:
    """Random mixtures of many scripts, split at each border, count the same."""
    rng = random.Random(7)
    for _ in range(3000):
        text = "".join(rng.choice(WORDS) for _ in range(rng.randint(2, 12)))
        border = tokens._BORDER.match(text)
        while border is not None and border.end():
            left, right = text[: border.end()], text[border.end() :]
            assert count(left) + count(right) == count(text), (left, right)
            border = tokens._BORDER.match(left[:-1])


@TABLES
def test_a_long_answer_is_counted_with_little_held(count: Callable[[str], int]) -> None:
    """A book-long text in small pieces is exact, and only a bounded rest is held."""
    rng = random.Random(3)
    counter, parts = TokenCounter(count), []
    for _ in range(20_000):
        piece = rng.choice(WORDS) + rng.choice(["", " "])
        parts.append(piece)
        counter.feed(piece)
        assert counter._size < 2 * COUNT_AT
    assert counter.total() == count("".join(parts))


def test_text_without_any_border_is_cut_hard() -> None:
    """Endless text without a border does not pile up; the count stays within one of the truth."""
    counter = TokenCounter(O200K)
    for _ in range(100):
        counter.feed("一" * 1000)
        assert counter._size <= HARD_CUT + COUNT_AT
    assert abs(counter.total() - O200K("一" * 100_000)) <= 3


def test_a_total_can_be_asked_as_if_more_had_come() -> None:
    """Looking ahead changes nothing."""
    counter = TokenCounter(O200K)
    counter.feed("Hello")
    assert counter.total(" world") == 2
    assert counter.total() == 1


def words(text: str) -> int:
    return len(text.split())


def test_prompts_are_reckoned_as_the_vendor_publishes() -> None:
    """The vendor's published example: these six messages count 124 tokens for gpt-4o."""
    said = [
        (
            "system",
            None,
            "You are a helpful, pattern-following assistant that translates corporate "
            "jargon into plain English.",
        ),
        ("system", "example_user", "New synergies will help drive top-line growth."),
        ("system", "example_assistant", "Things working well together will increase revenue."),
        (
            "system",
            "example_user",
            "Let's circle back when we have more bandwidth to touch base on "
            "opportunities for increased leverage.",
        ),
        (
            "system",
            "example_assistant",
            "Let's talk later when we're less busy about how to do better.",
        ),
        (
            "user",
            None,
            "This late pivot means we don't have time to boil the ocean for the client "
            "deliverable.",
        ),
    ]
    messages = tuple(Message(role, (Text(text),), name) for role, name, text in said)
    assert prompt_tokens(ChatRequest(model="gpt-4o", messages=messages), O200K) == 124
    assert prompt_tokens(ChatRequest(model="gpt-4", messages=messages), CL100K) == 129


def test_functions_are_reckoned_as_the_vendor_publishes() -> None:
    """The vendor's published example with one function counts 101 tokens for gpt-4o."""
    schema = {
        "type": "object",
        "properties": {
            "location": {
                "type": "string",
                "description": "The city and state, e.g. San Francisco, CA",
            },
            "unit": {
                "type": "string",
                "description": "The unit of temperature to return",
                "enum": ["celsius", "fahrenheit"],
            },
        },
        "required": ["location"],
    }
    request = ChatRequest(
        model="gpt-4o",
        messages=(
            Message(
                "system",
                (
                    Text(
                        "You are a helpful assistant that can answer to questions about "
                        "the weather."
                    ),
                ),
            ),
            Message("user", (Text("What's the weather like in San Francisco?"),)),
        ),
        tools=(Tool("get_current_weather", "Get the current weather in a given location", schema),),
    )
    assert prompt_tokens(request, O200K) == 101


def test_nothing_of_a_prompt_is_left_out() -> None:
    """Calls, results, pictures, nested schemas and answer schemas add to the count."""
    plain = ChatRequest(model="m", messages=(Message("user", (Text("hi"),)),))
    call = Message("assistant", (ToolCall("id", "name", '{"a": 1}'),))
    result = Message("tool", (ToolResult("id", (Text("it is done"),)),))
    picture = Message("user", (Image("https://a.b/c.png"),))
    small = Message("user", (Image("https://a.b/c.png", "low"),))
    counts = [
        prompt_tokens(ChatRequest(model="m", messages=(*plain.messages, *more)), words)
        for more in ((), (call,), (call, result), (picture,), (small,))
    ]
    assert counts[0] < counts[1] < counts[2]
    assert counts[3] > counts[4] > counts[0]
    nested = Tool(
        "f",
        None,
        {
            "properties": {
                "a": {
                    "type": "object",
                    "properties": {
                        "b": {
                            "type": "array",
                            "items": {"type": "string", "description": "deep words here"},
                        }
                    },
                }
            }
        },
    )
    odd = Tool(
        "f",
        None,
        {
            "properties": {
                "a": {"anyOf": [{"type": "null"}]},
                "b": True,
                "c": {"type": "string", "enum": [1, None]},
            }
        },
    )
    for tool in (nested, odd, Tool("f"), Tool("f", None, {"properties": []})):
        with_tool = ChatRequest(model="m", messages=plain.messages, tools=(tool,))
        assert prompt_tokens(with_tool, words) > counts[0]
    with_schema = ChatRequest(
        model="m", messages=plain.messages, json=JsonFormat({"type": "object"})
    )
    assert prompt_tokens(with_schema, words) > counts[0]
    freeform = Tool("f", freeform=True)
    grammar = Tool("f", freeform=True, grammar=Grammar("lark", "one two three"))
    without, with_grammar = (
        prompt_tokens(ChatRequest(model="m", messages=plain.messages, tools=(tool,)), words)
        for tool in (freeform, grammar)
    )
    assert with_grammar == without + 3


@pytest.mark.parametrize("role", get_args(Role))
def test_a_roles_name_is_one_token(role: str) -> None:
    """So it is not counted again for each message."""
    assert O200K(role) == CL100K(role) == 1
