"""Backend side: what clients of other dialects say, in the words that every server here takes.

A turn of theirs may be made of many texts, a tool's result may be marked as an error, names and ids
may be longer than OpenAI's API allows. A client of this dialect is left as it is: it knows its
server.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Final

from msgspec import structs

from chatgpt_to_api.chat.effort import effort_of
from chatgpt_to_api.chat.fitting import ToolNames, shortened
from chatgpt_to_api.chat.request import (
    ChatRequest,
    File,
    Foreign,
    Message,
    Part,
    Text,
    Tool,
    ToolCall,
    ToolResult,
)
from chatgpt_to_api.dialects.openai_chat.upstream_request import ALL_SHARED
from chatgpt_to_api.errors import InvalidRequest

LONGEST_NAME: Final = 64
LONGEST_ID: Final = 64
LONGEST_USER: Final = 64

_NEVER_THINKS: Final = re.compile(r"(?:.*/)?(?:gpt-(?:3|4)|chatgpt-|gpt-5-chat)")
_CAN_REST: Final = re.compile(r"(?:.*/)?gpt-5\.\d")
"""Models that can be told not to think at all; of others that is not known, or they cannot."""
_EFFORTS: Final[Mapping[str, str]] = {"max": "high", "xhigh": "high"}
"""Efforts that only some models know, and the next below."""
_NO_NAMES: Final[Mapping[str, str]] = MappingProxyType({})
_APART: Final = "\n\n"
"""Between texts that were blocks of their own."""


def in_plain_words(request: ChatRequest, model: str) -> ChatRequest:
    """Return what ``model`` is asked for a request of whatever dialect."""
    if request.dialect in ALL_SHARED:
        return request
    names = ToolNames(request, LONGEST_NAME)
    messages = []
    for message in request.messages:
        parts = tuple(_parts(message, names))
        if parts or not message.parts:
            messages.append(structs.replace(message, parts=parts))
    tools: tuple[Tool, ...] = request.tools
    if names.own:
        tools = tuple(structs.replace(tool, name=names.fit(tool.name)) for tool in tools)
    user = request.user
    return structs.replace(
        request,
        messages=tuple(messages),
        tools=tools,
        tool_choice=names.choice(request.tool_choice),
        reasoning_effort=_effort(request, model),
        reasoning_budget=None,
        user=None if user is None else shortened(user, LONGEST_USER),
    )


def with_late_system_as_user(request: ChatRequest) -> ChatRequest:
    """Return the request with system messages after the first turn as the user's, in their place.

    Chat templates of many open models refuse a system message anywhere but at the beginning.
    """
    begun = False
    messages = []
    for message in request.messages:
        late = begun and message.role in ("system", "developer")
        begun = begun or message.role not in ("system", "developer")
        messages.append(structs.replace(message, role="user") if late else message)
    return structs.replace(request, messages=tuple(messages))


def own_names(request: ChatRequest) -> Mapping[str, str]:
    """Return, by the names that the server knows, what renamed tools are really called."""
    return _NO_NAMES if request.dialect in ALL_SHARED else ToolNames(request, LONGEST_NAME).own


def unsaid(request: ChatRequest, model: str) -> tuple[str, ...]:
    """Name what ``model`` is not told of how much to think, because it would refuse it."""
    if request.dialect in ALL_SHARED or _effort(request, model) is not None:
        return ()
    if request.reasoning_effort not in (None, "none"):
        return ("reasoning_effort",)
    return ("reasoning_budget",) if request.reasoning_budget else ()


def check_files(request: ChatRequest) -> None:
    """Raise InvalidRequest for a document given by its URL: this dialect has no place for one."""
    for index, message in enumerate(request.messages):
        for place, part in enumerate(message.parts):
            inner = part.parts if isinstance(part, ToolResult) else (part,)
            if any(isinstance(p, File) and p.url and not (p.data or p.file_id) for p in inner):
                raise InvalidRequest(
                    "This upstream does not fetch documents by URL; send the document's data.",
                    param=f"messages[{index}].content[{place}]",
                    code="unsupported_parameter",
                )


def _effort(request: ChatRequest, model: str) -> str | None:
    effort = request.reasoning_effort
    if effort is None and request.reasoning_budget is not None:
        effort = effort_of(request.reasoning_budget)
    if effort is None or _NEVER_THINKS.match(model):
        return None
    if effort == "none":
        return effort if _CAN_REST.match(model) else None
    return _EFFORTS.get(effort, effort)


def _parts(message: Message, names: ToolNames) -> Iterable[Part]:
    """Give a turn's parts, texts that stand together as one.

    An assistant's texts are pieces of one text where nothing stands between them.
    """
    apart = "" if message.role == "assistant" else _APART
    texts: list[str] = []
    for part in message.parts:
        if isinstance(part, Text):
            texts.append(part.text)
            continue
        if isinstance(part, Foreign):
            continue
        if texts:
            yield Text(apart.join(texts))
            texts = []
        match part:
            case ToolCall():
                yield structs.replace(
                    part, id=shortened(part.id, LONGEST_ID), name=names.fit(part.name)
                )
            case ToolResult():
                yield _result(part)
            case _:
                yield part
    if texts:
        yield Text(apart.join(texts))


def _result(result: ToolResult) -> ToolResult:
    """A tool's result with one text; that it is an error must be said in words here."""
    texts = [part.text for part in result.parts if isinstance(part, Text)]
    others = tuple(part for part in result.parts if not isinstance(part, Text | Foreign))
    said = _APART.join(texts)
    if result.is_error:
        said = f"Error: {said}" if said else "Error"
    parts = (Text(said), *others) if said else others
    call_id = shortened(result.call_id, LONGEST_ID)
    return structs.replace(result, call_id=call_id, parts=parts)
