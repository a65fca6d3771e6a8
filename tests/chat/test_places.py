"""Characters found by bytes, and bytes by characters, in any text that comes in pieces."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from chatgpt_to_api.chat.places import Places

PIECES = st.lists(st.sampled_from(["", "plain ", "é", "日本", "😀 ok", "x"]), max_size=6)


@given(PIECES, st.data())
def test_a_place_is_found_both_ways(pieces: list[str], data: st.DataObject) -> None:
    """As counting the whole text says; inside a character is before it."""
    places = Places()
    for piece in pieces:
        places.grow(piece)
    text = "".join(pieces)
    at = data.draw(st.integers(0, len(text)))
    byte = len(text[:at].encode())
    assert places.byte(at) == byte
    assert places.character(byte) == at
    inside = data.draw(st.integers(0, len(text.encode())))
    found = places.character(inside)
    assert found is not None
    assert (
        len(text[:found].encode())
        <= inside
        < len(text[: found + 1].encode()) + (found == len(text))
    )


def test_a_place_beyond_the_text_is_none() -> None:
    """Servers count wrongly now and then."""
    places = Places()
    places.grow("é")
    assert (places.byte(9), places.character(9)) == (2, None)
    assert (places.byte(-1), places.character(-1)) == (0, 0)
