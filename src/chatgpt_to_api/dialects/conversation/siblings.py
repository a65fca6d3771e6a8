"""The JSON of the endpoints beside the conversation one: models, lists, trees, accounts, titles.

Where the official backend would tell of a paying account, the answers say what is true here: a free
plan without limits of its own.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from chatgpt_to_api.chat.tree import Node, Summary, Tree
from chatgpt_to_api.dialects.conversation.answer import FINISH_TYPES
from chatgpt_to_api.dialects.conversation.door_messages import (
    Fault,
    InvalidBody,
    missing,
    read_body,
)
from chatgpt_to_api.dialects.conversation.messages import Author, Content, ReplyMessage

UNTITLED: Final = "New chat"
"""What a conversation is called until it has a title."""

TITLE_LENGTH: Final = 48
"""Longest title that is made from a question, characters."""

MAX_TOKENS: Final = 8191
"""``max_tokens`` of every model: clients insist on a number, and this is the page's usual one."""

MAX_TITLE: Final = 200
"""Longest title that may be given, characters."""

MAX_PAGE: Final = 100
"""Most conversations of one page; who asks for more gets these, and is told so by ``limit``."""

_FEATURES: Final = ("model_switcher", "can_continue", "system_message")


class Change(msgspec.Struct, frozen=True):
    """The body of ``PATCH conversation/{id}``: what is to change, None where nothing is."""

    title: str | None = None
    is_visible: bool | None = None


class ChangeAll(msgspec.Struct, frozen=True):
    """The body of ``PATCH conversations``."""

    is_visible: bool | None = None


_CHANGE: Final = msgspec.json.Decoder(Change)
_CHANGE_ALL: Final = msgspec.json.Decoder(ChangeAll)
_NUMBER: Final = re.compile(r"\d{1,9}", re.ASCII)


def read_change(body: bytes) -> Change:
    """What a conversation is to be changed to. Raises InvalidRequest."""
    change = read_body(body, _CHANGE)
    if change.title is None and change.is_visible is None:
        raise InvalidBody(missing("title"), missing("is_visible"))
    if change.title is not None and not change.title.strip():
        said = "ensure this value has at least 1 characters"
        raise InvalidBody(Fault(("body", "title"), said, "value_error.any_str.min_length"))
    if change.title is not None and len(change.title) > MAX_TITLE:
        said = f"ensure this value has at most {MAX_TITLE} characters"
        raise InvalidBody(Fault(("body", "title"), said, "value_error.any_str.max_length"))
    return change


def read_hide_all(body: bytes) -> None:
    """Make sure that a body asks for all conversations to be hidden. Raises InvalidRequest."""
    match read_body(body, _CHANGE_ALL).is_visible:
        case None:
            raise InvalidBody(missing("is_visible"))
        case True:
            said = "all conversations can be hidden at once, not shown"
            raise InvalidBody(Fault(("body", "is_visible"), said, "value_error"))


def read_page(offset: str, limit: str) -> tuple[int, int]:
    """Offset and limit of a page as numbers. Raises InvalidBody."""
    faults = [
        Fault(("query", name), "value is not a valid integer >= 0", "type_error.integer")
        for name, value in (("offset", offset), ("limit", limit))
        if not _NUMBER.fullmatch(value)
    ]
    if faults:
        raise InvalidBody(*faults)
    return int(offset), min(int(limit), MAX_PAGE)


def models_page(names: Iterable[str]) -> dict[str, Any]:
    """``GET models``."""
    slugs = list(names)
    models = [
        {
            "slug": slug,
            "max_tokens": MAX_TOKENS,
            "title": slug,
            "description": "Answered through this gateway.",
            "tags": [],
            "capabilities": {},
            "product_features": {},
            "enabled_tools": [],
        }
        for slug in slugs
    ]
    categories = [
        {
            "category": slug,
            "human_category_name": slug,
            "subscription_level": "free",
            "default_model": slug,
            "browsing_model": None,
            "code_interpreter_model": None,
            "plugins_model": None,
        }
        for slug in slugs
    ]
    return {"models": models, "categories": categories}


def conversations_page(
    summaries: Sequence[Summary], *, total: int, limit: int, offset: int
) -> dict[str, Any]:
    """``GET conversations``: times are ISO 8601 here, and only here."""
    items = [
        {
            "id": summary.id,
            "title": summary.title or UNTITLED,
            "create_time": _iso(summary.created),
            "update_time": _iso(summary.updated),
            "mapping": None,
            "current_node": None,
            "conversation_template_id": None,
            "gizmo_id": None,
        }
        for summary in summaries
    ]
    return {
        "items": items,
        "total": total,
        "limit": limit,
        "offset": offset,
        "has_missing_conversations": False,
    }


