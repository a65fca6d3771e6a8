"""Client side of ``/api/chat`` and ``/api/generate``: first decode, and the dialect's errors.

Source: https://docs.ollama.com/api/chat, https://docs.ollama.com/api/generate
"""

from __future__ import annotations

import hashlib
from typing import Final, Generic, TypeVar

import msgspec

from chatgpt_to_api.chat.needs import BYTES_PER_TOKEN, Feature, Need, Needs
from chatgpt_to_api.chat.request import ChatRequest
from chatgpt_to_api.dialects.bodies import decode_body, present, without_mark
from chatgpt_to_api.dialects.contract import Asked, Stamp
from chatgpt_to_api.dialects.ollama.door_reply import OllamaReplyEncoder, loaded_reply
from chatgpt_to_api.dialects.ollama.door_request import of_chat, of_generate
from chatgpt_to_api.dialects.ollama.errors import error_reply
from chatgpt_to_api.dialects.ollama.images import image_problem
from chatgpt_to_api.dialects.ollama.messages import (
    DIALECT,
    GENERATE,
    Asking,
    OllamaChatRequest,
    OllamaGenerateRequest,
    bare,
)
from chatgpt_to_api.dialects.ollama.rewriting import renamed
from chatgpt_to_api.dialects.problems import check_depth, invalid, too_many
from chatgpt_to_api.errors import GatewayError
from chatgpt_to_api.wire.http import HttpReply, RequestHead
from chatgpt_to_api.wire.limits import RequestLimits

_CHAT: Final = msgspec.json.Decoder(OllamaChatRequest)
_GENERATE: Final = msgspec.json.Decoder(OllamaGenerateRequest)
_SESSION_HEADERS: Final = (b"x-session-id", b"session-id")

A = TypeVar("A", bound=Asking)


