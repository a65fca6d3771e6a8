"""What a request needs of its upstream, and what it begins with, read without translating it."""

from __future__ import annotations

from typing import Final

import msgspec
from msgspec import Raw

from chatgpt_to_api.chat.needs import BYTES_PER_TOKEN, Feature, Need, Needs
from chatgpt_to_api.dialects.bodies import NO_RAW, UNREADABLE, present
from chatgpt_to_api.dialects.gemini.messages import (
    FunctionCallingConfig,
    GenerateContentRequest,
    GenerationConfig,
)


class _Typed(msgspec.Struct, rename="camel"):
    mime_type: str = ""


class _Peeked(msgspec.Struct, rename="camel"):
    text: str | None = None
    inline_data: _Typed | None = None
    file_data: _Typed | None = None
    function_call: Raw = NO_RAW
    function_response: Raw = NO_RAW


class _Turn(msgspec.Struct):
    parts: list[_Peeked] = []
    role: str | None = None


class _ToolConfig(msgspec.Struct, rename="camel"):
    function_calling_config: FunctionCallingConfig | None = None


class _Declares(msgspec.Struct, rename="camel"):
    function_declarations: Raw = NO_RAW


_TURN: Final = msgspec.json.Decoder(_Turn)
_TOOL_CONFIG: Final = msgspec.json.Decoder(_ToolConfig)
_DECLARES: Final = msgspec.json.Decoder(_Declares)


def needs_of(asked: GenerateContentRequest, config: GenerationConfig) -> Needs:
    """Return the needs; what is mistyped inside is left to whoever translates or answers it."""
    fields: dict[Need, str] = {}
    if _declares(asked) and _mode(asked) != "NONE":
        fields["tools"] = "tools"
    if config.response_mime_type == "application/json":
        fields["json"] = "generationConfig.responseMimeType"
    length = sum(map(len, asked.tools or ()))
    for number, raw in enumerate(asked.contents):
        for place, part in enumerate(_turn(raw).parts):
            length += len(part.text or "") + len(part.function_call) + len(part.function_response)
            media = part.inline_data or part.file_data
            if media is not None:
                fields.setdefault(_need(media), f"contents[{number}].parts[{place}]")
    return Needs(fields, length // BYTES_PER_TOKEN)


def may_need(asked: GenerateContentRequest, config: GenerationConfig, feature: Feature) -> bool:
    """Return whether a request may ask for ``feature``; one that was called before counts too."""
    match feature:
        case "tools":
            return bool(asked.tools) or any(map(_is_of_a_call, asked.contents))
        case "freeform":
            return False
        case "json":
            return config.response_mime_type == "application/json"
        case "stop":
            return bool(config.stop_sequences)
        case "max_tokens":
            return config.max_output_tokens is not None
        case "n":
            return (config.candidate_count or 1) > 1


def roles_and_texts(asked: GenerateContentRequest) -> list[tuple[str, list[bytes]]]:
    """Return who said what, the instructions first; what is no text is left out."""
    turns = []
    if present(asked.system_instruction):
        turns.append(("system", _texts(_turn(asked.system_instruction))))
    for raw in asked.contents:
        turn = _turn(raw)
        turns.append((turn.role or "user", _texts(turn)))
    return turns


def _texts(turn: _Turn) -> list[bytes]:
    return [part.text.encode("utf-8", "surrogatepass") for part in turn.parts if part.text]


def _turn(raw: Raw) -> _Turn:
    try:
        return _TURN.decode(raw)
    except UNREADABLE:
        return _Turn()


def _is_of_a_call(raw: Raw) -> bool:
    parts = _turn(raw).parts
    return any(present(p.function_call) or present(p.function_response) for p in parts)


def _declares(asked: GenerateContentRequest) -> bool:
    for raw in asked.tools or ():
        try:
            if present(_DECLARES.decode(raw).function_declarations):
                return True
        except UNREADABLE:
            continue
    return False


def _mode(asked: GenerateContentRequest) -> str:
    if not present(asked.tool_config):
        return ""
    try:
        config = _TOOL_CONFIG.decode(asked.tool_config).function_calling_config
    except UNREADABLE:
        return ""
    return (config.mode or "").upper() if config is not None else ""


def _need(media: _Typed) -> Need:
    kind = media.mime_type.lower().partition("/")[0]
    return "images" if kind == "image" else "audio" if kind == "audio" else "files"
