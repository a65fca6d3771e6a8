"""Tokens kept in order, sealed, replaced whole."""

from __future__ import annotations

import asyncio
import base64
import json
import sqlite3
from collections.abc import Sequence
from pathlib import Path

import pytest

from chatgpt_to_api.config.token_text import TokenEntry
from chatgpt_to_api.pool.contract import Kept
from chatgpt_to_api.store.credentials import Change, Credentials, StoredCredential, credential_id
from chatgpt_to_api.store.database import Store, database_path
from chatgpt_to_api.store.errors import StoreUnavailable, WrongKey
from chatgpt_to_api.store.secrets import Cipher, load_cipher
from chatgpt_to_api.store.settings import StoredSettings
from chatgpt_to_api.store.states import CredentialStates
from chatgpt_to_api.wire.secret import Access, Secret


def entry(token: str, puid: str = "", account: str | None = None, label: str = "") -> TokenEntry:
    return TokenEntry(Access(Secret(token), Secret(puid) if puid else None, account), label)


def jwt(email: str, expires: int) -> str:
    claims = {"https://api.openai.com/profile": {"email": email}, "exp": expires}
    payload = base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")
    return f"eyJhbGciOiJSUzI1NiJ9.{payload}.c2lnbmF0dXJl"


def tokens(stored: Sequence[StoredCredential]) -> list[str]:
    return [one.access.token.reveal() for one in stored if one.access.token]


async def test_a_set_replaces_the_other_in_its_order(store: Store) -> None:
    """The new set is the whole set; who stands in both keeps its id and the time it was added."""
    clock = iter([100.0, 200.0])
    credentials = Credentials(store, lambda: next(clock))
    change, before = await credentials.replace("c", [entry("b"), entry("a"), entry("b")])
    assert change == Change(2, 2, 0) and before == await credentials.of("c")
    change, after = await credentials.replace("c", [entry("z"), entry("a")])
    assert change == Change(2, 1, 1) and after == await credentials.of("c")
    assert tokens(before) == ["b", "a"] and tokens(after) == ["z", "a"]
    assert [one.added for one in after] == [200.0, 100.0]
    assert after[1].id == before[1].id == credential_id(Access(Secret("a")))


async def test_everything_about_a_credential_comes_back(store: Store) -> None:
    """Token, PUID, account, expiry; the label is the given name, else the e-mail, else masked."""
    credentials = Credentials(store)
    token = jwt("a@example.org", 1700864000)
    opaque = "opaque-token-that-is-long-enough"
    await credentials.replace(
        "c", [entry(token, "user-x", "acc"), entry(token, label="mine"), entry(opaque)]
    )
    first, second, third = await credentials.of("c")
    assert first.access == Access(Secret(token), Secret("user-x"), "acc")
    assert (first.label, first.expires) == ("a@example.org", 1700864000.0)
    assert second.label == "mine" and second.id != first.id
    assert (third.label, third.expires) == ("opaq…ough", None)


async def test_upstreams_do_not_share(store: Store) -> None:
    """Each upstream has its own set; replacing one leaves the other."""
    credentials = Credentials(store)
    await credentials.replace("a", [entry("1"), entry("2")])
    await credentials.replace("b", [entry("1")])
    await credentials.replace("a", [])
    assert tokens(await credentials.of("a")) == []
    assert tokens(await credentials.of("b")) == ["1"]


async def test_added_tokens_stand_behind_and_known_ones_take_the_new_puid(store: Store) -> None:
    """Adding keeps order and place; sending one again updates it."""
    credentials = Credentials(store)
    await credentials.replace("c", [entry("1"), entry("2")])
    assert await credentials.add("c", [entry("3"), entry("1", "user-x"), entry("3")]) == Change(
        3, 1
    )
    stored = await credentials.of("c")
    assert tokens(stored) == ["1", "2", "3"]
    assert stored[0].access.puid == Secret("user-x")


async def test_removed_tokens_are_gone_with_their_states(store: Store) -> None:
    """Unknown ids do no harm; what the pool knew of removed ones goes with them, nothing else."""
    credentials, states = Credentials(store), CredentialStates(store)
    await credentials.replace("c", [entry("1"), entry("2")])
    first, second = [one.id for one in await credentials.of("c")]
    kept = {
        (upstream, id): [Kept(upstream=upstream, credential=id, state="disabled", reason="by hand")]
        for upstream, id in [("c", first), ("c", second), ("c", ""), ("keys", "k")]
    }
    await states.save(kept)
    assert await credentials.remove("c", [first, "unknown"]) == Change(1, removed=1)
    assert tokens(await credentials.of("c")) == ["2"]
    left = {(one.upstream, one.credential) for one in await states.load()}
    assert left == {("c", second), ("c", ""), ("keys", "k")}


