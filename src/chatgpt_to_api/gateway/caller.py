"""Who asks: what the server's checks found out about the client of one request."""

from __future__ import annotations

import msgspec

from chatgpt_to_api.wire.secret import Access


class Caller(msgspec.Struct, frozen=True):
    """One client, as far as fairness, affinity and its own token are concerned.

    ``id`` is a short digest of its client key ("" without one): the queue is fair between ids and
    affinity is scoped to them. ``own`` is the access token the client brought itself; it is then
    used instead of the pool, for a conversation upstream only. ``admin``: the request proves the
    admin password beside its key, and may be told which credential answered.
    """

    id: str = ""
    own: Access | None = None
    admin: bool = False
