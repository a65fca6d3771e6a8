"""The encoder of doors whose replies are never made here: they come from upstreams as they are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from chatgpt_to_api.chat.events import ChatEvent
from chatgpt_to_api.errors import GatewayError
from chatgpt_to_api.wire.http import Headers, HttpReply


class NoEncoder:
    """Has no word for anything: a reply that fails on its way is cut, so it does not look whole."""

    def headers(self) -> Headers:
        """Nothing is begun here."""
        return ()

    def feed(self, events: Sequence[ChatEvent]) -> bytes:
        """Events do not exist in these dialects."""
        raise AssertionError(f"no dialect for {len(events)} events")

    def end(self) -> bytes:
        """The upstream's own end is the end."""
        return b""

    def keep_alive(self) -> bytes:
        """Nothing can stand between an upstream's bytes."""
        return b""

    def complete(self, events: Sequence[ChatEvent]) -> HttpReply:
        """Events do not exist in these dialects."""
        raise AssertionError(f"no dialect for {len(events)} events")

    def failure(self, error: GatewayError) -> bytes:  # noqa: ARG002  # there is no way to tell it
        """Nothing: the connection is cut instead."""
        return b""


NO_ENCODER: Final = NoEncoder()
