"""The cipher and where its key comes from."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatgpt_to_api.store.database import Store, database_path
from chatgpt_to_api.store.errors import StoreError, WrongKey
from chatgpt_to_api.store.private_files import readable_by_others
from chatgpt_to_api.store.secrets import Cipher, key_file_warning, load_cipher
from chatgpt_to_api.store.settings import StoredSettings
from chatgpt_to_api.wire.secret import Secret

ONE, TWO = Cipher(b"1" * 32, "one"), Cipher(b"2" * 32, "two")


def load(data_dir: Path, secret_key: str | None = None) -> Cipher:
    secret = None if secret_key is None else Secret(secret_key)
    return load_cipher(data_dir, secret, database=database_path(data_dir))


@given(text=st.text(), place=st.text(st.characters(codec="utf-8")))
def test_what_was_sealed_opens_in_its_place(text: str, place: str) -> None:
    """Any text comes back, and its sealed form differs each time."""
    sealed = ONE.seal(text, place)
    assert ONE.unseal(sealed, place) == text
    assert ONE.seal(text, place) != sealed


@given(st.integers(0, 40), st.integers(1, 255))
def test_a_changed_byte_is_refused(at: int, flip: int) -> None:
    """No bit of a sealed value can be changed unseen."""
    sealed = bytearray(ONE.seal("twelve bytes", "a"))
    sealed[at] ^= flip
    with pytest.raises(WrongKey):
        ONE.unseal(bytes(sealed), "a")


@pytest.mark.parametrize("stored", [b"", b"\x01", b"plain text that was never sealed at all"])
def test_what_was_never_sealed_is_refused(stored: bytes) -> None:
    """Short and foreign values are an error, not a crash."""
    with pytest.raises(WrongKey, match="at a"):
        ONE.unseal(stored, "a")


def test_a_sealed_value_does_not_open_elsewhere_or_with_another_key() -> None:
    """A value in another row or under another key stays shut; the key's source is told."""
    sealed = ONE.seal("secret", "row 1")
    with pytest.raises(WrongKey, match=r"row 2.*one"):
        ONE.unseal(sealed, "row 2")
    with pytest.raises(WrongKey, match=r"row 1.*two"):
        TWO.unseal(sealed, "row 1")


def test_digests_recognise_under_one_key_only() -> None:
    """Equal texts have equal digests under one key, and different ones under another."""
    assert ONE.digest("a") == ONE.digest("a") != ONE.digest("b")
    assert ONE.digest("a") != TWO.digest("a")


def test_a_new_folder_gets_a_key_of_its_own_once(data_dir: Path) -> None:
    """The first start makes a private key file; the next start uses it."""
    sealed = load(data_dir).seal("x", "a")
    assert load(data_dir).unseal(sealed, "a") == "x"
    assert not readable_by_others(data_dir / "secret.key")
    assert [file.name for file in data_dir.iterdir()] == ["secret.key"]
    with pytest.raises(WrongKey):
        load(data_dir / "other").unseal(sealed, "a")


def test_a_key_file_open_to_others_is_told(data_dir: Path) -> None:
    """Wrong permissions give a line with the command that mends them; right ones give none."""
    load(data_dir)
    assert key_file_warning(data_dir) is None
    (data_dir / "secret.key").chmod(0o644)
    assert "chmod 600" in (key_file_warning(data_dir) or "")
    assert key_file_warning(data_dir / "none") is None


def test_secret_key_gives_the_same_key_everywhere(tmp_path: Path) -> None:
    """SECRET_KEY alone decides the key; no file is made; surrounding blanks do not count."""
    sealed = load(tmp_path / "a", "correct horse battery").seal("x", "a")
    assert load(tmp_path / "b", " correct horse battery\n").unseal(sealed, "a") == "x"
    assert not (tmp_path / "a").exists()


def test_a_short_secret_key_is_refused_by_name_and_not_echoed(data_dir: Path) -> None:
    """The error names the variable and the need, never the value."""
    with pytest.raises(StoreError, match="SECRET_KEY: expected at least 16") as caught:
        load(data_dir, "tooshort")
    assert "tooshort" not in str(caught.value)


def test_an_empty_secret_key_counts_as_none(data_dir: Path) -> None:
    """A variable set to nothing is not set."""
    assert load(data_dir, "").source.endswith("secret.key")


def test_a_damaged_key_file_is_refused_by_name(data_dir: Path) -> None:
    """A truncated key file stops the start instead of sealing with half a key."""
    load(data_dir)
    (data_dir / "secret.key").write_text("AAAA")
    with pytest.raises(WrongKey, match=r"secret\.key does not hold a key"):
        load(data_dir)


async def test_a_lost_key_file_is_not_replaced_under_a_database(
    data_dir: Path, store: Store
) -> None:
    """With a database there, a new key could open nothing: the start says what is missing."""
    (data_dir / "secret.key").unlink()
    with pytest.raises(WrongKey, match=r"secret\.key is missing and SECRET_KEY is not set"):
        load(data_dir)
    assert not (data_dir / "secret.key").exists()


async def test_another_key_is_refused_by_its_source(data_dir: Path, store: Store) -> None:
    """A database made with secret.key does not open with SECRET_KEY, and the error names it."""
    await StoredSettings(store).check_key()
    await store.close()
    other = await Store.open(data_dir, load(data_dir, "correct horse battery"))
    with pytest.raises(WrongKey, match="from SECRET_KEY is not the one"):
        await StoredSettings(other).check_key()
    await other.close()
    again = await Store.open(data_dir, load(data_dir))
    await StoredSettings(again).check_key()
    await again.close()


def test_a_cipher_shows_no_key() -> None:
    """Neither repr nor attributes print the key."""
    assert repr(ONE) == "Cipher(key from one)"
