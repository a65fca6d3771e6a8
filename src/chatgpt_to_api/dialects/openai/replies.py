"""How a reply of OpenAI's endpoints looks from outside: a stream or one object, whole or cut."""

from __future__ import annotations

from typing import Final, Literal, TypeAlias

from chatgpt_to_api.dialects.contract import UpstreamFault
from chatgpt_to_api.dialects.faults import (
    anything,
    challenge_page,
    fault_of_event,
    nonsense,
)
from chatgpt_to_api.wire.error_body import read_error_body
from chatgpt_to_api.wire.http import ReplyHead
from chatgpt_to_api.wire.sse import SseEvent, SseSplitter

STREAM_HEADERS: Final = (
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache"),
    (b"x-accel-buffering", b"no"),  # nginx in front would collect the stream otherwise
)
"""Headers of a stream to a client."""

DONE: Final = b"[DONE]"
TERMINAL: Final = b"data: [DONE]\n\n"

Shape: TypeAlias = Literal["stream", "whole"]


def shape_of(head: ReplyHead, data: bytes) -> Shape | None:
    """Tell a stream from a whole body by its first byte (``LEADING`` is off); None without one.

    Content types lie: streams come as JSON or text, errors as streams.
    """
    start = data[:1]
    if not start:
        return None
    if start in b'{["<':
        return "whole"
    if head.content_type == "text/event-stream" or start in b":deir":  # data, event, id, retry
        return "stream"
    return "whole"


def last_events(splitter: SseSplitter) -> list[SseEvent]:
    """Return what a stream's end completes: a last line without its end may be whole, too."""
    events = splitter.eof()
    cut = splitter.cut
    if cut is not None and (cut.data.strip() == DONE or isinstance(anything(cut.data), dict)):
        events.append(cut)
    return events


def no_completion(head: ReplyHead, body: bytes) -> UpstreamFault:
    """Return what a good status with a body that is no chat completion means."""
    said = read_error_body(head.content_type, body[: 64 * 1024])
    if said.is_html:
        return challenge_page(said)
    if said.fields and said.message:
        return fault_of_event(anything(body))
    message = "The upstream answered with something that is no chat completion."
    return nonsense(message, said.message)
