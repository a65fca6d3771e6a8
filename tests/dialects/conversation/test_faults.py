"""What a refusal means, row by row: for the credential, the upstream, the retry and the caller."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatgpt_to_api.dialects.contract import UpstreamFault
from chatgpt_to_api.dialects.conversation.faults import fault_of_complaint, fault_of_reply
from chatgpt_to_api.errors import (
    RateLimited,
    Unavailable,
    UpstreamChallenge,
    UpstreamDenied,
    UpstreamFailed,
    UpstreamRejected,
)
from chatgpt_to_api.wire.http import ReplyHead

NOW = 1_700_000_000.0
BUSY = (
    "Only one message at a time. Please allow any other responses to complete before sending "
    "another message, or wait one minute."
)
UNUSUAL = "Our systems have detected unusual activity from your system. Please try again later."
CHALLENGE = b"<!DOCTYPE html><html><head><title>Just a moment...</title></head></html>"
NGINX = b"<html><head><title>%b</title></head><body><center>nginx</center></body></html>"


def fault(status: int, body: object = b"", **headers: str) -> UpstreamFault:
    """The fault of a refusal; a body that is no bytes is sent as JSON."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    kind = "text/html" if data.startswith(b"<") else "application/json"
    fields = {"content-type": kind, **{k.replace("_", "-"): v for k, v in headers.items()}}
    head = ReplyHead(status, [(k.encode(), v.encode()) for k, v in fields.items()])
    return fault_of_reply(head, data, NOW)


def effects(found: UpstreamFault) -> tuple[str, str, str, float | None, bool]:
    return (found.credential, found.upstream, found.retry, found.cool_for, found.only_model)


INVALID = ("invalid", "none", "next_credential", None, False)
NO_ACCESS = ("cool", "none", "next_credential", 600.0, False)
REFUSED_HERE = ("none", "cool", "next_candidate", 60.0, False)
NEVER = ("none", "none", "never", None, False)
AGAIN = ("none", "count", "again", None, False)
ELSEWHERE = ("none", "count", "next_candidate", None, False)


def coded(code: str, message: str = "m", **more: Any) -> dict[str, Any]:
    return {"detail": {"message": message, "code": code, **more}}


@pytest.mark.parametrize(
    "body",
    [
        coded("token_expired"),
        coded("invalid_jwt"),
        coded("account_deactivated"),
        {"detail": {"message": "Unauthorized - Access token is missing"}},
        {"errorMessage": "Missing accessToken."},
        {"code": 401, "msg": "AccessToken is required"},
        {},
        b"",
        b"Unauthorized",
        NGINX % b"401 Authorization Required",
    ],
)
def test_401_makes_the_credential_invalid(body: object) -> None:
    """With or without a code, until it is replaced; the next one is tried at once."""
    found = fault(401, body)
    assert effects(found) == INVALID
    assert isinstance(found.error, UpstreamDenied)


@pytest.mark.parametrize("status", [402, 403])
def test_402_and_403_with_json_cool_the_credential(status: int) -> None:
    """No access, banned, no quota: ten minutes, and the next credential."""
    found = fault(status, {"detail": "You do not have access."})
    assert effects(found) == NO_ACCESS
    assert isinstance(found.error, UpstreamDenied)
    assert found.error.said == "You do not have access."


def test_403_for_a_model_cools_the_credential_for_that_model() -> None:
    """Its other models work."""
    found = fault(403, {"errorMessage": "you have no permission to use this model"})
    assert effects(found) == ("cool", "none", "next_credential", 600.0, True)


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (403, CHALLENGE),
        (403, NGINX % b"403 Forbidden"),
        (503, CHALLENGE),
        (403, {"detail": UNUSUAL}),
        (403, {"detail": "Unusual activity has been detected from your device. Try again later."}),
        (403, b"error code: 1020"),
    ],
)
def test_a_challenge_cools_the_upstream_and_no_credential(status: int, body: object) -> None:
    """It says nothing about the token: going through all of them would burn them all."""
    found = fault(status, body)
    assert effects(found) == REFUSED_HERE
    assert isinstance(found.error, UpstreamChallenge)
    assert found.error.retry_after == 60


def test_a_page_of_200_kilobytes_is_read_from_its_beginning() -> None:
    """What is read is bounded by the caller; what is kept of it is short."""
    found = fault(403, CHALLENGE + b"x" * 64_000)
    assert len(found.error.text) < 400
    assert len(found.reason) < 200


def test_busy_cools_the_credential_for_a_minute() -> None:
    """Also where it comes with status 400."""
    for status in (429, 400):
        found = fault(status, {"detail": BUSY})
        assert effects(found) == ("cool", "none", "next_credential", 60.0, False)
        assert isinstance(found.error, RateLimited)
        assert found.error.retry_after == 60
        assert found.error.said == BUSY


