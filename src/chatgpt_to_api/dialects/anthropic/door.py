"""Client side of the messages API: a request's first decode, and the dialect's errors."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Final

import msgspec

from chatgpt_to_api.chat.needs import Feature, Needs
from chatgpt_to_api.chat.request import ChatRequest
from chatgpt_to_api.dialects.anthropic.door_reply import MessageEncoder
from chatgpt_to_api.dialects.anthropic.door_request import canonical
from chatgpt_to_api.dialects.anthropic.errors import error_reply
from chatgpt_to_api.dialects.anthropic.messages import (
    BILLING,
    DIALECT,
    FORWARDED,
    MessagesRequest,
)
from chatgpt_to_api.dialects.anthropic.needs import may_need, needs_of
from chatgpt_to_api.dialects.anthropic.pictures import linked_pictures, with_pictures
from chatgpt_to_api.dialects.bodies import decode_body, present, without_mark
from chatgpt_to_api.dialects.contract import Asked, Stamp
from chatgpt_to_api.dialects.problems import check_depth, invalid, too_many
from chatgpt_to_api.errors import GatewayError
from chatgpt_to_api.wire.http import HttpReply, RequestHead
from chatgpt_to_api.wire.limits import RequestLimits

_EXAMPLE: Final = (
    '{"model": "claude-sonnet-4-5", "max_tokens": 1024, '
    '"messages": [{"role": "user", "content": "Hello"}]}'
)
_SESSION_HEADERS: Final = (b"x-claude-code-session-id", b"x-session-id", b"session-id")
_LONGEST_SESSION: Final = 1024

_REQUEST: Final = msgspec.json.Decoder(MessagesRequest)
_RAW_OBJECT: Final = msgspec.json.Decoder(dict[str, msgspec.Raw])


class _Metadata(msgspec.Struct):
    user_id: str | None = None


class _User(msgspec.Struct):
    session_id: str


class _Spoken(msgspec.Struct):
    text: str | None = None


_METADATA: Final = msgspec.json.Decoder(_Metadata)
_USER: Final = msgspec.json.Decoder(_User)
_SPOKEN: Final = msgspec.json.Decoder(_Spoken)


class MessagesAsked:
    """One request: decoded and checked as far as every lane needs it."""

    __slots__ = ("_body", "_depth", "_head", "_session", "asked", "model", "stream")

    include_usage = True
    n = 1
    untranslated = ()

    def __init__(self, head: RequestHead, body: bytes, asked: MessagesRequest, depth: int) -> None:
        self._head = head
        self._body = body
        self._depth = depth
        self._session: bytes | None = None
        self.asked = asked
        self.model: str = asked.model
        self.stream: bool = bool(asked.stream)

    @property
    def affinity(self) -> bytes:
        """The session that a header or ``metadata.user_id`` names, else b""."""
        if self._session is None:
            self._session = self._named_session()[:_LONGEST_SESSION]
        return self._session

    @property
    def opening(self) -> bytes:
        """A digest of everything up to the first user turn, once an assistant has spoken."""
        messages = self.asked.messages
        if not any(message.role == "assistant" for message in messages):
            return b""
        digest = hashlib.blake2b(digest_size=16)
        for text in _texts(self.asked.system):
            digest.update(b"\x00s\x00" + text)
        for message in messages:
            if message.role == "assistant":
                break
            digest.update(b"\x00" + message.role.encode() + b"\x00")
            for text in _texts(message.content):
                digest.update(text)
            if message.role == "user":
                break
        return digest.digest()

    def request(self) -> ChatRequest:
        """Return the whole request in canonical form. Raises InvalidRequest naming the field."""
        check_depth(self._body, self._depth)
        asked = canonical(self.asked, self._body, self.affinity)
        own = tuple(field for field in self._head.headers if field[0] in FORWARDED)
        return msgspec.structs.replace(asked, headers=own) if own else asked

    def linked_pictures(self) -> dict[str, str]:
        """Return the http(s) URLs of pictures, each with the path of its field."""
        return linked_pictures(self.asked.messages)

    def with_pictures(self, data: Mapping[str, str]) -> MessagesAsked:
        """Return the request with URLs of pictures replaced by their data."""
        body = with_pictures(self._body, data)
        return MessagesAsked(self._head, body, _REQUEST.decode(body), self._depth)

    def needs(self) -> Needs:
        """Return what it needs of its upstream."""
        return needs_of(self.asked)

    def relayed(self, model: str, *, ask_usage: bool) -> bytes:  # noqa: ARG002  # usage always comes
        """Return the client's own JSON with another model; every other value keeps its bytes."""
        if model == self.model:
            return self._body
        fields = _RAW_OBJECT.decode(self._body)
        fields["model"] = msgspec.Raw(msgspec.json.encode(model))
        return msgspec.json.encode(fields)

    def _named_session(self) -> bytes:
        for name, value in self._head.headers:
            if name in _SESSION_HEADERS and value:
                return value
        if not present(self.asked.metadata):
            return b""
        try:
            user = _METADATA.decode(self.asked.metadata).user_id or ""
        except (msgspec.DecodeError, RecursionError):
            return b""  # an upstream's business; it names no session
        try:
            return _USER.decode(user).session_id.encode()
        except (msgspec.DecodeError, RecursionError):
            return user.encode()

    def may_need(self, feature: Feature) -> bool:
        """Return whether it may ask for ``feature``."""
        return may_need(self.asked, feature)


class MessagesDoor:
    """The door of ``POST /v1/messages``."""

    dialect = DIALECT
    endpoint = "chat"

    def __init__(self, limits: RequestLimits = RequestLimits()) -> None:  # frozen
        self._limits = limits

    def ask(self, head: RequestHead, body: bytes) -> MessagesAsked:
        """Decode and check a request, whatever its content type says.

        Raises InvalidRequest: where the JSON breaks, or which field is missing or wrong.
        """
        body = without_mark(body)
        limits = self._limits
        asked = decode_body(body, _REQUEST, _EXAMPLE, depth=limits.depth)
        if not asked.model:
            raise invalid("model", "expected a model's name, got an empty string")
        if not asked.messages:
            raise invalid("messages", "expected at least one message, got an empty array")
        if len(asked.messages) > limits.messages:
            count, setting = len(asked.messages), "CHATGPT_TO_API_MAX_MESSAGES"
            raise too_many("messages", "too_many_messages", count, limits.messages, setting)
        if asked.tools is not None and len(asked.tools) > limits.tools:
            count, setting = len(asked.tools), "CHATGPT_TO_API_MAX_TOOLS"
            raise too_many("tools", "too_many_tools", count, limits.tools, setting)
        return MessagesAsked(head, body, asked, limits.depth)

    def reply(self, asked: Asked, stamp: Stamp) -> MessageEncoder:
        """Return the encoder of this request's reply."""
        return MessageEncoder(asked.model, stamp)

    def failure(self, error: GatewayError) -> HttpReply:
        """Return a whole error reply in the dialect's shape."""
        return error_reply(error)


DOOR: Final = MessagesDoor()


def _texts(content: str | list[msgspec.Raw] | None) -> list[bytes]:
    """Return a turn's words; marks beside them (``cache_control``) move between turns."""
    if not content:
        return []
    if isinstance(content, str):
        return [content.encode()]
    texts = []
    for raw in content:
        try:
            text = _SPOKEN.decode(raw).text
        except (msgspec.DecodeError, RecursionError):
            text = None
        if text is None:
            texts.append(bytes(raw))
        elif not text.startswith(BILLING):  # it is another one each time
            texts.append(text.encode())
    return texts
