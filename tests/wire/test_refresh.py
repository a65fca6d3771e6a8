"""What a token server is asked, and what its answers mean."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import parse_qs

import pytest

from chatgpt_to_api.wire.http import ReplyHead, header
from chatgpt_to_api.wire.refresh import (
    Grant,
    Refusal,
    TokenServer,
    Unclear,
    as_key,
    read_answer,
    refresh_request,
    seed_of,
)
from chatgpt_to_api.wire.secret import Secret
from support.access_tokens import jwt

NOW = 1_700_000_000.0


def answered(status: int, body: Any, **headers: str) -> Grant | Refusal | Unclear:
    head = ReplyHead(
        status, [(n.replace("_", "-").encode(), v.encode()) for n, v in headers.items()]
    )
    return read_answer(head, body if isinstance(body, bytes) else json.dumps(body).encode(), NOW)


def test_the_question_is_a_form() -> None:
    """As RFC 6749 has it; the secret stands in the body alone."""
    server = TokenServer("https://auth.example/oauth/token?x=1", "me & you", Secret("s+s"))
    call = refresh_request(server, Secret("rt=1"))
    assert (call.method, call.target) == (b"POST", b"/oauth/token?x=1")
    assert header(call.headers, b"content-type") == b"application/x-www-form-urlencoded"
    assert parse_qs(call.body.decode()) == {
        "grant_type": ["refresh_token"],
        "refresh_token": ["rt=1"],
        "client_id": ["me & you"],
        "client_secret": ["s+s"],
    }
    bare = refresh_request(TokenServer("https://auth.example/t"), Secret("rt"))
    assert bare.body == b"grant_type=refresh_token&refresh_token=rt"


@pytest.mark.parametrize(
    ("body", "grant"),
    [
        (
            {"access_token": "at", "refresh_token": "rt2", "expires_in": 60},
            Grant(Secret("at"), Secret("rt2"), NOW + 60),
        ),
        ({"access_token": "at", "expires_in": "60"}, Grant(Secret("at"), None, NOW + 60)),
        ({"access_token": "at", "expires_in": "soon"}, Grant(Secret("at"), None, None)),
        ({"access_token": "at", "expires_in": -5}, Grant(Secret("at"), None, None)),
        ({"access_token": jwt(NOW + 9)}, Grant(Secret(jwt(NOW + 9)), None, NOW + 9)),
    ],
)
def test_what_is_given(body: Any, grant: Grant) -> None:
    """A token's end is what the answer says, else what the token does."""
    assert answered(200, body) == grant


@pytest.mark.parametrize(
    "body", [b"", b"<html>", b"[]", {}, {"refresh_token": "rt2"}, {"access_token": "a b"}]
)
def test_a_good_answer_without_a_token_is_unclear(body: Any) -> None:
    """The refresh token may be spent, and nothing came for it."""
    assert isinstance(answered(200, body), Unclear)


@pytest.mark.parametrize("status", [400, 401, 403])
@pytest.mark.parametrize(
    "error", ["invalid_grant", {"code": "refresh_token_reused", "message": "rt-secret was used"}]
)
def test_a_refused_token_is_refused_for_good(status: int, error: Any) -> None:
    """Its code is told, and nothing of the prose, which may hold the token."""
    found = answered(status, {"error": error, "error_description": "rt-secret is bad"})
    assert isinstance(found, Refusal)
    assert found.final
    assert "rt-secret" not in found.reason
    assert "invalid_grant" in found.reason or "refresh_token_reused" in found.reason


@pytest.mark.parametrize(
    ("status", "headers", "wait"),
    [
        (503, {}, 60),
        (429, {"retry_after": "7"}, 7),
        (500, {"retry_after": "99999"}, 600),
        (500, {"retry_after": "soon"}, 60),
        (404, {}, 600),
        (302, {}, 600),
        (403, {}, 600),
    ],
)
def test_trouble_of_the_server_passes(status: int, headers: dict[str, str], wait: int) -> None:
    """The token is as good as before; ten minutes at most, whatever it says."""
    assert answered(status, b"<html>no</html>", **headers) == Refusal(
        f"the token server answers {status}", wait=wait
    )


def test_refresh_tokens_stand_where_keys_do() -> None:
    """Marked, so that neither is taken for the other."""
    assert seed_of(Secret("sk-1")) is None
    assert seed_of(as_key(Secret("rt"))) == Secret("rt")
    assert as_key(Secret("rt")).reveal() == "refresh:rt"
