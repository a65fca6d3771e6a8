"""What a server says of its models: ``/api/tags``, and ``/api/show`` about each of them.

Source: https://docs.ollama.com/api/tags, https://docs.ollama.com/api/show
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

import msgspec

from chatgpt_to_api.dialects.contract import Ability, ListedModel, UpstreamFault
from chatgpt_to_api.dialects.ollama.faults import fault_of_reply
from chatgpt_to_api.dialects.ollama.messages import bare
from chatgpt_to_api.dialects.ollama.server import OllamaServer
from chatgpt_to_api.wire.http import HttpRequest, ReplyHead
from chatgpt_to_api.wire.secret import Access

CAPABILITIES: Final[Mapping[Ability, str]] = {
    "chat": "completion",
    "tools": "tools",
    "images": "vision",
    "thinking": "thinking",
    "embeddings": "embedding",
}
"""What the dialect calls what a model can."""

_ABILITIES: Final = {word: ability for ability, word in CAPABILITIES.items()}


class _Details(msgspec.Struct):
    family: str | None = None
    parameter_size: str | None = None
    quantization_level: str | None = None


class _Entry(msgspec.Struct):
    name: str
    digest: str | None = None
    details: _Details | None = None


class _Tags(msgspec.Struct):
    models: list[msgspec.Raw]


class _Shown(msgspec.Struct):
    capabilities: list[str] | None = None
    model_info: dict[str, Any] | None = None


_TAGS: Final = msgspec.json.Decoder(_Tags)
_ENTRY: Final = msgspec.json.Decoder(_Entry)
_SHOWN: Final = msgspec.json.Decoder(_Shown)


class OllamaModels:
    """The models of a server. A name without a tag is the one that is meant by it."""

    def __init__(self, server: OllamaServer) -> None:
        self._server = server

    def models_request(self, access: Access) -> HttpRequest:
        """Return the call that lists the models."""
        return self._server.get(b"/tags", access)

    def read_models(self, body: bytes) -> list[ListedModel]:
        """Return the models of such a list. Raises ValueError for what is none."""
        return list(_listed(_TAGS.decode(body).models))

    def model_request(self, model: ListedModel, access: Access) -> HttpRequest:
        """Return the call that asks what a model can, and how long its context is."""
        body = msgspec.json.encode({"model": model.id})
        return self._server.post(b"/show", body, access)

    def read_model(self, model: ListedModel, body: bytes) -> ListedModel:
        """Return the model with what such a reply says. Raises ValueError for what is none."""
        shown = _SHOWN.decode(body)
        said = shown.capabilities
        abilities = None if said is None else frozenset(_abilities(said))
        return msgspec.structs.replace(
            model, abilities=abilities, context_length=_context(shown.model_info or {})
        )

    def fault(self, head: ReplyHead, body: bytes, now: float) -> UpstreamFault:
        """Return what a non-2xx reply means. ``now`` is Unix time in seconds."""
        return fault_of_reply(head, body, now)


def _listed(entries: Iterable[msgspec.Raw]) -> Iterable[ListedModel]:
    for raw in entries:
        try:
            entry = _ENTRY.decode(raw)
        except msgspec.DecodeError:
            continue  # one odd entry does not hide the others
        details = entry.details or _Details()
        yield ListedModel(
            id=bare(entry.name),
            version=entry.digest or "",
            family=details.family or "",
            size=details.parameter_size or "",
            quantization=details.quantization_level or "",
        )


def _abilities(words: Iterable[str]) -> Iterable[Ability]:
    for word in words:
        ability = _ABILITIES.get(word)
        if ability is not None:
            yield ability


def _context(info: Mapping[str, Any]) -> int | None:
    """Return the context length, which stands under a name that begins with the architecture."""
    length = info.get(f"{info.get('general.architecture')}.context_length")
    return length if isinstance(length, int) and length > 0 else None
