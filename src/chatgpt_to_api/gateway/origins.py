"""Where opaque parts came from: a thinking signature is worth something only there.

A client sends back, with every turn, what an upstream has signed or sealed. Another upstream of the
same dialect refuses it, or cannot read it; so it goes back to where it is known to come from, and
is left out elsewhere. One that nobody here remembers is sent to any upstream of its dialect.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import Final

from msgspec import structs

from chatgpt_to_api.chat.events import BlockStarted, ChatEvent, ReasoningDelta
from chatgpt_to_api.chat.request import (
    ChatRequest,
    Foreign,
    Message,
    Opaque,
    Part,
    Reasoning,
    ToolCall,
)

MOST: Final = 20_000
"""Most opaque parts remembered; about 200 bytes each."""

_NOWHERE: Final = ""
"""No upstream has this name."""

KEEP: Final = 7 * 86400.0
"""How long after it was made an opaque part is remembered, seconds."""


class Origins:
    """Opaque part → the upstream it came from: bounded, expiring, and only digests are kept.

    ``clock`` gives seconds that never go back.
    """

    __slots__ = ("_clock", "_from", "_keep", "_most")

    def __init__(self, clock: Callable[[], float], *, most: int = MOST, keep: float = KEEP) -> None:
        self._clock = clock
        self._most = most
        self._keep = keep
        self._from: OrderedDict[bytes, tuple[str, float]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._from)

    def note(self, events: Iterable[ChatEvent], upstream: str) -> None:
        """Remember the opaque parts among events that ``upstream`` has sent."""
        for event in events:
            if isinstance(event, BlockStarted | ReasoningDelta) and event.opaque is not None:
                self._remember(event.opaque, upstream)

    def fitting(self, request: ChatRequest, upstream: str) -> ChatRequest:
        """Return the request without the opaque parts that come from elsewhere than ``upstream``.

        Thoughts that were sealed there go with their seal: their text was never the client's words.
        """
        if not self._from or not any(map(_is_sealed, request.messages)):
            return request
        now = self._clock()
        messages = tuple(self._message(message, upstream, now) for message in request.messages)
        return structs.replace(request, messages=messages)

    def disown(self, request: ChatRequest) -> None:
        """Its server cannot open the opaque parts of a request: nobody is to be sent them again."""
        for message in request.messages:
            for part in message.parts:
                opaque = _opaque(part)
                if opaque is not None and not isinstance(part, Foreign):
                    self._remember(opaque, _NOWHERE)

    def _message(self, message: Message, upstream: str, now: float) -> Message:
        if not _is_sealed(message):
            return message
        parts: list[Part] = []
        for part in message.parts:
            opaque = _opaque(part)
            if opaque is None or self._at_home(opaque, upstream, now):
                parts.append(part)
            elif isinstance(part, ToolCall):
                parts.append(structs.replace(part, opaque=None))
        return structs.replace(message, parts=tuple(parts))

    def _at_home(self, opaque: Opaque, upstream: str, now: float) -> bool:
        known = self._from.get(_digest(opaque))
        return known is None or known[1] <= now or known[0] == upstream

    def _remember(self, opaque: Opaque, upstream: str) -> None:
        now = self._clock()
        remembered = self._from
        digest = _digest(opaque)
        remembered[digest] = (upstream, now + self._keep)
        remembered.move_to_end(digest)
        # The front is the oldest: whatever is over the bound or the time stands there.
        while len(remembered) > self._most or next(iter(remembered.values()))[1] <= now:
            remembered.popitem(last=False)


def unsealed(request: ChatRequest) -> ChatRequest | None:
    """Return the request without what servers have sealed; None where there is nothing of it."""
    if not any(map(_is_sealed, request.messages)):
        return None
    messages = tuple(
        structs.replace(message, parts=tuple(_bare(message.parts)))
        if _is_sealed(message)
        else message
        for message in request.messages
    )
    return None if messages == request.messages else structs.replace(request, messages=messages)


def _bare(parts: Iterable[Part]) -> Iterable[Part]:
    for part in parts:
        match part:
            case Reasoning(opaque=Opaque()):
                pass
            case ToolCall():
                yield structs.replace(part, opaque=None)
            case _:
                yield part


def _is_sealed(message: Message) -> bool:
    return message.role == "assistant" and any(_opaque(p) is not None for p in message.parts)


def _opaque(part: Part) -> Opaque | None:
    return part.opaque if isinstance(part, Reasoning | ToolCall | Foreign) else None


def _digest(opaque: Opaque) -> bytes:
    text = f"{opaque.dialect}\0{opaque.data}"
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()
