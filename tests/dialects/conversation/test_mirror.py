"""The two sides of the conversation dialect are each other's mirror.

What our upstream side asks, our door understands; what our door answers, our upstream side reads.
"""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatgpt_to_api.chat.events import (
    BlockEnded,
    BlockStarted,
    ChatEvent,
    Failed,
    Finished,
    FinishReason,
    Started,
    TextDelta,
)
from chatgpt_to_api.chat.request import ChatRequest, Continuation, Message, Role, Text
from chatgpt_to_api.dialects.contract import Stamp
from chatgpt_to_api.dialects.conversation.door import DOOR, ConversationAsked
from chatgpt_to_api.dialects.conversation.upstream import ConversationOptions, ConversationUpstream
from chatgpt_to_api.errors import UpstreamFailed
from chatgpt_to_api.wire.http import ReplyHead, RequestHead
from chatgpt_to_api.wire.secret import ANONYMOUS

URL = "http://127.0.0.1:9000/backend-api/conversation"
TEXTS = st.text(st.characters(codec="utf-8"), min_size=1, max_size=20).filter(str.strip)


class CountedIds:
    """Fresh ids that are the same in every run."""

    def __init__(self) -> None:
        self.made = 0

    def uuid4(self) -> str:
        self.made += 1
        return f"00000000-0000-4000-8000-{self.made:012d}"


def understood(request: ChatRequest, options: ConversationOptions) -> ConversationAsked:
    """A request as it arrives at our door after our upstream side has sent it."""
    sent = ConversationUpstream(URL, options).encode(
        request, request.model, ANONYMOUS, CountedIds()
    )
    path = sent.target.decode()
    return DOOR.ask(RequestHead("POST", path, b"", sent.headers), sent.body)


def turns(*roles: Role) -> st.SearchStrategy[tuple[Message, ...]]:
    return st.tuples(*(TEXTS.map(lambda text, r=role: Message(r, (Text(text),))) for role in roles))


@given(
    messages=st.one_of(
        turns("user"),
        turns("system", "user"),
        turns("system", "user", "assistant", "user"),
        turns("user", "assistant", "system", "user"),
    ),
    mapping=st.sampled_from(["critic", "system"]),
    history=st.booleans(),
)
def test_a_chat_sent_message_by_message_arrives_as_it_was(
    messages: tuple[Message, ...], mapping: str, history: bool
) -> None:
    """Roles, texts and order; whether the chat may be kept."""
    options = ConversationOptions(system_mapping=mapping, history=history)  # type: ignore[arg-type]
    asked = understood(ChatRequest(model="gpt-4o", messages=messages), options)
    assert asked.request().messages == messages
    assert asked.model == "gpt-4o"
    assert asked.question.keep is history
    assert asked.question.action == "next"


@given(messages=turns("user"))
def test_a_single_question_arrives_as_it_was_however_it_is_mapped(
    messages: tuple[Message, ...],
) -> None:
    """Merging several messages into one changes nothing where there is one."""
    asked = understood(ChatRequest(model="m", messages=messages), ConversationOptions())
    assert asked.request().messages == messages


def test_a_continuation_arrives_as_one() -> None:
    """With the conversation and the message it goes on from, and no messages."""
    request = ChatRequest(
        model="m",
        messages=(Message("user", (Text("q"),)),),
        continuation=Continuation("chat", "cut-message"),
    )
    question = understood(request, ConversationOptions()).question
    assert (question.action, question.conversation_id, question.parent_id, question.messages) == (
        "continue",
        "chat",
        "cut-message",
        (),
    )


def answered(events: list[list[ChatEvent]], *, v1: bool) -> bytes:
    """What our door streams for these reads."""
    body = b'{"action":"next","model":"m","messages":[{"content":{"parts":["q"]}}]%b}' % (
        b',"supported_encodings":["v1"]' if v1 else b""
    )
    asked = DOOR.ask(RequestHead("POST", "/api/conversation", b"", ()), body)
    out = DOOR.reply(asked, Stamp("f00", 1697031001))
    return b"".join(map(out.feed, events)) + out.keep_alive() + out.end()


def read(chunks: list[bytes]) -> list[ChatEvent]:
    """What our upstream side makes of a reply."""
    request = ChatRequest(model="m", messages=(Message("user", (Text("q"),)),))
    head = ReplyHead(200, ((b"content-type", b"text/event-stream; charset=utf-8"),))
    decoder = ConversationUpstream(URL, ConversationOptions()).decoder(request, head)
    events = [event for chunk in chunks for event in decoder.feed(chunk)]
    if not decoder.done:
        events += decoder.eof()
    return events + decoder.conclude()


def meaning(events: list[ChatEvent]) -> tuple[str, str, object]:
    """Model, whole text, and how it ended."""
    model = next((event.model for event in events if isinstance(event, Started)), "")
    text = "".join(event.text for event in events if isinstance(event, TextDelta))
    return model, text, events[-1]


@pytest.mark.parametrize("v1", [False, True], ids=["v0", "v1"])
@given(
    pieces=st.lists(st.lists(TEXTS, min_size=1, max_size=3), min_size=1, max_size=6),
    reason=st.sampled_from(["stop", "length", "content_filter"]),
    data=st.data(),
)
def test_an_answer_arrives_as_it_was(
    v1: bool, pieces: list[list[str]], reason: FinishReason, data: st.DataObject
) -> None:
    """Model, text and finish reason, in both encodings, however the bytes are cut."""
    first: list[ChatEvent] = [Started("real-model"), BlockStarted(0, "text")]
    reads: list[list[ChatEvent]] = [[TextDelta(p) for p in group] for group in pieces]
    reply = answered([first, *reads, [BlockEnded(0), Finished(reason)]], v1=v1)
    cuts = data.draw(st.sets(st.integers(0, len(reply)), max_size=12))
    chunks = [reply[a:b] for a, b in pairwise([0, *sorted(cuts), len(reply)])]
    whole = "".join(piece for group in pieces for piece in group)
    assert meaning(read(chunks)) == ("real-model", whole, Finished(reason))


@pytest.mark.parametrize("v1", [False, True], ids=["v0", "v1"])
def test_a_broken_answer_arrives_as_broken_with_its_words(v1: bool) -> None:
    """The error event is a failure on the other side, never a short answer."""
    body = b'{"action":"next","model":"m","messages":[{"content":{"parts":["q"]}}]%b}' % (
        b',"supported_encodings":["v1"]' if v1 else b""
    )
    asked = DOOR.ask(RequestHead("POST", "/api/conversation", b"", ()), body)
    out = DOOR.reply(asked, Stamp("f00", 1697031001))
    reply = out.feed([Started("m"), TextDelta("half")])
    _, text, last = meaning(read([reply + out.failure(UpstreamFailed("It broke off."))]))
    assert text == "half"
    assert isinstance(last, Failed)
    assert "It broke off." in last.error.text
