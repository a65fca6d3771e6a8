"""The canonical request: what a client asks for, free of any dialect."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Any, Final, Literal, TypeAlias

import msgspec

Role: TypeAlias = Literal["system", "developer", "user", "assistant", "tool"]


class Opaque(msgspec.Struct, frozen=True):
    """A vendor's own part of a block (a thinking signature, encrypted reasoning), byte for byte."""

    dialect: str
    data: str


_PLAIN: Final = re.compile(r"[A-Za-z0-9_.\-]{1,56}")


class Vendor(msgspec.Struct, frozen=True):
    """Fields that only servers of one dialect understand (``cache_control``), as they came."""

    dialect: str
    fields: Mapping[str, Any]


_NOTHING: Final[Mapping[str, Any]] = MappingProxyType({})


def understood(vendor: Vendor | None, dialect: str) -> Mapping[str, Any]:
    """Return what a server of ``dialect`` understands of ``vendor``'s fields: all or nothing."""
    return vendor.fields if vendor is not None and vendor.dialect == dialect else _NOTHING


class Text(msgspec.Struct, frozen=True, tag="text"):
    """A piece of text."""

    text: str
    vendor: Vendor | None = None


class Image(msgspec.Struct, frozen=True, tag="image"):
    """A picture by URL (http, https or data). ``detail`` as OpenAI names it."""

    url: str
    detail: str | None = None
    vendor: Vendor | None = None


class Audio(msgspec.Struct, frozen=True, tag="audio"):
    """Sound the model is to hear: base64 ``data`` in ``format`` (``wav``, ``mp3``)."""

    data: str
    format: str
    vendor: Vendor | None = None


class SpokenAnswer(msgspec.Struct, frozen=True, tag="spoken_answer"):
    """An earlier answer in sound, by the ``id`` under which the server that spoke it knows it."""

    id: str


class File(msgspec.Struct, frozen=True, tag="file"):
    """A document: base64 data URL ``data``, ``url``, or an upstream's own ``file_id`` for it."""

    data: str | None = None
    file_id: str | None = None
    filename: str | None = None
    vendor: Vendor | None = None
    url: str | None = None


class Reasoning(msgspec.Struct, frozen=True, tag="reasoning"):
    """What the model thought; ``opaque`` goes back unchanged to the dialect it came from."""

    text: str
    opaque: Opaque | None = None


class Refusal(msgspec.Struct, frozen=True, tag="refusal"):
    """The model's own refusal, as text."""

    text: str


class ToolCall(msgspec.Struct, frozen=True, tag="tool_call"):
    """A call the model made. ``arguments`` is the JSON text as the model wrote it.

    ``freeform``: the tool takes plain text, so ``arguments`` is no JSON.
    """

    id: str
    name: str
    arguments: str
    opaque: Opaque | None = None
    freeform: bool = False
    vendor: Vendor | None = None


class Foreign(msgspec.Struct, frozen=True, tag="foreign"):
    """A block that only its own dialect has a meaning for (a hosted tool's call), as JSON.

    Servers of other dialects are asked without it.
    """

    opaque: Opaque


class ToolResult(msgspec.Struct, frozen=True, tag="tool_result"):
    """What a tool call gave back."""

    call_id: str
    parts: tuple[Text | Image | File | Foreign, ...]
    is_error: bool = False
    vendor: Vendor | None = None


Part: TypeAlias = (
    Text
    | Image
    | Audio
    | File
    | SpokenAnswer
    | Reasoning
    | Refusal
    | ToolCall
    | ToolResult
    | Foreign
)


class Message(msgspec.Struct, frozen=True):
    """One turn of one author. Equal messages encode to equal bytes upstream."""

    role: Role
    parts: tuple[Part, ...]
    name: str | None = None
    vendor: Vendor | None = None


class Grammar(msgspec.Struct, frozen=True):
    """What the text for a freeform tool must look like, in a ``syntax`` (``lark``, ``regex``)."""

    syntax: str
    definition: str


class Tool(msgspec.Struct, frozen=True):
    """A tool the model may call. ``schema`` is a JSON Schema of a function's arguments.

    ``freeform``: no function; it takes plain text, which has to fit ``grammar`` where there is one.
    """

    name: str
    description: str | None = None
    schema: Mapping[str, Any] | None = None
    strict: bool | None = None
    vendor: Vendor | None = None
    freeform: bool = False
    grammar: Grammar | None = None


