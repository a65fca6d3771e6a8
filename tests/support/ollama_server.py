"""An Ollama server, small and as strict as the real one, whose answers follow from the request.

Its checks are those that a server written in Go makes by decoding: a text is a text, arguments are
an object, pictures are base64. Source: https://docs.ollama.com/api
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from support.scripted_backend import Play, Seen

CREATED: Final = "2026-11-26T08:00:00.123456789Z"
PIXEL: Final = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwAD"
    "hgGAWjR9awAAAABJRU5ErkJggg=="
)

MODELS: Final[Mapping[str, tuple[Sequence[str], str, int]]] = {
    "llama3.2:latest": (("completion", "tools"), "llama", 131072),
    "qwen3:8b": (("completion", "tools", "thinking"), "qwen3", 40960),
    "llava:7b": (("completion", "vision"), "llama", 32768),
    "nomic-embed-text:latest": (("embedding",), "nomic-bert", 2048),
}
"""What it has: capabilities, family, context length."""


class Refused(Exception):
    def __init__(self, status: int, said: str) -> None:
        self.status = status
        self.said = said


class OllamaServer:
    """A script for a scripted backend.

    A prompt that says "answer with status 429" gets that status. "cut the stream" breaks the reply
    off after its first words, "fail midway" sends an error in it, "stop halfway for ever" nothing
    more until the client leaves, "say nothing for ever" nothing at all.
    """

    def __call__(self, seen: Seen) -> Play:
        try:
            return self._answer(seen)
        except Refused as refused:
            return page({"error": refused.said}, refused.status)

    def _answer(self, seen: Seen) -> Play:
        match seen.method, seen.path:
            case "GET", "/api/tags":
                return page({"models": [_entry(name) for name in MODELS]})
            case "GET", "/api/version":
                return page({"version": "0.12.11"})
            case "POST", "/api/show":
                return page(_shown(_model(seen.json)))
            case "POST", "/api/chat":
                return self._chat(seen.json)
            case "POST", "/api/generate":
                return self._generate(seen.json)
            case "POST", "/api/embed":
                return page(_embedded(seen.json))
            case "POST", "/api/embeddings":
                _model(seen.json)
                return page({"embedding": _vector(_text(seen.json, "prompt"))})
        raise Refused(404, "404 page not found")

    def _chat(self, body: Mapping[str, Any]) -> Play:
        name = _model(body)
        messages = body.get("messages") or []
        if not messages:
            return page(_whole(body["model"], "message", [], "load"))
        for message in messages:
            _check_message(message)
        _check_abilities(name, body, messages)
        prompt = "\n".join(m["content"] for m in messages if m.get("content"))
        pieces = _said(name, body, messages)
        return _play(body, prompt, pieces, "message")

    def _generate(self, body: Mapping[str, Any]) -> Play:
        name = _model(body)
        if not body.get("prompt"):
            return page(_whole(body["model"], "response", [], "load"))
        prompt = _text(body, "prompt")
        for data in body.get("images") or ():
            _check_picture(data)
        words = f"You said: {prompt}"
        if body.get("suffix"):
            words = f"between {prompt} and {body['suffix']}"
        if body.get("raw"):
            words = f"raw {prompt}"
        if body.get("context"):
            words = f"after {body['context']} {prompt}"
        pieces = [{"content": word} for word in _words(words)]
        if body.get("think") and "thinking" in MODELS[name][0]:
            pieces.insert(0, {"thinking": "hm"})
        return _play(body, prompt, pieces, "response")


def page(value: Any, status: int = 200) -> Play:
    """A reply that comes whole."""
    return Play(
        status=status,
        pieces=[json.dumps(value).encode()],
        content_type="application/json; charset=utf-8",
    )


def lines(*pieces: Mapping[str, Any], model: str = "llama3.2", reason: str = "stop") -> list[bytes]:
    """The lines of a chat's stream: a message for each piece, and the last line."""
    found = [_line(model, "message", piece) for piece in pieces]
    return [*found, _last(model, "message", reason, len(pieces))]


