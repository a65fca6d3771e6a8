"""Pieces from snapshots: what has left is never said again, and nothing new is lost."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatgpt_to_api.dialects.conversation.reading import mended
from chatgpt_to_api.dialects.conversation.streamed import Streamed

LETTERS = st.text(st.sampled_from("ab\ud83d\ude42é"), max_size=6)


def streamed(*snapshots: str) -> tuple[list[str], Streamed]:
    text = Streamed()
    return [text.snapshot(snapshot) for snapshot in snapshots], text


@pytest.mark.parametrize(
    ("snapshots", "pieces"),
    [
        (["", "The", "The tide"], ["", "The", " tide"]),
        (["ha", "ha ha", "ha ha ha"], ["ha", " ha", " ha"]),
        (["abab", "ababab"], ["abab", "ab"]),
        (["abc", "ab", "abc", "abcd"], ["abc", "", "", "d"]),
        (["abc", "", "abcd"], ["abc", "", "d"]),
        (["abc", "ab", "abx", "abxy"], ["abc", "", "x", "y"]),
        (["see [x", "see (1)", "see (1) ok"], ["see [x", "", " ok"]),
        (["abc", "abc", "abc"], ["abc", "", ""]),
        (["x", "abc", "ab", "abd"], ["x", "", "", "d"]),
    ],
)
def test_each_snapshot_says_what_is_new(snapshots: list[str], pieces: list[str]) -> None:
    """Growing, repeating, shrinking, rewritten."""
    said, text = streamed(*snapshots)
    assert said == pieces
    assert text.text == snapshots[-1]


@given(start=st.lists(LETTERS, max_size=4), pieces=st.lists(LETTERS, max_size=5))
def test_appending_says_what_the_whole_snapshot_would_say(
    start: list[str], pieces: list[str]
) -> None:
    """``append`` is ``snapshot`` without the cost of the whole, in every state."""
    _, appended = streamed(*start)
    _, repeated = streamed(*start)
    whole = start[-1] if start else ""
    for piece in pieces:
        whole += piece
        assert appended.append(piece) == repeated.snapshot(whole)
        assert appended.text == repeated.text
        assert appended.in_step == repeated.in_step
        assert appended.rewritten == repeated.rewritten
    assert appended.end() == repeated.end()


@given(snapshots=st.lists(LETTERS, min_size=1, max_size=6))
def test_while_it_is_in_step_the_pieces_are_the_text(snapshots: list[str]) -> None:
    """What was said, joined, is the text, or else ``rewritten`` tells."""
    said, text = streamed(*snapshots)
    said.append(text.end())
    if not text.rewritten:
        assert "".join(said) == text.text
    assert text.text == snapshots[-1].encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def test_half_a_character_waits_for_its_other_half() -> None:
    """It cannot be encoded, and the whole one may be on its way."""
    text = Streamed()
    assert text.append("a\ud83d") == "a"
    assert not text.in_step
    assert text.append("\ude42b") == "\U0001f642b"
    assert text.in_step


@pytest.mark.parametrize(
    ("text", "whole", "half"),
    [
        ("plain", "plain", ""),
        ("é\U0001f642", "é\U0001f642", ""),
        ("a\ud83d", "a", "\ud83d"),
        ("a\ud83d\n", "a\ufffd\n", ""),
        ("\ude42a", "\ufffda", ""),
        ("\ud83d\ude42", "\U0001f642", ""),
        ("\ud83d\ud83d", "\ufffd", "\ud83d"),
        ("", "", ""),
    ],
)
def test_text_is_mended_for_utf_8(text: str, whole: str, half: str) -> None:
    """Pairs join, lone halves are replaced, one at the end is kept apart."""
    assert mended(text) == (whole, half)
    whole.encode()


def test_an_append_costs_its_own_length() -> None:
    """A text of 8 MiB that was cut grows back piece by piece without being copied each time."""
    whole = "ab" * (2 * 1024 * 1024)
    _, text = streamed(whole, whole[:-20000])
    assert all(text.append("ab") == "" for _ in range(10000))
    assert not text.rewritten
    assert text.append("c") == "c"
