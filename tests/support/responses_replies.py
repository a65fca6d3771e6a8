"""What Responses servers answer: events in the vendor's order, and whole responses."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from support.scripted_backend import Play

USAGE: Final = {
    "input_tokens": 12,
    "input_tokens_details": {"cached_tokens": 8},
    "output_tokens": 5,
    "output_tokens_details": {"reasoning_tokens": 3},
    "total_tokens": 17,
}


def message(text: str, *, id: str = "msg_1", **part: Any) -> dict[str, Any]:
    """The model's words as an item."""
    words = {"type": "output_text", "text": text, "annotations": [], "logprobs": [], **part}
    return {
        "id": id,
        "type": "message",
        "status": "completed",
        "role": "assistant",
        "content": [words],
    }


def call(
    name: str, arguments: str, *, id: str = "fc_1", call_id: str = "call_1", **more: Any
) -> Any:
    """A call of a function as an item."""
    return {
        "id": id,
        "type": "function_call",
        "status": "completed",
        "call_id": call_id,
        "name": name,
        "arguments": arguments,
        **more,
    }


def custom_call(name: str, text: str, *, id: str = "ctc_1", call_id: str = "call_1") -> Any:
    """A call of a custom tool as an item."""
    return {
        "id": id,
        "type": "custom_tool_call",
        "status": "completed",
        "call_id": call_id,
        "name": name,
        "input": text,
    }


def thought(summary: str, sealed: str | None = None, *, id: str = "rs_1") -> dict[str, Any]:
    """A thought as an item."""
    parts = [{"type": "summary_text", "text": summary}] if summary else []
    item: dict[str, Any] = {"id": id, "type": "reasoning", "summary": parts}
    return item if sealed is None else item | {"encrypted_content": sealed}


def response(
    output: Sequence[Any], *, status: str = "completed", usage: Any = USAGE, **more: Any
) -> dict[str, Any]:
    """A whole response."""
    return {
        "id": "resp_1",
        "object": "response",
        "created_at": 1_700_000_000,
        "status": status,
        "model": "gpt-x-2026",
        "output": list(output),
        "error": None,
        "incomplete_details": None,
        "usage": usage,
        **more,
    }


def sse(events: Iterable[Mapping[str, Any]]) -> list[bytes]:
    """Number events and write each as the vendor does."""
    numbered = ({**event, "sequence_number": number} for number, event in enumerate(events))
    return [f"event: {e['type']}\ndata: {json.dumps(e)}\n\n".encode() for e in numbered]


def events(
    output: Sequence[Any], *, ends: str = "response.completed", size: int = 3, **more: Any
) -> list[dict[str, Any]]:
    """All events of a stream with these items, texts in pieces of ``size`` letters."""
    begun = response([], status="in_progress", usage=None)
    found: list[dict[str, Any]] = [
        {"type": "response.created", "response": begun},
        {"type": "response.in_progress", "response": begun},
    ]
    for index, item in enumerate(output):
        found += _item(index, item, size)
    status = ends.removeprefix("response.")
    found.append({"type": ends, "response": response(output, status=status, **more)})
    return found


def stream(output: Sequence[Any], **more: Any) -> Play:
    """A streamed answer with these items."""
    return Play(pieces=sse(events(output, **more)))


def _item(index: int, item: Any, size: int) -> list[dict[str, Any]]:
    place = {"item_id": item.get("id"), "output_index": index}
    kind = item["type"]
    begun = item | {"status": "in_progress"}
    found: list[dict[str, Any]] = []
    if kind == "message":
        begun["content"] = []
        for number, part in enumerate(item["content"]):
            found += _part({**place, "content_index": number}, part, size)
    elif kind == "reasoning":
        begun = {"id": item["id"], "type": "reasoning", "summary": []}
        for number, part in enumerate(item["summary"]):
            where = {**place, "summary_index": number}
            empty = part | {"text": ""}
            found.append({"type": "response.reasoning_summary_part.added", **where, "part": empty})
            name = "response.reasoning_summary_text"
            found += (
                {"type": f"{name}.delta", **where, "delta": d} for d in _cut(part["text"], size)
            )
            found.append({"type": f"{name}.done", **where, "text": part["text"]})
            found.append({"type": "response.reasoning_summary_part.done", **where, "part": part})
    elif kind in ("function_call", "custom_tool_call"):
        custom = kind == "custom_tool_call"
        field = "input" if custom else "arguments"
        name = "response.custom_tool_call_input" if custom else "response.function_call_arguments"
        begun[field] = ""
        found += ({"type": f"{name}.delta", **place, "delta": d} for d in _cut(item[field], size))
        found.append({"type": f"{name}.done", **place, field: item[field]})
    added = {"type": "response.output_item.added", "output_index": index, "item": begun}
    done = {"type": "response.output_item.done", "output_index": index, "item": item}
    return [added, *found, done]


def _part(where: Mapping[str, Any], part: Any, size: int) -> list[dict[str, Any]]:
    refusal = part["type"] == "refusal"
    field, name = ("refusal", "refusal") if refusal else ("text", "output_text")
    found: list[dict[str, Any]] = [
        {"type": "response.content_part.added", **where, "part": part | {field: ""}}
    ]
    for delta in _cut(part[field], size):
        piece = {"type": f"response.{name}.delta", **where, "delta": delta}
        found.append(piece if refusal else piece | {"logprobs": []})
    for number, note in enumerate(part.get("annotations", ())):
        kind = "response.output_text.annotation.added"
        found.append({"type": kind, **where, "annotation_index": number, "annotation": note})
    found.append({"type": f"response.{name}.done", **where, field: part[field]})
    found.append({"type": "response.content_part.done", **where, "part": part})
    return found


def _cut(text: str, size: int) -> list[str]:
    return [text[at : at + size] for at in range(0, len(text), size)]
