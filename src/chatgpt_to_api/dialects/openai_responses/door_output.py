"""Client side, the reply's output: blocks of the canonical reply → items and their events."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, Literal, TypeAlias

import msgspec
from msgspec import Raw

from chatgpt_to_api.chat.events import Citation, LogprobsReported, TokenLogprob
from chatgpt_to_api.chat.request import Opaque
from chatgpt_to_api.dialects.openai_responses import seals
from chatgpt_to_api.dialects.openai_responses.door_tools import Called
from chatgpt_to_api.dialects.openai_responses.messages import DIALECT

ItemStatus: TypeAlias = Literal["completed", "incomplete"]

_ENCODE: Final = msgspec.json.Encoder().encode
_RAW_OBJECT: Final = msgspec.json.Decoder(dict[str, Raw])


class EventWriter:
    """Writes numbered events one after the other."""

    __slots__ = ("_out", "number")

    def __init__(self) -> None:
        self.number = 0
        self._out: list[bytes] = []

    def event(self, kind: str, fields: dict[str, Any]) -> None:
        """Write an event of ``kind`` with ``fields``."""
        body = _ENCODE({"type": kind, "sequence_number": self.number, **fields})
        self._out += (b"event: ", kind.encode(), b"\ndata: ", body, b"\n\n")
        self.number += 1

    def delta(self, prefix: bytes, text: bytes, suffix: bytes) -> None:
        """Write an event that was prepared up to its text and behind it, but for its number."""
        self._out += (prefix, text, suffix, b"%d}\n\n" % self.number)
        self.number += 1

    def taken(self) -> bytes:
        """Return what was written since this was asked last."""
        written = b"".join(self._out)
        self._out.clear()
        return written


class Item:
    """One item of the output, while it grows. ``id`` is its own, ``place`` its index."""

    def __init__(self, writer: EventWriter, id: str, place: int) -> None:
        self.writer = writer
        self.id = id
        self.place = place

    def event(self, kind: str, **fields: Any) -> None:
        """Write an event about this item."""
        self.writer.event(
            f"response.{kind}", {"item_id": self.id, "output_index": self.place, **fields}
        )

    def begin(self, item: dict[str, Any]) -> None:
        """Write that the item has begun."""
        self.writer.event("response.output_item.added", {"output_index": self.place, "item": item})

    def close(self, item: dict[str, Any] | Raw) -> None:
        """Write that the item is complete."""
        self.writer.event("response.output_item.done", {"output_index": self.place, "item": item})

    def prepared(self, kind: str, **fields: Any) -> tuple[bytes, bytes]:
        """Return what stands before and behind the text of a delta."""
        head = _ENCODE(
            {"type": f"response.{kind}", "item_id": self.id, "output_index": self.place, **fields}
        )
        return (
            b'event: response.%b\ndata: %b,"delta":' % (kind.encode(), head[:-1]),
            b',"sequence_number":',
        )


class MessageOutput(Item):
    """What the model says: parts of text and refusal, one after the other."""

    def __init__(self, writer: EventWriter, id: str, place: int) -> None:
        super().__init__(writer, id, place)
        self._parts: list[dict[str, Any]] = []
        self._pieces: list[str] = []
        self._logprobs: list[dict[str, Any]] = []
        self._kind: Literal["text", "refusal"] | None = None
        self._begins_at = 0
        self._prefix = self._suffix = b""
        self.begin(self._item([], "in_progress"))

    def text(self, text: str, at: int) -> None:
        """Add a piece of text; ``at`` characters of the whole reply's text precede it."""
        if self._kind != "text":
            self._begin_part("text")
            self._begins_at = at
        self._pieces.append(text)
        self.writer.delta(self._prefix, _ENCODE(text), self._suffix)

    def refusal(self, text: str) -> None:
        """Add a piece of a refusal."""
        if self._kind != "refusal":
            self._begin_part("refusal")
        self._pieces.append(text)
        self.writer.delta(self._prefix, _ENCODE(text), self._suffix)

    def logprobs(self, reported: LogprobsReported) -> None:
        """Note how probable the text's tokens were; they are told with the part's end."""
        self._logprobs += map(_likely, reported.text)

    def annotate(self, note: Citation | Opaque) -> None:
        """Note what the text rests on, as far as this dialect has a form for it."""
        if not self._parts or self._parts[-1]["type"] != "output_text":
            return
        shown = _annotation(note, self._begins_at)
        if shown is None:
            return
        notes = self._parts[-1]["annotations"]
        self.event(
            "output_text.annotation.added",
            content_index=len(self._parts) - 1,
            annotation_index=len(notes),
            annotation=shown,
        )
        notes.append(shown)

    def end_part(self) -> None:
        """End the open part, if any: what comes next is another."""
        if self._kind is None:
            return
        index, part = len(self._parts) - 1, self._parts[-1]
        said = "".join(self._pieces)
        if self._kind == "text":
            part["text"] = said
            part["logprobs"] = list(self._logprobs)
            self.event(
                "output_text.done", content_index=index, text=said, logprobs=part["logprobs"]
            )
        else:
            part["refusal"] = said
            self.event("refusal.done", content_index=index, refusal=said)
        self.event("content_part.done", content_index=index, part=part)
        self._kind = None
        self._pieces, self._logprobs = [], []

    def end(self, status: ItemStatus) -> dict[str, Any]:
        """End the item and return it."""
        self.end_part()
        item = self._item(self._parts, status)
        self.close(item)
        return item

    def _begin_part(self, kind: Literal["text", "refusal"]) -> None:
        self.end_part()
        self._kind = kind
        part: dict[str, Any] = (
            {"type": "output_text", "text": "", "annotations": [], "logprobs": []}
            if kind == "text"
            else {"type": "refusal", "refusal": ""}
        )
        index = len(self._parts)
        self.event("content_part.added", content_index=index, part=part)
        self._parts.append(part)
        event = "output_text.delta" if kind == "text" else "refusal.delta"
        more: dict[str, Any] = {"logprobs": []} if kind == "text" else {}
        self._prefix, self._suffix = self.prepared(event, content_index=index, **more)

    def _item(self, parts: Sequence[Any], status: str) -> dict[str, Any]:
        return {
            "id": self.id,
            "type": "message",
            "status": status,
            "role": "assistant",
            "content": list(parts),
        }


