"""The table of faults, row by row, seen from outside: by the client, the backend and the admin."""

from __future__ import annotations

import json
from typing import Any

import pytest

from support.rig import Rigging
from support.scripted_backend import (
    Play,
    Seen,
    conversation,
    conversation_events,
    html_play,
    json_play,
)

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.fixture
def rigged(shared_rigs: Rigging) -> Rigging:
    """One gateway for all tests here that set nothing of their own."""
    return shared_rigs


EXPIRED = {
    "detail": {
        "message": "Your authentication token has expired. Please try signing in again.",
        "type": "invalid_request_error",
        "param": None,
        "code": "token_expired",
    }
}
CAPPED = {
    "detail": {
        "message": "You have sent too many messages to the model. Please try again later.",
        "code": "model_cap_exceeded",
        "clears_in": 90,
    }
}
BUSY = {
    "detail": "Only one message at a time. Please allow any other responses to complete before "
    "sending another message, or wait one minute."
}


def for_token(bad: Play, token: str = "tok-a") -> Any:
    """A backend that plays ``bad`` to one token and answers every other."""

    def script(seen: Seen) -> Play:
        return bad if seen.token == token else conversation("fine")

    return script


async def test_an_expired_token_is_invalid_and_the_next_one_answers(rigged: Rigging) -> None:
    """401: the credential is invalid until replaced, its reason kept; the request goes on."""
    async with rigged(for_token(json_play(EXPIRED, 401)), tokens=["tok-a", "tok-b"]) as rig:
        for _ in range(3):
            assert (await rig.ask()).json["choices"][0]["message"]["content"] == "fine"
        assert rig.backend.tokens == ["tok-a", "tok-b", "tok-b", "tok-b"]
        invalid = [c for c in await rig.credentials() if c["state"] == "invalid"]
        assert len(invalid) == 1
        assert "expired" in json.dumps(invalid[0])


async def test_the_only_token_expired_says_so_and_names_the_cure(rigged: Rigging) -> None:
    """A user with one token reads what happened, in the upstream's words, and what to do."""
    async with rigged([json_play(EXPIRED, 401)]) as rig:
        for words in ("authentication token has expired", "token_expired"):
            answer = await rig.ask()
            assert answer.status == 503
            error = answer.json["error"]
            assert words in error["message"]
            assert "/admin/tokens" in error["message"]
            assert "tok-a" not in answer.text
        assert len(rig.backend.seen) == 1  # a dead token is not tried again


@pytest.mark.parametrize("status", [402, 403])
async def test_no_access_cools_the_credential_and_the_next_one_answers(
    rigged: Rigging, status: int
) -> None:
    """402 and 403 with JSON rest the credential for ten minutes; another one answers."""
    denied = json_play({"detail": "This account has no access."}, status)
    async with rigged(for_token(denied), tokens=["tok-a", "tok-b"]) as rig:
        assert (await rig.ask()).status == 200
        assert (await rig.states()) == {"cooling": 1, "ready": 1}


@pytest.mark.parametrize("status", [403, 503])
async def test_a_challenge_page_rests_the_upstream_and_no_credential(
    rigged: Rigging, status: int
) -> None:
    """An HTML page says nothing about the token: the pool stays whole, the page is named."""
    async with rigged([html_play(status)], tokens=["tok-a", "tok-b", "tok-c"]) as rig:
        first = await rig.ask()
        assert first.status == 503
        assert "challenges this address" in first.json["error"]["message"]
        second = await rig.ask()
        assert second.status == 503
        assert int(second.headers["retry-after"]) > 0
        assert len(rig.backend.seen) == 1
        assert (await rig.states()) == {"ready": 3}


async def test_a_model_cap_rests_the_credential_for_that_model_only(rigged: Rigging) -> None:
    """``clears_in`` closes one model of one account; the account goes on serving others."""

    def script(seen: Seen) -> Play:
        return json_play(CAPPED, 429) if seen.json["model"] == "gpt-4" else conversation("fine")

    async with rigged(script, CHATGPT_TO_API_QUEUE_WAIT="1") as rig:
        capped = await rig.ask(model="gpt-4")
        assert capped.status == 429
        assert 80 <= int(capped.headers["retry-after"]) <= 91
        assert "too many messages" in capped.json["error"]["message"]
        assert (await rig.ask(model="gpt-3.5-turbo")).status == 200
        [credential] = await rig.credentials()
        assert "gpt-4" in json.dumps(credential)


async def test_retry_after_is_believed_and_another_credential_answers(rigged: Rigging) -> None:
    """429 with a time: this credential rests until then, the next one answers at once."""
    limited = json_play({"detail": "slow down"}, 429, retry_after="7")
    async with rigged(for_token(limited), tokens=["tok-a", "tok-b"]) as rig:
        assert (await rig.ask()).status == 200
        assert (await rig.ask()).status == 200
        assert rig.backend.tokens == ["tok-a", "tok-b", "tok-b"]
        [cooling] = [c for c in await rig.credentials() if c["models"]]
        assert cooling["models"][0]["model"] == "gpt-3.5-turbo"


async def test_a_429_without_a_time_is_waited_out_by_the_same_request(rigged: Rigging) -> None:
    """No time given: a short backoff, then the same credential is tried again and answers."""
    async with rigged([json_play({"detail": "slow down"}, 429), conversation("fine")]) as rig:
        assert (await rig.ask()).status == 200
        assert len(rig.backend.seen) == 2


async def test_a_busy_account_rests_a_minute_and_the_client_learns_when(rigged: Rigging) -> None:
    """ "Only one message at a time": 429 with the upstream's words and a true Retry-After."""
    async with rigged([json_play(BUSY, 429)], CHATGPT_TO_API_QUEUE_WAIT="1") as rig:
        answer = await rig.ask()
        assert answer.status == 429
        assert 50 <= int(answer.headers["retry-after"]) <= 61
        assert "Only one message at a time" in answer.json["error"]["message"]


