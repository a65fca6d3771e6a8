"""How much one request may hold, as far as it can be counted cheaply."""

from __future__ import annotations

import msgspec


class RequestLimits(msgspec.Struct, frozen=True):
    """Most messages, most tools, and the deepest nesting of arrays and objects in a request."""

    messages: int = 10_000
    tools: int = 1_000
    depth: int = 100
