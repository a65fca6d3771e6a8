"""Who gets in, and who is slowed down."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from support.admin_rig import PASSWORD, Rig, open_rig


@pytest.mark.parametrize(
    "shown", [PASSWORD, f"Bearer {PASSWORD}", f"bearer  {PASSWORD}", f"  {PASSWORD} "]
)
async def test_the_bare_password_and_a_bearer_get_in(rig: Rig, shown: str) -> None:
    """The guide's header and the usual form mean the same."""
    assert (await rig.ask("GET", "/admin/tokens", password=shown)).status == 200


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/admin/status"),
        ("GET", "/admin/tokens"),
        ("PATCH", "/admin/tokens"),
        ("POST", "/admin/tokens"),
        ("DELETE", "/admin/tokens"),
        ("POST", "/admin/tokens/reset"),
        ("PATCH", "/admin/password"),
        ("PATCH", "/admin/puid"),
        ("PATCH", "/admin/openai"),
    ],
)
async def test_a_wrong_password_opens_nothing(rig: Rig, method: str, path: str) -> None:
    """Every route answers 401 in OpenAI's shape, without the password, and changes nothing."""
    await rig.ask("PATCH", "/admin/tokens", ["eyJhbAAA"])
    near = ["wrong", PASSWORD[:-1], PASSWORD + "x", PASSWORD.lower(), f"Basic {PASSWORD}", "Bearer"]
    for shown in [*near, "ü"]:
        answer = await rig.ask(method, path, ["eyJhbBBB"], password=shown)
        assert answer.status == 401
        assert answer.json["error"]["code"] == "invalid_admin_password"
        assert PASSWORD not in answer.text and "eyJh" not in answer.text
    assert len(await rig.ids()) == 1


async def test_no_password_says_where_it_is(rig: Rig) -> None:
    """Who shows nothing learns how to, and it does not count as a wrong try."""
    for _ in range(20):
        answer = await rig.ask("GET", "/admin/tokens", password=None)
    assert answer.status == 401
    assert "ADMIN_PASSWORD" in answer.json["error"]["message"]
    assert rig.held == []
    assert (await rig.ask("GET", "/admin/tokens")).status == 200


async def test_repeated_failures_are_slowed_down_then_shut_out(rig: Rig) -> None:
    """After three slips answers are held back; after ten the peer gets 429 and a true time."""
    for _ in range(10):
        assert (await rig.ask("GET", "/admin/tokens", password="wrong")).status == 401
    assert rig.held == [0.25, 0.5, 1, 2, 2, 2, 2]
    for shown in ("wrong", PASSWORD):  # the right one would tell a guesser that it is right
        answer = await rig.ask("GET", "/admin/tokens", password=shown)
        assert answer.status == 429
        assert answer.headers["retry-after"] == "28"
    rig.now += 28
    assert (await rig.ask("GET", "/admin/tokens")).status == 200
    assert (await rig.ask("GET", "/admin/tokens", password="wrong")).status == 401
    assert len(rig.held) == 7  # forgiven by the right one


async def test_a_set_password_survives_a_restart_as_a_hash(data_dir: Path) -> None:
    """A password set by an admin holds over restarts, the variable's no longer does."""
    async with open_rig(data_dir) as rig:
        answer = await rig.ask("PATCH", "/admin/password", {"password": "neues Passwort ü"})
        assert (answer.status, answer.json["message"]) == (200, "password updated")
        assert (await rig.ask("GET", "/admin/tokens")).status == 401
    async with open_rig(data_dir) as rig:
        for _ in range(2):
            shown = "neues Passwort ü".encode().decode("latin-1")
            assert (await rig.ask("GET", "/admin/tokens", password=shown)).status == 200
        assert (await rig.ask("GET", "/admin/tokens")).status == 401
    for file in data_dir.iterdir():
        assert b"neues" not in file.read_bytes()


