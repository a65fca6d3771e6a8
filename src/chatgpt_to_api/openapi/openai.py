"""What is served under ``/v1``, and the pages beside it."""

from __future__ import annotations

from typing import Final

from chatgpt_to_api.dialects.openai_chat.messages import ChatCompletionRequest, TypedExtras
from chatgpt_to_api.dialects.openai_completions.messages import CompletionRequest
from chatgpt_to_api.dialects.openai_embeddings.messages import EmbeddingsRequest
from chatgpt_to_api.openapi.parts import (
    BOOLEAN,
    INTEGER,
    NOTHING,
    NUMBER,
    STRING,
    Operation,
    Schema,
    array,
    constant,
    in_path,
    in_query,
    json,
    nullable,
    record,
    ref,
)
from chatgpt_to_api.openapi.structs import Structs

CALLER: Final = ("clientKey", "clientKeyHeader", NOTHING)
"""A client key in either place, or nothing where none is configured and the caller is near."""

CALLER_ERRORS: Final = (401, 403, 431)
QUESTION_ERRORS: Final = (400, 401, 402, 403, 404, 405, 408, 409, 413, 422, 429, 431, 500, 502)
BUSY_ERRORS: Final = (503, 504)

_ANTHROPIC: Final[Schema] = {
    "name": "anthropic-version",
    "in": "header",
    "description": "Asks for the models in Anthropic's shape.",
    "schema": {"type": "string"},
}
_LIST_PARAMETERS: Final = (
    _ANTHROPIC,
    in_query("limit", "Models on a page of Anthropic's list; 20 if not said.", INTEGER),
    in_query("after_id", "The page after this model, in Anthropic's list."),
    in_query("before_id", "The page before this model, in Anthropic's list."),
    in_query("client_version", "Asks for the models in Codex's shape."),
)
_ANY_LIST: Final[Schema] = {"anyOf": [ref("Models"), ref("AnthropicModels"), ref("CodexModels")]}
_ANY_MODEL: Final[Schema] = {"anyOf": [ref("Model"), ref("AnthropicModel")]}

_ERRORS: Final = (*QUESTION_ERRORS, *BUSY_ERRORS)


def schemas(structs: Structs) -> dict[str, Schema]:
    """Return the schemas these paths refer to."""
    structs.schema(ChatCompletionRequest)
    structs.schema(TypedExtras)
    structs.schema(CompletionRequest)
    structs.schema(EmbeddingsRequest)
    usage = record(
        {"prompt_tokens": INTEGER, "completion_tokens": INTEGER, "total_tokens": INTEGER}
    )
    message = record(
        {"role": constant("assistant")},
        content=nullable(STRING),
        refusal=nullable(STRING),
        tool_calls=array(record({"id": STRING, "type": STRING})),
    )
    choice = record(
        {"index": INTEGER, "message": message, "finish_reason": nullable(STRING)}, logprobs={}
    )
    model = record(
        {"id": STRING, "object": constant("model"), "created": INTEGER, "owned_by": STRING},
        context_length=INTEGER,
    )
    anthropic = record(
        {"id": STRING, "type": constant("model"), "display_name": STRING, "created_at": STRING},
        max_input_tokens=INTEGER,
    )
    return {
        "ChatRequest": {"allOf": [ref("ChatCompletionRequest"), ref("TypedExtras")]},
        "Usage": usage,
        "ChatCompletion": record(
            {
                "id": STRING,
                "object": constant("chat.completion"),
                "created": INTEGER,
                "model": STRING,
                "choices": array(choice),
            },
            usage=nullable(ref("Usage")),
        ),
        "Completion": record(
            {
                "id": STRING,
                "object": constant("text_completion"),
                "created": INTEGER,
                "model": STRING,
                "choices": array(record({"index": INTEGER, "text": STRING})),
            },
            usage=nullable(ref("Usage")),
        ),
        "Embeddings": record(
            {
                "object": constant("list"),
                "data": array(
                    record(
                        {
                            "index": INTEGER,
                            "object": constant("embedding"),
                            "embedding": {"anyOf": [array(NUMBER), STRING]},
                        }
                    )
                ),
            },
            model=STRING,
            usage={},
        ),
        "Model": model,
        "Models": record({"object": constant("list"), "data": array(ref("Model"))}),
        "AnthropicModel": anthropic,
        "AnthropicModels": record(
            {
                "data": array(ref("AnthropicModel")),
                "has_more": BOOLEAN,
                "first_id": nullable(STRING),
                "last_id": nullable(STRING),
            }
        ),
        "ListError": {"anyOf": [ref("Error"), ref("AnthropicError")]},
        "CodexModels": record({"models": array(record({"slug": STRING}))}),
        "Engines": record(
            {
                "object": constant("list"),
                "data": array(record({"id": STRING, "object": constant("engine")})),
            }
        ),
        "Status": record({"status": STRING}, reasons=array(STRING)),
    }