def test_the_hourly_limit_cools_the_credential_ten_minutes_at_most() -> None:
    """Then a waiting request tries again."""
    found = fault(429, {"detail": "Too many requests in 1 hour. Try again later."})
    assert effects(found) == ("cool", "none", "next_credential", 600.0, False)


@pytest.mark.parametrize(
    ("clears_in", "cool_for"),
    [(11461, 600.0), (42, 42.0), ("42", 42.0), (42.5, 42.5), (-5, 1.0), (0, 1.0)],
)
def test_a_model_cap_cools_that_model_until_it_clears(clears_in: object, cool_for: float) -> None:
    """Ten minutes at most; its other models work."""
    found = fault(429, coded("model_cap_exceeded", clears_in=clears_in))
    assert effects(found) == ("cool", "none", "next_credential", cool_for, True)
    assert found.error.retry_after == max(1, -(-cool_for // 1))


@pytest.mark.parametrize("clears_in", [None, "soon", [], {}, True, float("inf")])
def test_a_model_cap_without_a_time_backs_off(clears_in: object) -> None:
    """Missing, or of a type that is no time."""
    found = fault(429, coded("model_cap_exceeded", clears_in=clears_in))
    assert effects(found) == ("backoff", "none", "again", None, True)


@pytest.mark.parametrize(
    ("value", "cool_for"), [("7", 7.0), ("99999", 600.0), ("Tue, 14 Nov 2023 22:13:50 GMT", 30.0)]
)
def test_429_with_retry_after_cools_until_then(value: str, cool_for: float) -> None:
    """Seconds or a date; it comes before what the body says."""
    for body in ({"detail": "slow down"}, coded("model_cap_exceeded", clears_in=5)):
        found = fault(429, body, retry_after=value)
        assert effects(found) == ("cool", "none", "next_credential", cool_for, True)


@pytest.mark.parametrize("value", [None, "soon"])
def test_429_without_a_time_backs_off(value: str | None) -> None:
    """Growing pauses for that model."""
    headers = {} if value is None else {"retry_after": value}
    found = fault(429, {"detail": "slow down"}, **headers)
    assert effects(found) == ("backoff", "none", "again", None, True)


@pytest.mark.parametrize("body", [b"", b"Too Many Requests", NGINX % b"429 Too Many Requests"])
def test_429_that_is_no_json_cools_the_upstream(body: bytes) -> None:
    """A proxy's own limit: it knows no accounts."""
    assert effects(fault(429, body)) == ("none", "cool", "next_candidate", 15.0, False)
    assert fault(429, body, retry_after="3").cool_for == 3.0


@pytest.mark.parametrize("status", [400, 404, 409, 410, 413, 415, 422])
def test_what_the_backend_rejects_is_never_retried(status: int) -> None:
    """The same status, code and words go to the caller."""
    found = fault(status, coded("some_code", "It is wrong."))
    assert effects(found) == NEVER
    assert isinstance(found.error, UpstreamRejected)
    assert found.error.status == status
    assert found.error.code == "some_code"
    assert found.error.said == "It is wrong."


def test_an_unknown_conversation_is_never_retried() -> None:
    """Another account would not know it either."""
    for body in ({"detail": "Conversation not found"}, coded("conversation_not_found")):
        found = fault(404, body)
        assert effects(found) == NEVER
        assert found.error.status == 404


@pytest.mark.parametrize(
    ("status", "body", "lost"),
    [
        (404, {"detail": "Conversation not found"}, True),
        (404, {"detail": "Can't load conversation 12"}, True),
        (404, coded("conversation_not_found"), True),
        (404, {"detail": "no such thing"}, True),
        (410, {"detail": "gone"}, True),
        (400, {"detail": "Conversation not found: it is busy"}, True),
        (404, {"detail": "Not Found"}, False),
        (404, b"<html></html>", False),
        (400, {"detail": "bad"}, False),
        (413, coded("conversation_too_large"), False),
    ],
)
def test_a_lost_conversation_is_told_from_other_refusals(
    status: int, body: object, lost: bool
) -> None:
    """What is worth asking again without the conversation; a wrong path is not."""
    assert fault(status, body).conversation_lost is lost


def test_a_message_that_is_too_long_is_413_whatever_its_status() -> None:
    """The code tells."""
    for status in (400, 413, 429):
        found = fault(status, coded("message_length_exceeds_limit"))
        assert effects(found) == NEVER
        assert found.error.status == 413


def test_a_validation_list_keeps_its_entries_words() -> None:
    """Field and complaint of each, and the first one's kind as the code."""
    entry = {"loc": ["body", "action"], "msg": "field required", "type": "value_error.missing"}
    found = fault(422, {"detail": [entry, {**entry, "loc": ["body", "model"]}]})
    assert found.error.said == "body.action: field required; body.model: field required"
    assert found.error.code == "value_error.missing"


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (404, NGINX % b"404 Not Found"),
        (405, NGINX % b"405 Not Allowed"),
        (404, b"404 page not found"),
        (404, {"detail": "Not Found"}),
        (405, {"detail": "Method Not Allowed"}),
        (404, {"error": {"message": "There is nothing at '/backend-api'. GET / says …"}}),
        (500, {"code": 404, "message": "Not Found"}),
    ],
)
def test_a_wrong_path_is_named_as_one(status: int, body: object) -> None:
    """Nobody answers there: the operator has to mend the URL."""
    found = fault(status, body)
    assert effects(found) == ELSEWHERE
    assert isinstance(found.error, UpstreamFailed)
    assert found.error.status == 502
    assert "path looks wrong" in found.error.message


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_redirect_is_an_error_and_no_answer(status: int) -> None:
    """Mostly to a log-in page."""
    found = fault(status, b"", location="https://example.org/auth/login")
    assert effects(found) == ELSEWHERE
    assert "log-in page" in found.error.message
    assert "example.org" not in found.error.text


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (500, {"detail": "Hmm...something seems to have gone wrong."}),
        (500, b"Internal Server Error"),
        (500, {}),
        (502, NGINX % b"502 Bad Gateway"),
        (503, NGINX % b"503 Service Temporarily Unavailable"),
        (504, b""),
        (520, b"error code: 520"),
        (526, b""),
        (408, b""),
        (425, b""),
        (101, b""),
        (204, b""),
    ],
)
def test_trouble_of_the_backend_counts_for_the_breaker(status: int, body: object) -> None:
    """And is tried again."""
    found = fault(status, body)
    assert effects(found) == AGAIN
    assert isinstance(found.error, UpstreamFailed | Unavailable)
    assert str(status) in found.error.message


