"""Client keys: which lines count, and how they are found."""

from __future__ import annotations

import pytest

from chatgpt_to_api.server.keys import ClientKeys, caller_id


def test_lines_are_trimmed_and_comments_are_none() -> None:
    """A file edited on any system gives the keys a person sees in it."""
    keys = ClientKeys(["\ufeffsk-one\r\n", "", "  sk-two\t", "# sk-three", "   # four", "ключ"])
    assert len(keys) == 3
    assert keys.configured
    for key in ("sk-one", "sk-two", "ключ"):
        assert keys.find(key.encode()) is not None
    for no_key in ("sk-three", "# sk-three", "", "sk-one ", "SK-ONE", "sk-on", "sk-ones"):
        assert keys.find(no_key.encode()) is None


def test_an_id_is_stable_and_tells_callers_apart() -> None:
    """Fairness and affinity are per key, also after a restart; the id is not the key."""
    first = ClientKeys(["sk-one", "sk-two"])
    again = ClientKeys(["sk-one"])
    one, two = first.find(b"sk-one"), first.find(b"sk-two")
    assert one is not None and two is not None
    assert one.id != two.id
    assert one == again.find(b"sk-one")
    assert one.id == caller_id(b"sk-one")
    assert "sk-one" not in one.id


def test_replacing_is_whole() -> None:
    """Old keys stop, new ones work, none left means none configured."""
    keys = ClientKeys(["old"])
    assert keys.replace(["new", "newer"]) == 2
    assert keys.find(b"old") is None
    assert keys.find(b"newer") is not None
    assert keys.replace([]) == 0
    assert not keys.configured


@pytest.mark.parametrize("show", [repr, str, lambda keys: str(vars(keys))])
def test_keys_are_not_kept_nor_shown(show: object) -> None:
    """Nothing of a key can be read off the object."""
    assert callable(show)
    assert "hunter2" not in show(ClientKeys(["sk-hunter2"]))
