"""Client side, the reply: canonical events → events of a stream, or one whole message."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec
from msgspec import Raw

from chatgpt_to_api.chat.events import (
    Annotated,
    AudioDelta,
    BlockEnded,
    BlockStarted,
    ChatEvent,
    Citation,
    Failed,
    Finished,
    FinishReason,
    ReasoningDelta,
    RefusalDelta,
    ReplyNoted,
    Started,
    TextDelta,
    ToolCallDelta,
    UsageReported,
)
from chatgpt_to_api.chat.request import Opaque
from chatgpt_to_api.chat.usage import Usage
from chatgpt_to_api.dialects.anthropic.errors import error_object, error_reply
from chatgpt_to_api.dialects.anthropic.messages import DIALECT
from chatgpt_to_api.dialects.anthropic.seals import seal_of
from chatgpt_to_api.dialects.anthropic.usage import usage_object
from chatgpt_to_api.dialects.contract import Stamp
from chatgpt_to_api.errors import GatewayError
from chatgpt_to_api.wire.http import Headers, HttpReply

_ENCODE: Final = msgspec.json.Encoder().encode
_JSON: Final = ((b"content-type", b"application/json"),)
_STREAM: Final = (
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache"),
    (b"x-accel-buffering", b"no"),  # nginx in front would collect the stream otherwise
)
_RAW_OBJECT: Final = msgspec.json.Decoder(dict[str, Raw])
_OBJECT: Final = msgspec.json.Decoder(dict[str, Any])

_REASONS: Final[Mapping[FinishReason, str]] = {
    "stop": "end_turn",
    "length": "max_tokens",
    "tool_calls": "tool_use",
    "content_filter": "refusal",
    "pause": "pause_turn",
}


class MessageEncoder:
    """Encodes one reply; ``model`` is the one asked for, shown where nobody says which answers."""

    __slots__ = ("_blocks", "_id", "_model", "_started", "_turn")

    def __init__(self, model: str, stamp: Stamp) -> None:
        self._id = stamp.id.replace("-", "")
        self._model = model
        self._started = False
        self._turn = _Turn()
        self._blocks = _StreamedBlocks(self._id)

    def headers(self) -> Headers:
        """Return the headers of a stream."""
        return _STREAM

    def feed(self, events: Sequence[ChatEvent]) -> bytes:
        """Return the events of all that one read brought; adjacent texts share one."""
        out: list[bytes] = []
        blocks = self._blocks
        texts: list[str] = []
        for event in events:
            if type(event) is TextDelta:
                texts.append(event.text)
                continue
            if texts:
                blocks.text(out, "".join(texts))
                texts.clear()
            if type(event) is Started:
                self._begin(out, event)
                continue
            self._turn.take(event)
            blocks.take(out, event)
        if texts:
            blocks.text(out, "".join(texts))
        if out and not self._started:
            begin: list[bytes] = []
            self._begin(begin, Started())
            out = begin + out
        return b"".join(out)

    def end(self) -> bytes:
        """Return what ends a message: why it ended, what it cost, and that it did."""
        out: list[bytes] = []
        if not self._started:
            self._begin(out, Started())
        turn = self._turn
        delta = {**turn.ending(), **turn.noted}
        usage = usage_object(turn.usage)
        _put(out, "message_delta", {"type": "message_delta", "delta": delta, "usage": usage})
        _put(out, "message_stop", {"type": "message_stop"})
        return b"".join(out)

    def keep_alive(self) -> bytes:
        """Return a ping, which clients pass over."""
        return b'event: ping\ndata: {"type":"ping"}\n\n'

    def failure(self, error: GatewayError) -> bytes:
        """Return the error as an event; nothing follows it."""
        return b"event: error\ndata: " + error_object(error) + b"\n\n"

    def complete(self, events: Sequence[ChatEvent]) -> HttpReply:
        """Return the whole reply as one message."""
        whole = _WholeBlocks(self._id)
        turn = self._turn
        for event in events:
            if isinstance(event, Failed):
                return error_reply(event.error)
            if isinstance(event, Started):
                self._model = event.model or self._model
                turn.usage = turn.usage or event.usage
            turn.take(event)
            whole.take(event)
        message = {
            **self._head(),
            "content": whole.content(),
            **turn.ending(),
            **turn.noted,
            "usage": usage_object(turn.usage),
        }
        return HttpReply(200, _JSON, _ENCODE(message))

    def _begin(self, out: list[bytes], event: Started) -> None:
        if self._started:
            return
        self._started = True
        self._model = event.model or self._model
        self._turn.usage = event.usage
        message = {
            **self._head(),
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "usage": usage_object(event.usage),
        }
        _put(out, "message_start", {"type": "message_start", "message": message})

    def _head(self) -> dict[str, Any]:
        return {
            "id": f"msg_{self._id}",
            "type": "message",
            "role": "assistant",
            "model": self._model,
        }


class _Turn:
    """What is said of a message at its end."""

    __slots__ = ("_finished", "_refused", "noted", "usage")

    def __init__(self) -> None:
        self.usage: Usage | None = None
        self.noted: dict[str, Raw] = {}
        self._finished: Finished | None = None
        self._refused = False

    def take(self, event: ChatEvent) -> None:
        match event:
            case UsageReported(usage):
                self.usage = usage
            case Finished(choice=0):
                self._finished = event
            case RefusalDelta(choice=0):
                self._refused = True
            case ReplyNoted(fields):
                if fields.dialect == DIALECT:
                    self.noted |= _RAW_OBJECT.decode(fields.data)
            case _:
                pass

    def ending(self) -> dict[str, str | None]:
        finished = self._finished or Finished("stop")
        if finished.stop_sequence is not None:
            return {"stop_reason": "stop_sequence", "stop_sequence": finished.stop_sequence}
        reason = _REASONS[finished.reason]
        if self._refused and finished.reason == "stop":
            reason = "refusal"
        return {"stop_reason": reason, "stop_sequence": None}


class _StreamedBlocks:
    """The blocks of a stream: numbered from 0 as they begin, one open at a time.

    A block begins with its first piece, because only that tells an open thought from a sealed one,
    and because a block without any piece would be refused when it comes back.
    """

    __slots__ = ("_awaits", "_calls", "_count", "_delta", "_freeform", "_open", "_reply", "_signed")

    def __init__(self, reply: str) -> None:
        self._reply = reply
        self._count = 0
        self._calls = 0
        self._open = ""
        self._delta = b""
        self._awaits = False
        self._freeform: list[str] | None = None
        self._signed = False

    def text(self, out: list[bytes], text: str) -> None:
        """A piece of text, in a block begun where needed."""
        if self._open != "text":
            self._begin(out, "text", {"type": "text", "text": ""})
            self._delta = (
                b'event: content_block_delta\ndata: {"type":"content_block_delta","index":%d,'
                b'"delta":{"type":"text_delta","text":' % (self._count - 1)
            )
        out += (self._delta, _ENCODE(text), b"}}\n\n")

    def take(self, out: list[bytes], event: ChatEvent) -> None:
        """Any other event."""
        match event:
            case BlockStarted(choice=0):
                self._started(out, event)
            case BlockEnded(choice=0):
                self._end(out)
            case ReasoningDelta(text, 0, opaque):
                self._thought(out, text, opaque)
            case ToolCallDelta(arguments, 0):
                self._arguments(out, arguments)
            case RefusalDelta(text, 0):
                self.text(out, text)
            case AudioDelta(transcript=text, choice=0) if text:
                self.text(out, text)
            case Annotated(note, 0):
                citation = _citation(note)
                if citation is not None and self._open == "text":
                    self._piece(out, {"type": "citations_delta", "citation": citation})
            case Finished(choice=0):
                self._end(out)
            case _:
                pass

    def _started(self, out: list[bytes], event: BlockStarted) -> None:
        self._end(out)
        if event.kind == "tool_call":
            self._calls += 1
            block = _call_block(event, self._reply, self._calls)
            self._begin(out, "tool_use", {**block, "input": {}})
            self._awaits = True
            self._freeform = [] if event.freeform else None
        elif event.kind == "foreign" and event.opaque is not None:
            self._foreign(out, event.opaque)

    def _foreign(self, out: list[bytes], opaque: Opaque) -> None:
        """A block of a server's own tool: its input, too, comes as a piece."""
        if opaque.dialect != DIALECT:
            return
        block = _RAW_OBJECT.decode(opaque.data)
        given = block.get("input")
        self._begin(out, "foreign", block | ({} if given is None else {"input": Raw(b"{}")}))
        if given is not None:
            self._piece(out, {"type": "input_json_delta", "partial_json": bytes(given).decode()})

    def _thought(self, out: list[bytes], text: str, opaque: Opaque | None) -> None:
        signature, data = seal_of(opaque)
        if data is not None:
            self._end(out)
            self._begin(out, "sealed", {"type": "redacted_thinking", "data": data})
            return
        if not text and signature is None:
            return
        if self._open != "thinking" or self._signed:
            self._begin(out, "thinking", {"type": "thinking", "thinking": "", "signature": ""})
            self._signed = False
        if text:
            self._piece(out, {"type": "thinking_delta", "thinking": text})
        if signature is not None:
            self._piece(out, {"type": "signature_delta", "signature": signature})
            self._signed = True

    def _arguments(self, out: list[bytes], piece: str) -> None:
        if self._freeform is not None:
            self._freeform.append(piece)
            return
        self._awaits = False
        self._piece(out, {"type": "input_json_delta", "partial_json": piece})

    def _begin(self, out: list[bytes], kind: str, block: Mapping[str, Any]) -> None:
        self._end(out)
        start = {"type": "content_block_start", "index": self._count, "content_block": block}
        _put(out, "content_block_start", start)
        self._open = kind
        self._count += 1

    def _piece(self, out: list[bytes], delta: Mapping[str, Any]) -> None:
        piece = {"type": "content_block_delta", "index": self._count - 1, "delta": delta}
        _put(out, "content_block_delta", piece)

    def _end(self, out: list[bytes]) -> None:
        if not self._open:
            return
        if self._freeform is not None:
            self._piece(out, _json_piece(_ENCODE({"input": "".join(self._freeform)}).decode()))
        elif self._open == "tool_use" and self._awaits:  # clients parse it, and nothing is no JSON
            self._piece(out, _json_piece("{}"))
        self._awaits, self._freeform = False, None
        _put(out, "content_block_stop", {"type": "content_block_stop", "index": self._count - 1})
        self._open = ""


