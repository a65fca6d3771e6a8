"""The vendor's wire shapes: a whole chat completion, its chunks, and what an error looks like.

Source: the public OpenAPI description of the API (CreateChatCompletionResponse and its stream).
``reasoning_content`` is in no description; several servers say it so.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from support.vendor.answers import Answer, text_of, tokens

CREATED: Final = 1_764_000_000
ARGUMENTS_PIECE: Final = 7
"""Characters of a call's arguments in one chunk."""


def completion(body: Mapping[str, Any], said: Sequence[Answer]) -> dict[str, Any]:
    """A whole reply."""
    choices = [
        {
            "index": index,
            "message": _message(answer),
            "logprobs": _logprobs(body, tokens(answer.text or "")),
            "finish_reason": answer.finish,
        }
        for index, answer in enumerate(said)
    ]
    return {**_head(body, "chat.completion"), "choices": choices, "usage": usage(body, said)}


def chunks(body: Mapping[str, Any], said: Sequence[Answer]) -> list[dict[str, Any]]:
    """The same reply, streamed: the choices one after the other, and usage where asked for."""
    head = _head(body, "chat.completion.chunk")
    asked_usage = bool((body.get("stream_options") or {}).get("include_usage"))
    found = []
    for index, answer in enumerate(said):
        for delta, pieces, finish in _deltas(answer):
            choice = {
                "index": index,
                "delta": delta,
                "logprobs": _logprobs(body, pieces) if pieces else None,
                "finish_reason": finish,
            }
            found.append({**head, "choices": [choice], **({"usage": None} if asked_usage else {})})
    if asked_usage:
        found.append({**head, "choices": [], "usage": usage(body, said)})
    return found


def sse(events: Sequence[Mapping[str, Any]]) -> list[bytes]:
    """Server-sent events, ``[DONE]`` last."""
    return [*(b"data: %b\n\n" % json.dumps(event).encode() for event in events), DONE]


DONE: Final = b"data: [DONE]\n\n"


def usage(body: Mapping[str, Any], said: Sequence[Answer]) -> dict[str, Any]:
    """Token counts with every detail the vendor tells."""
    sizes = [len(tokens(text_of(message))) + 4 for message in body["messages"]]
    prompt = sum(sizes)
    output = 0
    reasoning = 0
    for answer in said:
        spoken = [answer.text or "", answer.refusal or "", *(c.arguments for c in answer.calls)]
        thought = len(tokens(answer.reasoning))
        reasoning += thought
        output += thought + sum(len(tokens(text)) for text in spoken)
    predicted = len(tokens(text_of(body["prediction"]))) if body.get("prediction") else 0
    return {
        "prompt_tokens": prompt,
        "completion_tokens": output,
        "total_tokens": prompt + output,
        "prompt_tokens_details": {"cached_tokens": sum(sizes[:-1]), "audio_tokens": 0},
        "completion_tokens_details": {
            "reasoning_tokens": reasoning,
            "audio_tokens": 0,
            "accepted_prediction_tokens": min(predicted, output),
            "rejected_prediction_tokens": 0,
        },
    }


def _head(body: Mapping[str, Any], kind: str) -> dict[str, Any]:
    digest = hashlib.sha256(json.dumps(body["messages"]).encode()).hexdigest()
    tier = body.get("service_tier")
    return {
        "id": f"chatcmpl-{digest[:24]}",
        "object": kind,
        "created": CREATED,
        "model": f"{body['model']}-2026-01-01",
        "service_tier": tier if tier not in (None, "auto") else "default",
        "system_fingerprint": "fp_44709d6fcb",
    }


def _message(answer: Answer) -> dict[str, Any]:
    message: dict[str, Any] = {
        "role": "assistant",
        "content": answer.text,
        "refusal": answer.refusal,
        "annotations": list(answer.annotations),
    }
    if answer.reasoning:
        message["reasoning_content"] = answer.reasoning
    if answer.legacy_call:
        call = answer.calls[0]
        message["function_call"] = {"name": call.name, "arguments": call.arguments}
    elif answer.calls:
        message["tool_calls"] = [
            {
                "id": call.id(place),
                "type": "function",
                "function": {"name": call.name, "arguments": call.arguments},
            }
            for place, call in enumerate(answer.calls)
        ]
    return message


_Delta = tuple[dict[str, Any], list[str], str | None]


def _deltas(answer: Answer) -> Iterator[_Delta]:
    """Each delta, the tokens of text it says, and the finish reason."""
    first = None if answer.text is None else ""
    yield {"role": "assistant", "content": first, "refusal": None}, [], None
    for piece in tokens(answer.reasoning):
        yield {"reasoning_content": piece}, [], None
    for piece in tokens(answer.text or ""):
        yield {"content": piece}, [piece], None
    for piece in tokens(answer.refusal or ""):
        yield {"refusal": piece}, [], None
    if answer.legacy_call:
        call = answer.calls[0]
        yield {"function_call": {"name": call.name, "arguments": ""}}, [], None
        for piece in _pieces(call.arguments):
            yield {"function_call": {"arguments": piece}}, [], None
    else:
        for index, call in enumerate(answer.calls):
            named = {"name": call.name, "arguments": ""}
            opening = {"index": index, "id": call.id(index), "type": "function", "function": named}
            yield {"tool_calls": [opening]}, [], None
            for piece in _pieces(call.arguments):
                yield {"tool_calls": [{"index": index, "function": {"arguments": piece}}]}, [], None
    yield {"annotations": list(answer.annotations)} if answer.annotations else {}, [], answer.finish


def _pieces(text: str) -> list[str]:
    return [text[at : at + ARGUMENTS_PIECE] for at in range(0, len(text), ARGUMENTS_PIECE)]


def _logprobs(body: Mapping[str, Any], pieces: Sequence[str]) -> dict[str, Any] | None:
    if not body.get("logprobs"):
        return None

    def entry(token: str, rank: int) -> dict[str, Any]:
        return {"token": token, "logprob": -0.25 * (rank + 1), "bytes": list(token.encode())}

    count = body.get("top_logprobs") or 0
    content = [
        {
            **entry(token, 0),
            "top_logprobs": [entry(token + "~" * rank, rank) for rank in range(count)],
        }
        for token in pieces
    ]
    return {"content": content, "refusal": None}
