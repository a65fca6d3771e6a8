"""The dialect's JSON as typed structs: what a request, a reply and a chunk of it may hold.

Everything is optional but what nobody can answer without, and unknown fields are passed over: a
relayed request or reply keeps them as bytes, a translated one as extras. What many clients never
send, or what only an upstream of this dialect reads, stays ``Raw`` until somebody needs it.
Source: https://platform.openai.com/docs/api-reference/chat
"""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal, TypeAlias

import msgspec
from msgspec import Meta, Raw

from chatgpt_to_api.dialects.bodies import NO_RAW

DIALECT: Final = "openai_chat"

# -- the request -----------------------------------------------------------------------------


class FunctionCall(msgspec.Struct):
    """A function's name with the arguments the model wrote, as JSON text."""

    name: str
    arguments: str = ""


class CustomCall(msgspec.Struct):
    """A freeform tool's name with the text the model wrote."""

    name: str
    input: str = ""


class ToolCallMessage(msgspec.Struct):
    """A call an assistant message made. ``extra_content`` holds vendors' own parts."""

    id: str
    type: str = "function"
    function: FunctionCall | None = None
    custom: CustomCall | None = None
    extra_content: Raw = NO_RAW


class ChatMessage(msgspec.Struct):
    """One message of a request. What its parts and calls hold is checked when it is translated."""

    role: str
    content: str | list[Raw] | None = None
    name: str | None = None
    tool_calls: list[Raw] | None = None
    tool_call_id: str | None = None
    refusal: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    reasoning_details: Raw = NO_RAW
    function_call: Raw = NO_RAW
    audio: Raw = NO_RAW


class AudioReference(msgspec.Struct):
    """An earlier spoken answer."""

    id: str


class StreamOptions(msgspec.Struct):
    """What a streaming client wants besides the text."""

    include_usage: bool | None = None


class ChatCompletionRequest(msgspec.Struct):
    """``POST /v1/chat/completions``.

    Named here is what has a canonical meaning or a type worth checking early; every other field of
    the API is an extra (``TypedExtras`` lists today's).
    """

    model: str
    messages: list[ChatMessage]
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    n: int | None = None
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    stop: str | list[str] | None = None
    temperature: float | None = None
    top_p: float | None = None
    seed: int | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    tools: list[Raw] | None = None
    tool_choice: Raw = NO_RAW
    parallel_tool_calls: bool | None = None
    functions: list[Raw] | None = None
    function_call: Raw = NO_RAW
    response_format: Raw = NO_RAW
    reasoning_effort: str | None = None
    user: str | None = None
    prompt_cache_key: str | None = None
    metadata: Raw = NO_RAW


class TypedExtras(msgspec.Struct):
    """The extras whose types and ranges are the same wherever they are known."""

    audio: dict[str, Any] | None = None
    logit_bias: dict[str, Annotated[float, Meta(ge=-100, le=100)]] | None = None
    logprobs: bool | None = None
    metadata: dict[str, Any] | None = None
    modalities: list[str] | None = None
    moderation: dict[str, Any] | None = None
    prediction: dict[str, Any] | None = None
    prompt_cache_options: dict[str, Any] | None = None
    prompt_cache_retention: str | None = None
    safety_identifier: str | None = None
    service_tier: str | None = None
    store: bool | None = None
    top_logprobs: Annotated[int, Meta(ge=0, le=128)] | None = None
    verbosity: str | None = None
    web_search_options: dict[str, Any] | None = None


class FunctionDefinition(msgspec.Struct):
    """A function the model may call, with the JSON Schema of its arguments."""

    name: str
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None


class FunctionTool(msgspec.Struct):
    """An entry of ``tools`` of the type ``function``."""

    type: str
    function: FunctionDefinition


class GrammarDefinition(msgspec.Struct):
    """A grammar and the syntax it is written in (``lark``, ``regex``)."""

    syntax: str
    definition: str


class CustomFormat(msgspec.Struct):
    """``text`` for any, or ``grammar``."""

    type: str
    grammar: GrammarDefinition | None = None


class CustomDefinition(msgspec.Struct):
    """A freeform tool: the model writes plain text for it, perhaps in a form."""

    name: str
    description: str | None = None
    format: CustomFormat | None = None


class CustomTool(msgspec.Struct):
    """An entry of ``tools`` of the type ``custom``."""

    type: str
    custom: CustomDefinition