class _WholeBlocks:
    """The blocks of a whole message."""

    def __init__(self, reply: str) -> None:
        self._reply = reply
        self._calls = 0
        self._blocks: list[dict[str, Any]] = []
        self._kind = ""
        self._freeform = False

    def take(self, event: ChatEvent) -> None:
        match event:
            case TextDelta(text, 0) | RefusalDelta(text, 0):
                self._in("text", {"type": "text", "text": ""})["text"] += text
            case AudioDelta(transcript=text, choice=0) if text:
                self._in("text", {"type": "text", "text": ""})["text"] += text
            case ReasoningDelta(text, 0, opaque):
                self._thought(text, opaque)
            case BlockStarted(choice=0):
                self._close()
                self._started(event)
            case ToolCallDelta(arguments, 0):
                if self._kind == "tool_use":
                    self._blocks[-1]["input"] += arguments
            case BlockEnded(choice=0) | Finished(choice=0):
                self._close()
            case Annotated(note, 0):
                citation = _citation(note)
                if citation is not None and self._kind == "text":
                    self._blocks[-1].setdefault("citations", []).append(citation)
            case _:
                pass

    def _started(self, event: BlockStarted) -> None:
        opaque = event.opaque
        if event.kind == "tool_call":
            self._calls += 1
            block = _call_block(event, self._reply, self._calls)
            self._in("tool_use", {**block, "input": ""})
            self._freeform = event.freeform
        elif event.kind == "foreign" and opaque is not None and opaque.dialect == DIALECT:
            self._blocks.append(_OBJECT.decode(opaque.data))

    def content(self) -> list[dict[str, Any]]:
        """Return the blocks."""
        self._close()
        return self._blocks

    def _thought(self, text: str, opaque: Opaque | None) -> None:
        signature, data = seal_of(opaque)
        if data is not None:
            self._kind = ""
            self._blocks.append({"type": "redacted_thinking", "data": data})
            return
        if not text and signature is None:
            return
        signed = self._kind == "thinking" and self._blocks[-1]["signature"] != ""
        if signed:
            self._kind = ""
        block = self._in("thinking", {"type": "thinking", "thinking": "", "signature": ""})
        block["thinking"] += text
        block["signature"] = signature or ""

    def _in(self, kind: str, block: dict[str, Any]) -> dict[str, Any]:
        """Return the open block, of that kind: ``block`` is begun where it is another."""
        if self._kind != kind:
            self._close()
            self._blocks.append(block)
            self._kind = kind
        return self._blocks[-1]

    def _close(self) -> None:
        if self._kind == "tool_use":
            call = self._blocks[-1]
            call["input"] = _input(call["input"], freeform=self._freeform)
        self._kind = ""


