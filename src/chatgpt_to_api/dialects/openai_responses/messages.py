"""The dialect's JSON as typed structs: what a request, its items and a reply of it may hold.

A conversation is one flat list of *items*: messages, thoughts, calls and what they gave back. The
same items are the input of a request and the output of a reply, so there is one struct for each
kind. Everything is optional but what nobody can answer without; unknown fields are passed over.
Source: https://platform.openai.com/docs/api-reference/responses
"""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta, Raw

from chatgpt_to_api.dialects.bodies import NO_RAW

DIALECT: Final = "openai_responses"

# -- the request -----------------------------------------------------------------------------


class ReasoningOptions(msgspec.Struct):
    """How hard to think, and whether a summary of it is wanted (``generate_summary``: of old)."""

    effort: str | None = None
    summary: str | None = None
    generate_summary: str | None = None


class TextFormat(msgspec.Struct):
    """``text``, ``json_object``, or ``json_schema`` with its schema beside the type."""

    type: str
    name: str | None = None
    description: str | None = None
    schema: dict[str, Any] | None = None
    strict: bool | None = None


class TextOptions(msgspec.Struct):
    """What the answer's text is to be like."""

    format: Raw = NO_RAW
    verbosity: str | None = None


class ConversationReference(msgspec.Struct):
    """The conversation a response belongs to, where it is not given by its id alone."""

    id: str


class ResponsesRequest(msgspec.Struct):
    """``POST /v1/responses``.

    Named here is what has a meaning for the gateway; every other field of the API is an extra
    (``TypedExtras`` lists today's).
    """

    model: str
    input: str | list[Raw] | None = None
    instructions: str | None = None
    stream: bool | None = None
    stream_options: Raw = NO_RAW
    previous_response_id: str | None = None
    conversation: str | ConversationReference | None = None
    store: bool | None = None
    background: bool | None = None
    include: list[str] | None = None
    max_output_tokens: int | None = None
    metadata: dict[str, str] | None = None
    parallel_tool_calls: bool | None = None
    prompt_cache_key: str | None = None
    reasoning: ReasoningOptions | None = None
    temperature: float | None = None
    top_p: float | None = None
    text: TextOptions | None = None
    tool_choice: Raw = NO_RAW
    tools: list[Raw] | None = None
    truncation: str | None = None
    user: str | None = None


class TypedExtras(msgspec.Struct):
    """The extras whose types are the same wherever they are known."""

    client_metadata: dict[str, Any] | None = None
    context_management: list[Any] | None = None
    max_tool_calls: int | None = None
    moderation: dict[str, Any] | None = None
    prompt: dict[str, Any] | None = None
    prompt_cache_options: dict[str, Any] | None = None
    prompt_cache_retention: str | None = None
    safety_identifier: str | None = None
    service_tier: str | None = None
    top_logprobs: Annotated[int, Meta(ge=0, le=20)] | None = None


# -- tools -----------------------------------------------------------------------------------


class FunctionTool(msgspec.Struct):
    """A function with the JSON Schema of its arguments: all of it stands beside the type."""

    name: str
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None


class CustomFormat(msgspec.Struct):
    """What a custom tool's text must look like: any (``text``), or as a ``grammar`` says."""

    type: str = "text"
    syntax: str | None = None
    definition: str | None = None


class CustomTool(msgspec.Struct):
    """A tool that takes plain text."""

    name: str
    description: str | None = None
    format: CustomFormat | None = None


class NamespaceTool(msgspec.Struct):
    """Functions and custom tools under a common name, by which calls of them are told apart."""

    name: str
    description: str | None = None
    tools: list[Raw] = []


class ToolSearchTool(msgspec.Struct):
    """Finds further tools; ``client``: by a call that the client answers."""

    execution: str = "server"
    description: str | None = None
    parameters: dict[str, Any] | None = None


# -- items, of requests and replies ----------------------------------------------------------


class MessageItem(msgspec.Struct):
    """What somebody says. ``content`` of the model's own messages is a list of parts.

    ``phase`` tells a remark on the way from the final answer.
    """

    role: str
    content: str | list[Raw] | None = None
    id: str | None = None
    status: str | None = None
    phase: str | None = None


class TextPart(msgspec.Struct):
    """A piece of text: ``input_text``, ``output_text``, ``summary_text`` or ``reasoning_text``."""

    type: str = "output_text"
    text: str = ""
    annotations: list[Raw] | None = None
    logprobs: Raw = NO_RAW


class RefusalPart(msgspec.Struct):
    """The model's own refusal."""

    refusal: str


class ImagePart(msgspec.Struct):
    """A picture by URL (http, https or data), or one the server keeps."""

    image_url: str | None = None
    file_id: str | None = None
    detail: str | None = None


class FilePart(msgspec.Struct):
    """A document: base64 (mostly as a data URL), by URL, or one the server keeps."""

    file_data: str | None = None
    file_url: str | None = None
    file_id: str | None = None
    filename: str | None = None


class InputAudio(msgspec.Struct):
    """Sound as base64."""

    data: str
    format: str


class AudioPart(msgspec.Struct):
    """Sound the model is to hear."""

    input_audio: InputAudio


class ReasoningItem(msgspec.Struct):
    """What the model thought: in short, in full, or sealed; the seal is what later turns need."""

    summary: list[TextPart] | None = None
    content: list[TextPart] | None = None
    encrypted_content: str | None = None
    id: str | None = None
    status: str | None = None


