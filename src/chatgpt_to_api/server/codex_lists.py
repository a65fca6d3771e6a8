"""The catalogue that Codex asks for, with its ``client_version``.

It does where its provider has a command for its credential. What is listed here takes the place of
what it knows of a model, or comes beside that.
Source: https://github.com/openai/codex/blob/main/codex-rs/codex-api/src/endpoint/models.rs
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from chatgpt_to_api.dialects.openai.error_reply import error_reply
from chatgpt_to_api.server.access import Gatekeeper
from chatgpt_to_api.server.shaped_routes import Shape
from chatgpt_to_api.server.site import Card, Overview, admitted
from chatgpt_to_api.wire.http import HttpReply

_VENDORS_OWN: Final = re.compile(r"gpt-[5-9]|codex|o\d")
"""Names that Codex has in a catalogue of its own, with what it knows of them."""

_INSTRUCTIONS: Final = (
    "You are a coding agent that works in a terminal on the user's computer. Use the tools you are "
    "given to read, change and run code until the task is done, look at what your changes did, and "
    "then say briefly what you did and what is left."
)
"""What Codex tells a model that it has no instructions of its own for; it takes them from here."""

_EFFORTS: Final = ("low", "medium", "high")
_HEADERS: Final = ((b"content-type", b"application/json"),)
_SHAPE: Final = Shape(lambda page: HttpReply(200, _HEADERS, msgspec.json.encode(page)), error_reply)


class CodexLists:
    """Answers at the path of the list, for this client."""

    def __init__(self, overview: Overview, gatekeeper: Gatekeeper) -> None:
        self._overview = overview
        self._gatekeeper = gatekeeper

    def expected_by(self, request: Request) -> bool:
        """Whether the caller is Codex, asking for all models: it never asks for one."""
        return "client_version" in request.query_params and "model" not in request.path_params

    async def shown_list(self, request: Request) -> Response:
        """List the models."""
        return await _SHAPE.answer(request, self._list)

    async def shown_model(self, request: Request) -> Response:
        """Nobody asks for one in this shape."""
        raise AssertionError(f"one model was asked for: {request.url.path}")

    async def _list(self, request: Request) -> object:
        admitted(self._gatekeeper, request)
        return codex_list(self._overview.models())


def codex_list(cards: Sequence[Card]) -> dict[str, Any]:
    """The models that Codex has no entry of its own for: what it lists besides is its own."""
    chats = [c for c in cards if "chat" in c.abilities and not _VENDORS_OWN.match(c.id)]
    return {"models": [_codex_model(card, place) for place, card in enumerate(chats)]}


def _codex_model(card: Card, place: int) -> dict[str, Any]:
    thinks = "thinking" in card.abilities
    return {
        "slug": card.id,
        "display_name": (card.listed.title if card.listed is not None else "") or card.id,
        "description": f"Served by {card.owned_by} through this gateway.",
        "default_reasoning_level": "medium" if thinks else None,
        "supported_reasoning_levels": [
            {"effort": effort, "description": f"Thinks with {effort} effort."}
            for effort in (_EFFORTS if thinks else ())
        ],
        "shell_type": "shell_command",
        "visibility": "list",
        "supported_in_api": True,
        "priority": 100 + place,
        "upgrade": None,
        "base_instructions": _INSTRUCTIONS,
        "supports_reasoning_summaries": thinks,
        "support_verbosity": False,
        "default_verbosity": None,
        "apply_patch_tool_type": None,
        "truncation_policy": {"mode": "bytes", "limit": 10_000},
        "supports_parallel_tool_calls": False,
        "context_window": card.context_length,
        "experimental_supported_tools": [],
        "input_modalities": ["text", "image"] if "images" in card.abilities else ["text"],
    }
