"""Gemini's generateContent. Source: https://ai.google.dev/api/generate-content"""

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

FINISHES = {"stop": "STOP", "length": "MAX_TOKENS", "calls": "STOP", "refusal": "SAFETY"}
ERROR = {"error": {"code": 503, "message": BUSY, "status": "UNAVAILABLE"}}


class Gemini:
    """A client and a server of the dialect."""

    name = "gemini"
    kind = "gemini"

    def asking(self, scene: Scene, model: str) -> Asking:
        turns = list(scene.turns)
        body: dict[str, Any] = {}
        if turns[0].role == "system":
            body["systemInstruction"] = {"parts": [{"text": turns.pop(0).text}]}
        body["contents"] = [self._content(turn) for turn in turns]
        config: dict[str, Any] = {}
        if scene.schema:
            config["responseMimeType"] = "application/json"
            config["responseJsonSchema"] = SCHEMA
        if scene.max_tokens is not None:
            config["maxOutputTokens"] = scene.max_tokens
        if scene.says.reasoning:
            config["thinkingConfig"] = {"includeThoughts": True}
        if config:
            body["generationConfig"] = config
        if scene.tools:
            declared = {"name": TOOL, "description": TOLD, "parametersJsonSchema": SCHEMA}
            body["tools"] = [{"functionDeclarations": [declared]}]
        verb = "streamGenerateContent?alt=sse" if scene.stream else "generateContent"
        return Asking(f"/v1beta/models/{model}:{verb}", body)

    def _content(self, turn: Turn) -> dict[str, Any]:
        parts: list[dict[str, Any]] = []
        if turn.text:
            parts.append({"text": turn.text})
        if turn.image:
            parts.append({"inlineData": {"mimeType": "image/png", "data": PNG}})
        parts += [
            {"functionCall": {"id": call.id, "name": TOOL, "args": call.arguments}}
            for call in turn.calls
        ]
        for call, text in turn.results:
            response = {"id": call.id, "name": TOOL, "response": {"output": text}}
            parts.append({"functionResponse": response})
        role = {"assistant": "model", "system": "system"}.get(turn.role, "user")
        return {"role": role, "parts": parts}

    def hear(self, body: bytes, *, stream: bool) -> Heard:
        heard = Heard()
        for data in [d for _, d in read_sse(body)] if stream else [json.loads(body)]:
            assert not heard.error, "something follows an error"
            if "error" in data:
                heard.error = data["error"]["message"]
                continue
            if (data.get("promptFeedback") or {}).get("blockReason"):
                heard.finish, heard.whole = "refusal", True
            for candidate in data.get("candidates") or ():
                for part in (candidate.get("content") or {}).get("parts") or ():
                    if part.get("thought"):
                        heard.reasoning += part.get("text", "")
                    else:
                        heard.text += part.get("text", "")
                    if "functionCall" in part:
                        call = part["functionCall"]
                        heard.calls.append((call["name"], call.get("args") or {}))
                reason = candidate.get("finishReason")
                if reason:
                    heard.whole = True
                    by_reason = {there: here for here, there in FINISHES.items() if here != "calls"}
                    heard.finish = "calls" if heard.calls else by_reason[reason]
        return heard

    def error(self, body: bytes) -> str:
        error = json.loads(body)["error"]
        assert isinstance(error["code"], int) and error["status"].isupper()
        return str(error["message"])

    def play(self, scene: Scene, seen: Seen) -> Play:
        if scene.ending == "error first":
            return json_play(ERROR, 503)
        said = scene.says
        parts: list[dict[str, Any]] = []
        if said.reasoning:
            parts.append({"text": said.reasoning, "thought": True})
        if said.finish != "refusal":
            parts += [{"text": piece} for piece in scene.pieces]
        parts += [{"functionCall": {"name": TOOL, "args": call.arguments}} for call in said.calls]
        end = {"finishReason": FINISHES[said.finish], "index": 0}
        usage = {"promptTokenCount": 9, "candidatesTokenCount": 5, "totalTokenCount": 14}
        common = {"modelVersion": "there", "responseId": "r1", "usageMetadata": usage}
        if "streamGenerateContent" not in seen.path:
            candidate = {"content": {"role": "model", "parts": parts}, **end}
            return json_play({"candidates": [candidate], **common})
        chunks = [
            {"candidates": [{"content": {"role": "model", "parts": [p]}, "index": 0}], **common}
            for p in parts
        ]
        chunks.append({"candidates": [end], **common})
        events = sse([("", chunk) for chunk in chunks])
        return streamed(scene, events, 1, sse([("", ERROR)]))

    def told(self, seen: Seen) -> Told:
        body = seen.json
        config = body.get("generationConfig") or {}
        told = Told(max_tokens=config.get("maxOutputTokens"))
        for part in (body.get("systemInstruction") or {}).get("parts") or ():
            told.texts.append(("system", part["text"]))
        for content in body["contents"]:
            assert content["role"] in ("user", "model")
            for part in content["parts"]:
                if "text" in part:
                    told.texts.append((content["role"], part["text"]))
                if "inlineData" in part:
                    told.images.append(part["inlineData"]["data"])
                if "functionCall" in part:
                    told.calls.append(part["functionCall"].get("args") or {})
                if "functionResponse" in part:
                    [text] = part["functionResponse"]["response"].values()
                    told.results.append(text)
        told.tools = [
            declared["name"]
            for tool in body.get("tools") or ()
            for declared in tool.get("functionDeclarations") or ()
        ]
        form = config.get("responseSchema") or config.get("responseJsonSchema") or {}
        told.schema = list(form.get("properties") or ()) == ["city"]
        return told


GEMINI = Gemini()