@pytest.mark.parametrize("status", [503, 529])
@pytest.mark.parametrize(
    ("retry_after", "told"), [("7", 7), ("0", None), ("99999", 600), ("soon", None)]
)
def test_out_of_service_says_until_when(status: int, retry_after: str, told: int | None) -> None:
    """The client is told so, and when to come back, as a gateway before the backend tells us."""
    found = fault(status, {"detail": "No token."}, retry_after=retry_after)
    assert effects(found) == AGAIN
    assert (found.error.status, found.error.code) == (503, "upstream_overloaded")
    assert found.error.retry_after == told
    assert "No token." in found.error.text


@pytest.mark.parametrize("status", [408, 504])
def test_a_timeout_there_is_one_here(status: int) -> None:
    """Not a failure of another kind: clients wait longer rather than less."""
    found = fault(status, b"")
    assert effects(found) == AGAIN
    assert (found.error.status, found.error.code) == (504, "upstream_timeout")


def test_words_that_decide_are_the_same_without_a_status() -> None:
    """Inside a 200 there is none."""
    assert effects(fault_of_complaint({"detail": BUSY}))[:4] == (
        "cool",
        "none",
        "next_credential",
        60.0,
    )
    assert effects(fault_of_complaint(UNUSUAL)) == REFUSED_HERE
    assert effects(fault_of_complaint(coded("token_invalidated"))) == INVALID
    assert effects(fault_of_complaint("whatever")) == AGAIN
    assert effects(fault_of_complaint(coded("conversation_not_found"))) == NEVER


def test_a_reason_never_holds_what_looks_like_a_secret() -> None:
    """It is kept and shown; a backend may repeat the token it refuses."""
    token = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJ4In0.c2lnbmF0dXJl"
    found = fault(403, {"detail": f"Bad token {token}."})
    assert token[:24] not in found.reason
    assert "Bad token" in found.reason


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["detail", "error", "code", "message", "clears_in", "type", "loc"]),
            inner,
            max_size=3,
        )
    ),
)


@given(status=st.integers(100, 999), body=JSON | st.binary(max_size=60), wait=st.text(max_size=9))
def test_any_refusal_is_understood(status: int, body: object, wait: str) -> None:
    """Every status, body and header: an error that is text, and effects that fit together."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    head = ReplyHead(status, [(b"retry-after", wait.encode("utf-8", "replace"))])
    found = fault_of_reply(head, data, NOW)
    assert isinstance(found.error.text, str)
    assert found.reason
    assert found.error.message.endswith(".")
    cools = found.credential == "cool" or found.upstream == "cool"
    assert cools == (found.cool_for is not None)
    assert found.cool_for is None or 0 < found.cool_for <= 600
