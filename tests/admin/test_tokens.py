"""Tokens changed while the gateway runs."""

from __future__ import annotations

import asyncio
import base64
import json
import sqlite3
import time
from pathlib import Path

import pytest

from chatgpt_to_api.errors import NotFound
from chatgpt_to_api.pool.pool import LeaseAsk
from chatgpt_to_api.store.database import database_path
from chatgpt_to_api.wire.secret import Secret
from support.admin_rig import PASSWORD, Rig, open_rig


def jwt(email: str, expires: int = 4000000000) -> str:
    claims = {"https://api.openai.com/profile": {"email": email}, "exp": expires}
    payload = base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")
    return f"eyJhbGciOiJSUzI1NiJ9.{payload}.c2lnbmF0dXJl"


async def stored(rig: Rig) -> list[str]:
    return [one.access.token.reveal() for one in await rig.tokens.of() if one.access.token]


def ask(rig: Rig, model: str = "gpt-4") -> LeaseAsk:
    now = asyncio.get_running_loop().time()
    return LeaseAsk(upstream="conversation", model=model, deadline=now + 5)


async def test_the_guides_patch_works_as_typed(rig: Rig) -> None:
    """A form's content type or none, strings and objects mixed; the set is stored and pooled."""
    for more in ({}, {"content_type": "application/x-www-form-urlencoded"}):
        answer = await rig.ask(
            "PATCH",
            "/admin/tokens",
            b'["eyJhbXXX", {"token": "eyJhbYYY", "puid": "user-x"}]',
            **more,
        )
        assert answer.status == 200
        assert answer.json["message"] == "tokens updated"
        assert answer.json["total"] == 2
    assert await stored(rig) == ["eyJhbXXX", "eyJhbYYY"]
    async with rig.pool.lease(ask(rig)) as first, rig.pool.lease(ask(rig)) as second:
        puids = {first.credential.access.puid, second.credential.access.puid}
        assert puids == {None, Secret("user-x")}


async def test_one_bad_element_changes_nothing(rig: Rig) -> None:
    """The whole set is refused with the element's place; the store and the pool keep the old."""
    await rig.ask("PATCH", "/admin/tokens", ["eyJhbAAA"])
    for method in ("PATCH", "POST"):
        answer = await rig.ask(method, "/admin/tokens", ["a", "b", {"token": "c"}, {"puid": "d"}])
        assert answer.status == 400
        assert answer.json["error"]["param"] == "tokens[3].token"
    assert await stored(rig) == ["eyJhbAAA"]
    assert rig.pooled() == await rig.ids()


async def test_an_empty_set_takes_all_tokens_away(rig: Rig) -> None:
    """[] is how the guide's users clear the tokens."""
    await rig.ask("PATCH", "/admin/tokens", ["eyJhbAAA"])
    assert (await rig.ask("PATCH", "/admin/tokens", [])).json["removed"] == 1
    assert rig.pooled() == [] and await stored(rig) == []


async def test_a_token_is_added_behind_the_others(rig: Rig) -> None:
    """POST keeps what is there; a token sent again is not there twice."""
    await rig.ask("PATCH", "/admin/tokens", ["eyJhbAAA"])
    answer = await rig.ask("POST", "/admin/tokens", {"token": "eyJhbBBB"})
    assert (answer.json["total"], answer.json["added"]) == (2, 1)
    assert (await rig.ask("POST", "/admin/tokens", ["eyJhbAAA"])).json["added"] == 0
    assert await stored(rig) == ["eyJhbAAA", "eyJhbBBB"]
    assert rig.pooled() == await rig.ids()


