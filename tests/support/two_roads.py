"""Holding a decoder's lean road equal to its exact one, in any framing and any chunking."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from itertools import groupby, pairwise
from typing import Any, Protocol

from hypothesis import strategies as st

from chatgpt_to_api.chat.events import ChatEvent, Failed, ReasoningDelta, TextDelta
from chatgpt_to_api.dialects.contract import UpstreamFault

END = st.sampled_from(["\n\n", "\r\n\r\n", "\r\r"])
SAID = st.sampled_from([" word", "é 😀", "\n", "", "日本"])
"""A piece of text; repeated ones are no matter."""


_PIECES = (TextDelta, ReasoningDelta)


class Decoder(Protocol):
    """What is compared of the decoders."""

    fault: UpstreamFault | None
    done: bool

    def feed(self, data: bytes) -> list[ChatEvent]: ...

    def eof(self) -> list[ChatEvent]: ...


@st.composite
def streams(draw: st.DrawFn, events: Sequence[dict[str, Any]], names: bool = True) -> list[bytes]:
    """Frame events, named by their type or not, with something between them, and cut anywhere."""
    named = names and draw(st.booleans())
    end = draw(END)
    framed: list[str] = []
    for event in events:
        framed.append(draw(st.sampled_from(["", "", "", "", ": comment\n\n", "id: 7\n"])))
        if named:
            framed.append(f"event: {event.get('type', 'x')}\n")
        framed.append(f"data: {json.dumps(event, ensure_ascii=False)}\n\n")
    stream = "".join(framed).replace("\n\n", end).encode()
    cuts = draw(st.sets(st.integers(0, len(stream)), max_size=8))
    return [stream[a:b] for a, b in pairwise([0, *sorted(cuts), len(stream)])]


def outcome(decoder: Decoder, chunks: Iterable[bytes]) -> object:
    """All that a reply gave, pieces that follow each other as one, and how it ended."""
    events = [event for chunk in chunks for event in decoder.feed(chunk)] + decoder.eof()
    return joined(events), decoder.done, decoder.fault is None


def joined(events: Iterable[ChatEvent]) -> list[object]:
    """Pieces of a text or a thought that follow each other, as one: reads fall as they like."""
    told: list[object] = []
    for kind, run in groupby(events, _kind):
        if kind is not None:
            told.append((kind, "".join(e.text for e in run if isinstance(e, _PIECES))))
            continue
        told += ((type(e.error), e.error.text) if isinstance(e, Failed) else e for e in run)
    return told


def _kind(event: ChatEvent) -> object:
    match event:
        case TextDelta(choice=choice) | ReasoningDelta(choice=choice, opaque=None):
            return type(event), choice
    return None
