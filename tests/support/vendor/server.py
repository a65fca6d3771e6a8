"""The vendor itself: an OpenAI-compatible server whose answers follow from the request alone.

A client's test suite can be run against it through the gateway, and whatever the gateway lost on
the way is missing in the answer or refused by name.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import math
import re
import struct
from collections.abc import Mapping
from typing import Any, Final

from support.scripted_backend import Play, Seen, json_play
from support.vendor.answers import answers, prompt_of, tokens
from support.vendor.refusals import MODELS, STATUSES, Refused, check_chat, check_model
from support.vendor.shapes import chunks, completion, sse

KEY: Final = "sk-vendor-key"
DIMENSIONS: Final = 8
"""Length of an embedding where no other is asked for."""


class Vendor:
    """A script for a scripted backend.

    A prompt that says "answer with status 429" gets that status; with "once" only the first time,
    and with "in 2 s" a ``Retry-After``. "cut the stream" breaks the reply off after its first
    words, "fail midway" sends an error in it (with "when released" not before another prompt has
    said "release"), "stop halfway for ever" nothing more until the client leaves, and "say nothing
    for ever" nothing at all.
    """

    def __init__(self) -> None:
        self._failed_once: set[str] = set()
        self._held: list[asyncio.Event] = []

    def __call__(self, seen: Seen) -> Play:
        try:
            if seen.token != KEY:
                raise Refused(
                    401, "Incorrect API key provided: sk-…", code="invalid_api_key", param=None
                )
            return self._answer(seen)
        except Refused as refused:
            wait = refused.retry_after
            headers = {} if wait is None else {"retry-after": str(wait)}
            return json_play({"error": refused.error}, refused.status, **headers)

    def _answer(self, seen: Seen) -> Play:
        match seen.method, seen.path:
            case "GET", "/v1/models":
                return json_play({"object": "list", "data": [_card(name) for name in MODELS]})
            case "POST", "/v1/embeddings":
                return json_play(_embeddings(seen.json))
            case "POST", "/v1/chat/completions":
                return self._chat(seen.json)
        raise Refused(404, f"Invalid URL ({seen.method} {seen.path})")

    def _chat(self, body: Mapping[str, Any]) -> Play:
        check_chat(body)
        prompt = prompt_of(body)
        self._fail_on_demand(prompt)
        said = answers(body)
        if prompt == "release":
            for held in self._held:
                held.set()
        if "say nothing for ever" in prompt:
            return Play(gate=asyncio.Event())
        if not body.get("stream"):
            return json_play(completion(body, said))
        events = sse(chunks(body, said))
        half = len(events) // 2
        if "cut the stream" in prompt:
            return Play(pieces=events[:half], end="close")
        if "stop halfway for ever" in prompt:
            return Play(pieces=events[:half], end="hang")
        if "fail midway" in prompt:
            error = {
                "message": STATUSES[500][0],
                "type": "server_error",
                "param": None,
                "code": None,
            }
            failed = b"data: %b\n\n" % json.dumps({"error": error}).encode()
            gates = {}
            if "when released" in prompt:
                gates[half] = asyncio.Event()
                self._held.append(gates[half])
            return Play(pieces=[*events[:half], failed], gates=gates)
        return Play(pieces=events)

    def _fail_on_demand(self, prompt: str) -> None:
        found = re.search(r"answer with status (\d{3})( once)?(?: in (\d+) s)?", prompt)
        if found is None or (found[2] and prompt in self._failed_once):
            return
        self._failed_once.add(prompt)
        message, kind, code = STATUSES[int(found[1])]
        wait = int(found[3]) if found[3] else None
        raise Refused(int(found[1]), message, kind=kind, code=code, retry_after=wait)


def _card(name: str) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": 1_715_367_049, "owned_by": "system"}


def _embeddings(body: Mapping[str, Any]) -> dict[str, Any]:
    check_model(body)
    given = body["input"]
    whole = isinstance(given, str) or (given and isinstance(given[0], int))
    inputs = [given] if whole else given
    size = body.get("dimensions") or DIMENSIONS
    in_base64 = body.get("encoding_format") == "base64"
    data = []
    for index, item in enumerate(inputs):
        vector = embedding(item, size)
        packed = base64.b64encode(struct.pack(f"<{size}f", *vector)).decode()
        value = packed if in_base64 else vector
        data.append({"object": "embedding", "index": index, "embedding": value})
    count = sum(len(tokens(i)) if isinstance(i, str) else len(i) for i in inputs)
    return {
        "object": "list",
        "data": data,
        "model": body["model"],
        "usage": {"prompt_tokens": count, "total_tokens": count},
    }


def embedding(item: object, size: int = DIMENSIONS) -> list[float]:
    """A vector of length 1 that only this input has."""
    digest = hashlib.shake_256(json.dumps(item).encode()).digest(size)
    numbers = [byte - 127.5 for byte in digest]
    length = math.sqrt(sum(number * number for number in numbers))
    return [number / length for number in numbers]
