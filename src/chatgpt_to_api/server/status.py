"""What there is to say about the gateway's readiness, to people and to health checks."""

from __future__ import annotations

import msgspec


class UpstreamStatus(msgspec.Struct, frozen=True):
    """One upstream: can it answer now, in words, and what to do where it cannot.

    ``says`` and ``advice`` hold no secret and no address of the upstream.
    """

    name: str
    kind: str
    ready: bool
    says: str
    advice: str = ""


class Status(msgspec.Struct, frozen=True):
    """The whole gateway. ``model`` is one that can be asked for, for the example command."""

    upstreams: tuple[UpstreamStatus, ...] = ()
    model: str = ""
    advice: tuple[str, ...] = ()

    @property
    def ready(self) -> bool:
        """Whether some upstream can answer now."""
        return any(upstream.ready for upstream in self.upstreams)

    @property
    def reasons(self) -> list[str]:
        """Why not, one line an upstream."""
        if not self.upstreams:
            return ["No upstream is configured."]
        return [f"{u.name}: {u.says}" for u in self.upstreams if not u.ready]
