"""What a chat completions request needs of its upstream, read without translating it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import msgspec

from chatgpt_to_api.chat.needs import BYTES_PER_TOKEN, Feature, Need, Needs
from chatgpt_to_api.dialects.bodies import present
from chatgpt_to_api.dialects.openai_chat.messages import ChatCompletionRequest, ChatMessage


class _Typed(msgspec.Struct):
    type: str = ""


_TYPED: Final = msgspec.json.Decoder(_Typed)

_PARTS: Final[dict[str, Need]] = {
    "image_url": "images",
    "input_image": "images",
    "input_audio": "audio",
    "file": "files",
}
_FORMATS: Final = frozenset({"json_object", "json_schema"})


def needs_of(asked: ChatCompletionRequest) -> Needs:
    """Return the needs; what is mistyped inside is left to whoever translates or answers it."""
    fields: dict[Need, str] = {}
    length = 0
    if asked.tools and bytes(asked.tool_choice) != b'"none"':
        fields["tools"] = "tools"
    elif asked.functions and bytes(asked.function_call) != b'"none"':
        fields["tools"] = "functions"
    if present(asked.response_format) and _type(asked.response_format) in _FORMATS:
        fields["json"] = "response_format"
    for number, message in enumerate(asked.messages):
        content = message.content
        if isinstance(content, str):
            length += len(content) if content.isascii() else len(content.encode())
            continue
        for place, raw in enumerate(content or ()):
            need = _PARTS.get(_type(raw))
            if need is None:
                length += len(raw)
            else:
                fields.setdefault(need, f"messages[{number}].content[{place}]")
    return Needs(fields, (length + sum(map(len, _tools(asked)))) // BYTES_PER_TOKEN)


def may_need(asked: ChatCompletionRequest, feature: Feature) -> bool:
    """Return whether a request may ask for ``feature``; one that was called before counts too."""
    match feature:
        case "tools":
            given = asked.tools or asked.functions or present(asked.tool_choice)
            return bool(given) or any(map(_is_of_a_call, asked.messages))
        case "freeform":
            return any(_type(raw) == "custom" for raw in _tools(asked))
        case "json":
            return present(asked.response_format)
        case "stop":
            return bool(asked.stop)
        case "max_tokens":
            return asked.max_tokens is not None or asked.max_completion_tokens is not None
        case "n":
            return (asked.n or 1) > 1


def _is_of_a_call(message: ChatMessage) -> bool:
    if message.role == "assistant":
        return bool(message.tool_calls) or present(message.function_call)
    return message.role in ("tool", "function")


def _tools(asked: ChatCompletionRequest) -> Iterator[msgspec.Raw]:
    yield from asked.tools or ()
    yield from asked.functions or ()
    for message in asked.messages:
        yield from message.tool_calls or ()


def _type(raw: msgspec.Raw) -> str:
    try:
        return _TYPED.decode(raw).type
    except (msgspec.DecodeError, RecursionError):
        return ""
