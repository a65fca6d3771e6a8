"""Who gets in, whose token goes out, and who waits: callers, keys, queues, the admin."""

from __future__ import annotations

import asyncio
import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from support.gateway_process import ADMIN_PASSWORD, Answer, gateway_process
from support.rig import Rig, Rigging, rigging
from support.scripted_backend import (
    Play,
    Seen,
    chat_chunks,
    conversation,
    conversation_events,
    json_play,
    scripted_backend,
)
from support.shared_rig import events_of, fresh, text_of

OWN = "eyJhbGciOiJSUzI1NiJ9.eyJleHAiOjk5OTk5OTk5OTl9.c2lnbmF0dXJl"
EXPIRED = json_play({"detail": {"message": "Token expired.", "code": "token_expired"}}, 401)


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


# -- callers' own tokens --------------------------------------------------------------------------


async def test_a_callers_own_token_answers_one_question_at_a_time(rigged: Rigging) -> None:
    """Four questions at once with one own token: never two together, and no pool token is used."""
    async with rigged([conversation("ok")], tokens=["pool-1", "pool-2"]) as rig:
        answers = await asyncio.gather(*(rig.ask(f"q{i}", headers=bearer(OWN)) for i in range(4)))
        assert [answer.status for answer in answers] == [200] * 4
        assert rig.backend.tokens == [OWN] * 4
        tripled = await rig.ask(n=3, headers=bearer(OWN))
        assert [choice["index"] for choice in tripled.json["choices"]] == [0, 1, 2]
        assert rig.backend.most_running == 1


async def test_a_callers_refused_token_is_its_own_401(rigged: Rigging) -> None:
    """The backend's 401 is the caller's, in words and status; the pool is not touched or tried."""

    refused_token = OWN[:-4] + "dXJk"  # one of its own: the gateway remembers it

    def script(seen: Seen) -> Play:
        return EXPIRED if seen.token == refused_token else conversation("fine")

    async with rigged(script) as rig:
        for stream, words in ((False, "Token expired."), (True, "token_expired")):
            refused = await rig.ask(headers=bearer(refused_token), stream=stream)
            assert refused.status == 401, refused.text
            assert words in refused.json["error"]["message"]
            assert refused_token not in refused.text
        assert set(rig.backend.tokens) == {refused_token}
        assert (await rig.ask()).status == 200
        assert await rig.states() == {"ready": 1}


async def test_an_own_token_works_without_any_token_of_the_gateway(rigged: Rigging) -> None:
    """The pool is empty: whoever brings a token is served, whoever does not is told what to do."""
    async with rigged([conversation("ok")], tokens=[]) as rig:
        assert (await rig.ask(headers=bearer(OWN))).status == 200
        bare = await rig.ask()
        assert bare.status == 503
        assert bare.json["error"]["code"] == "no_credentials"


async def test_an_own_token_never_reaches_another_kind_of_upstream(tmp_path: Path) -> None:
    """An OpenAI-compatible server gets its own key, or nothing: never what a caller brought."""
    reply = json_play({"object": "list", "data": []})
    async with scripted_backend(
        lambda seen: reply if seen.method == "GET" else Play(pieces=chat_chunks(["hi"]))
    ) as backend:
        with gateway_process(tmp_path / "data", OPENAI_BASE_URL=backend.url("/v1")) as gateway:
            answer = await asyncio.to_thread(
                gateway.ask, model="m1", stream=True, headers=bearer(OWN)
            )
            assert answer.status == 200
        assert backend.seen
        assert all(OWN not in str(seen.headers) for seen in backend.seen)
        assert all(OWN.encode() not in seen.body for seen in backend.seen)


@pytest.mark.parametrize(("allowed", "status"), [("true", 200), ("false", 401), ("", 401)])
async def test_with_keys_own_tokens_are_taken_only_if_a_setting_says_so(
    rigged: Rigging, allowed: str, status: int
) -> None:
    """``ALLOW_CALLER_TOKENS``; what merely looks like the beginning of a token is no token."""
    async with rigged(
        [conversation("ok")], API_KEYS="key-1,key-2", ALLOW_CALLER_TOKENS=allowed
    ) as rig:
        assert (await rig.ask(headers=bearer(OWN))).status == status
        for near in ("eyJhbGciOiJSUzI1NiI", "eyJ", f"{OWN}x y", "sk-official"):
            assert (await rig.ask(headers=bearer(near))).status == 401
        assert (await rig.ask(headers=bearer("key-2"))).status == 200


