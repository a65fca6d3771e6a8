"""The dialect's JSON as typed structs: what a request, a reply and an event of it may hold.

What blocks hold is read when somebody needs it: a relayed request keeps them as bytes.
Source: https://platform.claude.com/docs/en/api/messages
"""

from __future__ import annotations

from typing import Any, Final, Literal

import msgspec
from msgspec import Raw

from chatgpt_to_api.dialects.bodies import NO_RAW

DIALECT: Final = "anthropic"
VERSION: Final = b"2023-06-01"
"""The only version of the API there is; everything newer comes by beta headers."""

FORWARDED: Final = (b"anthropic-beta", b"anthropic-version")
"""A client's headers that belong to the request."""

BILLING: Final = "x-anthropic-billing-header:"
"""How a line begins that some clients put before their system prompt: it is no instruction."""

# -- the request -----------------------------------------------------------------------------


class InputMessage(msgspec.Struct):
    """One turn. ``system`` may stand among the others, where it holds from there on."""

    role: str
    content: str | list[Raw]


class MessagesRequest(msgspec.Struct):
    """``POST /v1/messages``; counting takes the same without ``max_tokens``."""

    model: str
    messages: list[InputMessage]
    max_tokens: int | None = None
    stream: bool | None = None
    system: str | list[Raw] | None = None
    tools: list[Raw] | None = None
    tool_choice: Raw = NO_RAW
    stop_sequences: list[str] | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    thinking: Raw = NO_RAW
    output_config: Raw = NO_RAW
    metadata: Raw = NO_RAW


class TypedExtras(msgspec.Struct):
    """Fields without a canonical form whose types are worth checking."""

    cache_control: dict[str, Any] | None = None
    container: str | dict[str, Any] | None = None
    context_management: dict[str, Any] | None = None
    inference_geo: str | None = None
    mcp_servers: list[dict[str, Any]] | None = None
    service_tier: str | None = None


class FunctionTool(msgspec.Struct):
    """A tool that the client runs, with the JSON Schema of its input."""

    name: str
    description: str | None = None
    input_schema: dict[str, Any] | None = None
    strict: bool | None = None


class ToolChoiceObject(msgspec.Struct):
    """Whether and which tools are to be called."""

    type: str
    name: str | None = None
    disable_parallel_tool_use: bool | None = None


class Thinking(msgspec.Struct):
    """Whether the model thinks before it answers, and with how many tokens at most."""

    type: str
    budget_tokens: int | None = None


class OutputFormat(msgspec.Struct):
    """The schema that the answer must fit."""

    type: Literal["json_schema"]
    schema: dict[str, Any]


class OutputConfig(msgspec.Struct):
    """How much effort an answer is worth, and its form."""

    effort: str | None = None
    format: Raw = NO_RAW


class ToolUse(msgspec.Struct):
    """A call that an assistant's turn made."""

    id: str
    name: str
    input: Raw = Raw(b"{}")


class ToolResultBlock(msgspec.Struct):
    """What a call gave back."""

    tool_use_id: str
    content: str | list[Raw] | None = None
    is_error: bool | None = None


# -- replies ---------------------------------------------------------------------------------


class UsageObject(msgspec.Struct, gc=False):
    """Token counts. ``input_tokens`` leaves out what was read from the cache or written to it."""

    input_tokens: int | None = None
    output_tokens: int | None = None
    cache_read_input_tokens: int | None = None
    cache_creation_input_tokens: int | None = None
    output_tokens_details: OutputDetails | None = None


class OutputDetails(msgspec.Struct, gc=False):
    """What the output tokens were spent on."""

    thinking_tokens: int | None = None


class Delta(msgspec.Struct, gc=False):
    """A piece of a block, or what the end of the message says of it."""

    type: str = ""
    text: str | None = None
    thinking: str | None = None
    signature: str | None = None
    partial_json: str | None = None
    citation: Raw = NO_RAW
    stop_reason: str | None = None
    stop_sequence: str | None = None
    stop_details: Raw = NO_RAW
    container: Raw = NO_RAW


class Event(msgspec.Struct, gc=False):
    """One event of a stream, by its ``type``."""

    type: str
    index: int | None = None
    delta: Delta | None = None
    content_block: Raw = NO_RAW
    message: Raw = NO_RAW
    usage: Raw = NO_RAW
    error: Raw = NO_RAW


class Block(msgspec.Struct, gc=False):
    """A block as it begins in a stream, or whole."""

    type: str = ""
    text: str | None = None
    thinking: str | None = None
    signature: str | None = None
    data: str | None = None
    id: str | None = None
    name: str | None = None
    input: Raw = NO_RAW
    citations: list[Raw] | None = None


class Message(msgspec.Struct):
    """A whole reply, or its beginning in a stream."""

    type: str = ""
    model: str | None = None
    content: list[Raw] | None = None
    stop_reason: str | None = None
    stop_sequence: str | None = None
    usage: Raw = NO_RAW
    stop_details: Raw = NO_RAW
    container: Raw = NO_RAW


class WebPage(msgspec.Struct):
    """A citation of a page that a search of the server's found."""

    type: Literal["web_search_result_location"]
    url: str
    title: str | None = None


class LeanText(msgspec.Struct, gc=False, forbid_unknown_fields=True):
    """A piece of text."""

    type: Literal["text_delta"]
    text: str


class LeanEvent(msgspec.Struct, gc=False):
    """A piece of text in the middle of a stream, as nearly all events are."""

    type: Literal["content_block_delta"]
    index: int
    delta: LeanText