async def test_a_set_password_holds_until_the_variable_changes(data_dir: Path) -> None:
    """Taking the variable away is no change; another value is, and the set one is forgotten."""
    async with open_rig(data_dir) as rig:
        await rig.ask("PATCH", "/admin/password", {"password": "set-by-an-admin"})
    async with open_rig(data_dir, variable="") as rig:
        assert rig.password.made is None
        assert (await rig.ask("GET", "/admin/tokens", password="set-by-an-admin")).status == 200
    async with open_rig(data_dir) as rig:
        assert (await rig.ask("GET", "/admin/tokens", password="set-by-an-admin")).status == 200
    async with open_rig(data_dir, variable="another-variable") as rig:
        assert (await rig.ask("GET", "/admin/tokens", password="another-variable")).status == 200
        assert (await rig.ask("GET", "/admin/tokens", password="set-by-an-admin")).status == 401
    async with open_rig(data_dir) as rig:
        assert (await rig.ask("GET", "/admin/tokens")).status == 200


async def test_without_a_variable_a_password_is_made_once(data_dir: Path) -> None:
    """It stands in a private file, is told at the first start only, and goes when one is set."""
    file = data_dir / "admin_password"
    async with open_rig(data_dir, variable="") as rig:
        assert rig.password.made is not None
        made = rig.password.made.reveal()
        assert len(made) >= 20 and file.read_text().strip() == made
        assert (await rig.ask("GET", "/admin/tokens", password=made)).status == 200
    async with open_rig(data_dir, variable="") as rig:
        assert rig.password.made is None
        assert (await rig.ask("GET", "/admin/tokens", password=made)).status == 200
        await rig.ask("PATCH", "/admin/password", {"password": "set-by-an-admin"}, password=made)
        assert not file.exists()
        assert (await rig.ask("GET", "/admin/tokens", password=made)).status == 401
    async with open_rig(data_dir, variable="") as rig:
        assert rig.password.made is None
        assert (await rig.ask("GET", "/admin/tokens", password="set-by-an-admin")).status == 200


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"password": ""}, "at least 8"),
        ({"password": "short"}, "at least 8"),
        ({"password": "x" * 300}, "at most 256"),
        ({"password": " blanks at the ends "}, "blanks at the ends"),
        ({"password": "two\nlines of it"}, "control characters"),
        ({"password": "eyJh…3f9a-masked"}, "masked"),
        ({"password": 12345678}, "expected a string"),
        ({"password": None}, "at least 8"),
        ({}, "password not provided"),
        (["password"], "Expected a JSON object"),
        (b"password=abcdefgh", "Expected a JSON object"),
        (b"", "Expected a JSON object"),
        (b'{"password": "abcdefgh"', "Expected a JSON object"),
    ],
)
async def test_a_password_that_will_not_do_is_refused(rig: Rig, body: object, words: str) -> None:
    """Empty, short, unsendable or no password at all: 400 with the reason, the old one holds."""
    answer = await rig.ask("PATCH", "/admin/password", body)
    assert answer.status == 400
    assert words in answer.json["error"]["message"]
    assert (await rig.ask("GET", "/admin/tokens")).status == 200


async def test_a_page_of_another_origin_is_refused_even_with_the_password(rig: Rig) -> None:
    """A browser's foreign page gets 403 before its password is looked at; an allowed one passes."""
    foreign = await rig.ask("GET", "/admin/tokens", origin="http://evil.example")
    assert (foreign.status, foreign.json["error"]["code"]) == (403, "origin_not_allowed")
    null = await rig.ask("GET", "/admin/tokens", password="wrong", origin="null")
    assert null.status == 403
    friend = await rig.ask("GET", "/admin/tokens", origin="http://friend.example")
    assert friend.status == 200


async def test_the_run_key_opens_for_this_run(data_dir: Path) -> None:
    """A command on the same folder gets in with the key from the lock file; no other key does."""
    async with open_rig(data_dir, run_key="run-key-of-this-process") as rig:
        for shown, status in [("run-key-of-this-process", 200), ("run-key-of-another", 401)]:
            assert (await rig.ask("GET", "/admin/tokens", password=shown)).status == status


async def test_many_wrong_tries_at_once_do_not_outrun_the_delay(data_dir: Path) -> None:
    """Tries sent together are counted one after another: soon the rest is turned away untried."""
    async with open_rig(data_dir) as rig:
        await rig.ask("PATCH", "/admin/password", {"password": "set-by-an-admin"})
    async with open_rig(data_dir) as rig:
        rig.at_one_moment = True
        answers = await asyncio.gather(
            *(rig.ask("GET", "/admin/tokens", password=f"guess {n}") for n in range(30))
        )
        statuses = sorted(answer.status for answer in answers)
        assert statuses == [401] * 4 + [429] * 26