def conversation_page(tree: Tree) -> dict[str, Any]:
    """``GET conversation/{id}``: the tree, with a root that has no message."""
    nodes = {node.id: node for node in tree.nodes}
    mapping: dict[str, dict[str, Any]] = {
        tree.root: {"id": tree.root, "message": None, "parent": None, "children": []}
    }
    for node in tree.nodes:
        mapping[node.id] = {
            "id": node.id,
            "message": _message(node, nodes.get(node.parent)),
            "parent": node.parent,
            "children": [],
        }
    for node in tree.nodes:
        mapping[node.parent]["children"].append(node.id)
    return {
        "title": tree.title or UNTITLED,
        "create_time": tree.created,
        "update_time": tree.updated,
        "mapping": mapping,
        "moderation_results": [],
        "current_node": tree.current,
        "conversation_id": tree.id,
        "is_archived": False,
    }


def title_of(tree: Tree) -> str:
    """A title made from the first question: its first line, shortened at a word's end."""
    question = next((node.text for node in tree.nodes if node.role == "user"), "")
    line = next((" ".join(line.split()) for line in question.splitlines() if line.strip()), "")
    if len(line) <= TITLE_LENGTH:
        return line or UNTITLED
    cut = line[:TITLE_LENGTH]
    words, space, _ = cut.rpartition(" ")
    # A text without spaces, or one overlong word, is cut where it is.
    return (words if space and len(words) >= TITLE_LENGTH // 2 else cut) + "…"


def already_titled(conversation: str, title: str) -> dict[str, Any]:
    """``POST conversation/gen_title/{id}`` for one that has a title: a 200 without ``title``."""
    return {"message": f"Conversation {conversation} already has title '{title}'"}


def account_page() -> dict[str, Any]:
    """``GET accounts/check``."""
    return {
        "account_plan": {
            "is_paid_subscription_active": False,
            "subscription_plan": "chatgptfreeplan",
            "account_user_role": "account-owner",
            "was_paid_customer": False,
            "has_customer_object": False,
            "subscription_expires_at_timestamp": None,
        },
        "user_country": "",
        "features": list(_FEATURES),
    }


def accounts_page(user: str) -> dict[str, Any]:
    """``GET accounts/check/v4-2023-04-27``; ``user`` is the caller's id."""
    account = {
        "account_user_role": "account-owner",
        "account_user_id": f"user-{user}",
        "account_id": "default",
        "plan_type": "free",
        "structure": "personal",
        "processor": {
            "a001": {"has_customer_object": False},
            "b001": {"has_transaction_history": False},
        },
        "is_most_recent_expired_subscription_gratis": False,
        "has_previously_paid_subscription": False,
    }
    entitlement = {
        "subscription_id": None,
        "has_active_subscription": False,
        "subscription_plan": "chatgptfreeplan",
        "expires_at": None,
    }
    last = {
        "subscription_id": None,
        "purchase_origin_platform": "chatgpt_not_purchased",
        "will_renew": False,
    }
    return {
        "accounts": {
            "default": {
                "account": account,
                "features": list(_FEATURES),
                "entitlement": entitlement,
                "last_active_subscription": last,
            }
        }
    }


def session_page(user: str, token: str, expires: float) -> dict[str, Any]:
    """``GET /api/auth/session``: who asks, and the token it asked with, handed back to it."""
    return {
        "user": {
            "id": f"user-{user}",
            "name": f"user-{user}",
            "email": "",
            "image": None,
            "picture": None,
            "mfa": False,
            "groups": [],
        },
        "expires": datetime.fromtimestamp(expires, UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z"),
        "accessToken": token,
    }


def _message(node: Node, above: Node | None) -> Any:
    metadata: dict[str, Any] = {}
    status, end_turn = "finished_successfully", None
    if node.answered:
        continues = above is not None and above.answered
        metadata = {
            "message_type": "continue" if continues else "next",
            "model_slug": node.model,
            "parent_id": node.parent,
        }
        if node.finish is None:
            status = "finished_partial_completion"
        else:
            metadata["finish_details"] = {"type": FINISH_TYPES[node.finish]}
            metadata["is_complete"] = True
            end_turn = None if node.finish == "length" else True
    message = ReplyMessage(
        id=node.id,
        author=Author("system" if node.role == "developer" else node.role),
        create_time=node.created,
        content=Content(parts=(node.text,)),
        status=status,
        end_turn=end_turn,
        metadata=metadata,
    )
    return msgspec.to_builtins(message)


def _iso(time: float) -> str:
    return datetime.fromtimestamp(time, UTC).isoformat(timespec="microseconds")