class FunctionCallItem(msgspec.Struct):
    """A call of a function. ``call_id`` is what its output names, never ``id``."""

    call_id: str
    name: str
    arguments: str = ""
    namespace: str | None = None
    id: str | None = None
    status: str | None = None


class CustomToolCallItem(msgspec.Struct):
    """A call of a custom tool, with the text the model wrote."""

    call_id: str
    name: str
    input: str = ""
    namespace: str | None = None
    id: str | None = None
    status: str | None = None


class CallOutputItem(msgspec.Struct):
    """What a call gave back: ``function_call_output`` or ``custom_tool_call_output``."""

    call_id: str
    output: str | list[Raw] = ""
    id: str | None = None
    status: str | None = None


class ToolSearchCallItem(msgspec.Struct):
    """A search for tools; of one the client makes, ``arguments`` is an object it understands."""

    call_id: str | None = None
    execution: str = "server"
    arguments: Raw = NO_RAW
    id: str | None = None
    status: str | None = None


class ToolSearchOutputItem(msgspec.Struct):
    """The tools a search has found: from here on they can be called."""

    call_id: str | None = None
    execution: str = "server"
    tools: list[Raw] = []
    id: str | None = None
    status: str | None = None


class AdditionalToolsItem(msgspec.Struct):
    """Tools that are declared among the messages."""

    tools: list[Raw] = []
    role: str = "developer"
    id: str | None = None


class ItemReference(msgspec.Struct):
    """An item the server keeps, by its id."""

    id: str


class AnyItem(msgspec.Struct):
    """What tells an item's kind; a message may come without its ``type``, a reference too."""

    type: str | None = None
    role: str | None = None
    id: str | None = None


# -- replies, as lenient as servers are loose ------------------------------------------------


class InputDetails(msgspec.Struct, gc=False):
    """How the prompt's tokens divide."""

    cached_tokens: int | None = None
    cache_write_tokens: int | None = None


class OutputDetails(msgspec.Struct, gc=False):
    """How the answer's tokens divide."""

    reasoning_tokens: int | None = None


class UsageObject(msgspec.Struct, gc=False):
    """``usage``: ``input_tokens`` include what was read from or written to the cache."""

    input_tokens: int | None = None
    output_tokens: int | None = None
    input_tokens_details: InputDetails | None = None
    output_tokens_details: OutputDetails | None = None


class IncompleteDetails(msgspec.Struct, gc=False):
    """Why a response stopped before its end: ``max_output_tokens``, ``content_filter``."""

    reason: str | None = None


class ErrorObject(msgspec.Struct, gc=False):
    """What went wrong, in a failed response or in an ``error`` event."""

    code: str | int | None = None
    message: str | None = None
    type: str | None = None
    param: str | None = None


class ResponseObject(msgspec.Struct, gc=False):
    """A whole response, or what an event tells of one."""

    id: str | None = None
    status: str | None = None
    model: str | None = None
    output: list[Raw] | None = None
    error: Raw = NO_RAW
    incomplete_details: IncompleteDetails | None = None
    usage: Raw = NO_RAW
    service_tier: str | None = None


class StreamEvent(msgspec.Struct, gc=False):
    """One event of a stream: which of the fields are there depends on its ``type``."""

    type: str = ""
    response: Raw = NO_RAW
    item: Raw = NO_RAW
    item_id: str | None = None
    output_index: int | None = None
    content_index: int | None = None
    summary_index: int | None = None
    delta: str | None = None
    text: str | None = None
    arguments: str | None = None
    input: str | None = None
    refusal: str | None = None
    part: Raw = NO_RAW
    annotation: Raw = NO_RAW
    logprobs: Raw = NO_RAW
    error: Raw = NO_RAW
    code: str | int | None = None
    message: str | None = None
    param: str | None = None


class TextDelta(msgspec.Struct, gc=False):
    """A piece of the answer's text and nothing else, as nearly all events are."""

    type: Literal["response.output_text.delta"]
    delta: str
    output_index: int
    item_id: str | None = None
    content_index: int = 0
    logprobs: tuple[()] | None = None
    error: None = None


class OutputItem(msgspec.Struct, gc=False):
    """An item of a reply's output, as far as one has to see what it is."""

    type: str = ""
    id: str | None = None
    call_id: str | None = None
    name: str | None = None
    namespace: str | None = None
    execution: str | None = None
    arguments: Raw = NO_RAW
    input: str | None = None
    content: Raw = NO_RAW
    summary: Raw = NO_RAW
    encrypted_content: str | None = None


class OutputPart(msgspec.Struct, gc=False):
    """A part of what a reply says: text, or a refusal."""

    type: str = ""
    text: str | None = None
    refusal: str | None = None
    annotations: Raw = NO_RAW
    logprobs: Raw = NO_RAW


class UrlCitation(msgspec.Struct, gc=False):
    """A web page, and which characters of the text rest on it."""

    type: Literal["url_citation"]
    url: str
    title: str = ""
    start_index: int | None = None
    end_index: int | None = None


class Likely(msgspec.Struct, gc=False):
    """A token and its log probability, with the likeliest in its place."""

    token: str
    logprob: float | None = None
    bytes: list[int] | None = None
    top_logprobs: list[Likely] | None = None
