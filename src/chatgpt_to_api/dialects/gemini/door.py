"""Client side of Gemini: a request's first decode, and the dialect's errors."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Final

import msgspec
from msgspec import Raw

from chatgpt_to_api.chat.needs import Feature, Needs
from chatgpt_to_api.chat.request import ChatRequest
from chatgpt_to_api.dialects.bodies import decode_body, without_mark
from chatgpt_to_api.dialects.contract import Asked, Stamp
from chatgpt_to_api.dialects.gemini.door_reply import GenerateReplyEncoder
from chatgpt_to_api.dialects.gemini.door_request import canonical, config_of
from chatgpt_to_api.dialects.gemini.error_reply import error_reply
from chatgpt_to_api.dialects.gemini.messages import DIALECT, GenerateContentRequest
from chatgpt_to_api.dialects.gemini.needs import may_need, needs_of, roles_and_texts
from chatgpt_to_api.dialects.gemini.paths import STREAM, place_of
from chatgpt_to_api.dialects.gemini.pictures import linked_pictures, with_pictures
from chatgpt_to_api.dialects.gemini.seals import without_others
from chatgpt_to_api.dialects.gemini.spelling import spelled
from chatgpt_to_api.dialects.problems import check_depth, invalid, too_many
from chatgpt_to_api.errors import GatewayError, InvalidRequest
from chatgpt_to_api.wire.http import HttpReply, RequestHead
from chatgpt_to_api.wire.limits import RequestLimits

_EXAMPLE: Final = '{"contents": [{"role": "user", "parts": [{"text": "Hello"}]}]}'
_SESSION_HEADERS: Final = (b"x-session-id", b"session-id")
_REQUEST: Final = msgspec.json.Decoder(GenerateContentRequest)
_RAW_OBJECT: Final = msgspec.json.Decoder(dict[str, Raw])


class GenerateAsked:
    """One request: decoded and checked as far as every lane needs it."""

    __slots__ = ("asked", "body", "config", "depth", "head", "model", "n", "place", "put_right")

    untranslated = ()
    include_usage = True  # this dialect's replies always tell it

    def __init__(
        self,
        head: RequestHead,
        body: bytes,
        put_right: bytes,
        asked: GenerateContentRequest,
        depth: int,
    ) -> None:
        self.head = head
        self.body = body
        self.put_right = put_right
        self.depth = depth
        self.asked = asked
        self.place = place_of(head)
        self.config = config_of(asked)
        self.model: str = self.place.model
        self.n: int = self.config.candidate_count or 1

    @property
    def stream(self) -> bool:
        """Whether the method is the streaming one."""
        return self.place.method == STREAM

    @property
    def shows_thoughts(self) -> bool:
        """Whether the client wants to see thoughts."""
        thinking = self.config.thinking_config
        return thinking is not None and bool(thinking.include_thoughts)

    @property
    def affinity(self) -> bytes:
        """The session a header names, else b"": the dialect's JSON names none."""
        for name, value in self.head.headers:
            if name in _SESSION_HEADERS and value:
                return value[:1024]
        return b""

    @property
    def opening(self) -> bytes:
        """A digest of everything up to the first turn of the user, once the model has spoken."""
        turns = roles_and_texts(self.asked)
        if not any(role == "model" for role, _ in turns):
            return b""
        digest = hashlib.blake2b(digest_size=16)
        for role, texts in turns:
            if role == "model":
                break
            digest.update(b"\x00" + role.encode() + b"\x00")
            for text in texts:
                digest.update(text)
            if role == "user":
                break
        return digest.digest()

    def request(self) -> ChatRequest:
        """Return the whole request in canonical form. Raises InvalidRequest naming the field."""
        check_depth(self.put_right, self.depth)
        return canonical(
            self.asked, self.config, self.put_right, model=self.model, stream=self.stream
        )

    def linked_pictures(self) -> dict[str, str]:
        """Return the http(s) URLs of pictures, each with the path of its field."""
        return linked_pictures(self.asked.contents)

    def with_pictures(self, data: Mapping[str, str]) -> GenerateAsked:
        """Return the request with URLs of pictures replaced by their data."""
        body = with_pictures(self.put_right, data)
        return GenerateAsked(self.head, body, body, _REQUEST.decode(body), self.depth)

    def needs(self) -> Needs:
        """Return what it needs of its upstream."""
        return needs_of(self.asked, self.config)

    def may_need(self, feature: Feature) -> bool:
        """Return whether it may ask for ``feature``."""
        return may_need(self.asked, self.config, feature)

    def relayed(self, model: str, *, ask_usage: bool) -> bytes:  # noqa: ARG002  # replies always tell it
        """Return the client's own JSON: the model stands in the path, and rarely here too.

        What other vendors have sealed is no signature of the dialect's own servers.
        """
        body = without_others(self.body)
        if self.asked.model is None:
            return body
        fields = _RAW_OBJECT.decode(body)
        fields["model"] = Raw(msgspec.json.encode(f"models/{model.removeprefix('models/')}"))
        return msgspec.json.encode(fields)


class GenerateDoor:
    """The door of ``POST …/models/{model}:generateContent`` and ``:streamGenerateContent``."""

    dialect = DIALECT
    endpoint = "chat"

    def __init__(self, limits: RequestLimits = RequestLimits()) -> None:  # frozen
        self._limits = limits

    def ask(self, head: RequestHead, body: bytes) -> GenerateAsked:
        """Decode and check a request, whatever its content type says.

        Raises InvalidRequest: where the JSON breaks, or which field is missing or wrong.
        """
        body = without_mark(body)
        put_right = spelled(body)
        asked = decode_body(put_right, _REQUEST, _EXAMPLE, depth=self._limits.depth)
        if not asked.contents:
            raise invalid("contents", "expected at least one turn, got an empty array")
        self._check_counts(asked)
        found = GenerateAsked(head, body, put_right, asked, self._limits.depth)
        if not found.model:
            raise InvalidRequest(
                "The path names no model: it is /v1beta/models/{model}:generateContent.",
                param="model",
                code="missing_required_parameter",
            )
        return found

    def reply(self, asked: Asked, stamp: Stamp) -> GenerateReplyEncoder:
        """Return the encoder of this request's reply."""
        assert isinstance(asked, GenerateAsked)
        framing = asked.place.framing
        return GenerateReplyEncoder(
            asked.model, stamp, framing, shows_thoughts=asked.shows_thoughts
        )

    def failure(self, error: GatewayError) -> HttpReply:
        """Return a whole error reply in the dialect's shape."""
        return error_reply(error)

    def _check_counts(self, asked: GenerateContentRequest) -> None:
        limits = self._limits
        if len(asked.contents) > limits.messages:
            raise too_many(
                "contents",
                "too_many_messages",
                len(asked.contents),
                limits.messages,
                "CHATGPT_TO_API_MAX_MESSAGES",
            )
        if asked.tools is not None and len(asked.tools) > limits.tools:
            raise too_many(
                "tools",
                "too_many_tools",
                len(asked.tools),
                limits.tools,
                "CHATGPT_TO_API_MAX_TOOLS",
            )


DOOR: Final = GenerateDoor()
