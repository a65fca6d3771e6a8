"""The line of ready credentials."""

from __future__ import annotations

from chatgpt_to_api.pool.contract import NOBODY
from chatgpt_to_api.pool.credential import SHUT_FOR_NONE, Credential, Place
from chatgpt_to_api.pool.groups import Group
from chatgpt_to_api.wire.secret import Access


def credential(group: Group, name: str) -> Credential:
    """A ready one that stands in the group."""
    made = Credential(name, Access(None), None, name)
    made.group, made.place = group, Place.READY
    group.counts[Place.READY] += 1
    return made


def used(group: Group, one: Credential, turn: int) -> None:
    one.used = turn
    group.line_up(one)


def test_the_only_key_keeps_one_place_however_often_it_is_used() -> None:
    """It is always next, and no old entry stays behind."""
    group = Group(SHUT_FOR_NONE)
    key = credential(group, "a")
    for turn in range(1, 500):
        used(group, key, turn)
        assert group.first(NOBODY) is key
        assert len(group._ready) == 1


def test_a_second_key_is_next_after_the_first() -> None:
    """Whoever was used longest ago comes first, also after one has long been alone."""
    group = Group(SHUT_FOR_NONE)
    one = credential(group, "a")
    used(group, one, 1)
    used(group, one, 2)
    two = credential(group, "b")
    used(group, two, 3)
    assert group.first(NOBODY) is one
    used(group, one, 4)
    assert group.first(NOBODY) is two
    used(group, two, 5)
    assert group.first(NOBODY) is one
