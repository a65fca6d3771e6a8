"""Ollama's API: what its doors take, and the lists around them."""

from __future__ import annotations

from typing import Final

from chatgpt_to_api.dialects.ollama.embed_messages import (
    OllamaEmbeddingsRequest,
    OllamaEmbedRequest,
)
from chatgpt_to_api.dialects.ollama.messages import OllamaChatRequest, OllamaGenerateRequest
from chatgpt_to_api.dialects.ollama.pages import OllamaShowRequest
from chatgpt_to_api.openapi.openai import BUSY_ERRORS, CALLER, CALLER_ERRORS, QUESTION_ERRORS
from chatgpt_to_api.openapi.parts import (
    BOOLEAN,
    INTEGER,
    NUMBER,
    STRING,
    Operation,
    Schema,
    array,
    in_path,
    json,
    record,
    ref,
)
from chatgpt_to_api.openapi.structs import Structs

_TAG: Final = "Ollama"
_ERROR: Final = "OllamaError"
_LINES: Final = "application/x-ndjson"


def schemas(structs: Structs) -> dict[str, Schema]:
    """Return the schemas these paths refer to."""
    for struct in (
        OllamaChatRequest,
        OllamaGenerateRequest,
        OllamaEmbedRequest,
        OllamaEmbeddingsRequest,
        OllamaShowRequest,
    ):
        structs.schema(struct)
    details = record({"family": STRING, "parameter_size": STRING, "quantization_level": STRING})
    entry = record({"name": STRING, "model": STRING, "digest": STRING, "details": details})
    ended = {
        "done_reason": STRING,
        "total_duration": INTEGER,
        "load_duration": INTEGER,
        "prompt_eval_count": INTEGER,
        "prompt_eval_duration": INTEGER,
        "eval_count": INTEGER,
        "eval_duration": INTEGER,
    }
    message = record(
        {"role": STRING}, content=STRING, thinking=STRING, tool_calls=array({"type": "object"})
    )
    return {
        "OllamaChat": record({"model": STRING, "message": message, "done": BOOLEAN}, **ended),
        "OllamaGenerated": record(
            {"model": STRING, "response": STRING, "done": BOOLEAN}, thinking=STRING, **ended
        ),
        "OllamaVectors": record({"model": STRING, "embeddings": array(array(NUMBER))}),
        "OllamaVector": record({"embedding": array(NUMBER)}),
        "OllamaModels": record({"models": array(entry)}),
        "OllamaModel": record(
            {"details": details, "model_info": {"type": "object"}, "capabilities": array(STRING)}
        ),
        _ERROR: record({"error": STRING}),
    }


def paths() -> dict[str, dict[str, Operation]]:
    """Return the operations by path and method."""
    digest = [in_path("digest", "Of the file.")]
    return {
        "/api/chat": {
            "post": _question("Ask a model", "OllamaChatRequest", "OllamaChat", streamed=True)
        },
        "/api/generate": {
            "post": _question(
                "Complete a prompt", "OllamaGenerateRequest", "OllamaGenerated", streamed=True
            )
        },
        "/api/embed": {"post": _question("Embed texts", "OllamaEmbedRequest", "OllamaVectors")},
        "/api/embeddings": {
            "post": _question(
                "Embed a text, the older way", "OllamaEmbeddingsRequest", "OllamaVector"
            )
        },
        "/api/tags": {"get": _page("List the models", "OllamaModels")},
        "/api/ps": {"get": _page("List the models that need not be loaded", "OllamaModels")},
        "/api/version": {
            "get": Operation(
                summary="Which version of Ollama's API this is",
                tag=_TAG,
                replies={"200": json(record({"version": STRING}), "The version.")},
                errors=CALLER_ERRORS,
                error=_ERROR,
                security=CALLER,
            )
        },
        "/api/show": {
            "post": Operation(
                summary="Show a model",
                tag=_TAG,
                body=ref("OllamaShowRequest"),
                replies={"200": json(ref("OllamaModel"), "The model.")},
                errors=(400, *CALLER_ERRORS, 404, 413, 503),
                error=_ERROR,
                security=CALLER,
            )
        },
        "/api/pull": {"post": _managed("Get a model")},
        "/api/push": {"post": _managed("Publish a model")},
        "/api/create": {"post": _managed("Make a model")},
        "/api/copy": {"post": _managed("Copy a model")},
        "/api/delete": {"delete": _managed("Delete a model")},
        "/api/blobs/{digest}": {"post": _managed("Send a model's file", digest)},
    }


def _question(summary: str, asked: str, answer: str, *, streamed: bool = False) -> Operation:
    """What an upstream answers, as a stream too where ``streamed``."""
    replies = {"application/json": ref(answer)}
    meaning = "The answer."
    if streamed:
        replies[_LINES] = STRING
        meaning = "The stream of the answer, or all of it with `stream: false`."
    return Operation(
        summary=summary,
        tag=_TAG,
        body=ref(asked),
        replies={"200": (meaning, replies)},
        errors=(*QUESTION_ERRORS, *BUSY_ERRORS),
        error=_ERROR,
        security=CALLER,
    )


def _page(summary: str, answer: str) -> Operation:
    return Operation(
        summary=summary,
        tag=_TAG,
        replies={"200": json(ref(answer), "The models.")},
        errors=CALLER_ERRORS,
        error=_ERROR,
        security=CALLER,
    )


def _managed(summary: str, parameters: list[Schema] | None = None) -> Operation:
    """What is refused: models are where the upstreams are."""
    return Operation(
        summary=f"{summary}: refused, models are managed at their upstream",
        tag=_TAG,
        replies={},
        errors=CALLER_ERRORS,
        error=_ERROR,
        parameters=parameters or (),
        security=CALLER,
    )
