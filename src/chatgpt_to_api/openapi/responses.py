"""Responses, what is kept of them, and conversations."""

from __future__ import annotations

from typing import Final

from chatgpt_to_api.dialects.openai_responses.kept import (
    ConversationChange,
    NewConversation,
    NewItems,
)
from chatgpt_to_api.dialects.openai_responses.messages import ResponsesRequest, TypedExtras
from chatgpt_to_api.openapi.openai import BUSY_ERRORS, CALLER, QUESTION_ERRORS, question
from chatgpt_to_api.openapi.parts import (
    BOOLEAN,
    INTEGER,
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

_TAG: Final = "Responses"
_ID: Final = [in_path("id", "Its id.")]
_PAGE: Final = [
    in_query("after", "The id of the item before the page."),
    in_query("limit", "Most items of the page.", {"type": "integer", "minimum": 1, "maximum": 100}),
    in_query("order", "By age.", constant("asc", "desc")),
]


def schemas(structs: Structs) -> dict[str, Schema]:
    """Return the schemas these paths refer to."""
    structs.schema(ResponsesRequest)
    structs.schema(TypedExtras, "ResponsesExtras")
    for struct in (NewConversation, ConversationChange, NewItems):
        structs.schema(struct)
    item = record({"type": STRING}, id=STRING)
    return {
        "AskResponse": {"allOf": [ref("ResponsesRequest"), ref("ResponsesExtras")]},
        "Item": item,
        "Response": record(
            {
                "id": STRING,
                "object": constant("response"),
                "created_at": NUMBER,
                "status": constant("completed", "incomplete"),
                "model": STRING,
                "output": array(ref("Item")),
            },
            usage=nullable(
                record({"input_tokens": INTEGER, "output_tokens": INTEGER, "total_tokens": INTEGER})
            ),
        ),
        "Items": record(
            {"object": constant("list"), "data": array(ref("Item")), "has_more": BOOLEAN},
            first_id=nullable(STRING),
            last_id=nullable(STRING),
        ),
        "Conversation": record(
            {
                "id": STRING,
                "object": constant("conversation"),
                "created_at": INTEGER,
                "metadata": record({}),
            }
        ),
        "Forgotten": record({"id": STRING, "object": STRING, "deleted": BOOLEAN}),
    }


def paths() -> dict[str, dict[str, Operation]]:
    """Return the operations by path and method."""
    item = [*_ID, in_path("item", "The item's id.")]
    return {
        "/v1/responses": {
            "post": question("Ask for a response", "AskResponse", "Response", streamed=True)
        },
        "/v1/responses/{id}": {
            "get": _kept("Show a response that was kept", "Response"),
            "delete": _kept("Forget a response", "Forgotten"),
        },
        "/v1/responses/{id}/input_items": {
            "get": _kept("List what a response was asked with", "Items", parameters=_PAGE)
        },
        "/v1/responses/{id}/cancel": {
            "post": _kept("Cancel a response; none is written in the background", "Response")
        },
        "/v1/conversations": {
            "post": Operation(
                summary="Make a conversation",
                tag=_TAG,
                body=ref("NewConversation"),
                body_required=False,
                replies={"200": json(ref("Conversation"), "It.")},
                errors=(*QUESTION_ERRORS, *BUSY_ERRORS),
                security=CALLER,
            )
        },
        "/v1/conversations/{id}": {
            "get": _kept("Show a conversation", "Conversation"),
            "post": _kept("Note something on a conversation", "Conversation", "ConversationChange"),
            "delete": _kept("Forget a conversation", "Forgotten"),
        },
        "/v1/conversations/{id}/items": {
            "get": _kept("List a conversation's items", "Items", parameters=_PAGE),
            "post": _kept("Add items to a conversation", "Items", "NewItems"),
        },
        "/v1/conversations/{id}/items/{item}": {
            "get": _kept("Show an item of a conversation", "Item", path=item),
            "delete": _kept("Take an item out of a conversation", "Conversation", path=item),
        },
    }


def _kept(
    summary: str,
    answer: str,
    body: str = "",
    *,
    path: list[Schema] = _ID,
    parameters: list[Schema] | None = None,
) -> Operation:
    return Operation(
        summary=summary,
        tag=_TAG,
        body=ref(body) if body else None,
        replies={"200": json(ref(answer), "It.")},
        errors=(*QUESTION_ERRORS, *BUSY_ERRORS),
        parameters=[*path, *(parameters or ())],
        security=CALLER,
    )
