"""The dialect's JSON as typed structs: what a request, a reply and a chunk of it may hold.

Unknown fields are passed over: a relayed request or reply keeps them as bytes, a translated one as
extras. Field names are those of JSON (``systemInstruction``); a request's other spelling
(``system_instruction``) is put right before anything is decoded (``spelling``).
Source: https://ai.google.dev/api/generate-content
"""

from __future__ import annotations

from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta, Raw

from chatgpt_to_api.chat.thought_signature import GOOGLE
from chatgpt_to_api.dialects.bodies import NO_RAW

DIALECT: Final = GOOGLE

MOST_CANDIDATES: Final = 8
"""Largest ``candidateCount``, as the vendor allows."""

MOST_INDEX: Final = 127
"""Largest number a reply's candidate may have."""

# -- both ways -------------------------------------------------------------------------------


class Blob(msgspec.Struct, rename="camel"):
    """A picture, sound, film or document in base64."""

    mime_type: str
    data: str


class FileData(msgspec.Struct, rename="camel"):
    """The same by its address: an uploaded file, or a page of the web."""

    file_uri: str
    mime_type: str | None = None


class FunctionCall(msgspec.Struct):
    """A call of a function. ``args`` is an object."""

    name: str
    id: str | None = None
    args: Raw = NO_RAW


class FunctionResponsePart(msgspec.Struct, rename="camel"):
    """What a function gave back beside its ``response``."""

    inline_data: Blob | None = None
    file_data: FileData | None = None


class FunctionResponse(msgspec.Struct, rename="camel"):
    """What a function gave back. ``response`` is an object."""

    name: str
    id: str | None = None
    response: Raw = NO_RAW
    parts: list[FunctionResponsePart] | None = None


class Part(msgspec.Struct, rename="camel"):
    """A piece of a turn: one of its fields but for those that say more of it."""

    text: str | None = None
    thought: bool | None = None
    thought_signature: str | None = None
    inline_data: Blob | None = None
    file_data: FileData | None = None
    function_call: FunctionCall | None = None
    function_response: FunctionResponse | None = None


# -- the request -----------------------------------------------------------------------------


class Content(msgspec.Struct):
    """A turn, ``user`` or ``model``."""

    parts: list[Raw] | None = None
    role: str | None = None


class ThinkingConfig(msgspec.Struct, rename="camel"):
    """How much to think, and whether to show it. A budget of -1 lets the model decide."""

    include_thoughts: bool | None = None
    thinking_budget: int | None = None
    thinking_level: str | None = None


class GenerationConfig(msgspec.Struct, rename="camel"):
    """What the answer is to be like, as far as other dialects know of it too."""

    stop_sequences: list[str] | None = None
    response_mime_type: str | None = None
    response_schema: Raw = NO_RAW
    response_json_schema: Raw = NO_RAW
    candidate_count: int | None = None
    max_output_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: float | None = None
    seed: int | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    thinking_config: ThinkingConfig | None = None


class FunctionCallingConfig(msgspec.Struct, rename="camel"):
    """Whether functions may, must or must not be called, and which."""

    mode: str | None = None
    allowed_function_names: list[str] | None = None


class FunctionDeclaration(msgspec.Struct, rename="camel"):
    """A function the model may call: its arguments in one of two forms."""

    name: str
    description: str | None = None
    parameters: dict[str, Any] | None = None
    parameters_json_schema: dict[str, Any] | None = None


class GenerateContentRequest(msgspec.Struct, rename="camel"):
    """``POST …/{model}:generateContent`` and ``:streamGenerateContent``."""

    contents: list[Raw]
    tools: list[Raw] | None = None
    tool_config: Raw = NO_RAW
    safety_settings: Raw = NO_RAW
    system_instruction: Raw = NO_RAW
    generation_config: Raw = NO_RAW
    cached_content: str | None = None
    model: str | None = None


class CountTokensRequest(msgspec.Struct, rename="camel"):
    """``POST …/{model}:countTokens``: turns alone, or a whole request."""

    contents: list[Raw] | None = None
    generate_content_request: Raw = NO_RAW


# -- replies, as lenient as servers are loose ------------------------------------------------


class ReplyBlob(msgspec.Struct, rename="camel", gc=False):
    """Something the model made that is no text."""

    mime_type: str = ""
    data: str = ""


class ReplyCall(msgspec.Struct, gc=False):
    """A call the model made, whole."""

    name: str = ""
    id: str | None = None
    args: Raw = NO_RAW


