"""Backend side of the messages API: one server of this dialect."""

from __future__ import annotations

from collections.abc import Set
from typing import Final

import msgspec

from chatgpt_to_api.chat.fitting import ToolNames
from chatgpt_to_api.chat.request import ChatRequest
from chatgpt_to_api.dialects.anthropic.faults import fault_of
from chatgpt_to_api.dialects.anthropic.messages import DIALECT, FORWARDED, VERSION
from chatgpt_to_api.dialects.anthropic.model_list import read_models
from chatgpt_to_api.dialects.anthropic.scanner import MessageScanner, read_whole
from chatgpt_to_api.dialects.anthropic.upstream_blocks import LONGEST_NAME
from chatgpt_to_api.dialects.anthropic.upstream_reply import MessageDecoder
from chatgpt_to_api.dialects.anthropic.upstream_request import check, dropped, request_object
from chatgpt_to_api.dialects.contract import Ids, ListedModel, UpstreamFault, WholeFacts
from chatgpt_to_api.wire.http import Header, HttpRequest, ReplyHead, RequestHead, split_url
from chatgpt_to_api.wire.secret import Access

_JSON: Final = (b"accept", b"application/json")
_STREAM: Final = (b"accept", b"text/event-stream")
_CONTENT: Final = (b"content-type", b"application/json")
_BETA: Final = b"beta=true"
"""The only query the API's clients send."""


class AnthropicServer:
    """A server at ``base_url``, with or without ``/v1``. Raises ValueError for a bad one."""

    def __init__(self, base_url: str) -> None:
        self._origin, path = split_url(base_url)
        path, _, query = path.partition("?")
        path = path.rstrip("/").removesuffix("/v1")
        self._path = path.encode() + b"/v1"
        self._query = query.encode()

    def post(
        self, path: bytes, body: bytes, access: Access, *headers: Header, query: bytes = b""
    ) -> HttpRequest:
        """Return the call that posts JSON to ``path``, which follows ``/v1``."""
        target = self._target(path, query)
        own = (*_shown(access), *headers, _CONTENT)
        return HttpRequest(b"POST", self._origin, target, own, body)

    def get(self, path: bytes, access: Access, query: bytes = b"") -> HttpRequest:
        """Return the call that asks for JSON at ``path``."""
        headers = (*_shown(access), (b"anthropic-version", VERSION), _JSON)
        return HttpRequest(b"GET", self._origin, self._target(path, query), headers)

    def _target(self, path: bytes, query: bytes) -> bytes:
        asked = b"&".join(filter(None, (self._query, query)))
        return self._path + path + (b"?" + asked if asked else b"")


class MessagesUpstream:
    """The messages endpoint of a server.

    ``longest`` is the longest answer, tokens, asked for where the client does not say how long it
    may be; without it the model's name tells.
    """

    dialect = DIALECT

    def __init__(self, base_url: str, *, longest: int | None = None) -> None:
        self._server = AnthropicServer(base_url)
        self._longest = longest

    def ignored(self, request: ChatRequest) -> tuple[str, ...]:
        """Name what the API or the model does not take. Raises InvalidRequest."""
        check(request)
        return dropped(request, request.model, self._longest)

    def lacks(self, request: ChatRequest) -> Set[str]:
        """Name what of a request the dialect cannot say: JSON without a schema it can promise."""
        form = request.json
        return frozenset() if form is None or (form.schema and form.strict) else frozenset({"json"})

    def encode(self, request: ChatRequest, model: str, access: Access, ids: Ids) -> HttpRequest:  # noqa: ARG002  # the contract's; this dialect puts no ids on the wire
        """Return the call that asks ``request`` of ``model``."""
        body = msgspec.json.encode(request_object(request, model, self._longest))
        own = _versioned(request.headers if request.dialect == DIALECT else ())
        accept = _STREAM if request.stream else _JSON
        return self._server.post(b"/messages", body, access, *own, accept)

    def decoder(self, request: ChatRequest, head: ReplyHead) -> MessageDecoder:
        """Return a decoder for a 2xx reply, be it a stream, one message or an error."""
        return MessageDecoder(head, ToolNames(request, LONGEST_NAME))

    def fault(self, head: ReplyHead, body: bytes, now: float) -> UpstreamFault:
        """Return what a non-2xx reply means. ``now`` is Unix time in seconds."""
        return fault_of(head, body, now)

    def forward(
        self,
        body: bytes,
        access: Access,
        *,
        model: str,  # noqa: ARG002  # it stands in the body
        stream: bool,
        head: RequestHead,
    ) -> HttpRequest:
        """Return the call that carries a client's own JSON, with its betas."""
        accept = _STREAM if stream else _JSON
        return self._server.post(
            b"/messages", body, access, *forwarded(head), accept, query=forwarded_query(head)
        )

    def facts(self, head: ReplyHead, body: bytes) -> WholeFacts:
        """Return what a relayed 2xx reply that came whole says."""
        return read_whole(head, body)

    def scanner(self, head: ReplyHead, *, hide_usage: bool) -> MessageScanner:  # noqa: ARG002  # it is in every message
        """Return a reader for a relayed 2xx stream."""
        return MessageScanner(head)

    def models_request(self, access: Access) -> HttpRequest:
        """Return the call that lists the server's models."""
        return self._server.get(b"/models", access, b"limit=1000")

    def read_models(self, body: bytes) -> list[ListedModel]:
        """Return the models of a list. Raises ValueError for what is none."""
        return read_models(body)

    def model_request(self, model: ListedModel, access: Access) -> None:
        """Return None: the list says all there is to say of a model."""

    def read_model(self, model: ListedModel, body: bytes) -> ListedModel:  # noqa: ARG002  # the contract's
        """Return the model as the list has it."""
        return model


def forwarded(head: RequestHead) -> tuple[Header, ...]:
    """Return a client's headers that go on as they are; the version is always said."""
    return _versioned(tuple(field for field in head.headers if field[0] in FORWARDED))


def _versioned(found: tuple[Header, ...]) -> tuple[Header, ...]:
    if any(name == b"anthropic-version" for name, _ in found):
        return found
    return ((b"anthropic-version", VERSION), *found)


def forwarded_query(head: RequestHead) -> bytes:
    """Return a client's query as far as it belongs to the request."""
    return _BETA if head.query == _BETA else b""


def _shown(access: Access) -> tuple[Header, ...]:
    """Return the header that shows a key, none for a server without keys."""
    if access.token is None:
        return ()
    return ((b"x-api-key", access.token.reveal().encode()),)