# -- keys and strangers ---------------------------------------------------------------------------


async def test_every_programming_interface_wants_the_key(rigged: Rigging) -> None:
    """The doors and the lists of models; ping and health answer everybody and say nothing."""
    async with rigged([conversation("ok")], API_KEYS="key-1") as rig:
        for path in ("/v1/models", "/v1/models/gpt-4", "/v1/engines", "/backend-api/models"):
            assert (await rig.fetch(path)).status == 401, path
            assert (await rig.fetch(path, headers=bearer("key-1"))).status == 200, path
        for path in ("/ping", "/healthz", "/readyz"):
            assert (await rig.fetch(path)).status == 200
        outside = (await rig.fetch("/")).text
        assert "tok-a" not in outside
        assert "credential" not in outside
        assert rig.backend.url() not in outside
        # The key is no admin password, and the password no key.
        assert (await rig.fetch("/admin/tokens", headers=bearer("key-1"))).status == 401
        assert (await rig.ask(headers=bearer(ADMIN_PASSWORD))).status == 401
        # A foreign page that knows a key may use it: the page's user gave it away.
        page = {"Origin": "https://any.example", **bearer("key-1")}
        assert (await rig.ask(headers=page)).status == 200


async def test_the_first_page_says_what_is_ready_and_what_is_missing(rigged: Rigging) -> None:
    """To a neighbour, in text and HTML; its command is the one that works; no secrets."""
    async with rigged([conversation("ok")], tokens=[], PUID="user-secret-puid") as rig:
        missing = (await rig.fetch("/")).text
        assert "missing" in missing
        assert "access_tokens.json" in missing
        assert "curl " in missing
        await rig.admin("PATCH", "/admin/tokens", ["tok-secret-token-aaaaaaaaaaaa"])
        ready = (await rig.fetch("/")).text
        assert "ready" in ready
        page = await rig.fetch("/", headers={"Accept": "text/html,*/*"})
        assert page.headers["content-type"].startswith("text/html")
        for text in (missing, ready, page.text):
            assert "secret" not in text
            assert ADMIN_PASSWORD not in text
            assert str(rig.gateway.data_dir) not in text


# -- waiting --------------------------------------------------------------------------------------


async def test_a_greedy_key_cannot_starve_another(rigged: Rigging) -> None:
    """Twenty questions of one key wait; the first of another key comes next but one, not last."""
    gates: list[asyncio.Event] = []

    def script(_: Seen) -> Play:
        gate = asyncio.Event()
        gates.append(gate)
        return Play(pieces=conversation_events(["ok"]), gate=gate)

    async with rigged(script, API_KEYS="greedy,modest") as rig:

        async def waiting() -> int:
            status = (await rig.admin("GET", "/admin/status")).json
            [upstream] = [u for u in status["upstreams"] if u["upstream"] == "conversation"]
            count: int = upstream["waiting"]
            return count

        async def until_waiting(count: int) -> None:
            async with asyncio.timeout(20):
                while await waiting() != count:
                    pass

        greedy = [
            asyncio.create_task(rig.ask(f"greedy {i}", headers=bearer("greedy"))) for i in range(20)
        ]
        await until_waiting(19)
        modest = asyncio.create_task(rig.ask("modest", headers=bearer("modest")))
        await until_waiting(20)
        for i in range(21):
            await rig.backend.until(lambda n=i: len(gates) > n)  # type: ignore[misc]
            gates[i].set()
        answers = await asyncio.gather(*greedy, modest)
        assert [answer.status for answer in answers] == [200] * 21
        order = [seen.json["messages"][-1]["content"]["parts"][0] for seen in rig.backend.seen]
        assert order.index("modest") <= 2