class ReplyPart(msgspec.Struct, rename="camel", gc=False):
    """A piece of an answer. What has none of these fields is kept as JSON."""

    text: str | None = None
    thought: bool | None = None
    thought_signature: str | None = None
    function_call: ReplyCall | None = None
    inline_data: ReplyBlob | None = None


class ReplyContent(msgspec.Struct, gc=False):
    """What a chunk adds to a candidate."""

    parts: list[Raw] | None = None


class Candidate(msgspec.Struct, rename="camel", gc=False):
    """One answer of several, or what a chunk adds to it."""

    content: ReplyContent | None = None
    index: int | None = None
    finish_reason: str | None = None
    finish_message: str | None = None
    logprobs_result: Raw = NO_RAW
    grounding_metadata: Raw = NO_RAW
    citation_metadata: Raw = NO_RAW
    url_context_metadata: Raw = NO_RAW
    safety_ratings: Raw = NO_RAW


class PromptFeedback(msgspec.Struct, rename="camel", gc=False):
    """What the server thinks of the prompt."""

    block_reason: str | None = None
    block_reason_message: str | None = None


class ModalityCount(msgspec.Struct, rename="camel", gc=False):
    """How many tokens stand for what."""

    modality: str = ""
    token_count: int = 0


class UsageMetadata(msgspec.Struct, rename="camel", gc=False):
    """Token counts, of everything so far."""

    prompt_token_count: int | None = None
    cached_content_token_count: int | None = None
    candidates_token_count: int | None = None
    tool_use_prompt_token_count: int | None = None
    thoughts_token_count: int | None = None
    prompt_tokens_details: list[ModalityCount] | None = None
    candidates_tokens_details: list[ModalityCount] | None = None


class GenerateContentResponse(msgspec.Struct, rename="camel", gc=False):
    """A whole reply, or a chunk of one."""

    candidates: list[Candidate] | None = None
    prompt_feedback: PromptFeedback | None = None
    usage_metadata: Raw = NO_RAW
    model_version: str | None = None
    error: Raw = NO_RAW


class LeanPart(msgspec.Struct, gc=False, forbid_unknown_fields=True):
    """A part that is text and nothing else, of the answer or of a thought."""

    text: str
    thought: bool = False


class LeanContent(msgspec.Struct, gc=False):
    """One such part."""

    parts: tuple[LeanPart]


class LeanCandidate(msgspec.Struct, rename="camel", gc=False):
    """A candidate that goes on."""

    content: LeanContent
    index: Annotated[int, Meta(ge=0, le=MOST_INDEX)] = 0
    finish_reason: None = None
    logprobs_result: None = None
    grounding_metadata: None = None
    citation_metadata: None = None
    url_context_metadata: None = None
    safety_ratings: None = None


class LeanChunk(msgspec.Struct, rename="camel", gc=False):
    """A chunk in the middle of a text, as nearly all are: what does not fit is read whole."""

    candidates: tuple[LeanCandidate]
    usage_metadata: Raw = NO_RAW
    prompt_feedback: None = None
    error: None = None


class LikelyToken(msgspec.Struct, rename="camel", gc=False):
    """A token and its log probability."""

    token: str = ""
    log_probability: float | None = None


class LikelyTokens(msgspec.Struct, gc=False):
    """The likeliest tokens in one place."""

    candidates: list[LikelyToken] = []


class LogprobsResult(msgspec.Struct, rename="camel", gc=False):
    """Log probabilities of a candidate's tokens."""

    chosen_candidates: list[LikelyToken] = []
    top_candidates: list[LikelyTokens] = []


class WebPage(msgspec.Struct, gc=False):
    """A page an answer rests on."""

    uri: str = ""
    title: str = ""


class GroundingChunk(msgspec.Struct, rename="camel", gc=False):
    """A source of an answer."""

    web: WebPage | None = None
    retrieved_context: WebPage | None = None


class Segment(msgspec.Struct, rename="camel", gc=False):
    """A piece of the answer's text, in bytes."""

    start_index: int | None = None
    end_index: int | None = None
    part_index: int | None = None


class GroundingSupport(msgspec.Struct, rename="camel", gc=False):
    """Which sources a piece of the answer rests on."""

    segment: Segment | None = None
    grounding_chunk_indices: list[int] = []


class GroundingMetadata(msgspec.Struct, rename="camel", gc=False):
    """What an answer rests on."""

    grounding_chunks: list[GroundingChunk] = []
    grounding_supports: list[GroundingSupport] = []
