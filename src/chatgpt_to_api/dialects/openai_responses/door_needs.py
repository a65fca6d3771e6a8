"""What a request needs of its upstream, read without translating it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec
from msgspec import Raw

from chatgpt_to_api.chat.needs import BYTES_PER_TOKEN, Feature, Need, Needs
from chatgpt_to_api.dialects.bodies import present
from chatgpt_to_api.dialects.openai_responses.messages import ResponsesRequest


class _Holder(msgspec.Struct):
    """An item, as far as it may hold pictures and the like."""

    type: str | None = None
    content: Raw = Raw()
    output: Raw = Raw()


class _Typed(msgspec.Struct):
    type: str | None = None


_HOLDER: Final = msgspec.json.Decoder(_Holder)
_PARTS: Final = msgspec.json.Decoder(list[_Typed])
_TYPED: Final = msgspec.json.Decoder(_Typed)

_NEEDS: Final[dict[str, Need]] = {
    "input_image": "images",
    "input_audio": "audio",
    "input_file": "files",
}
_OF_CALLS: Final = frozenset(
    {
        "function_call",
        "custom_tool_call",
        "tool_search_call",
        "function_call_output",
        "custom_tool_call_output",
        "tool_search_output",
        "additional_tools",
    }
)
_CALLED: Final = frozenset({"function", "custom", "namespace", "tool_search"})
_DECLARES: Final = ("additional_tools", "tool_search_output")


def needs_of(asked: ResponsesRequest, items: Sequence[tuple[Raw, str]]) -> Needs:
    """Return the needs; what is mistyped inside is left to whoever translates or answers it."""
    fields: dict[Need, str] = {}
    length = len((asked.instructions or "").encode()) + sum(map(len, asked.tools or ()))
    if bytes(asked.tool_choice) != b'"none"' and any(map(_is_callable, asked.tools or ())):
        fields["tools"] = "tools"
    if asked.text is not None and present(asked.text.format):
        form = _typed(asked.text.format)
        if form in ("json_object", "json_schema"):
            fields["json"] = "text.format"
    for raw, param in items:
        item = _holder(raw)
        if item.type in _DECLARES:
            fields.setdefault("tools", f"{param}.tools")
        heavy = False
        for name, held in (("content", item.content), ("output", item.output)):
            for place, kind in enumerate(_kinds(held)):
                need = _NEEDS.get(kind)
                if need is not None:
                    heavy = True
                    fields.setdefault(need, f"{param}.{name}[{place}]")
        if not heavy:
            length += len(raw)
    return Needs(fields, length // BYTES_PER_TOKEN)


def may_need(asked: ResponsesRequest, items: Sequence[tuple[Raw, str]], feature: Feature) -> bool:
    """Return whether a request may ask for ``feature``; one that was called before counts too."""
    match feature:
        case "tools":
            given = bool(asked.tools) or present(asked.tool_choice)
            return given or any(_holder(raw).type in _OF_CALLS for raw, _ in items)
        case "freeform":
            everything = (*(asked.tools or ()), *(raw for raw, _ in items))
            return any(b'"custom' in bytes(raw) for raw in everything)
        case "json":
            return asked.text is not None and present(asked.text.format)
        case "max_tokens":
            return asked.max_output_tokens is not None
        case _:
            return False


def _is_callable(tool: Raw) -> bool:
    return _typed(tool) in _CALLED


def _holder(raw: Raw) -> _Holder:
    try:
        return _HOLDER.decode(raw)
    except (msgspec.DecodeError, RecursionError):
        return _Holder()


def _kinds(held: Raw) -> list[str]:
    if bytes(memoryview(held)[:1]) != b"[":
        return []
    try:
        return [part.type or "" for part in _PARTS.decode(held)]
    except (msgspec.DecodeError, RecursionError):
        return []


def _typed(raw: Raw) -> str:
    try:
        return _TYPED.decode(raw).type or ""
    except (msgspec.DecodeError, RecursionError):
        return ""
