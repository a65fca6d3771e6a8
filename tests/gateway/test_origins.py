"""Opaque parts go back to where they came from, and nowhere else of which that is known."""

from __future__ import annotations

import pytest

from chatgpt_to_api.chat.blocks import BlockTracker
from chatgpt_to_api.chat.request import (
    ChatRequest,
    Foreign,
    Message,
    Opaque,
    Part,
    Reasoning,
    Text,
    ToolCall,
)
from chatgpt_to_api.gateway.origins import Origins, unsealed

SIGNED = Opaque("anthropic", "c2lnbmF0dXJl")
OTHER = Opaque("anthropic", "b3RoZXI=")


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def origins(clock: Clock) -> Origins:
    return Origins(clock, most=3, keep=50)


def asked(*parts: Part) -> ChatRequest:
    turns = (Message("user", (Text("hi"),)), Message("assistant", parts))
    return ChatRequest(model="m", messages=(*turns, Message("user", (Text("and?"),))))


def test_a_signed_thought_goes_back_to_its_own_upstream_alone(origins: Origins) -> None:
    """Trap 42: a signature of A is not sent to B, nor is the thought it seals."""
    origins.note(BlockTracker().reasoning("hm", SIGNED), "a")
    request = asked(Reasoning("hm", SIGNED), Text("yo"))
    assert origins.fitting(request, "a") is not None
    assert origins.fitting(request, "a") == request
    assert origins.fitting(request, "b") == asked(Text("yo"))


def test_a_call_stays_without_its_seal(origins: Origins) -> None:
    """The call itself was the client's to see; only what is sealed in it stays behind."""
    origins.note(BlockTracker().tool_call("id", "f", opaque=SIGNED), "a")
    request = asked(ToolCall("id", "f", "{}", SIGNED))
    assert origins.fitting(request, "b") == asked(ToolCall("id", "f", "{}"))


def test_a_foreign_block_stays_behind(origins: Origins) -> None:
    """A hosted tool's block means nothing to a server that did not make it."""
    origins.note(BlockTracker().foreign(SIGNED), "a")
    assert origins.fitting(asked(Foreign(SIGNED), Text("x")), "b") == asked(Text("x"))


def test_what_nobody_remembers_goes_anywhere(origins: Origins, clock: Clock) -> None:
    """Unknown, forgotten for its age, or pushed out by newer ones."""
    request = asked(Reasoning("hm", SIGNED))
    origins.note(BlockTracker().reasoning("", OTHER), "a")
    assert origins.fitting(request, "b") == request
    origins.note(BlockTracker().reasoning("hm", SIGNED), "a")
    assert origins.fitting(request, "b") != request
    clock.now += 51
    assert origins.fitting(request, "b") == request
    origins.note(BlockTracker().reasoning("hm", SIGNED), "a")
    for index in range(3):
        assert origins.fitting(request, "b") != request
        origins.note(BlockTracker().reasoning("", Opaque("anthropic", str(index))), "a")
    assert len(origins) == 3
    assert origins.fitting(request, "b") == request


def test_a_request_without_what_was_sealed() -> None:
    """Trap 52: sealed thoughts go, calls and foreign blocks stay; none of it is no request."""
    call = ToolCall("c", "f", "{}", SIGNED)
    foreign = Foreign(OTHER)
    parts: tuple[Part, ...] = (Reasoning("Hm.", SIGNED), Reasoning("A"), call, foreign)
    request = ChatRequest(model="m", messages=(Message("assistant", parts),))
    bare = unsealed(request)
    assert bare is not None
    assert bare.messages[0].parts == (Reasoning("A"), ToolCall("c", "f", "{}"), foreign)
    assert unsealed(bare) is None
    assert unsealed(ChatRequest(model="m", messages=(Message("user", (Text("hi"),)),))) is None


def test_what_its_server_could_not_open_goes_nowhere_again(origins: Origins) -> None:
    """Trap 52: the next turn is asked without it at once; what comes later is kept as ever."""
    parts: tuple[Part, ...] = (Reasoning("Hm.", SIGNED), Text("So."), Foreign(OTHER))
    request = ChatRequest(model="m", messages=(Message("assistant", parts),))
    assert origins.fitting(request, "a") == request
    origins.disown(request)
    assert origins.fitting(request, "a").messages[0].parts == (Text("So."), Foreign(OTHER))