def paths() -> dict[str, dict[str, Operation]]:
    """Return the operations by path and method."""
    pages = "About this gateway"
    stated = {"200": json(ref("Status"), "It is."), "503": json(ref("Status"), "Not now.")}
    page = {"200": ("A page, or plain text.", {"text/html": STRING, "text/plain": STRING})}
    return {
        "/v1/chat/completions": {
            "post": question("Ask a model", "ChatRequest", "ChatCompletion", streamed=True)
        },
        "/v1/completions": {
            "post": question(
                "Complete a text, the older way", "CompletionRequest", "Completion", streamed=True
            )
        },
        "/v1/embeddings": {"post": question("Embed texts", "EmbeddingsRequest", "Embeddings")},
        "/v1/models": {
            "get": Operation(
                summary="List the models that can be asked for",
                tag="Models",
                replies={"200": json(_ANY_LIST, "The models, as the caller expects them.")},
                errors=(400, *CALLER_ERRORS),
                error="ListError",
                parameters=_LIST_PARAMETERS,
                security=CALLER,
            )
        },
        "/v1/models/{model}": {
            "get": Operation(
                summary="Show a model",
                tag="Models",
                replies={"200": json(_ANY_MODEL, "The model, as the caller expects it.")},
                errors=(*CALLER_ERRORS, 404, 503),
                error="ListError",
                parameters=[in_path("model", "Its name."), _ANTHROPIC],
                security=CALLER,
            )
        },
        "/v1/engines": {
            "get": Operation(
                summary="List the models as engines",
                tag="Models",
                replies={"200": json(ref("Engines"), "The models.")},
                errors=CALLER_ERRORS,
                security=CALLER,
            )
        },
        "/": {
            "get": Operation(
                summary="What this is, what is ready, what to do next", tag=pages, replies=page
            )
        },
        "/ping": {
            "get": Operation(
                summary="Answer",
                tag=pages,
                replies={"200": json(record({"message": constant("pong")}), "It is there.")},
            )
        },
        "/healthz": {
            "get": Operation(
                summary="Whether the process is alive", tag=pages, replies={"200": stated["200"]}
            )
        },
        "/readyz": {
            "get": Operation(
                summary="Whether an upstream can answer now", tag=pages, replies=stated
            )
        },
        "/openapi.json": {
            "get": Operation(
                summary="This description",
                tag=pages,
                replies={"200": json(record({"openapi": STRING}), "OpenAPI 3.1.")},
            )
        },
    }


def question(summary: str, asked: str, answer: str, *, streamed: bool = False) -> Operation:
    """Describe what an upstream answers, as a stream too where ``streamed``."""
    replies = {"application/json": ref(answer)}
    meaning = "The answer."
    if streamed:
        replies["text/event-stream"] = STRING
        meaning = "The answer, or its stream with `stream`."
    return Operation(
        summary=summary,
        tag="Questions",
        body=ref(asked),
        replies={"200": (meaning, replies)},
        errors=_ERRORS,
        security=CALLER,
    )