class ReasoningOutput(Item):
    """What the model thought, told as a summary; the seal comes with the item's end."""

    def __init__(self, writer: EventWriter, id: str, place: int, *, seal: bool) -> None:
        super().__init__(writer, id, place)
        self._show_seal = seal
        self._pieces: list[str] = []
        self._seal = ""
        self._prefix = self._suffix = b""
        self.begin({"id": id, "type": "reasoning", "summary": []})

    def think(self, text: str, opaque: Opaque | None) -> None:
        """Add a piece of a thought, or its seal; pieces of a seal of one dialect join."""
        if opaque is not None:
            carried = seals.to_client(opaque)
            self._seal = self._seal + opaque.data if self._seal else carried
        if not text:
            return
        if not self._pieces:
            part = {"type": "summary_text", "text": ""}
            self.event("reasoning_summary_part.added", summary_index=0, part=part)
            self._prefix, self._suffix = self.prepared(
                "reasoning_summary_text.delta", summary_index=0
            )
        self._pieces.append(text)
        self.writer.delta(self._prefix, _ENCODE(text), self._suffix)

    def end(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """End the item and return it: with its seal, and as the client is shown it."""
        summary: list[dict[str, Any]] = []
        if self._pieces:
            thought = "".join(self._pieces)
            part = {"type": "summary_text", "text": thought}
            summary.append(part)
            self.event("reasoning_summary_text.done", summary_index=0, text=thought)
            self.event("reasoning_summary_part.done", summary_index=0, part=part)
        item: dict[str, Any] = {"id": self.id, "type": "reasoning", "summary": summary}
        kept = item | {"encrypted_content": self._seal} if self._seal else item
        shown = kept if self._show_seal else item
        self.close(shown)
        return kept, shown


class CallOutput(Item):
    """A call, as its client knows the tool: of a function, of a custom tool, or a tool search."""

    def __init__(
        self,
        writer: EventWriter,
        ids: tuple[str, str],
        place: int,
        tool: Called,
    ) -> None:
        """``ids`` are the item's own and that of the call."""
        super().__init__(writer, ids[0], place)
        self._call_id = ids[1]
        self._tool = tool
        self._custom = tool.kind == "custom"
        self._pieces: list[str] = []
        self.begin(self._item("", "in_progress"))
        kind = "custom_tool_call_input.delta" if self._custom else "function_call_arguments.delta"
        self._prefix, self._suffix = self.prepared(kind)

    def arguments(self, piece: str) -> None:
        """Add a piece of the arguments, or of a custom tool's text."""
        self._pieces.append(piece)
        if self._tool.kind != "tool_search":  # which has no events of its own
            self.writer.delta(self._prefix, _ENCODE(piece), self._suffix)

    def end(self, status: ItemStatus) -> dict[str, Any]:
        """End the item and return it; clients parse the arguments, and nothing is no JSON."""
        said = "".join(self._pieces)
        if self._custom:
            self.event("custom_tool_call_input.done", input=said)
        else:
            said = said or "{}"
            if self._tool.kind != "tool_search":
                self.event("function_call_arguments.done", name=self._tool.name, arguments=said)
        item = self._item(said, status)
        self.close(item)
        return item

    def _item(self, said: str, status: str) -> dict[str, Any]:
        item: dict[str, Any] = {"id": self.id, "status": status, "call_id": self._call_id}
        if self._tool.kind == "tool_search":
            arguments = _arguments_object(said)
            return item | {
                "type": "tool_search_call",
                "execution": "client",
                "arguments": arguments,
            }
        item["name"] = self._tool.name
        if self._tool.namespace is not None:
            item["namespace"] = self._tool.namespace
        if self._custom:
            return item | {"type": "custom_tool_call", "input": said}
        return item | {"type": "function_call", "arguments": said}


class ForeignOutput(Item):
    """An item that only this dialect has, as its server made it."""

    def whole(self, opaque: Opaque) -> Raw:
        """Write the whole item and return it."""
        item = on_one_line(Raw(opaque.data.encode()))
        self.writer.event("response.output_item.added", {"output_index": self.place, "item": item})
        self.close(item)
        return item


def on_one_line(raw: Raw) -> Raw:
    """Return JSON without the line breaks of somebody's layout: they would end an event's line."""
    data = bytes(raw)
    if b"\n" in data or b"\r" in data:
        return Raw(msgspec.json.format(data, indent=-1))
    return raw


def _arguments_object(said: str) -> Any:
    """Return a search's arguments, which are an object in its item; text that is none stays."""
    try:
        return Raw(_ENCODE(_RAW_OBJECT.decode(said))) if said else {}
    except (msgspec.DecodeError, RecursionError):
        return said


def _annotation(note: Citation | Opaque, begins_at: int) -> Any:
    """Return a note on the part of the text that begins at ``begins_at``."""
    if isinstance(note, Citation):
        start, end = (max(0, (at or 0) - begins_at) for at in (note.start, note.end))
        return {
            "type": "url_citation",
            "url": note.url,
            "title": note.title,
            "start_index": start,
            "end_index": end,
        }
    return on_one_line(Raw(note.data.encode())) if note.dialect == DIALECT else None


def _likely(token: TokenLogprob) -> dict[str, Any]:
    top = [{"token": t.token, "logprob": t.logprob, "bytes": t.bytes or ()} for t in token.top]
    return {
        "token": token.token,
        "logprob": token.logprob,
        "bytes": token.bytes or (),
        "top_logprobs": top,
    }