async def test_the_list_shows_everything_but_the_secret(rig: Rig) -> None:
    """Masked token, label, state, expiry, counters; the list's own values are refused as a set."""
    token = jwt("a@example.org", 4000000000)
    await rig.ask("PATCH", "/admin/tokens", [token, jwt("old@example.org", 1000)])
    async with rig.pool.lease(ask(rig)) as lease:
        lease.ok()
        answer = await rig.ask("GET", "/admin/tokens")
    assert token not in answer.text
    listed = answer.json
    assert (listed["upstream"], listed["total"], listed["has_more"]) == ("conversation", 2, False)
    assert listed["states"] == {"busy": 1, "invalid": 1}
    first, second = listed["tokens"]
    assert first["label"] == "a@example.org" and first["token"].startswith("eyJh…")
    assert (first["state"], first["in_flight"], first["expires"]) == ("busy", 1, 4000000000.0)
    assert second["state"] == "invalid" and "expired" in second["reason"]
    back = await rig.ask("PATCH", "/admin/tokens", listed["tokens"])
    assert back.status == 400
    assert back.json["error"]["param"] == "tokens[0]" and "masked" in back.text
    assert len(await stored(rig)) == 2


async def test_one_is_shown_and_an_unknown_one_is_a_404(rig: Rig) -> None:
    """A single token by its id, with HEAD too; another id names the way to the list."""
    await rig.ask("PATCH", "/admin/tokens", ["eyJhbAAA"])
    (id,) = await rig.ids()
    assert (await rig.ask("GET", f"/admin/tokens/{id}")).json["id"] == id
    assert (await rig.ask("HEAD", f"/admin/tokens/{id}")).body == b""
    unknown = await rig.ask("GET", "/admin/tokens/nothing")
    assert (unknown.status, unknown.json["error"]["code"]) == (404, "token_not_found")


async def test_a_long_list_comes_in_pages(rig: Rig) -> None:
    """limit and after walk through all tokens in order, each once."""
    await rig.ask("PATCH", "/admin/tokens", [f"token-{n}" for n in range(7)])
    seen: list[str] = []
    path = "/admin/tokens?limit=3"
    while True:
        page = (await rig.ask("GET", path)).json
        seen += [one["id"] for one in page["tokens"]]
        if not page["has_more"]:
            break
        path = f"/admin/tokens?limit=3&after={seen[-1]}"
    assert seen == await rig.ids()
    for bad in ("limit=0", "limit=x", "limit=99999", "limit=-1", "limit=²"):
        assert (await rig.ask("GET", "/admin/tokens?" + bad.replace("²", "%C2%B2"))).status == 400
    assert (await rig.ask("GET", "/admin/tokens?after=nothing")).status == 404


async def test_tokens_are_removed_by_every_way_of_naming_them(rig: Rig) -> None:
    """By path, query, body with one id or several; without any name, all."""
    await rig.ask("PATCH", "/admin/tokens", [f"token-{n}" for n in range(7)])
    a, b, c, d, e, *_ = await rig.ids()
    assert (await rig.ask("DELETE", f"/admin/tokens/{a}")).json["total"] == 6
    assert (await rig.ask("DELETE", f"/admin/tokens?id={b}")).json["total"] == 5
    assert (await rig.ask("DELETE", "/admin/tokens", {"id": c})).json["total"] == 4
    assert (await rig.ask("DELETE", "/admin/tokens", {"ids": [d, e]})).json["total"] == 2
    assert rig.pooled() == await rig.ids()
    assert (await rig.ask("DELETE", "/admin/tokens")).json["removed"] == 2
    assert rig.pooled() == []


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/admin/tokens?id=nothing", None, 404),
        ("/admin/tokens/nothing", None, 404),
        ("/admin/tokens", {"ids": ["nothing"]}, 404),
        ("/admin/tokens", {}, 400),
        ("/admin/tokens", {"ids": []}, 400),
        ("/admin/tokens", {"id": 5}, 400),
        ("/admin/tokens", ["x"], 400),
        ("/admin/tokens", b"id=x", 400),
        ("/admin/tokens?id=", None, 404),
    ],
)
async def test_a_removal_that_names_nothing_removes_nothing(
    rig: Rig, path: str, body: object, status: int
) -> None:
    """A slip in naming one token must not take all of them away."""
    await rig.ask("PATCH", "/admin/tokens", ["eyJhbAAA"])
    (id,) = await rig.ids()
    if body == {"ids": ["nothing"]}:
        body = {"ids": [id, "nothing"]}
    assert (await rig.ask("DELETE", path, body)).status == status
    assert rig.pooled() == [id] and len(await stored(rig)) == 1


