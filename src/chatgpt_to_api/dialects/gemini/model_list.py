"""The lists of models of this dialect: what a server gives of itself, and what clients get.

Source: https://ai.google.dev/api/models
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from chatgpt_to_api.dialects.contract import Ability, ListedModel

PREFIX: Final = "models/"
LONGEST_PAGE: Final = 1000
USUAL_PAGE: Final = 50

# What has a door here: a client that was promised more would find nothing there.
_METHODS: Final[Mapping[Ability, Sequence[str]]] = {
    "chat": ("generateContent", "countTokens"),
    "embeddings": ("embedContent", "batchEmbedContents"),
}


class _Listed(msgspec.Struct, rename="camel"):
    name: str
    version: str | None = None
    display_name: str | None = None
    input_token_limit: int | None = None
    supported_generation_methods: list[str] = []
    thinking: bool | None = None


class _List(msgspec.Struct):
    models: list[msgspec.Raw]


_LISTED: Final = msgspec.json.Decoder(_Listed)
_LIST: Final = msgspec.json.Decoder(_List)


def read_models(body: bytes) -> list[ListedModel]:
    """Return the entries that can be read. Raises ValueError for what is no list."""
    models = []
    for raw in _LIST.decode(body).models:
        try:
            listed = _LISTED.decode(raw)
        except msgspec.DecodeError:
            continue  # one odd entry does not hide the others
        models.append(
            ListedModel(
                id=listed.name.removeprefix(PREFIX),
                owned_by="google",
                title=listed.display_name or "",
                context_length=listed.input_token_limit,
                abilities=_abilities(listed),
                version=listed.version or "",
            )
        )
    return models


def _abilities(listed: _Listed) -> frozenset[Ability] | None:
    if not listed.supported_generation_methods:
        return None
    found: set[Ability] = set()
    if "generateContent" in listed.supported_generation_methods:
        found |= {"chat", "tools", "images"}
    if "embedContent" in listed.supported_generation_methods:
        found.add("embeddings")
    if listed.thinking:
        found.add("thinking")
    return frozenset(found)


def model_entry(
    name: str, abilities: frozenset[Ability], context: int | None, listed: ListedModel | None
) -> dict[str, Any]:
    """Return one model as clients get it; a limit that nobody knows is left out."""
    entry: dict[str, Any] = {
        "name": PREFIX + name,
        "version": (listed.version if listed is not None else "") or "001",
        "displayName": (listed.title if listed is not None else "") or name,
        "supportedGenerationMethods": [
            method for ability, own in _METHODS.items() if ability in abilities for method in own
        ],
    }
    if context is not None:
        entry["inputTokenLimit"] = context
    if "thinking" in abilities:
        entry["thinking"] = True
    return entry


def page_of(entries: Sequence[object], size: int, token: str) -> dict[str, Any]:
    """Return one page; ``token`` is the ``nextPageToken`` of the page before, "" for the first.

    Raises ValueError for a token that is none.
    """
    size = min(size if size > 0 else USUAL_PAGE, LONGEST_PAGE)
    start = int(token) if token else 0
    if start < 0:
        raise ValueError("a page begins at 0 or later")
    page: dict[str, Any] = {"models": list(entries[start : start + size])}
    if start + size < len(entries):
        page["nextPageToken"] = str(start + size)
    return page
