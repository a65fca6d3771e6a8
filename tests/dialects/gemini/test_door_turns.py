"""The turns at the door: what stands in whose."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from msgspec import Raw

from chatgpt_to_api.dialects.gemini.door_turns import turns_of
from chatgpt_to_api.errors import InvalidRequest


@pytest.mark.parametrize("role", ["user", "system", "function", ""])
@pytest.mark.parametrize(
    "made", [{"functionCall": {"name": "f", "args": {}}}, {"text": "Hm.", "thought": True}]
)
def test_only_the_models_turns_hold_what_it_makes(made: dict[str, Any], role: str) -> None:
    """Servers of other dialects have no place for it elsewhere."""
    turn = Raw(msgspec.json.encode({"role": role, "parts": [made]}))
    with pytest.raises(InvalidRequest) as refused:
        turns_of([turn])
    assert refused.value.param == "contents[0].parts"