async def test_a_queue_wait_of_nothing_is_a_429_at_once(rigged: Rigging) -> None:
    """``CHATGPT_TO_API_QUEUE_WAIT=0``; a free token is still lent."""
    gate = asyncio.Event()
    async with rigged(
        [Play(pieces=conversation_events(["ok"]), gate=gate)], CHATGPT_TO_API_QUEUE_WAIT="0"
    ) as rig:
        first = asyncio.create_task(rig.ask())
        await rig.backend.until(lambda: rig.backend.running == 1)
        for stream in (False, True):
            refused = await rig.ask(stream=stream)
            assert refused.status == 429
            assert int(refused.headers["retry-after"]) >= 1
            assert refused.json["error"]["code"] == "rate_limit_exceeded"
        gate.set()
        assert (await first).status == 200
        assert len(rig.backend.seen) == 1


async def test_a_full_queue_is_a_429(rigged: Rigging) -> None:
    """The queue is bounded: who comes too many is told at once, who waits is served."""
    gate = asyncio.Event()
    async with rigged(
        [Play(pieces=conversation_events(["ok"]), gate=gate)], CHATGPT_TO_API_MAX_QUEUE="2"
    ) as rig:
        asking = [asyncio.create_task(rig.ask()) for _ in range(8)]
        refused: list[Answer] = []
        while len(refused) < 5:
            done, _ = await asyncio.wait(asking, return_when=asyncio.FIRST_COMPLETED)
            asking = [task for task in asking if task not in done]
            refused += [task.result() for task in done]
        assert [answer.status for answer in refused] == [429] * 5
        gate.set()
        assert [a.status for a in await asyncio.gather(*asking)] == [200] * 3


async def test_every_window_of_the_pace_holds(rigged: Rigging) -> None:
    """``2/1s,3/3s``: no second holds three calls, no three seconds hold four, none fails."""
    loop = asyncio.get_running_loop()
    arrivals: list[float] = []

    def script(_: Seen) -> Play:
        arrivals.append(loop.time())
        return conversation("ok")

    tokens = [f"token-{i}" for i in range(5)]
    async with rigged(script, tokens=tokens, API_RATE_LIMIT="2/1s,3/3s") as rig:
        begun = loop.time()
        answers = await asyncio.gather(*(rig.ask(f"q{i}") for i in range(5)))
        assert [answer.status for answer in answers] == [200] * 5
    # What arrives late says nothing of the pace; what arrives early breaks it.
    for arrived, soonest in zip(sorted(arrivals), (0, 0, 1, 3, 3), strict=True):
        assert arrived - begun > soonest - 0.01


async def test_a_pace_longer_than_the_patience_is_a_429_that_says_when(rigged: Rigging) -> None:
    """``1/60s``: the second question cannot be sent in time; the Retry-After is a true one."""
    async with rigged(
        [conversation("ok")], API_RATE_LIMIT="1/60s", CHATGPT_TO_API_QUEUE_WAIT="1"
    ) as rig:
        assert (await rig.ask()).status == 200
        refused = await rig.ask()
        assert refused.status == 429
        assert 50 <= int(refused.headers["retry-after"]) <= 62
        assert len(rig.backend.seen) == 1


# -- a stream that waits --------------------------------------------------------------------------


def comments_only(data: bytes) -> bool:
    return all(line == b"" or line.startswith(b":") for line in data.split(b"\n"))


async def test_a_silent_stream_is_kept_alive_and_can_still_be_retried(rigged: Rigging) -> None:
    """The head leaves after the hold, comments follow, then a second backend call answers whole."""
    gate = asyncio.Event()
    events = conversation_events(["good ", "answer"])
    silent = Play(pieces=[b": thinking\n\n", b": still\n\n"], gates={1: gate}, end="reset")
    async with (
        rigged(
            [silent, Play(pieces=events)],
            tokens=["tok-a", "tok-b"],
            CHATGPT_TO_API_HOLD="0.1",
            CHATGPT_TO_API_KEEP_ALIVE="0.1",
        ) as rig,
        rig.stream(connection="close") as (reader, _),
    ):
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200 ")
        seen = b""
        while seen.count(b":") < 4:
            seen += await reader.readuntil(b"\r\n")  # chunk sizes and comments
        lines = [line for line in seen.split(b"\r\n") if b":" in line]
        assert all(comments_only(line) for line in lines)
        gate.set()
        rest = await reader.readuntil(b"[DONE]")
        assert b"good " in rest
        assert b'"error"' not in rest
        assert len(rig.backend.seen) == 2


