"""Client side of Responses: a request's first decode, what it is joined to, its errors."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec
from msgspec import Raw

from chatgpt_to_api.chat.needs import Feature, Needs
from chatgpt_to_api.chat.request import ChatRequest
from chatgpt_to_api.dialects.bodies import decode_body, present, without_mark
from chatgpt_to_api.dialects.contract import Asked, Stamp
from chatgpt_to_api.dialects.openai.error_reply import error_reply
from chatgpt_to_api.dialects.openai_responses.door_needs import may_need, needs_of
from chatgpt_to_api.dialects.openai_responses.door_output import on_one_line
from chatgpt_to_api.dialects.openai_responses.door_pictures import (
    linked_pictures,
    with_pictures,
)
from chatgpt_to_api.dialects.openai_responses.door_reply import QUOTA, ResponseEncoder
from chatgpt_to_api.dialects.openai_responses.door_request import SEALED_THOUGHTS, canonical
from chatgpt_to_api.dialects.openai_responses.door_tools import Declared, declared_by
from chatgpt_to_api.dialects.openai_responses.messages import (
    DIALECT,
    AnyItem,
    ConversationReference,
    ResponsesRequest,
)
from chatgpt_to_api.dialects.openai_responses.own_ids import without_own_ids
from chatgpt_to_api.dialects.problems import check_depth, invalid, too_many
from chatgpt_to_api.errors import GatewayError, InvalidRequest
from chatgpt_to_api.wire.http import HttpReply, RequestHead
from chatgpt_to_api.wire.limits import RequestLimits

_EXAMPLE: Final = '{"model": "gpt-4o", "input": "Hello"}'
_SESSION_HEADERS: Final = (b"session-id", b"session_id", b"thread-id", b"x-session-id")
_RETRY_AFTER: Final = b"retry-after"

_REQUEST: Final = msgspec.json.Decoder(ResponsesRequest)
_RAW_OBJECT: Final = msgspec.json.Decoder(dict[str, Raw])
_ANY_ITEM: Final = msgspec.json.Decoder(AnyItem)
_ENCODE: Final = msgspec.json.Encoder().encode

_NULL: Final = Raw(b"null")
_TOLD: Final[Mapping[str, Raw]] = {
    "instructions": _NULL,
    "max_output_tokens": _NULL,
    "max_tool_calls": _NULL,
    "metadata": Raw(b"{}"),
    "parallel_tool_calls": Raw(b"true"),
    "previous_response_id": _NULL,
    "prompt_cache_key": _NULL,
    "reasoning": Raw(b'{"effort":null,"summary":null}'),
    "safety_identifier": _NULL,
    "store": Raw(b"true"),
    "temperature": _NULL,
    "text": Raw(b'{"format":{"type":"text"}}'),
    "tool_choice": Raw(b'"auto"'),
    "tools": Raw(b"[]"),
    "top_logprobs": Raw(b"0"),
    "top_p": _NULL,
    "truncation": Raw(b'"disabled"'),
    "user": _NULL,
}
"""What every response repeats of its request, with what holds where the request says nothing."""

MOST_METADATA: Final = 16
LONGEST_METADATA_KEY: Final = 64
LONGEST_METADATA_VALUE: Final = 512
"""What may be noted on a response, as the vendor allows it."""


class ResponsesAsked:
    """One request, decoded and checked as far as every lane needs it.

    By itself it is what the client sent. What was said before comes from whoever keeps responses
    (:meth:`joined`).
    """

    n = 1
    include_usage = True  # which the dialect's streams always bring
    untranslated = ()

    def __init__(
        self,
        head: RequestHead,
        body: bytes,
        asked: ResponsesRequest,
        depth: int,
        items: Sequence[Raw] | None = None,
        before: Sequence[Raw] = (),
        thread: str = "",
    ) -> None:
        """``items`` are those of the request, ``before`` those that precede them; ``thread`` names
        what they are joined to.
        """
        self._head = head
        self._body = body
        self._depth = depth
        self._before = tuple(before)
        self._thread = thread
        self._replaced = items is not None
        self.own_items: tuple[Raw, ...] = tuple(_own_items(asked) if items is None else items)
        """What this request brings: its ``input``, as items."""
        self.asked = asked
        self.model: str = asked.model
        self.stream: bool = bool(asked.stream)
        self.encoder: ResponseEncoder | None = None
        """The encoder of the reply, once it is made."""
        self._declared: Declared | None = None
        self._fields: dict[str, Raw] | None = None

    def joined(self, items: Sequence[Raw], before: Sequence[Raw], thread: str) -> ResponsesAsked:
        """Return the request with ``items`` for its own, behind those that were ``before``."""
        return ResponsesAsked(
            self._head, self._body, self.asked, self._depth, items, before, thread
        )

    @property
    def kept(self) -> bool:
        """Whether the response is to be kept."""
        return self.asked.store is not False

    @property
    def conversation(self) -> str:
        """The id of the conversation it belongs to, "" without one."""
        given = self.asked.conversation
        return given.id if isinstance(given, ConversationReference) else given or ""

    @property
    def references(self) -> list[tuple[int, str]]:
        """Items given by their ids alone: their places, and the ids."""
        found = []
        for place, raw in enumerate(self.own_items):
            if b"item_reference" in bytes(raw) or b'"type"' not in bytes(raw):
                item = _any_item(raw)
                if item.id is not None and (
                    item.type == "item_reference" or (item.type is None and item.role is None)
                ):
                    found.append((place, item.id))
        return found

    @property
    def affinity(self) -> bytes:
        """The session that a header, ``prompt_cache_key`` or what it is joined to names."""
        for name, value in self._head.headers:
            if name in _SESSION_HEADERS and value:
                return value[:1024]
        if self.asked.prompt_cache_key:
            return self.asked.prompt_cache_key[:1024].encode()
        return self._thread.encode()

    @property
    def opening(self) -> bytes:
        """A digest of everything up to the first user message, once the model has spoken."""
        digest = hashlib.blake2b((self.asked.instructions or "").encode(), digest_size=16)
        opened = False
        for raw in (*self._before, *self.own_items):
            item = _any_item(raw)
            if item.role is None or item.role == "assistant":
                if item.type != "additional_tools":
                    return digest.digest()
            elif not opened:
                digest.update(b"\x00" + item.role.encode() + b"\x00" + bytes(raw))
                opened = item.role == "user"
        return b""

    def request(self) -> ChatRequest:
        """Return the whole request in canonical form. Raises InvalidRequest naming the field."""
        check_depth(self._body, self._depth)
        return canonical(self.asked, self._told_fields(), self._items(), self._tools())

    def linked_pictures(self) -> dict[str, str]:
        """Return the http(s) URLs of pictures, each with the path of its field."""
        return linked_pictures(self._items())

    def with_pictures(self, data: Mapping[str, str]) -> ResponsesAsked:
        """Return the request with URLs of pictures replaced by their data."""
        return self.joined(
            with_pictures(self.own_items, data), with_pictures(self._before, data), self._thread
        )

    def needs(self) -> Needs:
        """Return what it needs of its upstream."""
        return needs_of(self.asked, self._items())

    def may_need(self, feature: Feature) -> bool:
        """Return whether it may ask for ``feature``."""
        return may_need(self.asked, self._items(), feature)

    def relayed(self, model: str, *, ask_usage: bool) -> bytes:  # noqa: ARG002  # always reported
        """Return the client's own JSON with another model's name; all else keeps its bytes.

        What the request is joined to stands in it instead of the ids that name it, and items
        without the ids that were given here.
        """
        items = [*self._before, *self.own_items]
        nameless = without_own_ids(items)
        joined = self._replaced or bool(self._before)
        if nameless is None and not joined and model == self.model:
            return self._body
        left = ("previous_response_id", "conversation") if joined else ()
        fields = {n: v for n, v in self._told_fields().items() if n not in left}
        if nameless is not None or joined:
            fields["input"] = Raw(_ENCODE(nameless or items))
        fields["model"] = Raw(_ENCODE(model))
        return _ENCODE(fields)

    def told(self) -> dict[str, Any]:
        """Return what a response repeats of the request."""
        fields = self._told_fields()
        told: dict[str, Any] = {
            name: on_one_line(fields[name]) if name in fields and present(fields[name]) else usual
            for name, usual in _TOLD.items()
        }
        if self.conversation:
            told["conversation"] = {"id": self.conversation}
        return told

    def known_as(self) -> Declared:
        """Return the tools that can be called. Raises InvalidRequest."""
        return self._tools()

    @property
    def shows_seals(self) -> bool:
        """Whether the client wants to carry what is sealed in thoughts itself."""
        return SEALED_THOUGHTS in (self.asked.include or ())

    def _items(self) -> list[tuple[Raw, str]]:
        """Return all items with the paths they stand at."""
        before = "conversation" if self.conversation else "previous_response_id"
        return [
            *((raw, before) for raw in self._before),
            *((raw, f"input[{index}]") for index, raw in enumerate(self.own_items)),
        ]

    def _tools(self) -> Declared:
        if self._declared is None:
            self._declared = declared_by(self.asked.tools, self._items())
        return self._declared

    def _told_fields(self) -> dict[str, Raw]:
        if self._fields is None:
            self._fields = _RAW_OBJECT.decode(self._body)
        return self._fields


class ResponsesDoor:
    """The door of ``POST /v1/responses``."""

    dialect = DIALECT
    endpoint = "chat"

    def __init__(self, limits: RequestLimits = RequestLimits()) -> None:  # frozen
        self._limits = limits

    def ask(self, head: RequestHead, body: bytes) -> ResponsesAsked:
        """Decode and check a request, whatever its content type says.

        Raises InvalidRequest: where the JSON breaks, or which field is missing or wrong.
        """
        body = without_mark(body)
        limits = self._limits
        asked = decode_body(body, _REQUEST, _EXAMPLE, depth=limits.depth)
        if not asked.model:
            raise invalid("model", "expected a model's name, got an empty string")
        if asked.previous_response_id and asked.conversation:
            raise InvalidRequest(
                "'previous_response_id' and 'conversation' exclude each other: a response belongs "
                "to one of the two.",
                param="conversation",
                code="mutually_exclusive_parameters",
            )
        if not asked.input and not asked.previous_response_id and not asked.conversation:
            if asked.input is None:
                raise InvalidRequest(
                    "Missing required parameter: 'input'.",
                    param="input",
                    code="missing_required_parameter",
                )
            raise invalid("input", f"expected something to answer, got {asked.input!r}")
        check_metadata(asked.metadata)
        self._check_counts(asked)
        return ResponsesAsked(head, body, asked, limits.depth)

    def reply(self, asked: Asked, stamp: Stamp) -> ResponseEncoder:
        """Return the encoder of this request's reply."""
        assert isinstance(asked, ResponsesAsked)
        asked.encoder = ResponseEncoder(
            asked.model,
            stamp,
            asked.told(),
            lambda name: asked.known_as().known_as(name),
            show_seals=asked.shows_seals,
        )
        return asked.encoder

    def failure(self, error: GatewayError) -> HttpReply:
        """Return a whole error reply in the dialect's shape.

        An agent gives up at once on a 429 that does not say when to come back, so each says it,
        unless there is nothing to come back for.
        """
        reply = error_reply(error)
        if error.status == 429 and error.retry_after is None and error.code != QUOTA:
            headers = [*reply.headers, (_RETRY_AFTER, b"1")]
            return HttpReply(reply.status, headers, reply.body)
        return reply

    def _check_counts(self, asked: ResponsesRequest) -> None:
        limits = self._limits
        items = len(asked.input) if isinstance(asked.input, list) else 0
        if items > limits.messages:
            setting = "CHATGPT_TO_API_MAX_MESSAGES"
            raise too_many("input", "too_many_items", items, limits.messages, setting)
        tools = len(asked.tools or ())
        if tools > limits.tools:
            setting = "CHATGPT_TO_API_MAX_TOOLS"
            raise too_many("tools", "too_many_tools", tools, limits.tools, setting)


DOOR: Final = ResponsesDoor()


def check_metadata(metadata: Mapping[str, str] | None) -> None:
    """Raise InvalidRequest for more, or longer, notes than the vendor takes."""
    given = metadata or {}
    if len(given) > MOST_METADATA:
        raise invalid("metadata", f"expected at most {MOST_METADATA} keys, got {len(given)}")
    for key, value in given.items():
        if len(key) > LONGEST_METADATA_KEY:
            raise invalid("metadata", f"expected keys of at most {LONGEST_METADATA_KEY} characters")
        if len(value) > LONGEST_METADATA_VALUE:
            raise invalid(
                f"metadata.{key[:64]}", f"expected at most {LONGEST_METADATA_VALUE} characters"
            )


def _own_items(asked: ResponsesRequest) -> Sequence[Raw]:
    if isinstance(asked.input, str):
        message = {"type": "message", "role": "user", "content": asked.input}
        return [Raw(_ENCODE(message))] if asked.input else []
    return asked.input or []


def _any_item(raw: Raw) -> AnyItem:
    try:
        return _ANY_ITEM.decode(raw)
    except (msgspec.DecodeError, RecursionError):
        return AnyItem()  # told with its path by whoever translates it
