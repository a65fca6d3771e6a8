"""A Gemini API whose answers follow from the request alone, as strict as the real one."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from support.gemini.refusals import Refused, bad_key, check, known, signature, spelled
from support.scripted_backend import Play, Seen, json_play

KEY: Final = "AIzaVendorKeyOfThisGemini"
MODELS: Final = ("gemini-2.5-flash", "gemini-3-flash")
EMBEDDING_MODEL: Final = "gemini-embedding-001"
"""Is not in its list, as some servers' are not."""

_PATH: Final = re.compile(r"/v1beta/models/([^:?]+):(\w+)(\?alt=sse)?")
_CITIES: Final = re.compile(r"\b(?:in|and) '?([A-Z]\w+)")


class Gemini:
    """A script for a scripted backend.

    A prompt that says "answer with status 429" gets that status, "with once" only the first time.
    "be blocked", "be unsafe", "be empty" and "be malformed" give an answer that is none; "cut the
    stream" breaks it off, "fail midway" puts an error into it.
    """

    def __init__(self) -> None:
        self._failed_once: set[str] = set()

    def __call__(self, seen: Seen) -> Play:
        streams = "alt=sse" in seen.path
        try:
            if "key=" in seen.path or seen.headers.get("x-goog-api-key") != KEY:
                raise bad_key()
            return self._answer(seen)
        except Refused as refused:
            error = {"error": refused.error}
            return json_play([error] if streams else error, refused.status)

    def _answer(self, seen: Seen) -> Play:
        if seen.method == "GET" and seen.path.startswith("/v1beta/models"):
            return json_play({"models": [_listed(name) for name in MODELS]})
        found = _PATH.fullmatch(seen.path)
        if found is None or seen.method != "POST":
            raise Refused(404, f"Not found: {seen.path}")
        model, method, sse = found.groups()
        if method in ("embedContent", "batchEmbedContents"):
            return json_play(_embedded(spelled(seen.json), model, method))
        if model not in MODELS:
            raise Refused(404, f"models/{model} is not found for API version v1beta")
        body = spelled(seen.json)
        if method == "countTokens":
            self._fail_on_demand(_prompt(body.get("generateContentRequest") or body))
            return json_play(_count(body, model))
        check(body, model)
        prompt = _prompt(body)
        self._fail_on_demand(prompt)
        chunks = list(_chunks(body, model, prompt))
        if method == "generateContent":
            return json_play(_joined(chunks))
        if method != "streamGenerateContent":
            raise Refused(404, f"Not found: {method}")
        return _streamed(chunks, prompt, sse=sse is not None)

    def _fail_on_demand(self, prompt: str) -> None:
        found = re.search(r"answer with status (\d{3})( once)?(?: in (\d+) s)?", prompt)
        if found is None or (found[2] and prompt in self._failed_once):
            return
        self._failed_once.add(prompt)
        details = ()
        if found[3]:
            kind = "type.googleapis.com/google.rpc.RetryInfo"
            details = ({"@type": kind, "retryDelay": f"{found[3]}s"},)
        raise Refused(int(found[1]), "You exceeded something.", *details)


def _listed(name: str) -> dict[str, Any]:
    return {
        "name": f"models/{name}",
        "version": "001",
        "displayName": name.title(),
        "inputTokenLimit": 1048576,
        "outputTokenLimit": 65536,
        "supportedGenerationMethods": ["generateContent", "countTokens"],
        "thinking": True,
    }


def _texts(contents: Sequence[Mapping[str, Any]]) -> str:
    return " ".join(part.get("text", "") for content in contents for part in content["parts"])


def _count(body: Mapping[str, Any], model: str) -> dict[str, Any]:
    known(body, {"contents", "generateContentRequest"}, "")
    inner = body.get("generateContentRequest")
    if inner is not None:
        if inner.get("model") != f"models/{model}":
            raise Refused(400, "model is required and must be that of the path")
        check(inner, model)
    return {"totalTokens": len(_texts((inner or body)["contents"]).split())}


