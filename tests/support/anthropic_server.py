"""A server of the Anthropic messages API: as small as can be, and as strict as the real one.

Its answers follow from the request alone. What the API refuses it refuses, in the API's words:
https://platform.claude.com/docs/en/api/messages and …/api/errors
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from support.scripted_backend import Play, Seen, json_play

KEY: Final = "sk-ant-vendor-key"
MODELS: Final = ("claude-sonnet-4-5", "claude-opus-4-8", "claude-3-haiku-20240307")

_FIELDS: Final = frozenset(
    (
        *("model", "messages", "max_tokens", "stream", "system", "tools", "tool_choice"),
        *("stop_sequences", "temperature", "top_p", "top_k", "thinking", "output_config"),
        *("metadata", "service_tier", "cache_control", "context_management", "container"),
        "mcp_servers",
    )
)
_NAME: Final = re.compile(r"[a-zA-Z0-9_-]{1,128}")
_ID: Final = re.compile(r"[a-zA-Z0-9_-]+")
_STATUSES: Final = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    500: "api_error",
    529: "overloaded_error",
}


class Refused(Exception):
    """The request is refused."""

    def __init__(self, status: int, message: str, details: Mapping[str, Any] | None = None) -> None:
        self.status = status
        self.message = message
        self.details = details


class AnthropicServer:
    """A script for a scripted backend.

    A prompt that says "answer with status 429" gets that status, with "once" only the first time.
    "cut the stream" breaks the reply off after its first words, "fail midway" sends an error in it,
    both once another prompt has said "release" (unless it ``holds`` nothing);
    "fail at once" sends one before any content, "say nothing for ever" nothing at all; "think"
    brings signed and sealed thoughts, "cite" a citation, "refuse" a refusal, "use TOOL" a call of
    it and "use all tools" one of each. ``counts`` is off for servers that cannot count tokens.
    """

    def __init__(self, *, counts: bool = True, holds: bool = True) -> None:
        self.counts = counts
        self.holds = holds
        self._failed_once: set[str] = set()
        self._held: list[asyncio.Event] = []

    def __call__(self, seen: Seen) -> Play:
        try:
            return self._answer(seen)
        except Refused as refused:
            return error_play(refused.status, refused.message, refused.details)

    def _answer(self, seen: Seen) -> Play:
        if seen.headers.get("x-api-key") != KEY:
            raise Refused(401, "invalid x-api-key")
        if "anthropic-version" not in seen.headers:
            raise Refused(400, "anthropic-version: header is required")
        path, _, query = seen.path.partition("?")
        match seen.method, path:
            case "GET", "/v1/models":
                return json_play(_listed())
            case "POST", "/v1/messages" if query in ("", "beta=true"):
                return self._message(seen.json)
            case "POST", "/v1/messages/count_tokens" if self.counts:
                check(seen.json, counting=True)
                self._fail_on_demand(prompt_of(seen.json))
                return json_play({"input_tokens": count(seen.json)})
        raise Refused(404, "Not Found")

    def _message(self, body: Mapping[str, Any]) -> Play:
        check(body)
        prompt = prompt_of(body)
        self._fail_on_demand(prompt)
        if "say nothing for ever" in prompt:
            return Play(gate=asyncio.Event())
        message = answer(body)
        if not body.get("stream"):
            return json_play(message, request_id="req_vendor")
        events = list(streamed(message))
        half = len(events) // 2
        if "fail at once" in prompt:
            return Play(pieces=[_failed("overloaded_error", "Overloaded")])
        if "release" in prompt:
            for held in self._held:
                held.set()
        if "stop halfway for ever" in prompt:
            return Play(pieces=events[:half], end="hang")
        if "fail midway" in prompt or "cut the stream" in prompt:
            self._held.append(asyncio.Event())
            last = (
                _failed("overloaded_error", "Overloaded") if "fail midway" in prompt else b": \n\n"
            )
            return Play(
                pieces=[*events[:half], last], gates={half: self._held[-1]} if self.holds else {}
            )
        return Play(pieces=events)

    def _fail_on_demand(self, prompt: str) -> None:
        found = re.search(r"answer with status (\d{3})( once)?", prompt)
        if found is None or (found[2] and prompt in self._failed_once):
            return
        self._failed_once.add(prompt)
        message = "Overloaded" if found[1] == "529" else f"It was asked for a {found[1]}."
        raise Refused(int(found[1]), message)


def error_play(status: int, message: str, details: Mapping[str, Any] | None = None) -> Play:
    """An error as the API words it."""
    error: dict[str, Any] = {"type": _STATUSES.get(status, "api_error"), "message": message}
    if details is not None:
        error["details"] = details
    return json_play({"type": "error", "error": error, "request_id": "req_vendor"}, status)


def prompt_of(body: Mapping[str, Any]) -> str:
    """The words of the last user turn."""
    for message in reversed(body["messages"]):
        if message["role"] == "user":
            return " ".join(_texts(message["content"]))
    return ""


def _texts(content: Any) -> list[str]:
    if isinstance(content, str):
        return [content]
    return [block["text"] for block in content if block["type"] == "text"]


# -- what is refused -------------------------------------------------------------------------


def check(body: Mapping[str, Any], *, counting: bool = False) -> None:
    """Raise Refused for what the API refuses."""
    if body.get("thread") is not None:
        details = {"error_code": "thread_unsupported_request", "unsupported": ["thread"]}
        raise Refused(400, "Threads are not supported for this request.", details)
    unknown = sorted(set(body) - _FIELDS - {"thread"})
    if unknown:
        raise Refused(400, f"{unknown[0]}: Extra inputs are not permitted")
    if "max_tokens" not in body and not counting:
        raise Refused(400, "max_tokens: Field required")
    if not counting and body["max_tokens"] < 1:
        raise Refused(400, "max_tokens: Input should be greater than or equal to 1")
    for block in body.get("system", ()) if isinstance(body.get("system"), list) else ():
        if block.keys() - {"type", "text", "cache_control"}:
            raise Refused(400, "system: Extra inputs are not permitted")
        if not block["text"].strip():
            raise Refused(400, "system: text content blocks must contain non-whitespace text")
    if isinstance(body.get("system"), str) and not body["system"].strip():
        raise Refused(400, "system: text content blocks must contain non-whitespace text")
    tools = body.get("tools") or []
    for at, tool in enumerate(tools):
        if tool.get("type", "custom") == "custom":
            if not _NAME.fullmatch(tool["name"]):
                raise Refused(400, f"tools.{at}.custom.name: String should match pattern")
            if tool.get("input_schema", {}).get("type") != "object":
                raise Refused(400, f"tools.{at}.custom.input_schema.type: Field required")
    if body.get("tool_choice") is not None and not tools:
        raise Refused(400, "tool_choice may only be specified while providing tools")
    _check_thinking(body)
    for text in body.get("stop_sequences", ()):
        if not text.strip():
            raise Refused(400, "stop_sequences: each stop sequence must contain non-whitespace")
    _check_turns(body)


def _check_thinking(body: Mapping[str, Any]) -> None:
    thinking = body.get("thinking", {"type": "disabled"})
    if thinking["type"] == "enabled":
        if thinking["budget_tokens"] < 1024:
            raise Refused(400, "thinking.enabled.budget_tokens: should be at least 1024")
        if thinking["budget_tokens"] >= body.get("max_tokens", 1 << 30):
            raise Refused(400, "`max_tokens` must be greater than `thinking.budget_tokens`")
    if thinking["type"] != "disabled":
        if body.get("temperature", 1) != 1:
            raise Refused(400, "`temperature` may only be set to 1 when thinking is enabled")
        if body.get("tool_choice", {}).get("type") in ("any", "tool"):
            raise Refused(400, "Thinking may not be enabled when tool_choice forces tool use")
    if not 0 <= body.get("temperature", 0) <= 1:
        raise Refused(400, "temperature: range: 0..1")


def _check_turns(body: Mapping[str, Any]) -> None:
    messages = body["messages"]
    in_place = "opus-4-8" in body["model"]
    if not messages:
        raise Refused(400, "messages: at least one message is required")
    if messages[0]["role"] != "user":
        raise Refused(400, 'messages: first message must use the "user" role')
    open_calls: list[str] = []
    before = ""
    for at, message in enumerate(messages):
        role, content = message["role"], message["content"]
        if role == "system" and not in_place:
            raise Refused(400, f"messages.{at}: role 'system' is not supported on this model")
        if role == "system":
            last = at + 1 == len(messages)
            if before != "user" or not (last or messages[at + 1]["role"] == "assistant"):
                raise Refused(400, f"messages.{at}: role 'system' must follow a 'user' message")
        elif role not in ("user", "assistant"):
            raise Refused(400, f"messages.{at}.role: Input should be 'user' or 'assistant'")
        blocks = [{"type": "text", "text": content}] if isinstance(content, str) else content
        results = [block["tool_use_id"] for block in blocks if block["type"] == "tool_result"]
        if role != "system":
            missing = [call for call in open_calls if call not in results]
            if missing:
                raise Refused(
                    400,
                    f"messages.{at}: `tool_use` ids were found without `tool_result` blocks "
                    f"immediately after: {', '.join(missing)}",
                )
            if [call for call in results if call not in open_calls] or len(set(results)) != len(
                results
            ):
                raise Refused(400, f"messages.{at}: unexpected `tool_use_id` in `tool_result`")
            open_calls = []
        kinds = [block["type"] for block in blocks]
        if "tool_result" in kinds[kinds.count("tool_result") :]:
            raise Refused(400, f"messages.{at}: tool_result blocks must come first")
        for block in blocks:
            _check_block(block, f"messages.{at}")
            if block["type"] == "tool_use":
                open_calls.append(block["id"])
        before = role
    last = messages[-1]
    if last["role"] == "assistant":
        text = _texts(last["content"])
        if text and text[-1] != text[-1].rstrip():
            raise Refused(400, "messages: final assistant content cannot end with trailing white")


def _check_block(block: Mapping[str, Any], where: str) -> None:
    match block["type"]:
        case "text":
            if not block["text"].strip():
                raise Refused(400, f"{where}: text content blocks must be non-empty")
        case "tool_use":
            if not _ID.fullmatch(block["id"]):
                raise Refused(400, f"{where}: tool_use.id: String should match pattern")
            if not isinstance(block["input"], dict):
                raise Refused(400, f"{where}: tool_use.input: Input should be a valid dictionary")
        case "thinking":
            if not block["signature"].startswith("sig-"):
                raise Refused(400, f"{where}: Invalid `signature` in `thinking` block")
        case "redacted_thinking":
            if not block["data"].startswith("sealed-"):
                raise Refused(400, f"{where}: Invalid `data` in `redacted_thinking` block")
        case "image":
            source = block["source"]
            if source["type"] == "base64" and source["media_type"] != "image/png":
                raise Refused(400, f"{where}: Image does not match the provided media type")
        case "tool_result":
            for inner in block.get("content", ()):
                if isinstance(inner, dict):
                    _check_block(inner, where)


# -- what is answered ------------------------------------------------------------------------


def count(body: Mapping[str, Any]) -> int:
    """Tokens of a prompt, as this server counts: words of its JSON."""
    kept = {name: body.get(name) for name in ("system", "messages", "tools")}
    return len(json.dumps(kept).split())


def answer(body: Mapping[str, Any]) -> dict[str, Any]:
    """The message that a checked request gets."""
    prompt = prompt_of(body)
    content: list[dict[str, Any]] = []
    if "think" in prompt or body.get("thinking", {}).get("type") in ("enabled", "adaptive"):
        content.append({"type": "thinking", "thinking": "Let me see.", "signature": "sig-a"})
        if "think" in prompt:
            content.append({"type": "redacted_thinking", "data": "sealed-b"})
    results = [
        block
        for block in body["messages"][-1]["content"]
        if isinstance(block, dict) and block["type"] == "tool_result"
    ]
    reason, stopped = "end_turn", None
    if results:
        content.append({"type": "text", "text": f"It says: {_told(results[-1])}"})
    else:
        text = f"You said: {prompt}"
        for stop in body.get("stop_sequences", ()):
            if stop in text:
                text, reason, stopped = text.partition(stop)[0], "stop_sequence", stop
        block: dict[str, Any] = {"type": "text", "text": text}
        if "cite" in prompt:
            block["citations"] = [CITATION]
        content.append(block)
        called = _called(body, prompt)
        content += called
        reason = "tool_use" if called else reason
    if body["max_tokens"] < 5:
        reason = "max_tokens"
    if "refuse" in prompt:
        reason = "refusal"
    return {
        "id": "msg_vendor",
        "type": "message",
        "role": "assistant",
        "model": body["model"],
        "content": content,
        "stop_reason": reason,
        "stop_sequence": stopped,
        "usage": {
            "input_tokens": count(body),
            "cache_creation_input_tokens": 7,
            "cache_read_input_tokens": 5,
            "output_tokens": len(json.dumps(content).split()),
        },
    }


CITATION: Final = {
    "type": "web_search_result_location",
    "url": "https://example.org/a",
    "title": "A page",
    "encrypted_index": "sealed",
    "cited_text": "said",
}


def _called(body: Mapping[str, Any], prompt: str) -> list[dict[str, Any]]:
    tools = [tool for tool in body.get("tools") or () if "input_schema" in tool]
    choice = body.get("tool_choice") or {"type": "auto"}
    wanted = [tool for tool in tools if f"use {tool['name']}" in prompt]
    if "use all tools" in prompt:
        wanted = tools
    if choice["type"] == "any":
        wanted = wanted or tools[:1]
    if choice["type"] == "tool":
        wanted = [tool for tool in tools if tool["name"] == choice["name"]]
    if choice["type"] == "none":
        wanted = []
    if choice.get("disable_parallel_tool_use"):
        wanted = wanted[:1]
    return [
        {
            "type": "tool_use",
            "id": f"toolu_vendor{at}",
            "name": tool["name"],
            "input": {
                name: "Paris" if shape.get("type") == "string" else 7
                for name, shape in tool["input_schema"].get("properties", {}).items()
            },
        }
        for at, tool in enumerate(wanted)
    ]


def _told(result: Mapping[str, Any]) -> str:
    content = result.get("content", "")
    said = content if isinstance(content, str) else " ".join(_texts(content))
    return f"error: {said}" if result.get("is_error") else said


def streamed(message: Mapping[str, Any]) -> Iterator[bytes]:
    """The same message as a stream of events."""
    usage = {**message["usage"], "output_tokens": 1}
    begun = {**message, "content": [], "stop_reason": None, "stop_sequence": None, "usage": usage}
    yield event("message_start", message=begun)
    yield event("ping")
    for index, block in enumerate(message["content"]):
        first, deltas = _pieces(block)
        yield event("content_block_start", index=index, content_block=first)
        for delta in deltas:
            yield event("content_block_delta", index=index, delta=delta)
        yield event("content_block_stop", index=index)
    end = {"stop_reason": message["stop_reason"], "stop_sequence": message["stop_sequence"]}
    output = {"output_tokens": message["usage"]["output_tokens"]}
    yield event("message_delta", delta=end, usage=output)
    yield event("message_stop")


def _pieces(block: Mapping[str, Any]) -> tuple[Mapping[str, Any], Sequence[Mapping[str, Any]]]:
    match block["type"]:
        case "text":
            words = re.findall(r"\s*\S+|\s+$", block["text"])
            deltas = [{"type": "text_delta", "text": word} for word in words]
            cited = [{"type": "citations_delta", "citation": c} for c in block.get("citations", ())]
            return {"type": "text", "text": ""}, [*deltas, *cited]
        case "thinking":
            return {"type": "thinking", "thinking": "", "signature": ""}, [
                {"type": "thinking_delta", "thinking": block["thinking"]},
                {"type": "signature_delta", "signature": block["signature"]},
            ]
        case "tool_use":
            given = json.dumps(block["input"]) if block["input"] else ""
            cut = [given[at : at + 7] for at in range(0, len(given), 7)]
            deltas = [{"type": "input_json_delta", "partial_json": piece} for piece in ["", *cut]]
            return {**block, "input": {}}, deltas
    return block, ()


def event(kind: str, **fields: Any) -> bytes:
    """One event."""
    return f"event: {kind}\ndata: {json.dumps({'type': kind, **fields})}\n\n".encode()


def _failed(kind: str, message: str) -> bytes:
    return event("error", error={"type": kind, "message": message})


def _listed() -> dict[str, Any]:
    data = [
        {
            "type": "model",
            "id": name,
            "display_name": name.title(),
            "created_at": "2026-05-28T00:00:00Z",
            "max_input_tokens": 200_000,
        }
        for name in MODELS
    ]
    return {"data": data, "has_more": False, "first_id": MODELS[0], "last_id": MODELS[-1]}
