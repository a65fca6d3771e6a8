"""How a reply comes: as events, as the items of a JSON array, or as one object.

Servers are asked for events; some answer with an array all the same, and errors are mostly whole.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

from chatgpt_to_api.wire.http import ReplyHead

Shape: TypeAlias = Literal["events", "array", "whole"]


def shape_of(head: ReplyHead, data: bytes) -> Shape | None:
    """Tell the shape by the first byte (``LEADING`` is off); None without one.

    Content types lie: streams come as JSON or text, errors as streams.
    """
    start = data[:1]
    if not start:
        return None
    if start == b"[":
        return "array"
    if start == b"{":
        return "whole"
    return "events" if head.content_type == "text/event-stream" or start in b":deir" else "whole"
