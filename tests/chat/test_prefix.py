"""Digests of a chat's beginnings: the same for what means the same, and for nothing else."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatgpt_to_api.chat.events import (
    BlockEnded,
    BlockStarted,
    ChatEvent,
    Finished,
    ReasoningDelta,
    RefusalDelta,
    Started,
    TextDelta,
    ToolCallDelta,
)
from chatgpt_to_api.chat.prefix import AnswerDigest, DigestedChat
from chatgpt_to_api.chat.request import (
    Image,
    Message,
    Opaque,
    Part,
    Reasoning,
    Refusal,
    Role,
    Text,
    ToolCall,
    ToolResult,
)
from chatgpt_to_api.dialects.contract import Stamp
from chatgpt_to_api.dialects.openai_chat.door import DOOR
from chatgpt_to_api.wire.http import RequestHead


def say(role: Role, *parts: str | Part, name: str | None = None) -> Message:
    return Message(role, tuple(Text(p) if isinstance(p, str) else p for p in parts), name)


def digest(*messages: Message) -> bytes:
    """The digest of a whole chat that ends with an answer."""
    return DigestedChat([*messages, say("user", "next")]).borders[-1].digest


TEXTS = st.text(max_size=12)
MESSAGES = st.lists(
    st.builds(
        Message,
        st.sampled_from(["system", "user", "assistant", "tool"]),
        st.lists(
            st.one_of(
                st.builds(Text, TEXTS),
                st.builds(Refusal, TEXTS),
                st.builds(ToolCall, TEXTS, TEXTS, TEXTS),
                st.builds(lambda id, text: ToolResult(id, (Text(text),)), TEXTS, TEXTS),
                st.builds(Image, TEXTS),
            ),
            max_size=3,
        ).map(tuple),
        st.none() | TEXTS,
    ),
    max_size=6,
)


@given(before=MESSAGES, after=MESSAGES, other=MESSAGES)
def test_a_digest_is_a_function_of_what_is_before_it(
    before: list[Message], after: list[Message], other: list[Message]
) -> None:
    """Whatever follows, a beginning has the same digests, one after each answer of it."""
    one, two = DigestedChat(before + after), DigestedChat(before + other)
    count = sum(
        message.role == "assistant"
        for message in before[: len(before) if after and other else len(before) - 1]
    )
    assert one.borders[:count] == two.borders[:count]
    for border in one.borders:
        assert (before + after)[border.messages - 1].role == "assistant"
        assert border.messages < len(before + after)
    assert len({border.digest for border in one.borders}) == len(one.borders)


@given(one=MESSAGES, two=MESSAGES)
def test_users_in_other_words_are_other_chats(one: list[Message], two: list[Message]) -> None:
    """No two chats of users and instructions run together to one digest."""
    asked = [
        [m for m in chat if m.role != "assistant" and all(isinstance(p, Text) for p in m.parts)]
        for chat in (one, two)
    ]
    answer = say("assistant", "a")
    assert (digest(*asked[0], answer) == digest(*asked[1], answer)) is (asked[0] == asked[1])


HI = say("user", "hi")


@pytest.mark.parametrize(
    ("said", "sent_back"),
    [
        (say("assistant", "yes"), say("assistant", " yes\n\n")),
        (say("assistant", "\nyes "), say("assistant", "yes")),
        (say("assistant", "a b"), say("assistant", "a", " b")),
        (say("assistant", Reasoning("hm"), "yes"), say("assistant", "yes")),
        (say("assistant", Reasoning("hm", Opaque("x", "y")), "yes"), say("assistant", "yes")),
        (
            say("assistant", ToolCall("call_1", "look", '{"b": 1, "a": [2.0, "\\u00fc"]}')),
            say("assistant", "", ToolCall("other", "look", '{"a":[2.0,"ü"],"b":1}')),
        ),
        (
            say("assistant", ToolCall("call_1", "look", "")),
            say("assistant", ToolCall("call_1", "look", "{}")),
        ),
    ],
    ids=["end", "both ends", "pieces", "thoughts", "signature", "arguments", "no arguments"],
)
def test_what_clients_do_to_an_answer_changes_nothing(said: Message, sent_back: Message) -> None:
    """White space around it, thoughts, ids and spaces of calls."""
    assert digest(HI, said) == digest(HI, sent_back)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ([say("user", "hi")], [say("user", "hi ")]),
        ([say("user", "hi")], [say("user", "hi", name="bob")]),
        ([say("user", "hi")], [say("system", "hi")]),
        ([say("user", "a", "b")], [say("user", "ab")]),
        ([say("user", "a"), say("user", "b")], [say("user", "a", "b")]),
        ([say("user", Image("https://a/1"))], [say("user", Image("https://a/2"))]),
        ([say("assistant", "a")], [say("assistant", "b")]),
        ([say("assistant", "a  b")], [say("assistant", "a b")]),
        ([say("assistant", "a")], [say("assistant", Refusal("a"))]),
        ([say("assistant", "a")], [say("assistant", "a", name="bob")]),
        (
            [say("assistant", ToolCall("1", "f", "{}"))],
            [say("assistant", ToolCall("1", "g", "{}"))],
        ),
        (
            [say("assistant", ToolCall("1", "f", '{"a":1}'))],
            [say("assistant", ToolCall("1", "f", '{"a":2}'))],
        ),
        ([say("assistant", ToolCall("1", "f", "x"))], [say("assistant", ToolCall("1", "f", "y"))]),
    ],
)
def test_what_means_another_thing_is_another_chat(one: list[Message], other: list[Message]) -> None:
    """Nothing that was said may be taken for something else."""
    answer = say("assistant", "end")
    assert digest(*one, answer) != digest(*other, answer)


def test_results_belong_to_their_calls_whatever_the_ids() -> None:
    """Ids are references: other ids mean the same, swapped ones do not."""

    def chat(first: str, second: str, results: tuple[str, str]) -> bytes:
        return digest(
            HI,
            say("assistant", ToolCall(first, "f", "{}"), ToolCall(second, "f", "{}")),
            say("tool", ToolResult(results[0], (Text("one"),))),
            say("tool", ToolResult(results[1], (Text("two"),))),
            say("assistant", "end"),
        )

    assert chat("a", "b", ("a", "b")) == chat("x", "y", ("x", "y"))
    assert chat("a", "b", ("a", "b")) != chat("a", "b", ("b", "a"))


def test_what_only_a_vendor_understands_does_not_count() -> None:
    """A cache mark that moves on with every turn does not make another chat."""
    marked = Message("user", (Text("hi", {"cache_control": {"type": "ephemeral"}}),))
    pictured = [
        Message("user", (Image("https://a/1", vendor=vendor),)) for vendor in (None, {"x": 1})
    ]
    answer = say("assistant", "a")
    assert digest(marked, answer) == digest(HI, answer)
    assert digest(pictured[0], answer) == digest(pictured[1], answer)


# -- an answer, and what a client makes of it ------------------------------------------------------

PIECES = st.lists(st.text(st.sampled_from(" \n\tab\u3000ü"), min_size=1, max_size=4), max_size=5)
ARGUMENTS = st.dictionaries(st.sampled_from("abc"), st.integers() | st.text("xü", max_size=2))


@st.composite
def answers(draw: st.DrawFn) -> list[ChatEvent]:
    """The events of a good answer: thoughts, text, refusal and calls, in pieces."""
    events: list[ChatEvent] = [Started("m")]
    block = 0

    def add(kind: Any, pieces: Sequence[ChatEvent], **more: str) -> None:
        nonlocal block
        events.extend([BlockStarted(block, kind, **more), *pieces, BlockEnded(block)])
        block += 1

    add("reasoning", [ReasoningDelta(piece) for piece in draw(PIECES)])
    add("text", [TextDelta(piece) for piece in draw(PIECES)])
    add("refusal", [RefusalDelta(piece) for piece in draw(PIECES)])
    for number in range(draw(st.integers(0, 2))):
        arguments = json.dumps(draw(ARGUMENTS), ensure_ascii=draw(st.booleans()))
        cut = draw(st.integers(0, len(arguments)))
        pieces = [ToolCallDelta(p) for p in (arguments[:cut], arguments[cut:]) if p]
        add("tool_call", pieces, tool_id=draw(st.sampled_from(["", f"c{number}"])), tool_name="f")
    return [*events, Finished("stop")]


@given(answer=answers(), trim=st.booleans())
def test_the_next_request_has_the_digest_that_the_answer_gave(
    answer: list[ChatEvent], trim: bool
) -> None:
    """An answer leaves by the door, and the message that a client made of it comes in again."""
    question = {"role": "user", "content": "hi"}
    asked = DOOR.ask(_HEAD, json.dumps({"model": "m", "messages": [question]}).encode())
    taken = AnswerDigest()
    for event in answer:
        taken.feed([event])
    reply = DOOR.reply(asked, Stamp("id", 1)).complete(answer)
    message = json.loads(reply.body)["choices"][0]["message"]
    if trim:
        message["content"] = (message["content"] or "").strip()
        message.pop("reasoning_content", None)
    messages = [question, message, {"role": "user", "content": "more"}]
    back = DOOR.ask(_HEAD, json.dumps({"model": "m", "messages": messages}).encode())
    (border,) = DigestedChat(back.request().messages).borders
    assert border.messages == 2
    assert border.digest == DigestedChat(asked.request().messages).answered(taken)


_HEAD = RequestHead("POST", "/v1/chat/completions", b"", [])


def test_an_empty_or_blocked_answer_is_nothing_to_go_on_from() -> None:
    """A client leaves the one out, and the model did not mean the other."""
    answer = AnswerDigest()
    answer.feed([Started(), BlockStarted(0, "text"), TextDelta(" \n")])
    assert not answer.can_return
    answer.feed([TextDelta("x")])
    assert answer.can_return
    answer.feed([BlockEnded(0), Finished("content_filter")])
    assert not answer.can_return
