"""Gemini's dialect, as clients of Google's find it here."""

from __future__ import annotations

from typing import Final

from chatgpt_to_api.dialects.gemini.embed_messages import (
    BatchEmbedContentsRequest,
    BatchEmbedContentsResponse,
    EmbedContentRequest,
    EmbedContentResponse,
)
from chatgpt_to_api.dialects.gemini.messages import (
    CountTokensRequest,
    GenerateContentRequest,
    GenerateContentResponse,
)
from chatgpt_to_api.openapi.openai import BUSY_ERRORS, CALLER, CALLER_ERRORS, QUESTION_ERRORS
from chatgpt_to_api.openapi.parts import (
    INTEGER,
    STRING,
    Operation,
    Schema,
    array,
    in_path,
    in_query,
    json,
    record,
    ref,
)
from chatgpt_to_api.openapi.structs import Structs

TAG: Final = "Questions, as Gemini's clients ask them"
ERROR: Final = "GoogleError"
KEYS: Final = (*CALLER, "googleKeyHeader", "googleKeyQuery")

_EMBEDDINGS: Final = (
    ("embedContent", "Embed a text", "EmbedContentRequest", "EmbedContentResponse"),
    (
        "batchEmbedContents",
        "Embed several texts",
        "BatchEmbedContentsRequest",
        "BatchEmbedContentsResponse",
    ),
)
_MODEL: Final = in_path("model", "Its name.")
_ALT: Final = in_query("alt", "`sse` for a stream of events; else it is a JSON array.")


def schemas(structs: Structs) -> dict[str, Schema]:
    """Return the schemas these paths refer to."""
    structs.schema(GenerateContentRequest)
    structs.schema(CountTokensRequest)
    structs.schema(GenerateContentResponse)
    for embedding in (
        EmbedContentRequest,
        EmbedContentResponse,
        BatchEmbedContentsRequest,
        BatchEmbedContentsResponse,
    ):
        structs.schema(embedding)
    error = record(
        {"code": INTEGER, "message": STRING, "status": STRING}, details=array({"type": "object"})
    )
    model = record(
        {
            "name": STRING,
            "version": STRING,
            "displayName": STRING,
            "supportedGenerationMethods": array(STRING),
        },
        inputTokenLimit=INTEGER,
    )
    return {
        ERROR: record({"error": error}),
        "TokenCount": record({"totalTokens": INTEGER}),
        "GeminiModel": model,
        "GeminiModels": record({"models": array(ref("GeminiModel"))}, nextPageToken=STRING),
    }


def paths() -> dict[str, dict[str, Operation]]:
    """Return the operations by path and method."""
    answer = ref("GenerateContentResponse")
    whole = {"application/json": answer}
    counted = {"application/json": ref("TokenCount")}
    streamed = {"text/event-stream": STRING, "application/json": array(answer)}
    questions = {
        path: {"post": operation}
        for prefix in ("/v1beta", "/v1")
        for path, operation in (
            (f"{prefix}/models/{{model}}:generateContent", _question("Ask a model", whole)),
            (
                f"{prefix}/models/{{model}}:streamGenerateContent",
                _question("Ask a model for a stream", streamed, _ALT),
            ),
            (
                f"{prefix}/models/{{model}}:countTokens",
                _question("Count a prompt", counted, body="CountTokensRequest"),
            ),
            *(
                (
                    f"{prefix}/models/{{model}}:{method}",
                    _question(summary, {"application/json": ref(reply)}, body=body),
                )
                for method, summary, body, reply in _EMBEDDINGS
            ),
        )
    }
    page = (
        in_query("pageSize", "Most models of a page.", {"type": "integer", "maximum": 1000}),
        in_query("pageToken", "What the page before gave."),
    )
    lists = {
        "/v1beta/models": {
            "get": _page("List the models", "GeminiModels", (400,), *page),
        },
        "/v1beta/models/{model}": {
            "get": _page("Show a model", "GeminiModel", (404, 503), _MODEL),
        },
    }
    return {**questions, **lists}


def _page(summary: str, shown: str, errors: tuple[int, ...], *parameters: Schema) -> Operation:
    return Operation(
        summary=summary,
        tag=TAG,
        replies={"200": json(ref(shown), "Done.")},
        errors=(*CALLER_ERRORS, *errors),
        error=ERROR,
        parameters=parameters,
        security=KEYS,
    )


def _question(
    summary: str,
    answer: dict[str, Schema],
    *parameters: Schema,
    body: str = "GenerateContentRequest",
) -> Operation:
    return Operation(
        summary=summary,
        tag=TAG,
        body=ref(body),
        replies={"200": ("The answer.", answer)},
        errors=(*QUESTION_ERRORS, *BUSY_ERRORS),
        error=ERROR,
        parameters=[_MODEL, *parameters],
        security=KEYS,
    )