async def test_a_failure_behind_comments_is_an_error_event_and_no_done(rigged: Rigging) -> None:
    """The head is out, so no status can say it: in-band, and nothing looks like an end."""
    silent = Play(pieces=[b": thinking\n\n"], end="hang")
    async with rigged(
        [silent],
        CHATGPT_TO_API_HOLD="0.05",
        CHATGPT_TO_API_KEEP_ALIVE="0.1",
        CHATGPT_TO_API_READ_TIMEOUT="0.5",
        CHATGPT_TO_API_MAX_ATTEMPTS="1",
    ) as rig:
        answer = await rig.ask(stream=True)
        assert answer.status == 200
        [failed] = events_of(answer)
        assert failed["error"]["code"] == "upstream_timeout"
        assert "[DONE]" not in answer.text


async def test_comments_stand_between_events_and_never_in_them(rigged: Rigging) -> None:
    """A backend that pauses in the middle of its bytes, also of an event: every event is whole."""
    whole = b"".join(conversation_events(["one ", "two ", "three"]))
    cuts = [0, 150, 700, 1100, 1500, len(whole)]
    pieces = [whole[a:b] for a, b in pairwise(cuts)]
    gates = {i: asyncio.Event() for i in range(1, len(pieces))}
    async with (
        rigged(
            [Play(pieces=pieces, gates=gates)],
            CHATGPT_TO_API_HOLD="0.05",
            CHATGPT_TO_API_KEEP_ALIVE="0.05",
        ) as rig,
        rig.stream() as (reader, _),
    ):
        seen = await reader.readuntil(b"\r\n\r\n")
        for gate in gates.values():
            comments = 0
            while comments < 2:
                line = await reader.readline()
                comments += line.startswith(b":")
                seen += line
            gate.set()
        seen += await reader.readuntil(b"[DONE]\n\n")
    body = dechunked(seen.partition(b"\r\n\r\n")[2])
    blocks = body.split(b"\n\n")
    texts = []
    for block in filter(None, blocks):
        assert b"\n" not in block
        if not block.startswith(b":") and block != b"data: [DONE]":
            event = json.loads(block.removeprefix(b"data: "))
            texts.append(event["choices"][0]["delta"].get("content") or "")
    assert "".join(texts) == "one two three"
    assert sum(block.startswith(b":") for block in blocks) >= 2 * len(gates)


def dechunked(data: bytes) -> bytes:
    """The body of as many whole chunks as there are; the last one may be cut."""
    body = b""
    while data:
        size, _, rest = data.partition(b"\r\n")
        body += rest[: int(size, 16)]
        data = rest[int(size, 16) + 2 :]
    return body


# -- a client that leaves -------------------------------------------------------------------------


async def test_an_upstream_may_be_drained_when_the_client_goes(tmp_path: Path) -> None:
    """``on_client_gone = "drain"``: the call is read to its end, the lease comes back with it."""
    gate = asyncio.Event()
    events = conversation_events(["half ", "more"])
    play = Play(pieces=events, gates={1: gate})
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "config.toml").write_text(
        '[upstreams.conversation]\non_client_gone = "drain"\nbase_url = "http://127.0.0.1:9/conversation"\n'
    )
    async with rigging(tmp_path / "data")([play, conversation("next")]) as rig:
        async with rig.stream() as (reader, _):
            await reader.readuntil(b"half ")
        [busy] = await rig.credentials()
        assert busy["in_flight"] == 1
        assert rig.backend.running == 1
        waiting = asyncio.create_task(rig.ask())
        gate.set()
        assert (await waiting).json["choices"][0]["message"]["content"] == "next"
        assert rig.backend.hung_up == 0
        assert rig.backend.most_running == 1


# -- the admin ------------------------------------------------------------------------------------


