"""Our own conversation backend: the ChatGPT-web protocol, under each of its bases."""

from __future__ import annotations

from typing import Final

from chatgpt_to_api.openapi.parts import (
    ANYTHING,
    BOOLEAN,
    INTEGER,
    NOTHING,
    NUMBER,
    STRING,
    Operation,
    Schema,
    array,
    in_path,
    in_query,
    json,
    nullable,
    record,
    ref,
)
from chatgpt_to_api.openapi.structs import Structs

BASES: Final = ("/backend-api", "/api", "/chatgpt/backend-api", "/chatgpt")
SESSIONS: Final = ("/api/auth/session", "/chatgpt/api/auth/session")

_TAG: Final = "Conversation backend"
_BEARER: Final = ("accessToken", "clientKey", NOTHING)
_ERROR: Final = "ConversationError"


def schemas(structs: Structs) -> dict[str, Schema]:  # noqa: ARG001  # like the other pages'
    """Return the schemas these paths refer to."""
    content = {"anyOf": [STRING, record({}, content_type=STRING, parts=array(ANYTHING))]}
    message = record({}, id=STRING, author=record({}, role=STRING), role=STRING, content=content)
    return {
        "ConversationRequest": record(
            {},
            action=STRING,
            model=STRING,
            messages=array(message),
            conversation_id=nullable(STRING),
            parent_message_id=nullable(STRING),
            history_and_training_disabled=nullable(BOOLEAN),
        ),
        "Tree": record(
            {
                "title": STRING,
                "create_time": NUMBER,
                "update_time": NUMBER,
                "mapping": {"type": "object"},
                "current_node": STRING,
            }
        ),
        "Conversations": record(
            {
                "items": array(record({"id": STRING, "title": STRING})),
                "total": INTEGER,
                "limit": INTEGER,
                "offset": INTEGER,
            }
        ),
        "Success": record({"success": BOOLEAN}),
        _ERROR: record({}, detail=ANYTHING, errorMessage=STRING),
    }


def paths() -> dict[str, dict[str, Operation]]:
    """Return the operations by path and method."""
    found = {
        base + path: operations for base in BASES for path, operations in _under_a_base().items()
    }
    session = Operation(
        summary="Who the bearer is",
        tag=_TAG,
        replies={"200": json({"type": "object"}, "The session, empty without a bearer.")},
        errors=(401, 403, 429),
        error=_ERROR,
        security=_BEARER,
    )
    return found | {path: {"get": session} for path in SESSIONS}


def _under_a_base() -> dict[str, dict[str, Operation]]:
    one = [in_path("conversation", "The conversation's id.")]
    title = record({}, title=STRING, is_visible=BOOLEAN)
    pages = [
        in_query("offset", "How many to pass over.", INTEGER),
        in_query("limit", "How many to show.", INTEGER),
    ]
    return {
        "/conversation": {
            "post": Operation(
                summary="Ask, continue, or ask for another answer",
                tag=_TAG,
                body=ref("ConversationRequest"),
                replies={
                    "200": ("The answer as events.", {"text/event-stream": STRING}),
                },
                errors=(*range(400, 406), 408, 409, 413, 422, 429, 431, 500, 502, 503, 504),
                error=_ERROR,
                security=_BEARER,
            )
        },
        "/models": {"get": _look("List the models", {"type": "object"})},
        "/conversations": {
            "get": _look("List your conversations", ref("Conversations"), pages),
            "patch": _change("Hide them all", record({}, is_visible=BOOLEAN), ref("Success")),
        },
        "/conversation/{conversation}": {
            "get": _look("Show a conversation", ref("Tree"), one),
            "patch": _change("Rename, hide or show it", title, ref("Success"), one),
        },
        "/conversation/gen_title/{conversation}": {
            "post": _change(
                "Give it a title",
                record({}, message_id=STRING),
                record({}, title=STRING, message=STRING),
                one,
            )
        },
        "/accounts/check": {"get": _look("Show the plan", {"type": "object"})},
        "/accounts/check/v4-2023-04-27": {
            "get": _look("Show the plan, later form", {"type": "object"})
        },
    }


def _look(summary: str, shown: Schema, parameters: list[Schema] | None = None) -> Operation:
    return Operation(
        summary=summary,
        tag=_TAG,
        replies={"200": json(shown)},
        errors=(401, 403, 404, 422, 429, 503),
        error=_ERROR,
        parameters=parameters or (),
        security=_BEARER,
    )


def _change(
    summary: str, body: Schema, shown: Schema, parameters: list[Schema] | None = None
) -> Operation:
    return Operation(
        summary=summary,
        tag=_TAG,
        body=body,
        replies={"200": json(shown)},
        errors=(400, 401, 403, 404, 413, 422, 429, 503),
        error=_ERROR,
        parameters=parameters or (),
        security=_BEARER,
    )
