"""What is kept of a response, and how it is shown again: items with ids, pages of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import msgspec
from msgspec import Raw

from chatgpt_to_api.dialects.bodies import NO_RAW, decode_body
from chatgpt_to_api.dialects.openai_responses.door import check_metadata
from chatgpt_to_api.dialects.openai_responses.door_items import kind_of, messages_of
from chatgpt_to_api.dialects.openai_responses.door_request import SEALED_THOUGHTS
from chatgpt_to_api.dialects.openai_responses.messages import AnyItem
from chatgpt_to_api.dialects.problems import decoded, invalid
from chatgpt_to_api.errors import GatewayError, InvalidRequest, NotFound

MOST_AT_ONCE: Final = 20
"""Most items that are added to a conversation by one request, as the vendor has it."""

MOST_ON_A_PAGE: Final = 100
USUAL_PAGE: Final = 20

_PREFIXES: Final[Mapping[str, str]] = {
    "message": "msg",
    "reasoning": "rs",
    "function_call": "fc",
    "function_call_output": "fco",
    "custom_tool_call": "ctc",
    "custom_tool_call_output": "ctco",
    "tool_search_call": "tsc",
    "tool_search_output": "tso",
}
_ANY_ITEM: Final = msgspec.json.Decoder(AnyItem)
_RAW_OBJECT: Final = msgspec.json.Decoder(dict[str, Raw])
_ENCODE: Final = msgspec.json.Encoder().encode


class NewConversation(msgspec.Struct):
    """``POST /v1/conversations``."""

    items: list[Raw] | None = None
    metadata: dict[str, str] | None = None


class ConversationChange(msgspec.Struct):
    """``POST /v1/conversations/{id}``: what is noted on it from now on."""

    metadata: dict[str, str] | None = None


class NewItems(msgspec.Struct):
    """``POST /v1/conversations/{id}/items``."""

    items: list[Raw]


_NEW_CONVERSATION: Final = msgspec.json.Decoder(NewConversation)
_CHANGE: Final = msgspec.json.Decoder(ConversationChange)
_NEW_ITEMS: Final = msgspec.json.Decoder(NewItems)


def with_ids(items: Iterable[Raw], key: str) -> list[tuple[str, Raw]]:
    """Return items as they are kept, each with an id: its own, or one that is made from ``key``.

    Whatever is not put right here keeps its bytes.
    """
    kept = []
    for place, raw in enumerate(items):
        item, fields = _ANY_ITEM.decode(raw), _RAW_OBJECT.decode(raw)
        kind = item.type or "message"
        fields["type"] = Raw(_ENCODE(kind))
        if kind == "message" and bytes(fields.get("content", NO_RAW)).startswith(b'"'):
            part = "output_text" if item.role == "assistant" else "input_text"
            text: dict[str, Any] = {"type": part, "text": fields["content"]}
            if part == "output_text":
                text["annotations"] = []
            fields["content"] = Raw(_ENCODE([text]))
        if kind != "reasoning":
            fields.setdefault("status", Raw(b'"completed"'))
        kept.append(_named(item, fields, f"{key}i{place:04d}"))
    return kept


def made_with_ids(output: Iterable[Any], key: str) -> list[tuple[str, Raw]]:
    """Return what a response has made, as it is kept: an item of another server may have no id."""
    kept = []
    for place, made in enumerate(output):
        raw = Raw(_ENCODE(made))
        kept.append(_named(_ANY_ITEM.decode(raw), _RAW_OBJECT.decode(raw), f"{key}{place:04d}"))
    return kept


def _named(item: AnyItem, fields: dict[str, Raw], end: str) -> tuple[str, Raw]:
    id = item.id or f"{_PREFIXES.get(item.type or 'message', 'item')}_{end}"
    fields["id"] = Raw(_ENCODE(id))
    return id, Raw(_ENCODE(fields))


# -- what is shown ---------------------------------------------------------------------------


def response_shown(response: Raw, output: Iterable[Raw], include: Sequence[str]) -> Raw:
    """Return a kept response as its reader sees it."""
    fields = _RAW_OBJECT.decode(response)
    fields["output"] = Raw(_ENCODE([_shown(item, include) for item in output]))
    return Raw(_ENCODE(fields))


def conversation_shown(id: str, created: float, notes: Raw) -> dict[str, Any]:
    """Return a conversation."""
    return {
        "id": id,
        "object": "conversation",
        "created_at": int(created),
        "metadata": notes,
    }


def deleted(id: str, what: str) -> dict[str, Any]:
    """Say that something is gone."""
    return {"id": id, "object": what, "deleted": True}


def list_shown(items: Sequence[tuple[str, Raw]], *, has_more: bool = False) -> dict[str, Any]:
    """Return items as a list."""
    return {
        "object": "list",
        "data": [item for _, item in items],
        "first_id": items[0][0] if items else None,
        "last_id": items[-1][0] if items else None,
        "has_more": has_more,
    }


def page_shown(items: Iterable[Raw], query: Mapping[str, str], include: Sequence[str]) -> Any:
    """Return one page of items, which are oldest first. Raises InvalidRequest, NotFound."""
    found = [(_ANY_ITEM.decode(raw).id or "", _shown(raw, include)) for raw in items]
    order = query.get("order", "desc")
    if order not in ("asc", "desc"):
        raise invalid("order", f"expected asc or desc, got {order[:40]!r}")
    if order == "desc":
        found.reverse()
    after = query.get("after", "")
    if after:
        places = [place for place, (id, _) in enumerate(found) if id == after]
        if not places:
            raise NotFound(f"Item with id '{after[:100]}' not found.", param="after")
        found = found[places[0] + 1 :]
    limit = _limit(query.get("limit", ""))
    return list_shown(found[:limit], has_more=len(found) > limit)


def _limit(given: str) -> int:
    if not given:
        return USUAL_PAGE
    short = given.isascii() and given.isdigit() and len(given) < 10
    if not short or not 1 <= int(given) <= MOST_ON_A_PAGE:
        raise invalid("limit", f"expected an integer from 1 to {MOST_ON_A_PAGE}")
    return int(given)


def item_shown(item: Raw, include: Sequence[str]) -> Raw:
    """Return one item as its reader sees it."""
    return _shown(item, include)


def _shown(item: Raw, include: Sequence[str]) -> Raw:
    if SEALED_THOUGHTS in include or b"encrypted_content" not in bytes(item):
        return item
    fields = _RAW_OBJECT.decode(item)
    if bytes(fields["type"]) == b'"reasoning"':
        fields.pop("encrypted_content", None)
    return Raw(_ENCODE(fields))


# -- what is asked ---------------------------------------------------------------------------


def read_new_conversation(body: bytes) -> NewConversation:
    """Read a conversation that is to be made; an empty body is one without anything."""
    if not body.strip():
        return NewConversation()
    asked = decode_body(body, _NEW_CONVERSATION, '{"items": []}')
    check_metadata(asked.metadata)
    _check_items(asked.items or ())
    return asked


def read_change(body: bytes) -> ConversationChange:
    """Read what is to be noted on a conversation."""
    asked = decode_body(body, _CHANGE, '{"metadata": {"topic": "demo"}}')
    if asked.metadata is None:
        raise InvalidRequest(
            "Missing required parameter: 'metadata'.",
            param="metadata",
            code="missing_required_parameter",
        )
    check_metadata(asked.metadata)
    return asked


def read_new_items(body: bytes) -> list[Raw]:
    """Read items that are to be added."""
    asked = decode_body(body, _NEW_ITEMS, '{"items": []}')
    _check_items(asked.items)
    return asked.items


def _check_items(items: Sequence[Raw]) -> None:
    """Raise InvalidRequest for items that no later response could read."""
    if len(items) > MOST_AT_ONCE:
        raise invalid("items", f"expected at most {MOST_AT_ONCE} at a time, got {len(items)}")
    named = [(raw, f"items[{place}]") for place, raw in enumerate(items)]
    for raw, param in named:
        if kind_of(decoded(raw, _ANY_ITEM, param)) == "item_reference":
            raise invalid(f"{param}.type", "expected an item, got a reference to one")
    messages_of(named)


def metadata_of(metadata: Mapping[str, str] | None) -> bytes:
    """Return what is noted, as it is kept."""
    return _ENCODE(metadata or {})


def response_not_found(id: str) -> NotFound:
    """Say that there is no such response, or it is somebody else's."""
    return NotFound(f"Response with id '{id[:100]}' not found.", code="response_not_found")


