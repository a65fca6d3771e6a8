"""The list of models that a server of this dialect gives of itself.

Source: https://platform.claude.com/docs/en/api/models-list
"""

from __future__ import annotations

from datetime import datetime
from typing import Final

import msgspec

from chatgpt_to_api.dialects.contract import ListedModel


class _Listed(msgspec.Struct):
    id: str
    display_name: str | None = None
    created_at: datetime | None = None
    max_input_tokens: int | None = None


class _List(msgspec.Struct):
    data: list[msgspec.Raw]


_LISTED: Final = msgspec.json.Decoder(_Listed)
_LIST: Final = msgspec.json.Decoder(_List)


def read_models(body: bytes) -> list[ListedModel]:
    """Return the entries that can be read. Raises ValueError for what is no list."""
    models = []
    for raw in _LIST.decode(body).data:
        try:
            listed = _LISTED.decode(raw)
        except msgspec.DecodeError:
            continue  # one odd entry does not hide the others
        created = listed.created_at
        models.append(
            ListedModel(
                id=listed.id,
                created=None if created is None else created.timestamp(),
                owned_by="anthropic",
                title=listed.display_name or "",
                context_length=listed.max_input_tokens or None,
            )
        )
    return models
