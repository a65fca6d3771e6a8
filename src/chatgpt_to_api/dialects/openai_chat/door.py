"""Client side of chat completions: a request's first decode, and the dialect's errors."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Final

import msgspec

from chatgpt_to_api.chat.needs import Feature, Needs
from chatgpt_to_api.chat.request import ChatRequest
from chatgpt_to_api.dialects.bodies import decode_body, present, without_mark
from chatgpt_to_api.dialects.contract import Asked, Stamp
from chatgpt_to_api.dialects.openai.error_reply import error_reply
from chatgpt_to_api.dialects.openai.requests import rewritten
from chatgpt_to_api.dialects.openai_chat.door_parts import check_embedded
from chatgpt_to_api.dialects.openai_chat.door_reply import ChatReplyEncoder
from chatgpt_to_api.dialects.openai_chat.door_request import MAX_CHOICES, canonical
from chatgpt_to_api.dialects.openai_chat.messages import (
    DIALECT,
    ChatCompletionRequest,
    ChatMessage,
)
from chatgpt_to_api.dialects.openai_chat.needs import may_need, needs_of
from chatgpt_to_api.dialects.openai_chat.pictures import linked_pictures, with_pictures
from chatgpt_to_api.dialects.problems import check_depth, invalid, too_many
from chatgpt_to_api.errors import GatewayError
from chatgpt_to_api.wire.http import HttpReply, RequestHead
from chatgpt_to_api.wire.limits import RequestLimits

_EXAMPLE: Final = '{"model": "gpt-4o", "messages": [{"role": "user", "content": "Hello"}]}'
_SESSION_HEADERS: Final = (b"x-session-id", b"session-id")

_REQUEST: Final = msgspec.json.Decoder(ChatCompletionRequest)


class _Metadata(msgspec.Struct):
    user_id: str | None = None
    session_id: str | None = None


class _Spoken(msgspec.Struct):
    text: str | None = None


_METADATA: Final = msgspec.json.Decoder(_Metadata)
_SPOKEN: Final = msgspec.json.Decoder(_Spoken)


class ChatAsked:
    """One chat completions request: decoded and checked as far as every lane needs it."""

    __slots__ = ("_body", "_depth", "_head", "asked", "include_usage", "model", "n", "stream")

    untranslated = ()

    def __init__(
        self, head: RequestHead, body: bytes, asked: ChatCompletionRequest, depth: int
    ) -> None:
        self._head = head
        self._depth = depth
        self._body = body
        self.asked = asked
        self.model: str = asked.model
        self.stream: bool = bool(asked.stream)
        self.include_usage: bool = bool(
            asked.stream_options is not None and asked.stream_options.include_usage
        )
        self.n: int = asked.n or 1

    @property
    def affinity(self) -> bytes:
        """The session a header, ``prompt_cache_key`` or ``metadata`` names, else b""."""
        for name, value in self._head.headers:
            if name in _SESSION_HEADERS and value:
                return value[:1024]
        if self.asked.prompt_cache_key:
            return self.asked.prompt_cache_key[:1024].encode()
        if present(self.asked.metadata):
            try:
                metadata = _METADATA.decode(self.asked.metadata)
            except (msgspec.DecodeError, RecursionError):
                return b""  # an upstream's business; it names no session
            return (metadata.session_id or metadata.user_id or "")[:1024].encode()
        return b""

    @property
    def opening(self) -> bytes:
        """A digest of everything up to the first user message, once an assistant has spoken."""
        messages = self.asked.messages
        if not any(message.role == "assistant" for message in messages):
            return b""
        digest = hashlib.blake2b(digest_size=16)
        for message in messages:
            if message.role == "assistant":
                break
            digest.update(b"\x00" + message.role.encode() + b"\x00")
            for text in _texts(message):
                digest.update(text)
            if message.role == "user":
                break
        return digest.digest()

    def request(self) -> ChatRequest:
        """Return the whole request in canonical form. Raises InvalidRequest naming the field."""
        check_depth(self._body, self._depth)
        return canonical(self.asked, self._body)

    def linked_pictures(self) -> dict[str, str]:
        """Return the http(s) URLs of pictures, each with the path of its field."""
        return linked_pictures(self.asked.messages)

    def with_pictures(self, data: Mapping[str, str]) -> ChatAsked:
        """Return the request with URLs of pictures replaced by their data."""
        body = with_pictures(self._body, data)
        return ChatAsked(self._head, body, _REQUEST.decode(body), self._depth)

    def needs(self) -> Needs:
        """Return what it needs of its upstream."""
        return needs_of(self.asked)

    def may_need(self, feature: Feature) -> bool:
        """Return whether it may ask for ``feature``."""
        return may_need(self.asked, feature)

    def relayed(self, model: str, *, ask_usage: bool) -> bytes:
        """Return the client's own JSON; a field that must change is replaced in its place.

        Every other value keeps its bytes. With ``ask_usage`` a stream is asked to report usage.
        """
        ask_usage = ask_usage and self.stream and not self.include_usage
        if model == self.model and not ask_usage:
            return self._body
        other = None if model == self.model else model
        return rewritten(self._body, other, ask_usage=ask_usage)


class ChatDoor:
    """The door of ``POST /v1/chat/completions``."""

    dialect = DIALECT
    endpoint = "chat"

    def __init__(self, limits: RequestLimits = RequestLimits()) -> None:  # frozen
        self._limits = limits

    def ask(self, head: RequestHead, body: bytes) -> ChatAsked:
        """Decode and check a request, whatever its content type says.

        Raises InvalidRequest: where the JSON breaks, or which field is missing or wrong.
        """
        body = without_mark(body)
        limits = self._limits
        asked = decode_body(body, _REQUEST, _EXAMPLE, depth=limits.depth)
        if len(asked.messages) > limits.messages or asked.tools or asked.functions:
            self._check_counts(asked)
        if not asked.model:
            raise invalid("model", "expected a model's name, got an empty string")
        if not asked.messages:
            raise invalid("messages", "expected at least one message, got an empty array")
        if asked.n is not None and not 1 <= asked.n <= MAX_CHOICES:
            raise invalid("n", f"expected an integer from 1 to {MAX_CHOICES}, got {asked.n}")
        check_embedded(asked.messages)
        return ChatAsked(head, body, asked, limits.depth)

    def reply(self, asked: Asked, stamp: Stamp) -> ChatReplyEncoder:
        """Return the encoder of this request's reply."""
        legacy = (
            isinstance(asked, ChatAsked) and bool(asked.asked.functions) and not asked.asked.tools
        )
        return ChatReplyEncoder(asked, stamp, calls="function_call" if legacy else "tool_calls")

    def _check_counts(self, asked: ChatCompletionRequest) -> None:
        limits = self._limits
        if len(asked.messages) > limits.messages:
            raise too_many(
                "messages",
                "too_many_messages",
                len(asked.messages),
                limits.messages,
                "CHATGPT_TO_API_MAX_MESSAGES",
            )
        for name, tools in (("tools", asked.tools), ("functions", asked.functions)):
            if tools is not None and len(tools) > limits.tools:
                raise too_many(
                    name, "too_many_tools", len(tools), limits.tools, "CHATGPT_TO_API_MAX_TOOLS"
                )

    def failure(self, error: GatewayError) -> HttpReply:
        """Return a whole error reply in the dialect's shape."""
        return error_reply(error)


DOOR: Final = ChatDoor()


def _texts(message: ChatMessage) -> list[bytes]:
    """Return a message's words; marks beside them (``cache_control``) move between turns."""
    if message.content is None:
        return []
    if isinstance(message.content, str):
        return [message.content.encode()]
    texts = []
    for raw in message.content:
        try:
            spoken = _SPOKEN.decode(raw)
        except (msgspec.DecodeError, RecursionError):
            spoken = _Spoken()
        texts.append(bytes(raw) if spoken.text is None else spoken.text.encode())
    return texts
