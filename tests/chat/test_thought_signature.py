"""Google's thought signatures, between its own dialect and ``extra_content``."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatgpt_to_api.chat.request import Opaque
from chatgpt_to_api.chat.thought_signature import GOOGLE, as_extra_content, signature_in


@given(signature=st.text())
def test_a_signature_comes_back_as_it_went(signature: str) -> None:
    """Trap 55: through ``extra_content`` and back, to the character."""
    opaque = Opaque(GOOGLE, signature)
    assert signature_in(as_extra_content(opaque).encode("utf-8", "surrogatepass")) == opaque


@pytest.mark.parametrize(
    "other",
    [
        b'{"google":{"thought_signature":"a","more":1}}',
        b'{"google":{"thought_signature":"a"},"other":{}}',
        b'{"google":{"x":1}}',
        b"[]",
        b"{",
    ],
)
def test_anything_else_is_no_signature(other: bytes) -> None:
    """What holds more than a signature stays what it is: nothing of it may be lost."""
    assert signature_in(other) is None
