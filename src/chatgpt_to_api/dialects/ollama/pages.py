"""Client side, the lists: what the gateway's models look like to a client of Ollama.

Editors decide by these pages what a model is offered for, and how much they send it: without a
context length they take a small one for granted.
Source: https://docs.ollama.com/api/tags, https://docs.ollama.com/api/show
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any, Final, Protocol

import msgspec

from chatgpt_to_api.dialects.bodies import decode_body
from chatgpt_to_api.dialects.contract import Ability, ListedModel
from chatgpt_to_api.dialects.ollama.messages import bare, tagged
from chatgpt_to_api.dialects.ollama.model_list import CAPABILITIES
from chatgpt_to_api.dialects.problems import invalid

VERSION: Final = "0.12.11"
"""Which Ollama's API this is: clients refuse to talk to one that is older than they want."""

RUNNING: Final = "Ollama is running"
"""What clients look for at a server's first page."""

_ARCHITECTURE: Final = "gateway"
_NEVER: Final = "2318-01-01T00:00:00Z"
"""When a model that stays loaded is unloaded, as the vendor's own server says it."""


class Card(Protocol):
    """A model, as far as the lists show it."""

    @property
    def id(self) -> str:
        """The name to ask for."""
        ...

    @property
    def created(self) -> int:
        """Unix time in seconds."""
        ...

    @property
    def owned_by(self) -> str:
        """Who serves it."""
        ...

    @property
    def context_length(self) -> int | None:
        """Longest prompt and answer together, tokens; None where it is not known."""
        ...

    @property
    def abilities(self) -> frozenset[Ability]:
        """What can be asked of it."""
        ...

    @property
    def listed(self) -> ListedModel | None:
        """What its upstream's own list says of it."""
        ...


class OllamaShowRequest(msgspec.Struct):
    """``POST /api/show``. ``name`` is what ``model`` was called at first."""

    model: str | None = None
    name: str | None = None
    verbose: bool | None = None


_SHOW: Final = msgspec.json.Decoder(OllamaShowRequest)


def asked_model(body: bytes) -> str:
    """Return the model that a request to show one names. Raises InvalidRequest."""
    asked = decode_body(body, _SHOW, '{"model": "llama3.2"}')
    model = asked.model or asked.name
    if not model:
        raise invalid("model", "expected a model's name, got nothing")
    return bare(model)


def tags_page(cards: Iterable[Card]) -> dict[str, Any]:
    """``GET /api/tags``: every model there is."""
    return {"models": [_entry(card) | {"modified_at": _date(card.created)} for card in cards]}


def ps_page(cards: Iterable[Card]) -> dict[str, Any]:
    """``GET /api/ps``: the models that need not be loaded first, which here is all of them."""
    return {"models": [_entry(card) | _running(card) for card in cards]}


def show_page(card: Card) -> dict[str, Any]:
    """``POST /api/show``: one model."""
    architecture = _family(card)
    info: dict[str, Any] = {
        "general.architecture": architecture,
        "general.basename": card.id,
    }
    if card.context_length is not None:
        info[f"{architecture}.context_length"] = card.context_length
    return {
        "license": "",
        "modelfile": "",
        "parameters": "",
        "template": "",
        "details": _details(card),
        "model_info": info,
        "capabilities": [
            word for ability, word in CAPABILITIES.items() if ability in card.abilities
        ],
        "modified_at": _date(card.created),
    }


def version_page() -> dict[str, str]:
    """``GET /api/version``."""
    return {"version": VERSION}


def _entry(card: Card) -> dict[str, Any]:
    name = tagged(card.id)
    return {
        "name": name,
        "model": name,
        "size": 0,
        "digest": sha256(card.id.encode("utf-8", "surrogatepass")).hexdigest(),
        "details": _details(card),
    }


def _running(card: Card) -> dict[str, Any]:
    shown: dict[str, Any] = {"expires_at": _NEVER, "size_vram": 0}
    if card.context_length is not None:
        shown["context_length"] = card.context_length
    return shown


def _details(card: Card) -> dict[str, Any]:
    family, listed = _family(card), card.listed
    return {
        "parent_model": "",
        "format": "",
        "family": family,
        "families": [family],
        "parameter_size": "" if listed is None else listed.size,
        "quantization_level": "" if listed is None else listed.quantization,
    }


def _family(card: Card) -> str:
    return (card.listed.family if card.listed is not None else "") or _ARCHITECTURE


def _date(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
