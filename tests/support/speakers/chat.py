"""OpenAI chat completions. Source: https://platform.openai.com/docs/api-reference/chat"""

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
    Said,
    Scene,
    Told,
    Turn,
    read_sse,
    sse,
    streamed,
)

FINISHES = {"stop": "stop", "length": "length", "calls": "tool_calls", "refusal": "content_filter"}
HEARD = {there: here for here, there in FINISHES.items()}
USAGE = {"prompt_tokens": 9, "completion_tokens": 5, "total_tokens": 14}
ERROR = {"error": {"message": BUSY, "type": "server_error", "param": None, "code": None}}


class Chat:
    """A client and a server of the dialect."""

    name = "chat"
    kind = "openai"

    def asking(self, scene: Scene, model: str) -> Asking:
        messages: list[dict[str, Any]] = []
        for turn in scene.turns:
            messages += self._messages(turn)
        body: dict[str, Any] = {"model": model, "messages": messages}
        if scene.stream:
            body["stream"] = True
        if scene.tools:
            function = {"name": TOOL, "description": TOLD, "parameters": SCHEMA}
            body["tools"] = [{"type": "function", "function": function}]
        if scene.schema:
            form = {"name": "place", "schema": SCHEMA, "strict": True}
            body["response_format"] = {"type": "json_schema", "json_schema": form}
        if scene.max_tokens is not None:
            body["max_tokens"] = scene.max_tokens
        return Asking("/v1/chat/completions", body)

    def _messages(self, turn: Turn) -> list[dict[str, Any]]:
        if turn.role == "results":
            return [
                {"role": "tool", "tool_call_id": call.id, "content": text}
                for call, text in turn.results
            ]
        message: dict[str, Any] = {"role": turn.role, "content": turn.text or None}
        if turn.image:
            message["content"] = [
                {"type": "text", "text": turn.text},
                {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}},
            ]
        if turn.calls:
            message["tool_calls"] = [
                {
                    "id": call.id,
                    "type": "function",
                    "function": {"name": TOOL, "arguments": call.written},
                }
                for call in turn.calls
            ]
        return [message]

    def hear(self, body: bytes, *, stream: bool) -> Heard:
        heard = Heard()
        if not stream:
            choice = json.loads(body)["choices"][0]
            self._add(heard, choice["message"])
            for call in choice["message"].get("tool_calls") or ():
                function = call["function"]
                heard.calls.append((function["name"], json.loads(function["arguments"])))
            heard.finish = "refusal" if heard.refused else HEARD[choice["finish_reason"]]
            heard.whole = True
            return heard
        calls: dict[int, list[str]] = {}
        for _, data in read_sse(body):
            assert not heard.error, "something follows an error"
            if data == "[DONE]":
                heard.whole = True
                continue
            if "error" in data:
                heard.error = data["error"]["message"]
                continue
            for choice in data["choices"]:
                self._add(heard, choice["delta"])
                for call in choice["delta"].get("tool_calls") or ():
                    if "id" in call:
                        assert call["index"] not in calls, "a call was born twice"
                        calls[call["index"]] = [call["function"]["name"], ""]
                    calls[call["index"]][1] += call["function"].get("arguments", "")
                if choice["finish_reason"]:
                    reason = HEARD[choice["finish_reason"]]
                    heard.finish = "refusal" if heard.refused else reason
        heard.calls = [(name, json.loads(written)) for name, written in calls.values()]
        return heard

    def _add(self, heard: Heard, message: dict[str, Any]) -> None:
        heard.text += message.get("content") or message.get("refusal") or ""
        heard.refused = heard.refused or bool(message.get("refusal"))
        heard.reasoning += message.get("reasoning_content") or ""

    def error(self, body: bytes) -> str:
        error = json.loads(body)["error"]
        assert error["type"]
        return str(error["message"])

    def play(self, scene: Scene, seen: Seen) -> Play:
        if scene.ending == "error first":
            return json_play(ERROR, 503)
        said = scene.says
        if not seen.json.get("stream"):
            choice = {
                "index": 0,
                "message": self._message(said),
                "finish_reason": FINISHES[said.finish],
            }
            return json_play(
                {
                    "id": "chatcmpl-1",
                    "object": "chat.completion",
                    "created": 1,
                    "model": "there",
                    "choices": [choice],
                    "usage": USAGE,
                }
            )
        deltas: list[dict[str, Any]] = [{"role": "assistant", "content": ""}]
        if said.reasoning:
            deltas.append({"reasoning_content": said.reasoning})
        deltas += [{"content": piece} for piece in scene.pieces]
        for index, call in enumerate(said.calls):
            begun = {"name": TOOL, "arguments": ""}
            named = {"index": index, "id": call.id, "type": "function", "function": begun}
            deltas.append({"tool_calls": [named]})
            for piece in (call.written[:4], call.written[4:]):
                part = {"index": index, "function": {"arguments": piece}}
                deltas.append({"tool_calls": [part]})
        chunks = [self._chunk(delta) for delta in deltas]
        usage = {**self._chunk({}), "choices": [], "usage": USAGE}
        events = sse(
            [
                *(("", chunk) for chunk in chunks),
                ("", self._chunk({}, FINISHES[said.finish])),
                *([("", usage)] if seen.json.get("stream_options") else []),
                ("", "[DONE]"),
            ]
        )
        return streamed(scene, events, 2, sse([("", ERROR)]))

    def _chunk(self, delta: dict[str, Any], finish: str | None = None) -> dict[str, Any]:
        return {
            "id": "chatcmpl-1",
            "object": "chat.completion.chunk",
            "created": 1,
            "model": "there",
            "choices": [{"index": 0, "delta": delta, "finish_reason": finish}],
        }

    def _message(self, said: Said) -> dict[str, Any]:
        message: dict[str, Any] = {"role": "assistant", "content": said.text or None}
        if said.reasoning:
            message["reasoning_content"] = said.reasoning
        if said.calls:
            message["tool_calls"] = [
                {
                    "id": call.id,
                    "type": "function",
                    "function": {"name": TOOL, "arguments": call.written},
                }
                for call in said.calls
            ]
        return message

    def told(self, seen: Seen) -> Told:
        body = seen.json
        told = Told(max_tokens=body.get("max_tokens") or body.get("max_completion_tokens"))
        for message in body["messages"]:
            content = message.get("content") or []
            parts = [{"type": "text", "text": content}] if isinstance(content, str) else content
            for part in parts:
                if part["type"] == "image_url":
                    told.images.append(part["image_url"]["url"].partition(",")[2])
                elif message["role"] == "tool":
                    told.results.append(part["text"])
                else:
                    told.texts.append((message["role"], part["text"]))
            for call in message.get("tool_calls") or ():
                told.calls.append(json.loads(call["function"]["arguments"]))
        told.tools = [tool["function"]["name"] for tool in body.get("tools") or ()]
        form = body.get("response_format") or {}
        told.schema = form.get("json_schema", {}).get("schema") == SCHEMA
        return told


CHAT = Chat()