class NamedTool(msgspec.Struct, frozen=True):
    """The one tool that must be called."""

    name: str


class AllowedTools(msgspec.Struct, frozen=True):
    """Only these tools may (``auto``) or must (``required``) be called."""

    names: tuple[str, ...]
    mode: Literal["auto", "required"] = "auto"


ToolChoice: TypeAlias = Literal["auto", "none", "required"] | NamedTool | AllowedTools


class JsonFormat(msgspec.Struct, frozen=True):
    """The answer must be JSON; with ``schema`` it must also fit it."""

    schema: Mapping[str, Any] | None = None
    name: str | None = None
    description: str | None = None
    strict: bool | None = None


class Sampling(msgspec.Struct, frozen=True):
    """How the next token is chosen. None means: not said, the upstream's default holds."""

    temperature: float | None = None
    top_p: float | None = None
    seed: int | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    top_k: int | None = None


class Continuation(msgspec.Struct, frozen=True):
    """A cut answer to be written on: the backend's conversation and the cut message's id.

    The rest says where the reply stands: ``blocks`` have begun in it, the last of them is text and
    open if ``in_text``; ``text`` is its whole visible text, as the backend last had it, and
    ``revised`` whether that differs from what the deltas said.
    """

    conversation_id: str
    message_id: str
    blocks: int = 0
    in_text: bool = False
    text: str = ""
    revised: bool = False


class Branch(msgspec.Struct, frozen=True):
    """A place in a conversation that the backend keeps: what is asked next hangs under it."""

    conversation_id: str
    parent_message_id: str


class ChatRequest(msgspec.Struct, frozen=True, kw_only=True):
    """One question to a model, whatever dialect it came in.

    ``extras`` keeps, under the names of the client's ``dialect`` ("": none, it is the gateway's own
    request), every parameter that has no canonical field and was really given (no nulls): an
    upstream of the same dialect passes them on, others list them as ignored. Tools that only the
    dialect's servers know stand there too, under ``tools``. ``reasoning_budget`` is the most tokens
    to think with, 0 for not at all; a client says it or ``reasoning_effort``.
    ``prompt_cache_key`` names the session, so that an upstream finds its cached prompt again.
    ``continuation`` is set by a decoder's ``follow_up`` only; then ``messages`` is what was asked
    before and is not sent again. With a ``branch`` the messages are only what is new: the backend
    has all that was said before in that conversation. ``own_names`` tells what the client calls a
    parameter that it knows by another name. ``names_stop``: the client is to hear which stop string
    ended the answer; ``counts_first``: at the answer's beginning, how long its prompt is.
    ``headers`` are those of the client's that belong to the request, for servers of its dialect.
    """

    model: str
    messages: tuple[Message, ...]
    stream: bool = False
    include_usage: bool = False
    n: int = 1
    max_tokens: int | None = None
    stop: tuple[str, ...] = ()
    sampling: Sampling = Sampling()
    tools: tuple[Tool, ...] = ()
    tool_choice: ToolChoice | None = None
    parallel_tool_calls: bool | None = None
    json: JsonFormat | None = None
    reasoning_effort: str | None = None
    reasoning_budget: int | None = None
    user: str | None = None
    prompt_cache_key: str | None = None
    dialect: str = ""
    extras: Mapping[str, Any] = msgspec.field(default_factory=dict)
    continuation: Continuation | None = None
    branch: Branch | None = None
    own_names: Mapping[str, str] = msgspec.field(default_factory=dict)
    names_stop: bool = False
    counts_first: bool = False
    headers: tuple[tuple[bytes, bytes], ...] = ()

    def named(self, parameter: str) -> str:
        """Return what the client calls a parameter."""
        return self.own_names.get(parameter, parameter)

    def left_out(self, extras: Iterable[str]) -> Iterator[str]:
        """Give what the client calls ``extras`` that go nowhere: of tools, each by its kind."""
        for name in extras:
            given = self.extras[name]
            if name == "tools" and isinstance(given, list):
                for kind in (kind for tool in given for kind in _kinds(tool)):
                    yield f"tools[{kind}]" if _PLAIN.fullmatch(kind) else self.named(name)
            else:
                yield self.named(name)


def _kinds(tool: Any) -> Iterable[str]:
    """Return what a server's own tool is called: by its type, or as the one key it has."""
    if not isinstance(tool, dict):
        return ("",)
    kind = tool.get("type")
    return (kind,) if isinstance(kind, str) else tuple(tool)