def _play(body: Mapping[str, Any], prompt: str, pieces: list[dict[str, Any]], field: str) -> Play:
    status = re.search(r"answer with status (\d+)", prompt)
    if status:
        raise Refused(int(status[1]), "server busy, please try again")
    if "say nothing for ever" in prompt:
        return Play(gate=asyncio.Event())
    limit = (body.get("options") or {}).get("num_predict") or 0
    reason = "length" if 0 < limit < len(pieces) else "stop"
    pieces = pieces[:limit] if reason == "length" else pieces
    model = body["model"]
    if body.get("stream") is False:
        return page(_whole(model, field, pieces, reason))
    stream = [_line(model, field, piece) for piece in pieces]
    if "cut the stream" in prompt:
        return _stream(stream[:2], end="close")
    if "stop halfway for ever" in prompt:
        return _stream(stream[:2], end="hang")
    if "fail midway" in prompt:
        return _stream([*stream[:2], b'{"error":"model runner has unexpectedly stopped"}\n'])
    return _stream([*stream, _last(model, field, reason, len(pieces))])


def _stream(pieces: list[bytes], end: Any = "whole") -> Play:
    return Play(pieces=pieces, content_type="application/x-ndjson", end=end)


def _line(model: str, field: str, piece: Mapping[str, Any], **more: Any) -> bytes:
    said: dict[str, Any] = {"message": {"role": "assistant", "content": "", **piece}}
    if field == "response":
        said = {"response": piece.get("content", "")}
        said |= {name: value for name, value in piece.items() if name != "content"}
    line = {"model": model, "created_at": CREATED, **said, "done": False, **more}
    return json.dumps(line).encode() + b"\n"


def _counts(reason: str, count: int) -> dict[str, Any]:
    return {
        "done": True,
        "done_reason": reason,
        "total_duration": 4_883_583_458,
        "load_duration": 1_334_875,
        "prompt_eval_count": 26,
        "prompt_eval_duration": 342_546_000,
        "eval_count": count,
        "eval_duration": 4_535_599_000,
    }


def _last(model: str, field: str, reason: str, count: int) -> bytes:
    return _line(model, field, {}, **_counts(reason, count))


def _whole(model: str, field: str, pieces: list[dict[str, Any]], reason: str) -> dict[str, Any]:
    whole: dict[str, Any] = {"content": ""}
    for piece in pieces:
        for name, value in piece.items():
            whole[name] = whole[name] + value if name in whole else value
    line: dict[str, Any] = json.loads(_line(model, field, whole))
    return line | _counts(reason, len(pieces))


def _said(
    name: str, body: Mapping[str, Any], messages: Sequence[Mapping[str, Any]]
) -> list[dict[str, Any]]:
    last = messages[-1]
    prompt = last.get("content") or ""
    pieces: list[dict[str, Any]] = []
    thinks = "thinking" in MODELS[name][0] and body.get("think") is not False
    if thinks:
        pieces += [{"thinking": "The user "}, {"thinking": "asks."}]
    cities = [city for city in ("Oslo", "Rome") if city in prompt]
    tools = body.get("tools") or []
    if tools and cities and last["role"] == "user":
        called = tools[0]["function"]["name"]
        calls = [{"function": {"name": called, "arguments": {"city": city}}} for city in cities]
        return [*pieces, *({"tool_calls": [call]} for call in calls)]
    if last["role"] == "tool":
        results = [
            f"{m.get('tool_name', '?')}={m['content']}" for m in messages if m["role"] == "tool"
        ]
        return [
            *pieces,
            *({"content": word} for word in _words(f"I was told: {'; '.join(results)}")),
        ]
    words = f"You said: {prompt}"
    if cities and any("<tools>" in (m.get("content") or "") for m in messages):
        # Told of tools in words, as models that write calls in their text are.
        written = json.dumps({"name": "weather", "arguments": {"city": cities[0]}})
        words = f"<tool_call>{written}</tool_call>"
    if body.get("format"):
        words = '{"city": "Vaduz", "people": 5696}'
    for data in last.get("images") or ():
        words += f" [{len(base64.b64decode(data))} bytes]"
    return [*pieces, *({"content": word} for word in _words(words))]


