"""OpenAI Responses. Source: https://platform.openai.com/docs/api-reference/responses"""

from __future__ import annotations

import json
from typing import Any

from support.scripted_backend import Play, Seen, json_play
from support.speakers.scene import (
    BUSY,
    PNG,
    SCHEMA,
    TOLD,
    TOOL,
    Asking,
    Heard,
    Scene,
    Told,
    Turn,
    read_sse,
    sse,
    streamed,
)

REASONS = {"max_output_tokens": "length", "content_filter": "refusal"}
TROUBLE = {"code": "server_error", "message": BUSY}
ERROR = {"error": {"message": BUSY, "type": "server_error", "param": None, "code": "server_error"}}


class Responses:
    """A client and a server of the dialect."""

    name = "responses"
    kind = "openai-responses"

    def asking(self, scene: Scene, model: str) -> Asking:
        items = [item for turn in scene.turns for item in self._items(turn)]
        body: dict[str, Any] = {"model": model, "input": items, "store": False}
        if scene.stream:
            body["stream"] = True
        if scene.tools:
            tool = {"type": "function", "name": TOOL, "description": TOLD, "strict": False}
            body["tools"] = [{**tool, "parameters": SCHEMA}]
        if scene.schema:
            form = {"type": "json_schema", "name": "place", "schema": SCHEMA, "strict": True}
            body["text"] = {"format": form}
        if scene.max_tokens is not None:
            body["max_output_tokens"] = scene.max_tokens
        return Asking("/v1/responses", body)

    def _items(self, turn: Turn) -> list[dict[str, Any]]:
        items: list[dict[str, Any]] = []
        if turn.text:
            kind = "output_text" if turn.role == "assistant" else "input_text"
            content: list[dict[str, Any]] = [{"type": kind, "text": turn.text}]
            if turn.image:
                url = f"data:image/png;base64,{PNG}"
                content.append({"type": "input_image", "image_url": url, "detail": "auto"})
            items.append({"type": "message", "role": turn.role, "content": content})
        items += [
            {
                "type": "function_call",
                "call_id": call.id,
                "name": TOOL,
                "arguments": call.written,
            }
            for call in turn.calls
        ]
        items += [
            {"type": "function_call_output", "call_id": call.id, "output": text}
            for call, text in turn.results
        ]
        return items

    def hear(self, body: bytes, *, stream: bool) -> Heard:
        heard = Heard()
        if not stream:
            self._hear_whole(heard, json.loads(body))
            return heard
        deltas: dict[str, str] = {"text": "", "refusal": "", "reasoning": ""}
        number = -1
        done: list[dict[str, Any]] = []
        opened: set[int] = set()
        for name, data in read_sse(body):
            if data == "[DONE]":
                continue
            assert not heard.whole and not heard.error, "something follows the end"
            assert name == data["type"]
            # What ends a relayed stream for its upstream knows no number of its events.
            assert data["sequence_number"] == number + 1 or name == "response.failed"
            number += 1
            match name:
                case "response.created":
                    assert number == 0
                case "response.output_item.added":
                    assert data["output_index"] not in opened, "an item was born twice"
                    opened.add(data["output_index"])
                case "response.output_text.delta":
                    assert data["output_index"] in opened
                    deltas["text"] += data["delta"]
                case "response.refusal.delta":
                    deltas["refusal"] += data["delta"]
                case "response.reasoning_summary_text.delta" | "response.reasoning_text.delta":
                    deltas["reasoning"] += data["delta"]
                case "response.output_item.done":
                    assert data["output_index"] in opened
                    done.append(data["item"])
                case "response.completed" | "response.incomplete":
                    assert [i["id"] for i in data["response"]["output"]] == [i["id"] for i in done]
                    self._hear_whole(heard, data["response"])
                case "response.failed":
                    heard.error = data["response"]["error"]["message"]
                case "error":
                    heard.error = data["message"]
        if heard.whole:
            assert heard.text == deltas["text"] + deltas["refusal"]
            assert heard.reasoning == deltas["reasoning"]
        heard.text = heard.text or deltas["text"]
        return heard

    def _hear_whole(self, heard: Heard, reply: dict[str, Any]) -> None:
        refused = False
        for item in reply["output"]:
            match item["type"]:
                case "message":
                    for part in item["content"]:
                        refused = refused or part["type"] == "refusal"
                        heard.text += part.get("text") or part.get("refusal") or ""
                case "reasoning":
                    pieces = [*(item.get("summary") or ()), *(item.get("content") or ())]
                    heard.reasoning += "".join(piece["text"] for piece in pieces)
                case "function_call":
                    heard.calls.append((item["name"], json.loads(item["arguments"])))
        if reply["status"] == "incomplete":
            heard.finish = REASONS[reply["incomplete_details"]["reason"]]
        else:
            assert reply["status"] == "completed"
            heard.finish = "calls" if heard.calls else "refusal" if refused else "stop"
        heard.whole = True

    def error(self, body: bytes) -> str:
        error = json.loads(body)["error"]
        assert error["type"]
        return str(error["message"])

    def play(self, scene: Scene, seen: Seen) -> Play:
        if scene.ending == "error first":
            return json_play(ERROR, 503)
        items = self._output(scene)
        finish = scene.says.finish
        reply: dict[str, Any] = {
            "id": "resp_1",
            "object": "response",
            "created_at": 1,
            "model": "there",
            "status": "incomplete" if finish in ("length",) else "completed",
            "error": None,
            "incomplete_details": {"reason": "max_output_tokens"} if finish == "length" else None,
            "output": items,
            "usage": {
                "input_tokens": 9,
                "input_tokens_details": {"cached_tokens": 0},
                "output_tokens": 5,
                "output_tokens_details": {"reasoning_tokens": 0},
                "total_tokens": 14,
            },
        }
        if not seen.json.get("stream"):
            return json_play(reply)
        begun = {**reply, "status": "in_progress", "output": [], "usage": None}
        begun["incomplete_details"] = None
        events: list[tuple[str, Any]] = [
            ("response.created", {"response": begun}),
            ("response.in_progress", {"response": begun}),
        ]
        for index, item in enumerate(items):
            events += self._item_events(scene, index, item)
        events.append((f"response.{reply['status']}", {"response": reply}))
        written = self._numbered(events)
        # What was begun counts as content only with its first delta, the fifth event of a message.
        content = 5
        failed = {**begun, "status": "failed", "error": TROUBLE}
        last = {"type": "response.failed", "sequence_number": content, "response": failed}
        return streamed(scene, written, content, sse([("response.failed", last)]))

    def _numbered(self, events: list[tuple[str, Any]]) -> list[bytes]:
        return sse(
            [
                (name, {"type": name, "sequence_number": number, **data})
                for number, (name, data) in enumerate(events)
            ]
        )

    def _output(self, scene: Scene) -> list[dict[str, Any]]:
        said = scene.says
        items: list[dict[str, Any]] = []
        if said.reasoning:
            summary = [{"type": "summary_text", "text": said.reasoning}]
            items.append({"type": "reasoning", "id": "rs_1", "summary": summary})
        if said.text:
            part: dict[str, Any] = {"type": "output_text", "text": said.text, "annotations": []}
            if said.finish == "refusal":
                part = {"type": "refusal", "refusal": said.text}
            message = {"type": "message", "id": "msg_1", "role": "assistant"}
            status = "incomplete" if said.finish == "length" else "completed"
            items.append({**message, "status": status, "content": [part]})
        items += [
            {
                "type": "function_call",
                "id": f"fc_{call.id}",
                "call_id": call.id,
                "name": TOOL,
                "arguments": call.written,
                "status": "completed",
            }
            for call in said.calls
        ]
        return items

    def _item_events(self, scene: Scene, index: int, item: dict[str, Any]) -> list[tuple[str, Any]]:
        at = {"output_index": index, "item_id": item["id"]}
        events: list[tuple[str, Any]] = []
        match item["type"]:
            case "reasoning":
                begun = {**item, "summary": []}
                part = {**at, "summary_index": 0}
                text = item["summary"][0]["text"]
                empty = {"type": "summary_text", "text": ""}
                events += [
                    ("response.reasoning_summary_part.added", {**part, "part": empty}),
                    ("response.reasoning_summary_text.delta", {**part, "delta": text}),
                    ("response.reasoning_summary_text.done", {**part, "text": text}),
                    (
                        "response.reasoning_summary_part.done",
                        {**part, "part": item["summary"][0]},
                    ),
                ]
            case "message":
                begun = {**item, "status": "in_progress", "content": []}
                part = {**at, "content_index": 0}
                whole = item["content"][0]
                kind = whole["type"]
                field = "refusal" if kind == "refusal" else "text"
                empty = {**whole, field: ""}
                events.append(("response.content_part.added", {**part, "part": empty}))
                events += (
                    (f"response.{kind}.delta", {**part, "delta": piece}) for piece in scene.pieces
                )
                events.append((f"response.{kind}.done", {**part, field: whole[field]}))
                events.append(("response.content_part.done", {**part, "part": whole}))
            case _:
                begun = {**item, "status": "in_progress", "arguments": ""}
                kind = "response.function_call_arguments"
                events.append((f"{kind}.delta", {**at, "delta": item["arguments"]}))
                events.append((f"{kind}.done", {**at, "arguments": item["arguments"]}))
        added = ("response.output_item.added", {"output_index": index, "item": begun})
        done = ("response.output_item.done", {"output_index": index, "item": item})
        return [added, *events, done]

    def told(self, seen: Seen) -> Told:
        body = seen.json
        told = Told(max_tokens=body.get("max_output_tokens"))
        if body.get("instructions"):
            told.texts.append(("system", body["instructions"]))
        given = body["input"]
        for item in [{"role": "user", "content": given}] if isinstance(given, str) else given:
            match item.get("type", "message"):
                case "message":
                    content = item["content"]
                    if isinstance(content, str):
                        content = [{"type": "input_text", "text": content}]
                    for part in content:
                        if part["type"] == "input_image":
                            told.images.append(part["image_url"].partition(",")[2])
                        else:
                            told.texts.append((item["role"], part["text"]))
                case "function_call":
                    told.calls.append(json.loads(item["arguments"]))
                case "function_call_output":
                    output = item["output"]
                    told.results += (
                        [output] if isinstance(output, str) else [part["text"] for part in output]
                    )
        told.tools = [tool["name"] for tool in body.get("tools") or ()]
        told.schema = (body.get("text") or {}).get("format", {}).get("schema") == SCHEMA
        return told


RESPONSES = Responses()