async def test_a_hand_takes_tokens_out_and_back_over_restarts(data_dir: Path) -> None:
    """Disabling is on the disk with the 200; enabling too; nothing automatic undoes it."""
    async with open_rig(data_dir) as rig:
        await rig.ask("PATCH", "/admin/tokens", ["eyJhbAAA", "eyJhbBBB"])
        first, _ = await rig.ids()
        assert (await rig.ask("POST", f"/admin/tokens/{first}/disable")).status == 200
        with sqlite3.connect(database_path(data_dir)) as connection:
            assert connection.execute("SELECT count(*) FROM credential_states").fetchone() == (1,)
    async with open_rig(data_dir) as rig:
        await rig.ask("POST", "/admin/tokens/reset")
        listed = (await rig.ask("GET", "/admin/tokens")).json
        assert [one["state"] for one in listed["tokens"]] == ["disabled", "ready"]
        assert (await rig.ask("POST", f"/admin/tokens/{first}/enable")).status == 200
    async with open_rig(data_dir) as rig:
        assert (await rig.ask("GET", "/admin/tokens")).json["states"] == {"ready": 2}
        for act in ("reset", "disable", "enable"):
            answer = await rig.ask("POST", f"/admin/tokens/nothing/{act}")
            assert answer.status == NotFound.status


async def test_a_replacement_waits_for_nobody_in_flight(rig: Rig) -> None:
    """A request that holds an old token finishes on it; the next one gets a new token."""
    await rig.ask("PATCH", "/admin/tokens", ["eyJhbAAA"])
    async with rig.pool.lease(ask(rig)) as running:
        await rig.ask("PATCH", "/admin/tokens", ["eyJhbBBB"])
        async with rig.pool.lease(ask(rig)) as fresh:
            assert fresh.credential.access.token == Secret("eyJhbBBB")
        assert running.credential.access.token == Secret("eyJhbAAA")


async def test_sets_sent_at_once_leave_store_and_pool_agreeing(rig: Rig) -> None:
    """Whichever of many sets wins, the pool lends what the disk holds."""
    sets = [[f"token-{n}-{i}" for i in range(5)] for n in range(12)]
    answers = await asyncio.gather(*(rig.ask("PATCH", "/admin/tokens", one) for one in sets))
    assert {answer.status for answer in answers} == {200}
    assert await stored(rig) in sets
    assert rig.pooled() == await rig.ids()


async def test_a_change_goes_on_when_its_caller_goes_away(rig: Rig) -> None:
    """A client that hangs up in the middle leaves store and pool agreeing, the change made."""
    changing = asyncio.create_task(rig.tokens.replace([]))
    await asyncio.sleep(0)
    changing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await changing
    await rig.tokens.add([])  # stands in line behind it
    assert rig.pooled() == await rig.ids() == []


async def test_ten_thousand_tokens_are_taken_in_one_patch(rig: Rig) -> None:
    """A large set is taken for seconds of work, and the gateway answers others meanwhile."""
    body = json.dumps([jwt(f"{n}@example.org") + "x" * 1200 for n in range(10_000)]).encode()
    began = time.process_time()
    patching = asyncio.create_task(rig.ask("PATCH", "/admin/tokens", body))
    answered = 0
    while not patching.done():
        assert (await rig.ask("GET", "/admin/tokens?limit=1")).status == 200
        answered += 1
    assert (await patching).json["total"] == 10_000
    assert time.process_time() - began < 20  # about 1 s
    assert answered > 3
    assert len(rig.pooled()) == 10_000


