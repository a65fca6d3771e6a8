"""Digests of a chat's beginnings, so that the next request of the same chat is recognised.

A digest stands for everything that was said up to a place, in canonical form, and for nothing else:
how often it was said, by which client or to which model is the business of whoever keeps digests.
What cannot change the meaning does not count. What only one vendor understands is left out, as are
the model's thoughts; ids of tool calls count as their order; and an assistant's turn is the same
with and without white space around it and however its arguments are spaced, because that is how
clients send back what they were given.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from hashlib import blake2b
from typing import Any, Final

import msgspec

from chatgpt_to_api.chat.events import (
    BlockStarted,
    ChatEvent,
    Finished,
    RefusalDelta,
    TextDelta,
    ToolCallDelta,
)
from chatgpt_to_api.chat.request import (
    Audio,
    File,
    Foreign,
    Image,
    Message,
    Part,
    Reasoning,
    Refusal,
    Text,
    ToolCall,
    ToolResult,
)

SIZE: Final = 16
"""Bytes of a digest."""

# MessagePack values say where they end, so that no two chats run together to the same bytes.
_ENCODE: Final = msgspec.msgpack.Encoder().encode


class Border(msgspec.Struct, frozen=True):
    """A place where an answer ends and more follows: how many messages are before it."""

    messages: int
    digest: bytes


class DigestedChat:
    """One request's messages, read once. ``borders`` are in order, the shortest beginning first."""

    __slots__ = ("_rolling", "borders")

    def __init__(self, messages: Sequence[Message]) -> None:
        self._rolling = _Rolling()
        borders = []
        for count, message in enumerate(messages, 1):
            self._rolling.add(message)
            if message.role == "assistant" and count < len(messages):
                borders.append(Border(count, self._rolling.digest()))
        self.borders = tuple(borders)

    def answered(self, answer: AnswerDigest) -> bytes:
        """The digest that the next request will have up to the answer's end."""
        return self._rolling.after(answer.encoded())


class AnswerDigest:
    """Takes an answer's events as the client gets them; keeps no text but tools' arguments."""

    __slots__ = ("_blocked", "_calls", "_refused", "_text")

    def __init__(self) -> None:
        self._text = _Stripped()
        self._refused = _Stripped()
        self._calls: list[tuple[str, list[str]]] = []
        self._blocked = False

    def feed(self, events: Iterable[ChatEvent]) -> None:
        """Take the next events of one choice."""
        for event in events:
            match event:
                case TextDelta(text):
                    self._text.feed(text)
                case RefusalDelta(text):
                    self._refused.feed(text)
                case BlockStarted(kind="tool_call"):
                    self._calls.append((event.tool_name, []))
                case ToolCallDelta(arguments):
                    self._calls[-1][1].append(arguments)
                case Finished(reason="content_filter"):
                    self._blocked = True
                case _:
                    pass

    @property
    def can_return(self) -> bool:
        """Whether a client has something to send back, and the model has said it."""
        return not self._blocked and bool(self._text.begun or self._refused.begun or self._calls)

    def encoded(self) -> bytes:
        """The answer as the assistant's message that a client makes of it."""
        calls = [(name, "".join(pieces)) for name, pieces in self._calls]
        return _turn(None, self._text, self._refused, calls)


class _Rolling:
    """A digest that grows by messages."""

    __slots__ = ("_calls", "_count", "_hash")

    def __init__(self) -> None:
        self._hash = blake2b(digest_size=SIZE)
        self._calls: dict[str, int] = {}
        self._count = 0

    def add(self, message: Message) -> None:
        parts = message.parts
        plain = parts[0] if len(parts) == 1 else None
        if message.role == "assistant":
            if type(plain) is Text:  # by far the most answers
                said = _encoded(plain.text.strip())
                text = blake2b(said, digest_size=SIZE).digest() if said else b""
                self._hash.update(_ENCODE(("assistant", message.name, text, b"", (), ())))
            else:
                self._hash.update(self._assistant(message))
        elif type(plain) is Text:
            self._hash.update(_ENCODE((message.role, message.name, [_encoded(plain.text)])))
        else:
            told = [self._part(part) for part in parts]
            self._hash.update(_ENCODE((message.role, message.name, told)))

    def digest(self) -> bytes:
        return self._hash.digest()

    def after(self, encoded: bytes) -> bytes:
        """The digest with one more message, which is not added."""
        longer = self._hash.copy()
        longer.update(encoded)
        return longer.digest()

    def _assistant(self, message: Message) -> bytes:
        text, refused = _Stripped(), _Stripped()
        calls = []
        others = []
        for part in message.parts:
            match part:
                case Text(said):
                    text.feed(said)
                case Refusal(said):
                    refused.feed(said)
                case ToolCall(call_id, name, arguments):
                    self._calls[call_id] = self._count
                    self._count += 1
                    calls.append((name, arguments))
                case Reasoning() | Foreign():
                    pass
                case _:
                    others.append(self._part(part))
        return _turn(message.name, text, refused, calls, others)

    def _part(self, part: Part) -> Any:
        match part:
            case Text(text):
                return _encoded(text)
            case ToolResult(call_id, parts, is_error):
                inner = [self._part(one) for one in parts]
                return (self._calls.get(call_id, call_id), inner, is_error)
            case Image() | Audio() | File() if part.vendor is not None:
                return msgspec.structs.replace(part, vendor=None)
            case _:
                return part


def _encoded(text: str) -> bytes:
    """A text's bytes; half a surrogate pair has some, only no valid ones."""
    return text.encode("utf-8", "surrogatepass")


def _turn(
    name: str | None,
    text: _Stripped,
    refused: _Stripped,
    calls: Iterable[tuple[str, str]],
    others: Sequence[Any] = (),
) -> bytes:
    """An assistant's message. Its texts count by their digests, for they may come in pieces."""
    made = [(tool, _canonical(arguments)) for tool, arguments in calls]
    return _ENCODE(("assistant", name, text.digest(), refused.digest(), made, others))


def _canonical(arguments: str) -> bytes:
    """A call's arguments, the same for the same JSON; what is no JSON stands for itself."""
    try:
        value = msgspec.json.decode(arguments or "{}")
        return msgspec.json.encode(value, order="deterministic")
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return _encoded(arguments)


class _Stripped:
    """The digest of a text that comes in pieces, without the white space at both of its ends."""

    __slots__ = ("_hash", "_held", "begun")

    def __init__(self) -> None:
        self._hash = blake2b(digest_size=SIZE)
        self._held: list[str] = []
        self.begun = False

    def feed(self, piece: str) -> None:
        if not self.begun:
            piece = piece.lstrip()
        kept = piece.rstrip()
        if kept:
            self.begun = True
            for space in self._held:
                self._hash.update(space.encode())
            self._hash.update(_encoded(kept))
            self._held.clear()
        if len(kept) < len(piece):
            self._held.append(piece[len(kept) :])

    def digest(self) -> bytes:
        """The digest, of nothing the shortest."""
        return self._hash.digest() if self.begun else b""
