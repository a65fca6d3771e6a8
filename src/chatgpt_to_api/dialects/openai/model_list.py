"""The list of models that an OpenAI-compatible server gives of itself.

Source: https://platform.openai.com/docs/api-reference/models/list
"""

from __future__ import annotations

from typing import Final

import msgspec

from chatgpt_to_api.dialects.contract import ListedModel


class _Meta(msgspec.Struct):
    n_ctx_train: int | None = None


class _Listed(msgspec.Struct):
    """One entry. Servers have four names for one number."""

    id: str
    created: float | None = None
    owned_by: str | None = None
    context_length: int | None = None
    context_window: int | None = None
    max_model_len: int | None = None
    meta: _Meta | None = None

    @property
    def context(self) -> int | None:
        """How much context it says it has."""
        trained = self.meta.n_ctx_train if self.meta is not None else None
        given = (self.context_length, self.context_window, self.max_model_len, trained)
        return next((number for number in given if number is not None and number > 0), None)


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
        models.append(
            ListedModel(
                id=listed.id,
                created=listed.created,
                owned_by=listed.owned_by or "",
                context_length=listed.context,
            )
        )
    return models
