"""The map of conversations: bounded, expiring, digests only."""

from __future__ import annotations

from chatgpt_to_api.pool.affinity import Affinity


def test_a_conversation_is_remembered_until_it_rests_too_long() -> None:
    """Each request keeps the binding for another while; then it is gone."""
    affinity = Affinity(keep=100)
    key = affinity.key("client", b"talk")
    affinity.bind(key, "a", 0)
    assert affinity.get(key, 99) == "a"
    affinity.bind(key, "a", 99)
    assert affinity.get(key, 198) == "a"
    assert affinity.get(key, 199) is None
    assert len(affinity) == 0


def test_the_least_recently_used_binding_makes_room() -> None:
    """The bound holds, and what is in use stays."""
    affinity = Affinity(most=2)
    keys = [affinity.key("", b"%d" % n) for n in range(3)]
    affinity.bind(keys[0], "a", 0)
    affinity.bind(keys[1], "b", 1)
    affinity.bind(keys[0], "a", 1000)
    affinity.bind(keys[2], "c", 1001)
    assert len(affinity) == 2
    assert [affinity.get(key, 1002) for key in keys] == ["a", None, "c"]


def test_a_binding_that_has_just_been_made_is_left_as_it_is() -> None:
    """Turns that follow at once do not rewrite it, but one that moves elsewhere does."""
    affinity = Affinity(keep=100)
    key = affinity.key("", b"talk")
    affinity.bind(key, "a", 0)
    affinity.bind(key, "a", 9)
    assert affinity.get(key, 99) == "a"
    assert affinity.get(key, 100) is None
    affinity.bind(key, "a", 200)
    affinity.bind(key, "b", 201)
    assert affinity.get(key, 202) == "b"


def test_expired_bindings_go_without_being_asked_for() -> None:
    """Memory is given back as new conversations come, not only when old ones return."""
    affinity = Affinity(keep=10)
    for n in range(100):
        affinity.bind(affinity.key("", b"%d" % n), "a", n / 10)
    affinity.bind(affinity.key("", b"new"), "a", 50)
    assert len(affinity) == 1


def test_keys_are_digests_of_client_and_conversation() -> None:
    """Numbers that give nothing away; equal session names of two clients differ."""
    keys = [
        Affinity.key(client, conversation)
        for client, conversation in [("x", b"talk"), ("y", b"talk"), ("xt", b"alk"), ("", b"xtalk")]
    ]
    assert all(isinstance(key, int) for key in keys)
    assert len(set(keys)) == 4


def test_unbinding_forgets() -> None:
    """A conversation that the upstream no longer knows starts anew."""
    affinity = Affinity()
    key = affinity.key("", b"talk")
    affinity.bind(key, "a", 0)
    affinity.unbind(key)
    affinity.unbind(key)
    assert affinity.get(key, 0) is None
