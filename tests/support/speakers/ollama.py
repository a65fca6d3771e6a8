"""Ollama's chat. Source: https://github.com/ollama/ollama/blob/main/docs/api.md"""

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
    streamed,
)

ERROR = {"error": BUSY}
REASONS = {"content_filter": "refusal"}
"""A word of the gateway's: Ollama's own servers never refuse but in words."""


class Ollama:
    """A client and a server of the dialect."""

    name = "ollama"
    kind = "ollama"

    def asking(self, scene: Scene, model: str) -> Asking:
        messages: list[dict[str, Any]] = []
        for turn in scene.turns:
            messages += self._messages(turn)
        body: dict[str, Any] = {"model": model, "messages": messages, "stream": scene.stream}
        if scene.tools:
            function = {"name": TOOL, "description": TOLD, "parameters": SCHEMA}
            body["tools"] = [{"type": "function", "function": function}]
        if scene.schema:
            body["format"] = SCHEMA
        if scene.max_tokens is not None:
            body["options"] = {"num_predict": scene.max_tokens}
        if scene.says.reasoning:
            body["think"] = True
        return Asking("/api/chat", body)

    def _messages(self, turn: Turn) -> list[dict[str, Any]]:
        if turn.role == "results":
            return [
                {"role": "tool", "tool_name": TOOL, "content": text} for _, text in turn.results
            ]
        message: dict[str, Any] = {"role": turn.role, "content": turn.text}
        if turn.image:
            message["images"] = [PNG]
        if turn.calls:
            message["tool_calls"] = [
                {"function": {"name": TOOL, "arguments": call.arguments}} for call in turn.calls
            ]
        return [message]

    def hear(self, body: bytes, *, stream: bool) -> Heard:
        heard = Heard()
        lines = body.split(b"\n")[:-1] if stream else [body]
        for line in filter(None, lines):
            assert not heard.whole and not heard.error, "something follows the end"
            data = json.loads(line)
            if "error" in data:
                heard.error = data["error"]
                continue
            message = data["message"]
            heard.text += message["content"]
            heard.reasoning += message.get("thinking") or ""
            for call in message.get("tool_calls") or ():
                function = call["function"]
                assert isinstance(function["arguments"], dict)
                heard.calls.append((function["name"], function["arguments"]))
            if data["done"]:
                assert data["eval_count"] is not None and data["total_duration"] >= 0
                heard.whole = True
                reason = REASONS.get(data["done_reason"], data["done_reason"])
                heard.finish = "calls" if heard.calls else reason
        return heard

    def error(self, body: bytes) -> str:
        error = json.loads(body)["error"]
        assert isinstance(error, str)
        return error

    def play(self, scene: Scene, seen: Seen) -> Play:
        if scene.ending == "error first":
            return json_play(ERROR, 503)
        said = scene.says
        calls = [{"function": {"name": TOOL, "arguments": c.arguments}} for c in said.calls]
        end = {
            "done": True,
            "done_reason": "length" if said.finish == "length" else "stop",
            "total_duration": 5_000,
            "load_duration": 1_000,
            "prompt_eval_count": 9,
            "prompt_eval_duration": 1_000,
            "eval_count": 5,
            "eval_duration": 3_000,
        }
        common = {"model": "there", "created_at": "2026-01-01T00:00:00Z"}
        if seen.json.get("stream") is False:
            message: dict[str, Any] = {"role": "assistant", "content": said.text}
            if said.reasoning:
                message["thinking"] = said.reasoning
            if calls:
                message["tool_calls"] = calls
            return json_play({**common, "message": message, **end})
        messages: list[dict[str, Any]] = []
        if said.reasoning:
            messages.append({"content": "", "thinking": said.reasoning})
        messages += [{"content": piece} for piece in scene.pieces]
        messages += [{"content": "", "tool_calls": [call]} for call in calls]
        lines = [
            {**common, "message": {"role": "assistant", **message}, "done": False}
            for message in messages
        ]
        lines.append({**common, "message": {"role": "assistant", "content": ""}, **end})
        written = [json.dumps(line).encode() + b"\n" for line in lines]
        play = streamed(scene, written, 1, [json.dumps(ERROR).encode() + b"\n"])
        play.content_type = "application/x-ndjson"
        return play

    def told(self, seen: Seen) -> Told:
        body = seen.json
        told = Told(max_tokens=(body.get("options") or {}).get("num_predict"))
        for message in body["messages"]:
            if message["role"] == "tool":
                told.results.append(message["content"])
            elif message.get("content"):
                told.texts.append((message["role"], message["content"]))
            told.images += message.get("images") or ()
            for call in message.get("tool_calls") or ():
                assert isinstance(call["function"]["arguments"], dict)
                told.calls.append(call["function"]["arguments"])
        told.tools = [tool["function"]["name"] for tool in body.get("tools") or ()]
        told.schema = body.get("format") == SCHEMA
        return told


OLLAMA = Ollama()
