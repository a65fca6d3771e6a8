"""Client side, the turns: who said what, which call each result answers, errors with a path."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec
from msgspec import Raw

from chatgpt_to_api.chat.request import (
    Audio,
    File,
    Foreign,
    Image,
    Message,
    Opaque,
    Part,
    Reasoning,
    Text,
    ToolCall,
    ToolResult,
    Vendor,
)
from chatgpt_to_api.dialects.bodies import present
from chatgpt_to_api.dialects.gemini import messages as wire
from chatgpt_to_api.dialects.gemini import seals
from chatgpt_to_api.dialects.gemini.media import from_blob, from_link
from chatgpt_to_api.dialects.gemini.messages import DIALECT, Content
from chatgpt_to_api.dialects.gemini.results import text_of
from chatgpt_to_api.dialects.open_calls import OpenCalls
from chatgpt_to_api.dialects.problems import anything, decoded, invalid
from chatgpt_to_api.wire.base64_check import base64_problem

_CONTENT: Final = msgspec.json.Decoder(Content)
_PART: Final = msgspec.json.Decoder(wire.Part)
_OBJECT: Final = msgspec.json.Decoder(dict[str, Raw])
_ROLES: Final = ("user", "model", "function", "system")
_OWN: Final = frozenset(
    {
        "text",
        "thought",
        "thoughtSignature",
        "inlineData",
        "fileData",
        "functionCall",
        "functionResponse",
    }
)


def turns_of(contents: Sequence[Raw]) -> tuple[Message, ...]:
    """Return the turns. Raises InvalidRequest naming the field."""
    calls = OpenCalls()
    return tuple(_turn(raw, f"contents[{index}]", calls) for index, raw in enumerate(contents))


def parts_of(raw: Raw, param: str) -> tuple[Part, ...]:
    """Return the parts of a content that stands by itself."""
    return _parts(decoded(raw, _CONTENT, param), param, OpenCalls())


def _turn(raw: Raw, param: str, calls: OpenCalls) -> Message:
    content = decoded(raw, _CONTENT, param)
    role = content.role or "user"
    if role not in _ROLES:
        raise invalid(f"{param}.role", f"expected user or model, got {role[:40]!r}")
    parts = _parts(content, param, calls)
    if role == "model":
        return Message("assistant", parts)
    if any(isinstance(part, ToolCall | Reasoning) for part in parts):
        raise invalid(f"{param}.parts", "only a turn of the model holds calls and thoughts")
    if role == "system":
        return Message("system", parts)
    if parts and all(isinstance(part, ToolResult) for part in parts):
        return Message("tool", parts)
    return Message("user", parts)


def _parts(content: Content, param: str, calls: OpenCalls) -> tuple[Part, ...]:
    parts: list[Part] = []
    for index, raw in enumerate(content.parts or ()):
        parts += _part(raw, f"{param}.parts[{index}]", calls)
    return tuple(parts)


def _part(raw: Raw, param: str, calls: OpenCalls) -> list[Part]:
    """Return a part; one of text that is signed gives two, for the signature stands by itself."""
    part = decoded(raw, _PART, param)
    fields = _OBJECT.decode(raw)
    rest = {
        name: anything(value, f"{param}.{name}")
        for name, value in fields.items()
        if name not in _OWN and present(value)
    }
    signature, thought = None, ""
    if part.thought_signature is not None:
        signature, thought = seals.from_client(part.thought_signature)
    if part.function_call is not None:
        return [_call(part.function_call, signature, rest, calls)]
    if part.function_response is not None:
        return [_result(part.function_response, rest, param, calls)]
    if part.inline_data is not None:
        problem = base64_problem(part.inline_data.data)
        if problem is not None:
            raise invalid(f"{param}.inlineData.data", problem)
        return [from_blob(part.inline_data, rest), *_sealed(signature)]
    if part.file_data is not None:
        return [from_link(part.file_data, rest), *_sealed(signature)]
    if part.text is not None and part.thought:
        return [Reasoning(thought or part.text, signature)]
    if part.text is not None:
        if not part.text and signature is not None and not rest:
            return list(_sealed(signature))
        return [Text(part.text, _vendor(rest)), *_sealed(signature)]
    if not any(map(present, fields.values())):
        raise invalid(param, "expected text, inlineData, functionCall or another part, got nothing")
    return [Foreign(Opaque(DIALECT, bytes(raw).decode()))]


def _vendor(rest: Mapping[str, Any]) -> Vendor | None:
    return Vendor(DIALECT, rest) if rest else None


def _sealed(signature: Opaque | None) -> tuple[Foreign, ...]:
    """Return a signature of an answer's text as the part it also comes in at a stream's end.

    No other vendor signs those.
    """
    if signature is None or signature.dialect != DIALECT:
        return ()
    return (signed(signature.data),)


def signed(signature: str) -> Foreign:
    """Return the part that is nothing but a signature."""
    part = {"text": "", "thoughtSignature": signature}
    return Foreign(Opaque(DIALECT, msgspec.json.encode(part).decode()))


def _call(
    call: wire.FunctionCall, signature: Opaque | None, rest: Mapping[str, Any], calls: OpenCalls
) -> ToolCall:
    arguments = bytes(call.args).decode() if present(call.args) else "{}"
    call_id = calls.made(call.id, call.name)
    return ToolCall(call_id, call.name, arguments, signature, vendor=_vendor(rest))


def _result(
    response: wire.FunctionResponse, rest: Mapping[str, Any], param: str, calls: OpenCalls
) -> ToolResult:
    where = f"{param}.functionResponse.response"
    text, is_error = "", False
    if present(response.response):
        try:
            text, is_error = text_of(response.response)
        except (msgspec.DecodeError, UnicodeDecodeError):
            raise invalid(where, "expected object") from None
    parts: list[Text | Image | File | Foreign] = [Text(text)] if text else []
    for beside in response.parts or ():
        media: Image | Audio | File | None = None
        if beside.inline_data is not None:
            media = from_blob(beside.inline_data, {})
        elif beside.file_data is not None:
            media = from_link(beside.file_data, {})
        if isinstance(media, Audio):
            media = File(data=f"data:{beside.inline_data.mime_type};base64,{media.data}")  # type: ignore[union-attr]  # sound comes with its data
        if media is not None:
            parts.append(media)
    # A client that dropped one answer must not give its place to the next function's.
    call_id = calls.answered(response.id, response.name)
    if call_id is None:
        said = f"no call of {response.name[:80]!r} is waiting for it"
        raise invalid(f"{param}.functionResponse", said)
    return ToolResult(call_id, tuple(parts), is_error, _vendor(rest))