@pytest.mark.parametrize("status", [400, 409, 413, 422])
async def test_what_is_wrong_with_the_request_is_not_tried_again(
    rigged: Rigging, status: int
) -> None:
    """The upstream's refusal of the request itself comes back as it is, once."""
    async with rigged([json_play({"detail": "not like this"}, status)], tokens=["a1", "b1"]) as rig:
        answer = await rig.ask()
        assert answer.status == status
        assert "not like this" in answer.json["error"]["message"]
        assert len(rig.backend.seen) == 1
        assert (await rig.states()) == {"ready": 2}


async def test_a_404_is_passed_on(rigged: Rigging) -> None:
    """404 is an answer, not a reason to try another account."""
    async with rigged([json_play({"detail": "Conversation not found"}, 404)]) as rig:
        answer = await rig.ask()
        assert answer.status == 404
        assert "Conversation not found" in answer.json["error"]["message"]
        assert len(rig.backend.seen) == 1


@pytest.mark.parametrize(
    "bad",
    [
        json_play({"detail": "Hmm...something seems to have gone wrong."}, 500),
        html_play(502, "<html>bad gateway</html>"),
        Play(end="reset"),
        Play(pieces=[conversation_events(["x"])[0][:40]], end="close"),
        Play(pieces=[b'data: {"message": null, "error": "overloaded"}\n\n']),
        json_play({"detail": "Something went wrong."}, 200),
        Play(pieces=[b"data: [DONE]\n\n"]),
    ],
    ids=["500", "502-html", "reset", "cut", "error-in-200", "json-200", "empty"],
)
@pytest.mark.parametrize("stream", [False, True])
async def test_a_failure_before_content_is_tried_again(
    rigged: Rigging, bad: Play, stream: bool
) -> None:
    """Nothing has reached the client yet, so another try gives one clean answer."""
    async with rigged([bad, conversation("fine")]) as rig:
        answer = await rig.ask(stream=stream)
        assert answer.status == 200
        assert "fine" in answer.text
        assert "error" not in answer.text
        assert len(rig.backend.seen) == 2


async def test_an_upstream_that_is_down_is_named_after_three_tries(rigged: Rigging) -> None:
    """At most three calls; then a 502 that keeps the upstream's words."""
    async with rigged([json_play({"detail": "Hmm...something"}, 500)], tokens=["a1", "b1"]) as rig:
        answer = await rig.ask()
        assert answer.status == 502
        assert "Hmm...something" in answer.json["error"]["message"]
        assert len(rig.backend.seen) == 3


async def test_the_circuit_opens_after_five_faults_and_says_until_when(rigged: Rigging) -> None:
    """Five faults in a row: no more calls for a while, and a 503 with Retry-After."""
    async with rigged([json_play({"detail": "down"}, 500)]) as rig:
        await rig.ask()
        await rig.ask()
        calls = len(rig.backend.seen)
        assert calls == 5
        answer = await rig.ask()
        assert answer.status == 503
        assert 1 <= int(answer.headers["retry-after"]) <= 10
        assert len(rig.backend.seen) == calls


async def test_an_unreachable_upstream_is_a_clear_502(rigged: Rigging) -> None:
    """Nobody listens at the URL: the message names the upstream and the cause."""
    async with rigged(
        [conversation("never")], API_REVERSE_PROXY="http://127.0.0.1:9/conversation"
    ) as rig:
        answer = await rig.ask()
        assert answer.status == 502
        assert "refused" in answer.json["error"]["message"]


async def test_a_silent_upstream_is_a_504(rigged: Rigging) -> None:
    """Silence is bounded by the read timeout, the whole request by its deadline."""
    async with rigged(
        [Play(end="hang")],
        CHATGPT_TO_API_READ_TIMEOUT="0.3",
        CHATGPT_TO_API_REQUEST_DEADLINE="5",
    ) as rig:
        answer = await rig.ask()
        assert answer.status == 504
        assert "silent" in answer.json["error"]["message"]


async def test_a_cut_after_content_is_an_error_event_and_no_done(rigged: Rigging) -> None:
    """A streaming client gets what was said, then an error, and nothing that looks like an end."""
    cut = Play(pieces=conversation_events(["half an ", "answer"])[:2], end="close")
    async with rigged([cut, conversation("never")]) as rig:
        answer = await rig.ask(stream=True)
        assert answer.status == 200
        assert "half an answer" in "".join(
            event["choices"][0]["delta"].get("content", "")
            for event in _events(answer.text)
            if "choices" in event
        )
        assert "error" in _events(answer.text)[-1]
        assert "[DONE]" not in answer.text
        assert len(rig.backend.seen) == 1


async def test_a_cut_after_content_is_a_502_without_a_stream(rigged: Rigging) -> None:
    """A non-streaming client never gets half an answer as a whole one."""
    cut = Play(pieces=conversation_events(["half an ", "answer"])[:2], end="close")
    async with rigged([cut]) as rig:
        answer = await rig.ask()
        assert answer.status == 502
        assert answer.json["error"]["code"]
        assert len(rig.backend.seen) == 1


async def test_no_token_at_all_says_what_to_do(rigged: Rigging) -> None:
    """503 with the way to give tokens."""
    async with rigged([conversation("never")], tokens=[]) as rig:
        answer = await rig.ask()
        assert answer.status == 503
        assert "/admin/tokens" in answer.json["error"]["message"]


def _events(text: str) -> list[dict[str, Any]]:
    return [
        json.loads(line.removeprefix("data: "))
        for line in text.splitlines()
        if line.startswith("data: {")
    ]
