"""Backend side of Responses: one server that speaks it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import msgspec

from chatgpt_to_api.chat.fitting import ToolNames
from chatgpt_to_api.chat.request import ChatRequest
from chatgpt_to_api.dialects.contract import Ids, ListedModel, UpstreamFault, WholeFacts
from chatgpt_to_api.dialects.openai.model_list import read_models
from chatgpt_to_api.dialects.openai.server import OpenAIServer
from chatgpt_to_api.dialects.openai_responses.faults import response_fault
from chatgpt_to_api.dialects.openai_responses.messages import DIALECT
from chatgpt_to_api.dialects.openai_responses.scanner import ResponseScanner, read_whole
from chatgpt_to_api.dialects.openai_responses.unsealed import unsealed
from chatgpt_to_api.dialects.openai_responses.upstream_calls import Trust
from chatgpt_to_api.dialects.openai_responses.upstream_reply import ResponseDecoder
from chatgpt_to_api.dialects.openai_responses.upstream_request import (
    MOST_NAME,
    ignored,
    request_object,
)
from chatgpt_to_api.wire.http import Header, Headers, HttpRequest, ReplyHead, RequestHead
from chatgpt_to_api.wire.jwt import read_claims
from chatgpt_to_api.wire.secret import Access, Secret

OWN_NAMES: Final = {
    "max_tokens": "max_output_tokens",
    "json": "text",
    "reasoning_effort": "reasoning",
    "reasoning_budget": "reasoning",
}
"""What canonical parameters are called here, where it is something else."""

_OURS: Final = frozenset({"model", "input", "instructions", "stream", "store"})
"""What nobody has wished for: a server that refuses one of these is not told so."""

_RAW_OBJECT: Final = msgspec.json.Decoder(dict[str, msgspec.Raw])
_OF_THE_REQUEST: Final = (b"openai-beta", b"originator", b"session-id", b"session_id", b"thread-id")
_OF_AN_AGENT: Final = (b"x-codex-", b"x-openai-", b"x-client-request-id")


class ServerTraits(msgspec.Struct, frozen=True):
    """In what a server differs from the vendor's own.

    ``always_streams``: it answers with nothing but streams. ``account_header`` is the header in
    which it wants the account's id, as the token's claims have it; "" for none. ``refuses`` names
    parameters that it takes for errors. ``headers`` are more that it wants.
    """

    always_streams: bool = False
    account_header: str = ""
    refuses: frozenset[str] = frozenset()
    headers: tuple[tuple[str, Secret], ...] = ()


class ResponsesUpstream:
    """A Responses server at ``base_url`` (which ends in ``/v1`` or the like).

    Raises ValueError for a bad URL.
    """

    dialect = DIALECT

    def __init__(self, base_url: str, traits: ServerTraits = ServerTraits()) -> None:  # frozen
        self._server = OpenAIServer(base_url, more=self._more)
        self._responses = self._server.target(b"/responses")
        self._traits = traits
        self._trust = Trust()

    def ignored(self, request: ChatRequest) -> tuple[str, ...]:
        """Name what has no place here, and what this server refuses."""
        names = list(ignored(request))
        refuses = self._traits.refuses
        if refuses:
            given = request_object(
                request, request.model, _names(request), stream=False, without=()
            )
            own = {theirs: request.named(name) for name, theirs in OWN_NAMES.items()}
            names += (own.get(name, name) for name in given if name in refuses - _OURS)
        return tuple(dict.fromkeys(names))

    def encode(self, request: ChatRequest, model: str, access: Access, ids: Ids) -> HttpRequest:  # noqa: ARG002  # the contract's; this dialect puts no ids on the wire
        """Return the call that asks ``request`` of ``model``."""
        traits = self._traits
        stream = request.stream or traits.always_streams
        body = request_object(
            request, model, _names(request), stream=stream, without=traits.refuses
        )
        data = msgspec.json.encode(body)
        return self._server.post_at(self._responses, data, access, stream=stream)

    def decoder(self, request: ChatRequest, head: ReplyHead) -> ResponseDecoder:
        """Return a decoder for a 2xx reply, be it a stream, one object or an error."""
        return ResponseDecoder(head, _names(request), self._trust)

    def fault(self, head: ReplyHead, body: bytes, now: float) -> UpstreamFault:
        """Return what a non-2xx reply means. ``now`` is Unix time in seconds."""
        return response_fault(head, body, now)

    def forward(
        self,
        body: bytes,
        access: Access,
        *,
        model: str,  # noqa: ARG002  # it stands in the body
        stream: bool,
        head: RequestHead,
    ) -> HttpRequest:
        """Return the call that carries a client's own JSON, without what this server refuses."""
        if self.unheard(body):
            fields = _RAW_OBJECT.decode(body)
            kept = {n: raw for n, raw in fields.items() if n not in self._traits.refuses}
            body = msgspec.json.encode(kept)
        call = self._server.post_at(self._responses, body, access, stream=stream)
        own = tuple(_of_the_client(head.headers))
        return call if not own else msgspec.structs.replace(call, headers=(*call.headers, *own))

    def unheard(self, body: bytes) -> tuple[str, ...]:
        """Name the parameters of a client's own JSON that this server is not sent."""
        if not self._traits.refuses:
            return ()
        fields = _RAW_OBJECT.decode(body)
        return tuple(name for name in fields if name in self._traits.refuses - _OURS)

    def unsealed(self, body: bytes) -> bytes | None:
        """Return a client's own JSON without what another server has sealed; None without any."""
        return unsealed(body)

    def facts(self, head: ReplyHead, body: bytes) -> WholeFacts:
        """Return what a relayed 2xx reply that came whole says."""
        return read_whole(head, body)

    def scanner(self, head: ReplyHead, *, hide_usage: bool) -> ResponseScanner:  # noqa: ARG002  # it is in every stream
        """Return a reader for a relayed 2xx stream."""
        return ResponseScanner(head)

    def models_request(self, access: Access) -> HttpRequest:
        """Return the call that lists the server's models."""
        return self._server.get(b"/models", access)

    def read_models(self, body: bytes) -> list[ListedModel]:
        """Return the models of such a list. Raises ValueError for what is none."""
        return read_models(body)

    def model_request(self, model: ListedModel, access: Access) -> None:
        """Return None: a list says all there is to say."""

    def read_model(self, model: ListedModel, body: bytes) -> ListedModel:
        """Nothing more is ever asked."""
        raise ValueError(f"{model.id}: {len(body)} bytes that nobody asked for")

    def _more(self, access: Access) -> Headers:
        """Return the headers a credential's calls have besides the usual ones."""
        traits = self._traits
        more: list[Header] = [(n.encode(), v.reveal().encode()) for n, v in traits.headers]
        if traits.account_header and access.token is not None:
            account = access.account or read_claims(access.token.reveal()).account
            if account is not None:
                more.append((traits.account_header.lower().encode(), account.encode()))
        return more


def _names(request: ChatRequest) -> ToolNames:
    return ToolNames(request, MOST_NAME)


def _of_the_client(headers: Headers) -> Iterable[Header]:
    """Give those of a client's headers that belong to its request: its session, a beta."""
    for name, value in headers:
        if name in _OF_THE_REQUEST or name.startswith(_OF_AN_AGENT):
            yield name, value
