"""Backend side of chat completions: one OpenAI-compatible server."""

from __future__ import annotations

from typing import Literal

import msgspec

from chatgpt_to_api.chat.request import ChatRequest
from chatgpt_to_api.dialects.contract import Ids, ListedModel, UpstreamFault, WholeFacts
from chatgpt_to_api.dialects.faults import fault_of_reply
from chatgpt_to_api.dialects.openai.model_list import read_models
from chatgpt_to_api.dialects.openai.scanner import ReplyScanner
from chatgpt_to_api.dialects.openai.server import OpenAIServer
from chatgpt_to_api.dialects.openai.whole import read_whole
from chatgpt_to_api.dialects.openai_chat.messages import DIALECT
from chatgpt_to_api.dialects.openai_chat.plain import (
    check_files,
    in_plain_words,
    own_names,
    unsaid,
    with_late_system_as_user,
)
from chatgpt_to_api.dialects.openai_chat.upstream_reply import ChatReplyDecoder
from chatgpt_to_api.dialects.openai_chat.upstream_request import (
    fixed_sampling,
    foreign_names,
    request_object,
)
from chatgpt_to_api.wire.http import HttpRequest, ReplyHead, RequestHead
from chatgpt_to_api.wire.secret import Access


class ChatUpstream:
    """An OpenAI-compatible server at ``base_url`` (which ends in ``/v1`` or the like).

    ``include_usage``: streams of translated requests are asked to report usage; off for servers
    that refuse the option. ``late_system``: as whose words system messages after the first turn are
    sent. Raises ValueError for a bad URL.
    """

    dialect = DIALECT

    def __init__(
        self,
        base_url: str,
        *,
        include_usage: bool = True,
        late_system: Literal["system", "user"] = "system",
    ) -> None:
        self._late_as_user = late_system == "user"
        self._server = OpenAIServer(base_url)
        self._chat = self._server.target(b"/chat/completions")
        self._include_usage = include_usage

    def ignored(self, request: ChatRequest) -> tuple[str, ...]:
        """Name what a model that thinks refuses, and what other dialects have that this has not.

        Raises InvalidRequest for a document that only its URL tells.
        """
        check_files(request)
        names = (*fixed_sampling(request), *foreign_names(request))
        return (*names, *(request.named(name) for name in unsaid(request, request.model)))

    def encode(self, request: ChatRequest, model: str, access: Access, ids: Ids) -> HttpRequest:  # noqa: ARG002  # the contract's; this dialect puts no ids on the wire
        """Return the call that asks ``request`` of ``model``."""
        usage = self._include_usage or request.include_usage
        plain = in_plain_words(request, model)
        if self._late_as_user:
            plain = with_late_system_as_user(plain)
        body = request_object(plain, model, include_usage=usage)
        data = msgspec.json.encode(body)
        return self._server.post_at(self._chat, data, access, stream=request.stream)

    def decoder(self, request: ChatRequest, head: ReplyHead) -> ChatReplyDecoder:
        """Return a decoder for a 2xx reply, be it a stream, one object or an error."""
        return ChatReplyDecoder(head, own_names(request))

    def fault(self, head: ReplyHead, body: bytes, now: float) -> UpstreamFault:
        """Return what a non-2xx reply means. ``now`` is Unix time in seconds."""
        return fault_of_reply(head, body, now)

    def forward(
        self,
        body: bytes,
        access: Access,
        *,
        model: str,  # noqa: ARG002  # it stands in the body
        stream: bool,
        head: RequestHead,  # noqa: ARG002  # no header of a client means anything here
    ) -> HttpRequest:
        """Return the call that carries a client's own JSON."""
        return self._server.post_at(self._chat, body, access, stream=stream)

    def facts(self, head: ReplyHead, body: bytes) -> WholeFacts:
        """Return what a relayed 2xx reply that came whole says."""
        return read_whole(head, body)

    def scanner(self, head: ReplyHead, *, hide_usage: bool) -> ReplyScanner:
        """Return a reader for a relayed 2xx stream."""
        return ReplyScanner(head, hide_usage=hide_usage)

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
