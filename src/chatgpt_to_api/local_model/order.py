"""What passes between the gateway and the child: one order in, one report out, a line each."""

from __future__ import annotations

import msgspec


class Order(msgspec.Struct, frozen=True):
    """What the child is to serve, and where. It goes through a pipe, since it holds the key.

    ``context``: longest prompt and answer together, tokens, shared by ``parallel`` answers at once.
    ``reuse_port``: the parent holds the port bound, so that nobody else gets it between two runs.
    """

    model: str
    name: str
    port: int
    reuse_port: bool
    api_key: str
    threads: int
    parallel: int
    context: int

    def __repr__(self) -> str:
        return f"Order({self.name} on port {self.port})"


class Report(msgspec.Struct, frozen=True):
    """The child's word that it is listening."""

    address: str
