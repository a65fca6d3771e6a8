"""Client side, the reply: canonical events → the events of a stream, or one whole object.

Source: https://platform.openai.com/docs/api-reference/responses-streaming
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import msgspec

from chatgpt_to_api.chat.events import (
    Annotated,
    BlockEnded,
    BlockStarted,
    ChatEvent,
    Failed,
    Finished,
    FinishReason,
    LogprobsReported,
    ReasoningDelta,
    RefusalDelta,
    Started,
    TextDelta,
    ToolCallDelta,
    UsageReported,
)
from chatgpt_to_api.chat.usage import Usage
from chatgpt_to_api.dialects.contract import Stamp
from chatgpt_to_api.dialects.openai.error_reply import error_object
from chatgpt_to_api.dialects.openai.replies import STREAM_HEADERS
from chatgpt_to_api.dialects.openai_responses.door_output import (
    CallOutput,
    EventWriter,
    ForeignOutput,
    ItemStatus,
    MessageOutput,
    ReasoningOutput,
)
from chatgpt_to_api.dialects.openai_responses.door_tools import Called
from chatgpt_to_api.dialects.openai_responses.messages import DIALECT
from chatgpt_to_api.dialects.openai_responses.usage import usage_object
from chatgpt_to_api.errors import GatewayError
from chatgpt_to_api.wire.http import Headers, HttpReply

_ENCODE: Final = msgspec.json.Encoder().encode
_JSON: Final = ((b"content-type", b"application/json"),)
_PREFIXES: Final = {"function": "fc", "custom": "ctc", "tool_search": "tsc"}
_INCOMPLETE: Final[Mapping[FinishReason, str]] = {
    "length": "max_output_tokens",
    "content_filter": "content_filter",
}


class Ended(msgspec.Struct, frozen=True):
    """What a good reply came to: the response as its client sees it, and its items in full.

    ``output`` has what is sealed in thoughts, which a client sees only where it asked for it.
    """

    response: dict[str, Any]
    output: list[Any]


class ResponseEncoder:
    """Encodes one reply.

    ``told`` are the request's own fields as every response repeats them. ``known_as`` tells how the
    client knows a tool that was called. ``show_seals``: thoughts come with what is sealed in them.
    """

    def __init__(
        self,
        model: str,
        stamp: Stamp,
        told: Mapping[str, Any],
        known_as: Callable[[str], Called],
        *,
        show_seals: bool,
    ) -> None:
        self._key = stamp.id.replace("-", "")
        self.id = f"resp_{self._key}"
        self.ended: Ended | None = None
        """Set once the reply has come to a good end."""
        self._created = stamp.created
        self._model = model
        self._told = told
        self._known_as = known_as
        self._show_seals = show_seals
        self._writer = EventWriter()
        self._begun = False
        self._service_tier = ""
        self._usage: Usage | None = None
        self._reason: FinishReason = "stop"
        self._said = 0  # characters of the whole text
        self._open: MessageOutput | ReasoningOutput | CallOutput | None = None
        self._output: list[Any] = []
        self._kept: list[Any] = []

    def headers(self) -> Headers:
        """Return the headers of a stream."""
        return STREAM_HEADERS

    def feed(self, events: Sequence[ChatEvent]) -> bytes:
        """Return the events of one read; adjacent texts share one."""
        texts: list[str] = []
        for event in events:
            if type(event) is TextDelta:
                texts.append(event.text)
                continue
            if texts:
                self._text(texts)
            self._take(event)
        if texts:
            self._text(texts)
        return self._writer.taken()

    def end(self) -> bytes:
        """Return the end of a good stream."""
        response = self._end()
        kind = "incomplete" if response["status"] == "incomplete" else "completed"
        self._writer.event(f"response.{kind}", {"response": response})
        return self._writer.taken()

    def keep_alive(self) -> bytes:
        """Return a comment, which no client sees."""
        return b": keep-alive\n\n"

    def complete(self, events: Sequence[ChatEvent]) -> HttpReply:
        """Return the whole reply as one object."""
        for event in events:
            if isinstance(event, Failed):
                return HttpReply(event.error.status, _JSON, error_object(event.error))
        self.feed(events)
        return HttpReply(200, _JSON, _ENCODE(self._end()))

    def follow_relayed(self) -> None:
        """The stream has begun with another server's events: a second beginning must not come."""
        self._begun = True

    def failure(self, error: GatewayError) -> bytes:
        """Return the failed response as an event. Nothing follows it."""
        self._begin()
        self.ended = None
        response = self._response("failed", self._output) | {"error": failed_as(error)}
        self._writer.event("response.failed", {"response": response})
        return self._writer.taken()

    # -- events ------------------------------------------------------------------------------

    def _take(self, event: ChatEvent) -> None:
        match event:  # in the order of how often they come
            case ToolCallDelta(arguments):
                if isinstance(self._open, CallOutput):
                    self._open.arguments(arguments)
            case ReasoningDelta(text, opaque=opaque):
                if isinstance(self._open, ReasoningOutput):
                    self._open.think(text, opaque)
            case BlockStarted():
                self._block(event)
            case BlockEnded():
                if isinstance(self._open, MessageOutput):
                    self._open.end_part()
            case RefusalDelta(text):
                self._message().refusal(text)
            case Annotated(note):
                if isinstance(self._open, MessageOutput):
                    self._open.annotate(note)
            case LogprobsReported():
                if isinstance(self._open, MessageOutput):
                    self._open.logprobs(event)
            case Started(model, service_tier):
                self._model = model or self._model
                self._service_tier = service_tier
            case UsageReported(usage):
                self._usage = usage
            case Finished(reason):
                self._reason = reason
                self._close(self._status)

    def _text(self, texts: list[str]) -> None:
        text = texts[0] if len(texts) == 1 else "".join(texts)
        self._message().text(text, self._said)
        self._said += len(text)
        texts.clear()

    def _block(self, event: BlockStarted) -> None:
        match event.kind:
            case "text" | "refusal":
                self._message()
            case "reasoning":
                self._close()
                self._open = ReasoningOutput(
                    self._writer, self._item_id("rs"), self._place, seal=self._show_seals
                )
            case "tool_call":
                self._close()
                tool = self._known_as(event.tool_name)
                if event.freeform:
                    tool = msgspec.structs.replace(tool, kind="custom")
                ids = self._item_id(_PREFIXES[tool.kind]), event.tool_id or self._item_id("call")
                self._open = CallOutput(self._writer, ids, self._place, tool)
            case "foreign":
                self._close()
                if event.opaque is not None and event.opaque.dialect == DIALECT:
                    item = ForeignOutput(self._writer, "", self._place).whole(event.opaque)
                    self._add(item, item)

    def _message(self) -> MessageOutput:
        """Return the open message; what was open besides is ended, and a message begun."""
        if isinstance(self._open, MessageOutput):
            return self._open
        self._close()
        self._open = MessageOutput(self._writer, self._item_id("msg"), self._place)
        return self._open

    def _close(self, status: ItemStatus = "completed") -> None:
        """End the open item, if any: it ends when the next begins, or with the reply."""
        self._begin()
        item, self._open = self._open, None
        match item:
            case MessageOutput() | CallOutput():
                ended = item.end(status)
                self._add(ended, ended)
            case ReasoningOutput():
                kept, shown = item.end()
                self._add(shown, kept)

    def _add(self, shown: Any, kept: Any) -> None:
        self._output.append(shown)
        self._kept.append(kept)

    @property
    def _place(self) -> int:
        return len(self._output)

    def _item_id(self, prefix: str) -> str:
        """Name an item after its response, so that it can be found again by its id alone."""
        return f"{prefix}_{self._key}{self._place:04d}"

    # -- the response around them ------------------------------------------------------------

    @property
    def _status(self) -> ItemStatus:
        return "incomplete" if self._reason in _INCOMPLETE else "completed"

    def _begin(self) -> None:
        if self._begun:
            return
        self._begun = True
        response = self._response("in_progress", [])
        self._writer.event("response.created", {"response": response})
        self._writer.event("response.in_progress", {"response": response})

    def _end(self) -> dict[str, Any]:
        self._close(self._status)
        response = self._response(self._status, self._output)
        if self._status == "incomplete":
            response["incomplete_details"] = {"reason": _INCOMPLETE[self._reason]}
        response["usage"] = usage_object(self._usage)
        self.ended = Ended(response, self._kept)
        return response

    def _response(self, status: str, output: Sequence[Any]) -> dict[str, Any]:
        said = {"service_tier": self._service_tier} if self._service_tier else {}
        return {
            "id": self.id,
            "object": "response",
            "created_at": self._created,
            "status": status,
            "background": False,
            "error": None,
            "incomplete_details": None,
            "model": self._model,
            "output": list(output),
            **self._told,
            **said,
            "usage": None,
        }


def failed_as(error: GatewayError) -> dict[str, Any]:
    """Return a failed response's ``error``.

    Agents tell by its code whether to ask again, and by its words when. What only the gateway has a
    code for is told as the server's failure.
    """
    message = error.text
    if error.status == 429 and error.code != QUOTA:
        if error.retry_after is not None and _AGAIN not in message:
            message = f"{message} Please {_AGAIN} {error.retry_after}s."
        return {"code": "rate_limit_exceeded", "message": message}
    code = error.code if error.code in _CODES else "server_error"
    return {"code": code, "message": message}


QUOTA: Final = "insufficient_quota"
_AGAIN: Final = "try again in"
_CODES: Final = frozenset(
    {QUOTA, "context_length_exceeded", "invalid_prompt", "server_is_overloaded"}
)