def _embedded(body: Mapping[str, Any], model: str, method: str) -> dict[str, Any]:
    if model != EMBEDDING_MODEL:
        raise Refused(404, f"models/{model} is not found for API version v1beta")
    if method == "embedContent":
        return {"embedding": _vector(body), "usageMetadata": {"promptTokenCount": 3}}
    known(body, {"requests"}, "")
    for request in body["requests"]:
        if request.get("model") != f"models/{model}":
            raise Refused(400, "model is required and must be that of the path")
    return {"embeddings": [_vector(request) for request in body["requests"]]}


def _vector(request: Mapping[str, Any]) -> dict[str, Any]:
    known(request, {"model", "content", "taskType", "title", "outputDimensionality"}, "")
    text = _texts([request["content"]])
    numbers = [float(len(text)), 0.25, -0.5, 1.0]
    return {"values": numbers[: request.get("outputDimensionality") or 4]}


def _prompt(body: Mapping[str, Any]) -> str:
    users = [c for c in body["contents"] if c.get("role", "user") == "user"]
    return _texts(users[-1:]).strip()


def _chunks(body: Mapping[str, Any], model: str, prompt: str) -> list[dict[str, Any]]:
    """The chunks of an answer; each is a whole reply by itself."""
    config = body.get("generationConfig", {})
    usage = _usage(body, prompt)
    if "be blocked" in prompt:
        return [{"promptFeedback": {"blockReason": "PROHIBITED_CONTENT"}, "usageMetadata": usage}]
    chunks: list[dict[str, Any]] = []
    for index in range(config.get("candidateCount", 1)):
        parts, reason = _parts(body, model, prompt)
        ended = [{"index": index, "content": {"parts": [p], "role": "model"}} for p in parts]
        ended = ended or [{"index": index}]
        ended[-1] = {**ended[-1], "finishReason": reason}
        chunks += ({"candidates": [candidate]} for candidate in ended)
    about = {"modelVersion": f"{model}-001", "responseId": "r1"}
    return [{**chunk, "usageMetadata": usage, **about} for chunk in chunks]


def _usage(body: Mapping[str, Any], prompt: str) -> dict[str, Any]:
    words = len(_texts(body["contents"]).split())
    return {
        "promptTokenCount": 100 + words,
        "cachedContentTokenCount": 100,
        "candidatesTokenCount": len(prompt.split()) + 2,
        "thoughtsTokenCount": 7,
        "totalTokenCount": 109 + words + len(prompt.split()),
        "promptTokensDetails": [{"modality": "TEXT", "tokenCount": 100 + words}],
    }


def _parts(body: Mapping[str, Any], model: str, prompt: str) -> tuple[list[dict[str, Any]], str]:
    config = body.get("generationConfig", {})
    if "be unsafe" in prompt:
        return [], "SAFETY"
    if "be empty" in prompt:
        return [], "STOP"
    if "be malformed" in prompt:
        return [], "MALFORMED_FUNCTION_CALL"
    parts: list[dict[str, Any]] = []
    if config.get("thinkingConfig", {}).get("includeThoughts"):
        parts.append({"text": f"The question has {len(prompt.split())} words.", "thought": True})
    calls = _calls(body, model, prompt)
    if calls:
        return [*parts, *calls], "STOP"
    text, reason = _text(body, prompt), "STOP"
    if config.get("responseMimeType") == "application/json":
        text = json.dumps(_instance(config.get("responseSchema", {})))
    for stop in config.get("stopSequences", ()):
        text = text.split(stop)[0]
    words = re.findall(r"\S+\s*", text)
    most = config.get("maxOutputTokens")
    if most is not None and len(words) > most:
        words, reason = words[:most], "MAX_TOKENS"
    return [*parts, *({"text": word} for word in words)], reason


