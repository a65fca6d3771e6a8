"""One small record for each request, kept off the request path."""

from __future__ import annotations

from typing import Literal, TypeAlias

import msgspec

from chatgpt_to_api.chat.usage import Usage

Outcome: TypeAlias = Literal["ok", "refused", "failed", "client_gone", "upstream_cut"]


class RequestRecord(msgspec.Struct, kw_only=True):
    """What one request was and how it ended. It never holds a secret or a body.

    ``seconds`` is from the accepted request to the reply's end; ``attempts`` counts upstream calls.
    """

    request_id: str
    door: str
    model: str
    client: str = ""
    upstream: str = ""
    credential: str = ""
    status: int = 0
    outcome: Outcome = "ok"
    error: str = ""
    attempts: int = 0
    seconds: float = 0.0
    usage: Usage | None = None