async def test_without_a_conversation_upstream_tokens_have_no_place(data_dir: Path) -> None:
    """The error says what to configure; a configured upstream's keys are shown and not changed."""
    async with open_rig(data_dir, upstreams=()) as rig:
        none = await rig.ask("PATCH", "/admin/tokens", ["eyJhbAAA"])
        assert none.status == 409 and "API_REVERSE_PROXY" in none.text
        shown = await rig.ask("GET", "/admin/tokens?upstream=vendor")
        assert [one["id"] for one in shown.json["tokens"]] == ["key1"]
        assert "vendor-key-xxxx" not in shown.text
        fixed = await rig.ask("PATCH", "/admin/tokens?upstream=vendor", ["eyJhbAAA"])
        assert (fixed.status, fixed.json["error"]["code"]) == (409, "set_in_configuration")
        assert (await rig.ask("POST", "/admin/tokens/reset?upstream=vendor")).status == 200
        unknown = await rig.ask("GET", "/admin/tokens?upstream=other")
        assert unknown.status == 404 and "vendor" in unknown.text


async def test_each_conversation_upstream_has_its_own_tokens(data_dir: Path) -> None:
    """?upstream= chooses; without it the first one is meant."""
    async with open_rig(data_dir, upstreams=("one", "two")) as rig:
        await rig.ask("PATCH", "/admin/tokens", ["eyJhbAAA"])
        await rig.ask("PATCH", "/admin/tokens?upstream=two", ["eyJhbBBB", "eyJhbCCC"])
        assert len(rig.pool.views("one")) == 1 and len(rig.pool.views("two")) == 2
        status = (await rig.ask("GET", "/admin/status")).json
        totals = {one["upstream"]: one["total"] for one in status["upstreams"]}
        assert totals == {"one": 1, "two": 2, "vendor": 1}


async def test_the_status_shows_what_is_wrong_with_files(rig: Rig) -> None:
    """Warnings of watched files are an admin's business."""
    rig.warnings.append("access_tokens.json: line 3: it is masked")
    assert (await rig.ask("GET", "/admin/status")).json["warnings"] == rig.warnings


async def test_a_method_that_does_not_fit_is_a_405(rig: Rig) -> None:
    """PUT is not one of the ways; the answer names those that are."""
    answer = await rig.ask("PUT", "/admin/tokens", [])
    assert answer.status == 405
    assert "PATCH" in answer.json["error"]["message"]


async def test_a_disk_that_takes_nothing_is_a_503_and_changes_nothing(
    data_dir: Path, rig: Rig
) -> None:
    """When the set cannot be stored it is not in force either."""
    await rig.ask("PATCH", "/admin/tokens", ["eyJhbAAA"])
    await rig.store.write(lambda c: c.exec_driver_sql("PRAGMA max_page_count = 5").close())
    answer = await rig.ask("PATCH", "/admin/tokens", ["x" * 4000 + str(n) for n in range(100)])
    assert (answer.status, answer.json["error"]["code"]) == (503, "store_unavailable")
    assert await stored(rig) == ["eyJhbAAA"] and len(rig.pooled()) == 1


async def test_what_an_admin_sends_is_never_logged(
    rig: Rig, caplog: pytest.LogCaptureFixture
) -> None:
    """Neither tokens nor the password show in any log line, refused or taken."""
    caplog.set_level(0)
    await rig.ask("PATCH", "/admin/tokens", ["eyJplanted-secret"])
    await rig.ask("PATCH", "/admin/tokens", ["eyJplanted-secret\n"])
    await rig.ask("PATCH", "/admin/tokens", ["eyJplanted-secret", 5])
    await rig.ask("GET", "/admin/tokens", password="planted-secret-password")
    assert "planted-secret" not in caplog.text and PASSWORD not in caplog.text


async def test_whoever_depends_on_tokens_is_told_after_each_change(rig: Rig) -> None:
    """By then the pool has the new set: routes can be made anew from it."""
    heard: list[int] = []
    rig.tokens.on_change = lambda: heard.append(len(rig.pooled()))
    await rig.ask("PATCH", "/admin/tokens", ["eyJhbAAA", "eyJhbBBB"])
    await rig.ask("POST", "/admin/tokens", ["eyJhbCCC"])
    await rig.ask("PATCH", "/admin/tokens", ["eyJhbAAA", 5])
    await rig.ask("DELETE", "/admin/tokens")
    assert heard == [2, 3, 0]
