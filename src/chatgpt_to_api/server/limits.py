"""How much and how long one connection may take: every bound of the server in one place."""

from __future__ import annotations

from typing import Final

import msgspec

HIGH_WATER: Final = 64 * 1024
"""Body bytes that may wait for a handler before reading is paused."""


class Limits(msgspec.Struct, frozen=True):
    """Bounds of one connection. Times are seconds, counted in steps of ``tick``.

    ``body``: largest request body, bytes. ``head``, ``fields``: largest request head, bytes and
    header fields. ``head_time``: longest time a head may take as a whole. ``silence``: longest
    pause inside a body. ``idle``: how long a connection is kept between requests. ``stall``:
    longest time a client may take nothing of what waits for it. ``ahead``: bytes of further
    requests that are read while one is being answered, ``requests_ahead``: how many of them there
    may be; one more ends the connection. ``swallow``: rest of a body that is read and dropped so
    that the connection can go on. ``linger``, ``linger_silence``,
    ``linger_bytes``: after a reply that ends the connection while the client still sends, how long
    (in all, and without a byte) and how much is read and dropped, so that the reply arrives
    instead of a reset. ``peer_connections``: open connections of one address.
    """

    body: int = 64 * 1024 * 1024
    head: int = 64 * 1024
    fields: int = 100
    tick: float = 1.0
    head_time: float = 60.0
    silence: float = 60.0
    idle: float = 75.0
    stall: float = 60.0
    ahead: int = 64 * 1024
    requests_ahead: int = 256
    swallow: int = 1024 * 1024
    linger: float = 30.0
    linger_silence: float = 5.0
    linger_bytes: int = 64 * 1024 * 1024
    peer_connections: int = 10_000

    def ticks(self, seconds: float) -> int:
        """Return how many sweeps a time takes, at least one."""
        return max(1, round(seconds / self.tick))
