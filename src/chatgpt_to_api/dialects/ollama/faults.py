"""What a failed call of an Ollama server means."""

from __future__ import annotations

import re
from typing import Final

from msgspec import structs

from chatgpt_to_api.dialects import faults
from chatgpt_to_api.dialects.contract import UpstreamFault
from chatgpt_to_api.errors import UpstreamRejected
from chatgpt_to_api.wire.error_body import read_error_body
from chatgpt_to_api.wire.http import ReplyHead

_NO_MODEL: Final = re.compile(r"model .{1,300} not found", re.DOTALL)
_TOO_LONG: Final = re.compile(r"(?:input|prompt).{0,40}(?:exceeds|too long)", re.IGNORECASE)


def fault_of_reply(head: ReplyHead, body: bytes, now: float) -> UpstreamFault:
    """Return what a reply without success means. ``body`` is its beginning; ``now`` Unix time.

    Its errors are words alone, so two of them get the code that clients of other dialects look for.
    """
    fault = faults.fault_of_reply(head, body, now)
    error = fault.error
    if not isinstance(error, UpstreamRejected):
        return fault
    said = read_error_body(head.content_type, body).message
    code = None
    if head.status == 404 and _NO_MODEL.search(said):
        code = "model_not_found"
    elif head.status == 400 and _TOO_LONG.search(said):
        code = "context_length_exceeded"
    if code is None:
        return fault
    return structs.replace(
        fault, error=UpstreamRejected(error.message, status=error.status, code=code)
    )