def _input(arguments: str, *, freeform: bool) -> Any:
    """A call's arguments as the object they must be here; of any other text, one that holds it."""
    if not freeform:
        try:
            value = msgspec.json.decode(arguments or "{}")
        except (msgspec.DecodeError, UnicodeError, RecursionError):
            value = None
        if isinstance(value, dict):
            return Raw(arguments.encode()) if arguments else {}
    return {"input": arguments}


def _call_block(event: BlockStarted, reply: str, number: int) -> dict[str, Any]:
    """How a call begins; one that its upstream gave no id gets a unique one."""
    own: dict[str, Any] = {}
    if event.opaque is not None and event.opaque.dialect == DIALECT:
        own = _OBJECT.decode(event.opaque.data)
    return {
        "type": "tool_use",
        "id": event.tool_id or f"toolu_{reply[:24]}_{number}",
        "name": event.tool_name,
        **own,
    }


def _citation(note: Citation | Opaque) -> Any:
    """A note in this dialect's words; None for what it has none for."""
    own = note if isinstance(note, Opaque) else note.opaque
    if own is not None and own.dialect == DIALECT:
        return Raw(own.data.encode())
    if isinstance(note, Opaque):
        return None
    return {
        "type": "web_search_result_location",
        "url": note.url,
        "title": note.title or None,
        "encrypted_index": "",  # nobody here has sealed it
        "cited_text": "",
    }


def _json_piece(piece: str) -> dict[str, Any]:
    return {"type": "input_json_delta", "partial_json": piece}


def _put(out: list[bytes], name: str, event: Mapping[str, Any]) -> None:
    out += (b"event: ", name.encode(), b"\ndata: ", _ENCODE(event), b"\n\n")
