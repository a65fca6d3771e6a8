"""What is made when it is first wanted."""

from __future__ import annotations

import asyncio

import pytest

from chatgpt_to_api.late import Late


async def test_it_is_made_once_for_all_who_ask_at_once() -> None:
    """And only then."""
    calls: list[object] = []

    def make() -> object:
        calls.append(object())
        return calls[-1]

    late = Late(make)
    assert late.made is None
    assert not calls
    got = await asyncio.gather(*(late.get() for _ in range(20)))
    assert [*map(id, got)] == [id(late.made)] * 20
    assert late.now() is calls[0]
    assert len(calls) == 1


async def test_what_could_not_be_made_is_tried_again() -> None:
    """The one who asked is told, and nobody else."""
    outcomes = iter([ImportError("gone"), None])

    def make() -> str:
        if error := next(outcomes):
            raise error
        return "there"

    late = Late(make)
    with pytest.raises(ImportError, match="gone"):
        await late.get()
    assert await late.get() == "there"