async def test_settings_are_kept_with_the_set_they_belong_to(store: Store) -> None:
    """A set and the mark of where it came from stand or fall together."""
    await Credentials(store).replace("c", [entry("1")], settings={"mark": "hash"})
    assert await StoredSettings(store).get("mark") == "hash"


async def test_concurrent_replacements_leave_one_whole_set(store: Store) -> None:
    """Of many sets sent at once, one stands afterwards, complete."""
    credentials = Credentials(store)
    sets = [[entry(f"{n}-{i}") for i in range(20)] for n in range(10)]
    await asyncio.gather(*(credentials.replace("c", one) for one in sets))
    stored = tokens(await credentials.of("c"))
    assert stored in [[f"{n}-{i}" for i in range(20)] for n in range(10)]


async def test_neither_token_nor_puid_nor_email_is_on_the_disk(
    data_dir: Path, store: Store
) -> None:
    """A copy of the data folder without the key tells nothing about anybody."""
    token = jwt("planted@example.org", 1700864000)
    await Credentials(store).replace("c", [entry(token, "user-planted", "acc-planted", "planted")])
    await store.close()
    with sqlite3.connect(database_path(data_dir)) as connection:
        assert connection.execute("SELECT count(*) FROM credentials").fetchone() == (1,)
    for file in data_dir.iterdir():
        content = file.read_bytes()
        assert b"planted" not in content and token.encode() not in content


async def test_a_row_copied_over_another_does_not_open(data_dir: Path, store: Store) -> None:
    """Whoever can write the database cannot give one account's token to another's row."""
    credentials = Credentials(store)
    await credentials.replace("c", [entry("1"), entry("2")])
    with sqlite3.connect(database_path(data_dir)) as connection:
        connection.execute(
            "UPDATE credentials SET sealed = (SELECT sealed FROM credentials WHERE position = 0)"
        )
    with pytest.raises(WrongKey, match=r"credentials\.sealed:c:"):
        await credentials.of("c")


async def test_the_set_survives_a_restart(data_dir: Path, store: Store) -> None:
    """What was stored is there for the next process with the same key, and for no other key."""
    await Credentials(store).replace("c", [entry("1")])
    await store.close()
    again = await Store.open(
        data_dir, load_cipher(data_dir, None, database=database_path(data_dir))
    )
    assert tokens(await Credentials(again).of("c")) == ["1"]
    await again.close()
    stranger = await Store.open(data_dir, Cipher(b"x" * 32, "SECRET_KEY"))
    with pytest.raises(WrongKey, match="SECRET_KEY"):
        await Credentials(stranger).of("c")
    await stranger.close()


async def test_a_set_that_cannot_be_written_changes_nothing(data_dir: Path, store: Store) -> None:
    """A full disk is a 503, and the former set stands."""
    credentials = Credentials(store)
    await credentials.replace("c", [entry("1")])
    await store.write(lambda c: c.exec_driver_sql("PRAGMA max_page_count = 10").close())
    with pytest.raises(StoreUnavailable, match="full"):
        await credentials.replace("c", [entry("x" * 4000 + str(n)) for n in range(100)])
    assert tokens(await credentials.of("c")) == ["1"]


async def test_ten_thousand_tokens_are_replaced_while_the_loop_goes_on(store: Store) -> None:
    """A large set is sealed and written off the loop, whose other work goes on meanwhile."""
    credentials = Credentials(store)
    entries = [entry(jwt(f"{n}@example.org", 1700864000) + "x" * 1500) for n in range(10_000)]
    beats = 0

    async def heartbeat() -> None:
        nonlocal beats
        while True:
            await asyncio.sleep(0.002)
            beats += 1

    beating = asyncio.create_task(heartbeat())
    change, _ = await credentials.replace("c", entries)
    assert change.total == 10_000
    beating.cancel()
    assert beats > 10
    assert len(await credentials.of("c")) == 10_000


async def test_a_label_changes_and_nothing_else(store: Store) -> None:
    """Token, order and age stay; an id that is not there does no harm."""
    credentials = Credentials(store)
    entries = [TokenEntry(Access(Secret(f"eyJ-{n}"), Secret("user-p")), f"l{n}") for n in range(2)]
    await credentials.add("up", entries)
    before = await credentials.of("up")
    await credentials.relabel("up", before[0].id, "mine")
    await credentials.relabel("up", "nothing", "mine")
    first, second = await credentials.of("up")
    assert second == before[1]
    assert (first.label, first.id, first.access, first.added) == (
        "mine",
        before[0].id,
        before[0].access,
        before[0].added,
    )
