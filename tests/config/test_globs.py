"""Which patterns are globs, and what they fit."""

from __future__ import annotations

from fnmatch import fnmatchcase

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatgpt_to_api.config.globs import check_glob, compile_globs, is_glob


@pytest.mark.parametrize(
    "pattern", ["gpt-4o", "gpt-*", "o[134]", "o[!1]", "a[]b]", "a[!]b]", "[[]x", "x]", "v[a-c-]"]
)
def test_names_and_globs_pass(pattern: str) -> None:
    """Also those with a bracket as a character."""
    assert check_glob(pattern) == pattern


@pytest.mark.parametrize(
    ("pattern", "said"),
    [
        ("", "expected a model name or glob"),
        (" ", "expected a model name or glob"),
        ("gpt-[4", r"in 'gpt-\[4' the \[ is never closed"),
        ("gpt-[", "never closed"),
        ("a[]", "never closed"),
        ("a[!]", "never closed"),
        ("a[b][c", "never closed"),
        ("o[3-1]", "no character is 3-1"),
        ("x" * 257, "at most 256 characters"),
    ],
)
def test_what_could_never_fit_is_no_glob(pattern: str, said: str) -> None:
    """The error says what is wrong with it."""
    with pytest.raises(ValueError, match=said):
        check_glob(pattern)


@given(st.text("ab[]!-*?", max_size=8), st.text("ab[]!-", max_size=4))
def test_a_glob_that_passes_fits_what_fnmatch_fits(pattern: str, name: str) -> None:
    """And of those refused for an open bracket, every one holds a bracket."""
    try:
        check_glob(pattern)
    except ValueError:
        assert not pattern.strip() or "[" in pattern
        return
    assert bool(compile_globs([pattern]).match(name)) is fnmatchcase(name, pattern)


def test_no_patterns_fit_nothing() -> None:
    """An upstream that claims no name is not one that claims the empty name."""
    assert not compile_globs([]).match("")
    assert compile_globs(["a", "b*"]).match("bc")
    assert is_glob("a?") and not is_glob("a-1")
