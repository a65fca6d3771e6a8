"""Client side of every other endpoint: which one it is, for which model, and its errors."""

from __future__ import annotations

from typing import Final

from chatgpt_to_api.chat.needs import Feature, Needs
from chatgpt_to_api.chat.request import ChatRequest
from chatgpt_to_api.dialects.contract import Asked, Stamp
from chatgpt_to_api.dialects.openai.error_reply import error_reply
from chatgpt_to_api.dialects.openai.whole_only import NO_ENCODER, NoEncoder
from chatgpt_to_api.dialects.openai_any.peek import PEEK, model_of
from chatgpt_to_api.errors import EndpointNotServed, GatewayError, InvalidRequest, NotFound
from chatgpt_to_api.wire.http import HttpReply, RequestHead

DIALECT: Final = "openai_any"

_OWN: Final = frozenset({"chat", "completions", "embeddings", "models"})
"""Endpoints with doors of their own; what else stands under them is offered by ``*`` alone."""

_STATELESS: Final = frozenset({"audio", "images", "moderations"})
"""Endpoints that keep nothing, so that any credential will do for any request."""

_ACCOUNT: Final = b"account"


class AnyAsked:
    """A request of which nothing is known but where it goes.

    What is kept at the upstream (files, batches …) belongs to one credential's account, so a
    caller's requests for such things go to the same one while it can be used.
    """

    stream = False
    include_usage = False
    n = 1
    untranslated = ()
    opening = b""

    def __init__(self, endpoint: str, model: str) -> None:
        self.endpoint = endpoint
        self.model = model
        self.affinity = b"" if endpoint in _STATELESS else _ACCOUNT

    def request(self) -> ChatRequest:
        """No chat can answer this."""
        raise EndpointNotServed(f"No upstream here offers {self.endpoint!r}.")

    def needs(self) -> Needs:
        """Nothing that only some upstreams can."""
        return Needs()

    def may_need(self, feature: Feature) -> bool:  # noqa: ARG002  # the contract's
        """No: what it asks for is its upstream's business."""
        return False

    def relayed(self, model: str, *, ask_usage: bool) -> bytes:  # noqa: ARG002  # the contract's
        """It is not one piece of bytes."""
        raise AssertionError("the body of such a request is not held")


class AnyDoor:
    """Stands at every ``/v1/`` path that has no other door."""

    dialect = DIALECT
    endpoint = "*"

    def ask(self, head: RequestHead, body: bytes) -> AnyAsked:
        """Tell where a request goes; the beginning of ``body`` will do. Raises GatewayError."""
        content_type = head.header(b"content-type") or b""
        return AnyAsked(endpoint_of(head), model_of(content_type, head.query, body[:PEEK]))

    def reply(self, asked: Asked, stamp: Stamp) -> NoEncoder:  # noqa: ARG002  # nothing is made here
        """Return the encoder of a reply that is never made here."""
        return NO_ENCODER

    def failure(self, error: GatewayError) -> HttpReply:
        """Return a whole error reply in OpenAI's shape."""
        return error_reply(error)


DOOR: Final = AnyDoor()


def endpoint_of(head: RequestHead) -> str:
    """Return which endpoint a request is for. Raises NotFound, or InvalidRequest for WebSockets.

    A path that steps out of ``/v1/`` would reach, with our credential, what nobody offered.
    """
    steps = head.path.replace("\\", "/").split("/")[2:]
    if any(step in (".", "..") for step in steps):
        raise NotFound("A path must not hold the steps '.' and '..'.")
    if head.header(b"sec-websocket-key") is not None:
        raise InvalidRequest(
            "WebSockets are not relayed; only HTTP is.", code="websocket_unsupported"
        )
    return f"{steps[0]}/…" if steps[0] in _OWN else steps[0]
