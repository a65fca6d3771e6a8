"""Anthropic messages. Source: https://docs.anthropic.com/en/api/messages"""

from __future__ import annotations

import json
from itertools import pairwise
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

FINISHES = {"stop": "end_turn", "length": "max_tokens", "calls": "tool_use", "refusal": "refusal"}
HEARD = {there: here for here, there in FINISHES.items()}
ERROR = {"type": "error", "error": {"type": "overloaded_error", "message": BUSY}}
SIGNATURE = "c2lnbmVk"


class Anthropic:
    """A client and a server of the dialect."""

    name = "anthropic"
    kind = "anthropic"

    def asking(self, scene: Scene, model: str) -> Asking:
        body: dict[str, Any] = {"model": model, "max_tokens": scene.max_tokens or 1000}
        turns = list(scene.turns)
        if turns[0].role == "system":
            body["system"] = [{"type": "text", "text": turns.pop(0).text}]
        body["messages"] = [self._message(turn) for turn in turns]
        if scene.stream:
            body["stream"] = True
        if scene.tools:
            body["tools"] = [{"name": TOOL, "description": TOLD, "input_schema": SCHEMA}]
        if scene.schema:
            body["output_config"] = {"format": {"type": "json_schema", "schema": SCHEMA}}
        return Asking("/v1/messages?beta=true", body, {"anthropic-version": "2023-06-01"})

    def _message(self, turn: Turn) -> dict[str, Any]:
        if turn.role == "system":
            return {"role": "system", "content": turn.text}
        content: list[dict[str, Any]] = []
        for call, text in turn.results:
            content.append({"type": "tool_result", "tool_use_id": call.id, "content": text})
        if turn.text:
            content.append({"type": "text", "text": turn.text})
        if turn.image:
            source = {"type": "base64", "media_type": "image/png", "data": PNG}
            content.append({"type": "image", "source": source})
        for call in turn.calls:
            use = {"type": "tool_use", "id": call.id, "name": TOOL, "input": call.arguments}
            content.append(use)
        role = "assistant" if turn.role == "assistant" else "user"
        return {"role": role, "content": content}

    def hear(self, body: bytes, *, stream: bool) -> Heard:
        heard = Heard()
        if not stream:
            reply = json.loads(body)
            for block in reply["content"]:
                heard.text += block.get("text", "")
                heard.reasoning += block.get("thinking", "")
                if block["type"] == "tool_use":
                    heard.calls.append((block["name"], block["input"]))
            heard.finish = HEARD[reply["stop_reason"]]
            heard.whole = True
            return heard
        self._hear_stream(heard, read_sse(body))
        return heard

    def _hear_stream(self, heard: Heard, events: list[tuple[str, Any]]) -> None:
        opened: dict[str, Any] | None = None
        begun, blocks, written = False, 0, ""
        for name, data in events:
            assert not heard.error, "something follows an error"
            assert not heard.whole, "something follows the end"
            assert name == data["type"]
            match data["type"]:
                case "message_start":
                    assert not begun, "a second message_start"
                    begun = True
                case "content_block_start":
                    assert begun and opened is None, "two blocks are open"
                    assert data["index"] == blocks, "blocks are not numbered in order"
                    opened, written = data["content_block"], ""
                    blocks += 1
                case "content_block_delta":
                    assert opened is not None and data["index"] == blocks - 1
                    delta = data["delta"]
                    kinds = {
                        "text": ("text_delta", "citations_delta"),
                        "thinking": ("thinking_delta", "signature_delta"),
                        "tool_use": ("input_json_delta",),
                    }
                    assert delta["type"] in kinds[opened["type"]], "a delta of another block"
                    heard.text += delta.get("text", "")
                    heard.reasoning += delta.get("thinking", "")
                    written += delta.get("partial_json", "")
                case "content_block_stop":
                    assert opened is not None and data["index"] == blocks - 1
                    if opened["type"] == "tool_use":
                        heard.calls.append((opened["name"], json.loads(written or "{}")))
                    opened = None
                case "message_delta":
                    assert opened is None, "a block was never ended"
                    heard.finish = HEARD[data["delta"]["stop_reason"]]
                case "message_stop":
                    heard.whole = True
                case "error":
                    heard.error = data["error"]["message"]
                case kind:
                    assert kind == "ping"

    def error(self, body: bytes) -> str:
        reply = json.loads(body)
        assert reply["type"] == "error" and reply["error"]["type"].endswith("_error")
        return str(reply["error"]["message"])

    def play(self, scene: Scene, seen: Seen) -> Play:
        if scene.ending == "error first":
            return json_play(ERROR, 529)
        said = scene.says
        blocks: list[dict[str, Any]] = []
        if said.reasoning:
            thinking = {"thinking": said.reasoning, "signature": SIGNATURE}
            blocks.append({"type": "thinking", **thinking})
        if said.text:
            blocks.append({"type": "text", "text": said.text})
        blocks += [
            {"type": "tool_use", "id": call.id, "name": TOOL, "input": call.arguments}
            for call in said.calls
        ]
        message: dict[str, Any] = {
            "id": "msg_1",
            "type": "message",
            "role": "assistant",
            "model": "there",
            "content": blocks,
            "stop_reason": FINISHES[said.finish],
            "stop_sequence": None,
            "usage": {"input_tokens": 9, "output_tokens": 5},
        }
        if not seen.json.get("stream"):
            return json_play(message)
        begun = {**message, "content": [], "stop_reason": None}
        events: list[tuple[str, Any]] = [("message_start", {"message": begun}), ("ping", {})]
        for index, block in enumerate(blocks):
            empty, deltas = self._pieces(scene, block)
            events.append(("content_block_start", {"index": index, "content_block": empty}))
            events += (
                ("content_block_delta", {"index": index, "delta": delta}) for delta in deltas
            )
            events.append(("content_block_stop", {"index": index}))
        ended = {"stop_reason": FINISHES[said.finish], "stop_sequence": None}
        events.append(("message_delta", {"delta": ended, "usage": {"output_tokens": 5}}))
        events.append(("message_stop", {}))
        written = sse([(name, {"type": name, **data}) for name, data in events])
        return streamed(scene, written, 4, sse([("error", ERROR)]))

    def _pieces(
        self, scene: Scene, block: dict[str, Any]
    ) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        match block["type"]:
            case "thinking":
                return {"type": "thinking", "thinking": "", "signature": ""}, [
                    {"type": "thinking_delta", "thinking": block["thinking"]},
                    {"type": "signature_delta", "signature": block["signature"]},
                ]
            case "text":
                texts = [{"type": "text_delta", "text": piece} for piece in scene.pieces]
                return {"type": "text", "text": ""}, texts
        written = json.dumps(block["input"])
        pieces = [{"type": "input_json_delta", "partial_json": p} for p in ("", written)]
        return {**block, "input": {}}, pieces

    def told(self, seen: Seen) -> Told:
        body = seen.json
        told = Told(max_tokens=body["max_tokens"])
        system = body.get("system") or []
        for block in [{"text": system}] if isinstance(system, str) else system:
            told.texts.append(("system", block["text"]))
        roles = [message["role"] for message in body["messages"]]
        assert all(a != b for a, b in pairwise(roles)), "turns take turns"
        for message in body["messages"]:
            content = message["content"]
            blocks = [{"type": "text", "text": content}] if isinstance(content, str) else content
            for block in blocks:
                match block["type"]:
                    case "text":
                        assert block["text"].strip(), "an empty text is refused"
                        told.texts.append((message["role"], block["text"]))
                    case "image":
                        told.images.append(block["source"]["data"])
                    case "tool_use":
                        told.calls.append(block["input"])
                    case "tool_result":
                        inner = block["content"]
                        texts = [inner] if isinstance(inner, str) else [b["text"] for b in inner]
                        told.results += texts
        told.tools = [tool["name"] for tool in body.get("tools") or ()]
        form = (body.get("output_config") or {}).get("format") or body.get("output_format") or {}
        told.schema = form.get("schema") == SCHEMA
        return told


ANTHROPIC = Anthropic()