async def test_tokens_by_every_method(rigged: Rigging) -> None:
    """GET, POST, PATCH, DELETE of one and all; what changes is what goes out."""
    async with rigged([conversation("ok")], tokens=[]) as rig:

        async def out() -> set[str]:
            rig.backend.seen.clear()
            for _ in range(3):
                await rig.ask()
            return set(rig.backend.tokens)

        assert (await rig.admin("POST", "/admin/tokens", ["t-one"])).status == 200
        assert (await rig.admin("POST", "/admin/tokens", ["t-two", {"token": "t-three"}])).json[
            "message"
        ]
        assert await out() == {"t-one", "t-two", "t-three"}
        listed = await rig.credentials()
        for credential in listed:
            assert {"id", "token", "state", "in_flight", "served", "last_error", "expires"} <= set(
                credential
            )
            assert credential["served"] == 1
        gone = listed[0]["id"]
        assert (await rig.admin("DELETE", f"/admin/tokens/{gone}")).status == 200
        assert len(await out()) == 2
        assert (await rig.admin("DELETE", f"/admin/tokens/{gone}")).status == 404
        # What the list shows is masked and is refused when it is sent back.
        masked = [c["token"] for c in await rig.credentials()]
        assert (await rig.admin("PATCH", "/admin/tokens", masked)).status == 400
        assert (await rig.admin("DELETE", "/admin/tokens")).status == 200
        assert await rig.credentials() == []
        assert (await rig.ask()).status == 503


async def test_expiry_is_read_from_the_token(rigged: Rigging) -> None:
    """The JWT's ``exp`` shows; a token that has expired is not sent."""
    expired = "eyJhbGciOiJSUzI1NiJ9.eyJleHAiOjE2MDAwMDAwMDB9.c2lnbmF0dXJl"
    async with rigged([conversation("ok")], tokens=[OWN, expired]) as rig:
        for _ in range(3):
            assert (await rig.ask()).status == 200
        assert rig.backend.tokens == [OWN] * 3
        shown = {c["expires"]: c["state"] for c in await rig.credentials()}
        assert shown[9999999999] == "ready"
        assert shown[1600000000] == "invalid"


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/admin/password", {"password": ""}, 400),
        ("/admin/password", {}, 400),
        ("/admin/puid", {"puid": "user-x\r\nevil: 1"}, 400),
        ("/admin/puid", {"puid": 5}, 400),
        ("/admin/openai", {"openai_email": "a@b.c", "openai_password": "p"}, 400),
        ("/admin/openai", {"official_api_key": 1}, 400),
        ("/admin/tokens", {"token": "x"}, 400),
        ("/admin/tokens", "not json", 400),
        ("/admin/tokens", ["a\r\nb"], 400),
        ("/admin/tokens", ["same-token", {"token": ""}], 400),
    ],
)
async def test_a_wrong_admin_value_is_a_400(
    admin_rig: Rig, path: str, body: Any, status: int
) -> None:
    """In OpenAI's shape; nothing changed."""
    refused = await admin_rig.admin("PATCH", path, body)
    assert refused.status == status, refused.text
    assert set(refused.json["error"]) == {"message", "type", "param", "code"}
    assert (await admin_rig.ask()).status == 200


@pytest.fixture
async def admin_rig(rigged: Rigging) -> Any:
    async with rigged([conversation("ok")]) as rig:
        yield rig


async def test_wrong_passwords_are_slowed_down(rigged: Rigging) -> None:
    """The first ones cost nothing, then tries are held back and shut out; the doors answer on."""
    async with rigged([conversation("ok")]) as rig:

        async def guess(word: str) -> Answer:
            return await rig.fetch("/admin/tokens", headers={"Authorization": word})

        assert [(await guess("wrong")).status for _ in range(3)] == [401] * 3
        at_once = await asyncio.gather(*(guess(f"wrong {i}") for i in range(12)))
        assert {answer.status for answer in at_once} == {401, 429}
        shut_out = [answer for answer in at_once if answer.status == 429]
        assert all(int(answer.headers["retry-after"]) >= 1 for answer in shut_out)
        assert len(shut_out) > 8
        assert (await rig.ask()).status == 200


async def test_puid_and_official_key_by_patch(rigged: Rigging) -> None:
    """The PUID goes out as the cookie at once; the official key makes its upstream, unasked."""
    async with rigged([conversation("ok")]) as rig:
        assert (await rig.admin("PATCH", "/admin/puid", {"puid": "user-new"})).status == 200
        await rig.ask()
        assert "_puid=user-new" in rig.backend.seen[-1].headers["cookie"]
        await rig.admin("PATCH", "/admin/puid", {"puid": ""})
        await fresh(rig)
        await rig.ask()
        assert "_puid" not in rig.backend.seen[-1].headers.get("cookie", "")
        assert text_of(events_of(await rig.ask(stream=True))) == "ok"