def conversation_not_found(id: str) -> NotFound:
    """Say that there is no such conversation, or it is somebody else's."""
    return NotFound(f"Conversation with id '{id[:100]}' not found.", code="conversation_not_found")


def duplicate_item(id: str, param: str) -> GatewayError:
    """Say that an item is referred to twice."""
    return InvalidRequest(
        f"Duplicate item found with id '{id[:100]}'. Remove duplicate items from your input and "
        "try again.",
        param=param,
        code="duplicate_item",
    )


def in_conversation(response: Raw) -> bool:
    """Whether a kept response was made in a conversation, which keeps what precedes it."""
    return "conversation" in _RAW_OBJECT.decode(response)


def part_of_conversation(id: str) -> GatewayError:
    """Say that a response cannot be followed by itself: its history is its conversation's."""
    return InvalidRequest(
        f"Response '{id[:100]}' was made in a conversation, which has gone on since: give "
        "'conversation' in place of 'previous_response_id'.",
        param="previous_response_id",
        code="response_in_conversation",
    )


def previous_not_found(id: str) -> GatewayError:
    """Say that what a response is to follow is not there.

    The vendor answers this with 400, and clients know it by its code.
    """
    return InvalidRequest(
        f"Previous response with id '{id[:100]}' not found.",
        param="previous_response_id",
        code="previous_response_not_found",
    )
