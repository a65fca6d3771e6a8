"""What is served of the Anthropic messages API."""

from __future__ import annotations

from typing import Final

from chatgpt_to_api.dialects.anthropic.messages import MessagesRequest, TypedExtras
from chatgpt_to_api.openapi.openai import BUSY_ERRORS, CALLER, QUESTION_ERRORS
from chatgpt_to_api.openapi.parts import (
    INTEGER,
    STRING,
    Operation,
    Schema,
    array,
    constant,
    json,
    nullable,
    record,
    ref,
)
from chatgpt_to_api.openapi.structs import Structs

_ERRORS: Final = (*QUESTION_ERRORS, *BUSY_ERRORS, 529)


def schemas(structs: Structs) -> dict[str, Schema]:
    """Return the schemas these paths refer to."""
    structs.schema(MessagesRequest)
    structs.schema(TypedExtras, "MessagesExtras")
    error = record({"type": STRING, "message": STRING})
    return {
        "AnthropicRequest": {"allOf": [ref("MessagesRequest"), ref("MessagesExtras")]},
        "AnthropicMessage": record(
            {
                "id": STRING,
                "type": constant("message"),
                "role": constant("assistant"),
                "model": STRING,
                "content": array(record({"type": STRING})),
                "stop_reason": nullable(STRING),
                "stop_sequence": nullable(STRING),
                "usage": record({"input_tokens": INTEGER, "output_tokens": INTEGER}),
            }
        ),
        "TokenCount": record({"input_tokens": INTEGER}),
        "AnthropicError": record({"type": constant("error"), "error": error}),
    }


def paths() -> dict[str, dict[str, Operation]]:
    """Return the operations by path and method."""
    return {
        "/v1/messages": {
            "post": Operation(
                summary="Ask a model, in Anthropic's words",
                tag="Questions",
                body=ref("AnthropicRequest"),
                replies={
                    "200": (
                        "The message, or its stream with `stream`.",
                        {
                            "application/json": ref("AnthropicMessage"),
                            "text/event-stream": STRING,
                        },
                    )
                },
                errors=_ERRORS,
                error="AnthropicError",
                security=CALLER,
            )
        },
        "/v1/messages/count_tokens": {
            "post": Operation(
                summary="Count a prompt's tokens",
                tag="Questions",
                body=ref("AnthropicRequest"),
                replies={
                    "200": json(
                        ref("TokenCount"),
                        "The upstream's own count, or an estimate: `x-token-count` says so.",
                    )
                },
                errors=_ERRORS,
                error="AnthropicError",
                security=CALLER,
            )
        },
    }