def _text(body: Mapping[str, Any], prompt: str) -> str:
    last = body["contents"][-1]["parts"]
    answers = [part["functionResponse"] for part in last if "functionResponse" in part]
    if answers:
        told = (f"{answer['name']}: {_told(answer['response'])}" for answer in answers)
        return f"I was told: {'; '.join(told)}"
    shown = [
        f" [{blob['mimeType']}, {len(blob['data'])} characters]"
        for part in last
        if (blob := part.get("inlineData"))
    ]
    system = _texts([body["systemInstruction"]]) if "systemInstruction" in body else ""
    return f"You said: {prompt}{''.join(shown)}" + (f" ({system})" if system else "")


def _told(response: Mapping[str, Any]) -> str:
    if response.keys() <= {"output", "error"}:
        return " ".join(str(value) for value in response.values())
    return json.dumps(response)


def _calls(body: Mapping[str, Any], model: str, prompt: str) -> list[dict[str, Any]]:
    functions = [f for tool in body.get("tools", ()) for f in tool.get("functionDeclarations", ())]
    calling = body.get("toolConfig", {}).get("functionCallingConfig", {})
    allowed = calling.get("allowedFunctionNames") or [f["name"] for f in functions]
    functions = [f for f in functions if f["name"] in allowed]
    if not functions or calling.get("mode") == "NONE":
        return []
    if any("functionResponse" in part for part in body["contents"][-1]["parts"]):
        return []
    cities = _CITIES.findall(prompt)
    if not cities and calling.get("mode") != "ANY":
        return []
    name = functions[0]["name"]
    calls: list[dict[str, Any]] = [
        {"functionCall": {"id": f"{name}-{number}", "name": name, "args": {"city": city}}}
        for number, city in enumerate(cities or ["Vaduz"])
    ]
    if model.startswith("gemini-3"):
        calls[0]["thoughtSignature"] = signature(name)
    return calls


def _instance(schema: Mapping[str, Any]) -> Any:
    match schema.get("type", "").upper():
        case "OBJECT":
            return {name: _instance(inner) for name, inner in schema["properties"].items()}
        case "ARRAY":
            return [_instance(schema["items"])]
        case "INTEGER" | "NUMBER":
            return schema.get("minimum", 5696)
        case "BOOLEAN":
            return True
    return schema.get("enum", ["Vaduz"])[0]


def _joined(chunks: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The same answer, whole."""
    whole: dict[int, dict[str, Any]] = {}
    for chunk in chunks:
        for candidate in chunk.get("candidates", ()):
            kept = whole.setdefault(candidate["index"], {"index": candidate["index"]})
            if "content" in candidate:
                content = kept.setdefault("content", {"parts": [], "role": "model"})
                content["parts"] += candidate["content"]["parts"]
            if "finishReason" in candidate:
                kept["finishReason"] = candidate["finishReason"]
    joined = dict(chunks[-1])
    if whole:
        joined["candidates"] = list(whole.values())
    return joined


def _streamed(chunks: Sequence[Mapping[str, Any]], prompt: str, *, sse: bool) -> Play:
    shown = [json.dumps(chunk, ensure_ascii=False).encode() for chunk in chunks]
    if sse:
        pieces = [b"data: %b\r\n\r\n" % chunk for chunk in shown]
        kind = "text/event-stream"
    else:
        pieces = [b"[" * (i == 0) + b",\r\n" * (i > 0) + chunk for i, chunk in enumerate(shown)]
        pieces.append(b"\n]\n")
        kind = "application/json; charset=UTF-8"
    half = pieces[: max(1, len(pieces) // 2)]
    if "cut the stream" in prompt:
        return Play(pieces=half, content_type=kind, end="close")
    if "end too early" in prompt:
        return Play(pieces=half, content_type=kind)
    if "fail midway" in prompt:
        error = json.dumps({"error": Refused(503, "The model is overloaded.").error}).encode()
        last = b"data: %b\r\n\r\n" % error if sse else b",\r\n%b]" % error
        return Play(pieces=[*half, last], content_type=kind)
    return Play(pieces=pieces, content_type=kind)