class JsonSchema(msgspec.Struct):
    """The schema an answer must fit."""

    name: str | None = None
    description: str | None = None
    schema: dict[str, Any] | None = None
    strict: bool | None = None


class ResponseFormat(msgspec.Struct):
    """``text``, ``json_object`` or ``json_schema``."""

    type: str
    json_schema: JsonSchema | None = None


# -- replies, as lenient as servers are loose ------------------------------------------------


class ContentPiece(msgspec.Struct, gc=False):
    """Content that comes as a list of parts: text, or thinking that holds a list of its own."""

    type: str = "text"
    text: str | None = None
    thinking: str | list[ContentPiece] | None = None


Content: TypeAlias = str | list[ContentPiece] | None


class FunctionPiece(msgspec.Struct, gc=False):
    """A piece of a call. ``arguments`` is text; some servers send the finished object."""

    name: str | None = None
    arguments: str | dict[str, Raw] | None = None


class CustomPiece(msgspec.Struct, gc=False):
    """A piece of a freeform call."""

    name: str | None = None
    input: str | None = None


class ToolCallPiece(msgspec.Struct, gc=False):
    """A piece of one tool call of a chunk, or a whole one of a reply."""

    index: int | None = None
    id: str | None = None
    function: FunctionPiece | None = None
    custom: CustomPiece | None = None
    extra_content: Raw = NO_RAW


class UrlCitation(msgspec.Struct, forbid_unknown_fields=True):
    """A web page, and which characters of the text rest on it."""

    url: str
    title: str = ""
    start_index: int | None = None
    end_index: int | None = None


class UrlAnnotation(msgspec.Struct, forbid_unknown_fields=True):
    """A note on a text: a ``url_citation``. Notes of any other shape are kept as they came."""

    type: Literal["url_citation"]
    url_citation: UrlCitation


class AudioPiece(msgspec.Struct):
    """A piece of a spoken answer, or a whole one."""

    id: str | None = None
    data: str | None = None
    transcript: str | None = None
    expires_at: int | None = None


class Likely(msgspec.Struct):
    """A token and its log probability, with the likeliest in its place."""

    token: str
    logprob: float | None = None
    bytes: list[int] | None = None
    top_logprobs: list[Likely] | None = None


class Logprobs(msgspec.Struct):
    """Log probabilities of a choice's tokens."""

    content: list[Likely] | None = None
    refusal: list[Likely] | None = None


class Delta(msgspec.Struct, gc=False):
    """What a chunk adds to one choice, or a whole message."""

    content: Content = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    reasoning_details: Raw = NO_RAW
    refusal: str | None = None
    tool_calls: list[ToolCallPiece] | None = None
    function_call: FunctionPiece | None = None
    audio: Raw = NO_RAW
    annotations: Raw = NO_RAW


class Choice(msgspec.Struct, gc=False):
    """One choice of a chunk (``delta``) or of a whole reply (``message``)."""

    index: int | None = None
    delta: Delta | None = None
    message: Delta | None = None
    finish_reason: str | None = None
    logprobs: Raw = NO_RAW
    usage: Raw = NO_RAW
    error: Raw = NO_RAW


class Chunk(msgspec.Struct, gc=False):
    """What is read of every ``chat.completion.chunk``, and of a whole ``chat.completion``."""

    choices: list[Choice] | None = None
    usage: Raw = NO_RAW
    error: Raw = NO_RAW
    moderation: Raw = NO_RAW
    metadata: Raw = NO_RAW


class LeanDelta(msgspec.Struct, gc=False, forbid_unknown_fields=True):
    """A delta that is text and nothing else."""

    content: str


class LeanChoice(msgspec.Struct, gc=False):
    """A choice that goes on."""

    delta: LeanDelta
    index: int = 0
    finish_reason: None = None
    logprobs: None = None
    usage: None = None
    error: None = None


class LeanChunk(msgspec.Struct, gc=False):
    """A chunk in the middle of a text, as nearly all are: what does not fit is read as a Chunk."""

    choices: tuple[LeanChoice]
    usage: None = None
    error: None = None
    moderation: None = None
    metadata: None = None


class Identity(msgspec.Struct, gc=False):
    """What is read once of a reply: its id, its model and what answers under that name."""

    id: str | None = None
    model: str | None = None
    service_tier: str | None = None
    system_fingerprint: str | None = None