class OllamaAsked(Generic[A]):
    """One request, decoded and checked as far as every lane needs it. Subclassed for each path."""

    include_usage = True  # the last line of every reply has the counts
    n = 1
    untranslated: tuple[str, ...] = ()

    def __init__(self, head: RequestHead, body: bytes, asked: A, depth: int) -> None:
        self._head = head
        self._body = body
        self._depth = depth
        self.asked = asked
        self.model: str = bare(asked.model)
        self.stream: bool = asked.stream is not False

    @property
    def affinity(self) -> bytes:
        """The session a header names, else b""."""
        for name, value in self._head.headers:
            if name in _SESSION_HEADERS and value:
                return value[:1024]
        return b""

    @property
    def opening(self) -> bytes:
        """Nothing: a single question opens no conversation."""
        return b""

    @property
    def loads(self) -> bool:
        """Whether nothing is asked: the model is only to be loaded, or unloaded."""
        return False

    def loaded(self, stamp: Stamp) -> HttpReply:
        """Answer a request that asks nothing."""
        return loaded_reply(self.asked, stamp)

    def request(self) -> ChatRequest:
        """Return the whole request in canonical form. Raises InvalidRequest naming the field."""
        check_depth(self._body, self._depth)
        return self._canonical()

    def _canonical(self) -> ChatRequest:
        raise AssertionError("each path has its own")

    def needs(self) -> Needs:
        """Return what it needs of its upstream."""
        fields: dict[Need, str] = {}
        if present(self.asked.format) and bytes(self.asked.format) != b'""':
            fields["json"] = "format"
        return Needs(fields, len(self._body) // BYTES_PER_TOKEN)

    def may_need(self, feature: Feature) -> bool:
        """Return whether it may ask for ``feature``."""
        options = self.asked.options
        match feature:
            case "json":
                return present(self.asked.format)
            case "stop":
                return options is not None and bool(options.stop)
            case "max_tokens":
                return options is not None and options.num_predict is not None
            case "tools":
                return self._may_need_tools()
            case "freeform" | "n":
                return False

    def _may_need_tools(self) -> bool:
        return False

    def relayed(self, model: str, *, ask_usage: bool) -> bytes:  # noqa: ARG002  # it always comes
        """Return the client's own JSON with another ``model``; all else keeps its bytes."""
        return self._body if model == self.model else renamed(self._body, model)


class OllamaChatAsked(OllamaAsked[OllamaChatRequest]):
    """One ``/api/chat`` request."""

    @property
    def opening(self) -> bytes:
        """A digest of everything up to the first user message, once an assistant has spoken."""
        messages = self.asked.messages or ()
        if not any(message.role == "assistant" for message in messages):
            return b""
        digest = hashlib.blake2b(digest_size=16)
        for message in messages:
            if message.role == "assistant":
                break
            content = (message.content or "").encode("utf-8", "surrogatepass")
            digest.update(b"\x00" + message.role.encode("utf-8", "surrogatepass") + b"\x00")
            digest.update(content)
            if message.role == "user":
                break
        return digest.digest()

    @property
    def loads(self) -> bool:
        """Whether there is no message."""
        return not self.asked.messages

    def needs(self) -> Needs:
        """Return what it needs of its upstream; a picture's length says nothing of its tokens."""
        needs = super().needs()
        fields = dict(needs.fields)
        if self.asked.tools:
            fields["tools"] = "tools"
        length = len(self._body)
        for index, message in enumerate(self.asked.messages or ()):
            if message.images:
                fields.setdefault("images", f"messages[{index}].images[0]")
                length -= sum(map(len, message.images))
        return Needs(fields, max(0, length) // BYTES_PER_TOKEN)

    def _may_need_tools(self) -> bool:
        messages = self.asked.messages or ()
        return bool(self.asked.tools) or any(m.tool_calls or m.role == "tool" for m in messages)

    def _canonical(self) -> ChatRequest:
        return of_chat(self.asked, self._body)


class OllamaGenerateAsked(OllamaAsked[OllamaGenerateRequest]):
    """One ``/api/generate`` request."""

    @property
    def untranslated(self) -> tuple[str, ...]:  # type: ignore[override]
        """What only the model's own server could do: its template, or none."""
        return tuple(name for name in ("template", "raw") if getattr(self.asked, name))

    @property
    def loads(self) -> bool:
        """Whether there is no prompt."""
        return not self.asked.prompt and not self.asked.suffix

    def needs(self) -> Needs:
        """Return what it needs of its upstream; a picture's length says nothing of its tokens."""
        needs = super().needs()
        shown = self.asked.images
        if not shown:
            return needs
        fields = {**needs.fields, "images": "images[0]"}
        return Needs(fields, (len(self._body) - sum(map(len, shown))) // BYTES_PER_TOKEN)

    def _canonical(self) -> ChatRequest:
        return of_generate(self.asked, self._body)


class _Door:
    endpoint = "chat"

    def __init__(self, limits: RequestLimits = RequestLimits()) -> None:  # frozen
        self._limits = limits

    def failure(self, error: GatewayError) -> HttpReply:
        """Return a whole error reply in the dialect's shape."""
        return error_reply(error)


class OllamaChatDoor(_Door):
    """The door of ``POST /api/chat``."""

    dialect = DIALECT

    def ask(self, head: RequestHead, body: bytes) -> OllamaChatAsked:
        """Decode and check a request, whatever its content type says.

        Raises InvalidRequest: where the JSON breaks, or which field is missing or wrong.
        """
        body = without_mark(body)
        limits = self._limits
        example = '{"model": "llama3.2", "messages": [{"role": "user", "content": "Hello"}]}'
        asked = decode_body(body, _CHAT, example, depth=limits.depth)
        _check_model(asked)
        messages, tools = asked.messages or (), asked.tools or ()
        if len(messages) > limits.messages:
            setting = "CHATGPT_TO_API_MAX_MESSAGES"
            raise too_many("messages", "too_many_messages", len(messages), limits.messages, setting)
        if len(tools) > limits.tools:
            setting = "CHATGPT_TO_API_MAX_TOOLS"
            raise too_many("tools", "too_many_tools", len(tools), limits.tools, setting)
        for index, message in enumerate(messages):
            _check_images(message.images, f"messages[{index}].images")
        return OllamaChatAsked(head, body, asked, limits.depth)

    def reply(self, asked: Asked, stamp: Stamp) -> OllamaReplyEncoder:
        """Return the encoder of this request's reply."""
        assert isinstance(asked, OllamaChatAsked)
        return OllamaReplyEncoder(asked.asked, stamp)


class OllamaGenerateDoor(_Door):
    """The door of ``POST /api/generate``."""

    dialect = GENERATE

    def ask(self, head: RequestHead, body: bytes) -> OllamaGenerateAsked:
        """Decode and check a request. Raises InvalidRequest as the other door does."""
        body = without_mark(body)
        example = '{"model": "llama3.2", "prompt": "Hello"}'
        asked = decode_body(body, _GENERATE, example, depth=self._limits.depth)
        _check_model(asked)
        _check_images(asked.images, "images")
        return OllamaGenerateAsked(head, body, asked, self._limits.depth)

    def reply(self, asked: Asked, stamp: Stamp) -> OllamaReplyEncoder:
        """Return the encoder of this request's reply."""
        assert isinstance(asked, OllamaGenerateAsked)
        return OllamaReplyEncoder(asked.asked, stamp)


CHAT_DOOR: Final = OllamaChatDoor()
GENERATE_DOOR: Final = OllamaGenerateDoor()


def _check_model(asked: Asking) -> None:
    if not asked.model:
        raise invalid("model", "expected a model's name, got an empty string")


def _check_images(images: list[str] | None, param: str) -> None:
    for index, data in enumerate(images or ()):
        problem = image_problem(data)
        if problem is not None:
            raise invalid(f"{param}[{index}]", problem)