def _words(text: str) -> list[str]:
    return re.findall(r"\S+\s*|\s+", text)


# -- checks ----------------------------------------------------------------------------------


def _model(body: Mapping[str, Any]) -> str:
    given = body.get("model") or body.get("name") or ""
    name = given if ":" in given else f"{given}:latest"
    if name not in MODELS:
        raise Refused(404, f"model '{given}' not found")
    return name


def _text(body: Mapping[str, Any], field: str) -> str:
    value = body.get(field)
    if not isinstance(value, str):
        raise Refused(400, f"json: cannot unmarshal into Go struct field .{field} of type string")
    return value


def _check_message(message: Mapping[str, Any]) -> None:
    content = message.get("content", "")
    if not isinstance(content, str):
        raise Refused(
            400, "json: cannot unmarshal into Go struct field ChatRequest.messages of type string"
        )
    if message.get("role") not in ("system", "user", "assistant", "tool"):
        raise Refused(400, f"invalid role: {message.get('role')}")
    for call in message.get("tool_calls") or ():
        if not isinstance(call["function"].get("arguments"), dict):
            raise Refused(
                400,
                "json: cannot unmarshal string into Go struct field .arguments of type "
                "api.ToolCallFunctionArguments",
            )
    for data in message.get("images") or ():
        _check_picture(data)


def _check_picture(data: str) -> None:
    try:
        base64.b64decode(data, validate=True)
    except binascii.Error:
        raise Refused(400, "illegal base64 data at input byte 4") from None


def _check_abilities(
    name: str, body: Mapping[str, Any], messages: Sequence[Mapping[str, Any]]
) -> None:
    able = MODELS[name][0]
    if "completion" not in able:
        raise Refused(400, f'"{name}" does not support chat')
    if body.get("tools") and "tools" not in able:
        raise Refused(400, f"registry.ollama.ai/library/{name} does not support tools")
    if body.get("think") and "thinking" not in able:
        raise Refused(400, f'"{name}" does not support thinking')
    if isinstance(body.get("think"), str):
        raise Refused(400, f'think value "{body["think"]}" is not supported for this model')
    if any(m.get("images") for m in messages) and "vision" not in able:
        raise Refused(400, f'"{name}" does not support images')
    given = body.get("format")
    if given not in (None, "", "json") and not isinstance(given, dict):
        raise Refused(400, f'invalid format: "{given}"; expected "json" or a valid JSON Schema')


def _entry(name: str) -> dict[str, Any]:
    _, family, _ = MODELS[name]
    return {
        "name": name,
        "model": name,
        "modified_at": CREATED,
        "size": 2_019_393_189,
        "digest": f"{len(name):064x}",
        "details": {
            "parent_model": "",
            "format": "gguf",
            "family": family,
            "families": [family],
            "parameter_size": "3.2B",
            "quantization_level": "Q4_K_M",
        },
    }


def _shown(name: str) -> dict[str, Any]:
    able, family, context = MODELS[name]
    return {
        "template": "{{ .Prompt }}",
        "details": _entry(name)["details"],
        "model_info": {"general.architecture": family, f"{family}.context_length": context},
        "capabilities": list(able),
        "modified_at": CREATED,
    }


def _embedded(body: Mapping[str, Any]) -> dict[str, Any]:
    _model(body)
    given = body.get("input")
    texts = [given] if isinstance(given, str) else given
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise Refused(400, "invalid input type")
    size = body.get("dimensions") or 4
    return {
        "model": body["model"],
        "embeddings": [_vector(text)[:size] for text in texts],
        "total_duration": 14_143_917,
        "load_duration": 1_019_500,
        "prompt_eval_count": sum(len(text.split()) for text in texts),
    }


def _vector(text: str) -> list[float]:
    return [float(len(text)), 0.25, -0.5, 1.0]
