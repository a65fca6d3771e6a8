"""Client side of the conversation protocol: our own conversation backend.

The reply is always a stream: clients of this protocol send any ``Accept``, and know no ``stream``.
That holds for the plain ``{"model", "messages"}`` body too, which ``/chatgpt/conversation`` takes.
"""

from __future__ import annotations

import hashlib
from json import dumps
from typing import Any, Final

import msgspec

from chatgpt_to_api.chat.needs import BYTES_PER_TOKEN, Feature, Needs
from chatgpt_to_api.chat.request import ChatRequest, Message, Text
from chatgpt_to_api.dialects.contract import Asked, ReplyEncoder, Stamp
from chatgpt_to_api.dialects.conversation.answer import Answer, Place
from chatgpt_to_api.dialects.conversation.deltas import DeltaEncoder
from chatgpt_to_api.dialects.conversation.door_messages import (
    InvalidBody,
    Question,
    read_question,
)
from chatgpt_to_api.dialects.conversation.messages import DIALECT
from chatgpt_to_api.dialects.conversation.snapshots import SnapshotEncoder
from chatgpt_to_api.errors import BodyTooLarge, GatewayError
from chatgpt_to_api.wire.http import Header, HttpReply, RequestHead

CONVERSATION_PATHS: Final = (
    "/backend-api/conversation",
    "/api/conversation",
    "/chatgpt/backend-api/conversation",
    "/chatgpt/conversation",
)
OPENAI_STYLE_PATH: Final = "/chatgpt/conversation"

_CODED: Final = (401, 403, 404, 413)
"""Statuses whose ``detail`` is an object with a code, as the official backend sends it. Elsewhere
it is a plain string, which every client can show."""

_CODES: Final = {BodyTooLarge.code: "message_length_exceeds_limit"}
"""Codes that clients of this protocol know by another name than ours."""

NO_TOKEN: Final = "missing_access_token"  # noqa: S105  # a code, no secret
"""Code of the error of a request without a token. It is rendered as go-chatgpt-api does, because
people probe a backend for exactly that body."""


class ConversationAsked:
    """One request of the protocol.

    By itself it stands at the beginning of a conversation made of what the body brings. A place and
    a path of kept messages come from whoever keeps conversations (:meth:`placed`).
    """

    stream = True
    include_usage = False
    n = 1
    opening = b""
    untranslated = ()

    def __init__(
        self,
        question: Question,
        body: bytes,
        place: Place | None = None,
        messages: tuple[Message, ...] | None = None,
    ) -> None:
        self.question = question
        self.place = place
        self.answer = Answer()
        """What the client is told; the encoder of the reply fills it."""
        self._body = body
        self._messages = messages

    def placed(self, place: Place, messages: tuple[Message, ...], model: str) -> ConversationAsked:
        """The same request with its place in a conversation, and all messages up to it."""
        question = msgspec.structs.replace(self.question, model=model)
        return ConversationAsked(question, self._body, place, messages)

    @property
    def model(self) -> str:
        """The model asked for."""
        return self.question.model

    @property
    def affinity(self) -> bytes:
        """The conversation: its turns go to one credential while that is ready."""
        known = self.place.conversation_id if self.place else self.question.conversation_id
        return b"conversation:" + known.encode("utf-8", "surrogatepass") if known else b""

    def request(self) -> ChatRequest:
        """The whole path as one request; no system prompt is added."""
        messages = self._messages
        if messages is None:
            sent = self.question.messages
            messages = tuple(Message(m.role, (Text(m.text),)) for m in sent if m.text)
        return ChatRequest(model=self.model, messages=messages, stream=True)

    def needs(self) -> Needs:
        """How long it is: the protocol asks for text and nothing else."""
        return Needs({}, len(self._body) // BYTES_PER_TOKEN)

    def may_need(self, feature: Feature) -> bool:  # noqa: ARG002  # the contract's
        """No: the protocol asks for text and nothing else."""
        return False

    def relayed(self, model: str, *, ask_usage: bool) -> bytes:  # noqa: ARG002  # it has no usage
        """The client's own JSON with the model's name changed."""
        body = msgspec.json.decode(self._body, type=dict[str, msgspec.Raw])
        body["model"] = msgspec.Raw(msgspec.json.encode(model))
        return msgspec.json.encode(body)


class ConversationDoor:
    """``POST …/conversation``."""

    dialect = DIALECT
    endpoint = "chat"

    def ask(self, head: RequestHead, body: bytes) -> ConversationAsked:
        """Read a request. Raises InvalidRequest, as InvalidBody where a field is at fault."""
        question = read_question(body, openai_style=head.path == OPENAI_STYLE_PATH)
        return ConversationAsked(question, body)

    def reply(self, asked: Asked, stamp: Stamp) -> ReplyEncoder:
        """The encoder of the reply: snapshots, or deltas for a client that said it reads them."""
        assert isinstance(asked, ConversationAsked)
        place = asked.place or _first_place(asked.question, stamp)
        if asked.question.deltas:
            return DeltaEncoder(place, asked.model, stamp, asked.answer)
        return SnapshotEncoder(place, asked.model, stamp, asked.answer)

    def failure(self, error: GatewayError) -> HttpReply:
        """``{"detail": …}``: an array for a body at fault, an object with a code, or a string."""
        if error.code == NO_TOKEN:
            return json_reply(error.status, {"errorMessage": error.message})
        more: list[Header] = []
        if error.retry_after is not None:
            more.append((b"retry-after", str(error.retry_after).encode()))
        return json_reply(error.status, {"detail": _detail(error)}, *more)


DOOR: Final = ConversationDoor()


def json_reply(status: int, value: Any, *more: Header) -> HttpReply:
    """A JSON reply, in ASCII and as compact as other backends send it."""
    headers = [(b"content-type", b"application/json"), *more]
    return HttpReply(status, headers, dumps(value, separators=(",", ":")).encode("ascii"))


def _detail(error: GatewayError) -> object:
    if isinstance(error, InvalidBody):
        return [{"loc": list(f.loc), "msg": f.msg, "type": f.type} for f in error.faults]
    if error.status in _CODED:
        return {"message": error.text, "code": _CODES.get(error.code, error.code)}
    return error.text


def _first_place(question: Question, stamp: Stamp) -> Place:
    """A place for an answer that nobody keeps: its ids come from the reply's own."""

    def made(what: str) -> str:
        # The form of a version 4 UUID: there are clients that take no other id.
        h = hashlib.sha256(f"{what} of {stamp.id}".encode()).hexdigest()
        return f"{h[:8]}-{h[8:12]}-4{h[13:16]}-a{h[17:20]}-{h[20:32]}"

    parent = question.messages[-1].id if question.messages else question.parent_id
    return Place(
        question.conversation_id or made("conversation"),
        made("answer"),
        parent or made("question"),
        question.action,
    )
