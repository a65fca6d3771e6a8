"""What each failure of an OpenAI-style server means for client, credential, upstream and retry."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatgpt_to_api.dialects.contract import UpstreamFault
from chatgpt_to_api.dialects.faults import fault_of_event
from chatgpt_to_api.dialects.openai_any.upstream import AnyUpstream
from chatgpt_to_api.dialects.openai_chat.upstream import ChatUpstream
from chatgpt_to_api.errors import (
    GatewayError,
    RateLimited,
    Unavailable,
    UpstreamChallenge,
    UpstreamDenied,
    UpstreamFailed,
    UpstreamRejected,
    UpstreamTimeout,
)
from chatgpt_to_api.wire.http import ReplyHead

NOW = 1_700_000_000.0
UPSTREAM = ChatUpstream("http://upstream.example/v1")
PAGE = b"<!DOCTYPE html><title>Just a moment...</title>"


def fault(
    status: int, body: Any = None, content_type: bytes = b"application/json", **headers: str
) -> UpstreamFault:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    fields = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    head = ReplyHead(status, [(b"content-type", content_type), *fields])
    return UPSTREAM.fault(head, data, NOW)


def said(message: str = "words", **fields: Any) -> dict[str, Any]:
    return {"error": {"message": message, **fields}}


def effects(found: UpstreamFault) -> tuple[Any, ...]:
    return (found.credential, found.upstream, found.retry, found.cool_for, found.only_model)


@pytest.mark.parametrize(
    ("found", "error", "expected"),
    [
        (fault(401, said(code="invalid_api_key")), UpstreamDenied,
         ("invalid", "none", "next_credential", None, False)),
        (fault(401, said()), UpstreamDenied, ("invalid", "none", "next_credential", None, False)),
        (fault(402, said()), UpstreamDenied, ("cool", "none", "next_credential", 600, False)),
        (fault(403, said()), UpstreamDenied, ("cool", "none", "next_credential", 600, False)),
        (fault(403, said(code="model_not_found")), UpstreamDenied,
         ("cool", "none", "next_credential", 600, True)),
        (fault(403, said(code="unsupported_country_region_territory")), UpstreamDenied,
         ("none", "cool", "next_candidate", 600, False)),
        (fault(403, PAGE, b"text/html"), UpstreamChallenge,
         ("none", "cool", "next_candidate", 60, False)),
        (fault(503, PAGE, b"text/html"), UpstreamChallenge,
         ("none", "cool", "next_candidate", 60, False)),
        (fault(503, b"<html><title>Service Unavailable</title>", b"text/html"), Unavailable,
         ("none", "count", "again", None, False)),
        (fault(401, PAGE, b"text/html"), UpstreamFailed, ("none", "count", "again", None, False)),
        (fault(429, said(), retry_after="7"), RateLimited,
         ("cool", "none", "next_credential", 7, True)),
        (fault(429, said()), RateLimited, ("backoff", "none", "again", None, True)),
        (fault(429, said(code="insufficient_quota"), retry_after="7"), RateLimited,
         ("cool", "none", "next_credential", 600, False)),
        (fault(429, said(type="insufficient_quota")), RateLimited,
         ("cool", "none", "next_credential", 600, False)),
        (fault(429, PAGE, b"text/html"), RateLimited,
         ("none", "cool", "next_candidate", 15, False)),
        (fault(400, said()), UpstreamRejected, ("none", "none", "never", None, False)),
        (fault(404, said(code="model_not_found")), UpstreamRejected,
         ("none", "none", "never", None, False)),
        (fault(409, said()), UpstreamRejected, ("none", "none", "never", None, False)),
        (fault(413, said()), UpstreamRejected, ("none", "none", "never", None, False)),
        (fault(422, said()), UpstreamRejected, ("none", "none", "never", None, False)),
        (fault(404, b"404 page not found", b"text/plain"), UpstreamFailed,
         ("none", "none", "next_candidate", None, False)),
        (fault(405, b"", b""), UpstreamFailed, ("none", "none", "next_candidate", None, False)),
        (fault(302, b"", b""), UpstreamFailed, ("none", "none", "next_candidate", None, False)),
        (fault(408, said()), UpstreamTimeout, ("none", "count", "again", None, False)),
        (fault(500, said()), UpstreamFailed, ("none", "count", "again", None, False)),
        (fault(502, PAGE, b"text/html"), UpstreamFailed, ("none", "count", "again", None, False)),
        (fault(503, said()), Unavailable, ("none", "count", "again", None, False)),
        (fault(504, b"", b""), UpstreamTimeout, ("none", "count", "again", None, False)),
        (fault(529, said()), Unavailable, ("none", "count", "again", None, False)),
    ],
)  # fmt: skip
def test_the_table_of_faults(
    found: UpstreamFault, error: type[GatewayError], expected: tuple[Any, ...]
) -> None:
    """Each row: the client's error, and what credential, upstream and retry come to."""
    assert type(found.error) is error
    assert effects(found) == expected


def test_a_refused_request_keeps_the_upstreams_words() -> None:
    """Message, type, param and code reach the client as the upstream gave them."""
    found = fault(
        400,
        said("prompt is too long: 9 tokens > 8 maximum", type="t", param="messages", code="c"),
    )
    error = found.error
    assert (error.status, error.text) == (400, "prompt is too long: 9 tokens > 8 maximum")
    assert (error.kind, error.param, error.code) == ("t", "messages", "c")
    assert fault(422, b"").error.message == "The upstream refused the request with status 422."


def test_the_operators_trouble_is_not_the_callers_status() -> None:
    """A refused key of ours is a 502 with the upstream's words, not a 401 for the client."""
    error = fault(401, said("Incorrect API key")).error
    assert error.status == 502
    assert "Incorrect API key" in error.text


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (404, {"detail": "Not Found"}),
        (405, {"detail": "Method Not Allowed"}),
        (404, said("Not Found", type="NotFoundError", code=404)),
        (404, said("File Not Found", type="not_found_error", code=404)),
        (404, said("Invalid URL (POST /chat/completions)", type="invalid_request_error")),
        (404, b"404 page not found"),
        (404, said("There is nothing at '/responses', but at '/v1/responses': put …", code="x")),
    ],
)
def test_a_server_without_the_path_has_the_wrong_base_url(status: int, body: Any) -> None:
    """However it says so: a bare "Not Found" would leave the client guessing what was not found."""
    found = fault(status, body)
    assert (found.error.code, found.error.status) == ("upstream_wrong_path", 502)
    assert found.retry == "next_candidate"


def test_a_code_that_is_the_status_again_is_none() -> None:
    """llama.cpp's; the type says more."""
    found = fault(400, said("max_tokens: too small", code=400, type="invalid_request_error"))
    assert found.error.code == "invalid_request_error"
    assert fault(400, said("too small", code=400)).error.code == "upstream_rejected"


@pytest.mark.parametrize(
    "body",
    [
        {"detail": "Model not found"},
        said("The model `x` does not exist", code="model_not_found"),
        said("Not found: the model 'x'", type="not_found_error"),
    ],
)
def test_what_is_missing_at_the_right_path_is_the_clients(body: Any) -> None:
    """A model's 404 is passed on with its words."""
    assert fault(404, body).error.status == 404


def test_lm_studio_says_it_with_a_200() -> None:
    """An answer that is one error, about the path."""
    found = fault_of_event({"error": "Unexpected endpoint or method. (POST /chat/completions)"})
    assert found.error.code == "upstream_wrong_path"


def test_a_path_of_the_clients_own_choice_is_between_the_two() -> None:
    """The transparent relay passes on what a server says of it."""
    head = ReplyHead(404, [(b"content-type", b"application/json")])
    found = AnyUpstream("http://upstream.example/v1").fault(head, b'{"detail":"Not Found"}', NOW)
    assert (found.error.status, found.retry) == (404, "never")


def test_reasons_hold_codes_and_never_prose() -> None:
    """A reason is kept and shown; an upstream's prose may repeat a key."""
    found = fault(401, said("Incorrect API key provided: sk-planted", code="invalid_api_key"))
    assert found.reason == "key refused (invalid_api_key)"
    assert fault(403, said("sk-planted", code="sk-planted 5")).reason == "no access"


@pytest.mark.parametrize(
    ("headers", "message", "seconds"),
    [
        ({"retry_after": "2"}, "", 2),
        ({"retry_after": "Tue, 14 Nov 2023 22:13:30 GMT"}, "", 10),
        ({"retry_after_ms": "1500", "retry_after": "9"}, "", 1.5),
        ({"retry_after": "864000"}, "", 600),
        ({"retry_after": "0"}, "", None),
        ({"retry_after": "soon"}, "Please try again in 1.2s.", 1.2),
        ({}, "Please try again in 6m0s. Visit us", 360),
        ({}, "Rate limit reached. Please retry after 20 seconds.", 20),
        ({}, "try again in 120ms", 0.12),
        ({}, "try again later", None),
        ({"x_ratelimit_reset_requests": "1s", "x_ratelimit_reset_tokens": "6m0s"}, "", 360),
        (
            {
                "x_ratelimit_remaining_requests": "0",
                "x_ratelimit_reset_requests": "1s",
                "x_ratelimit_remaining_tokens": "500",
                "x_ratelimit_reset_tokens": "6m0s",
            },
            "",
            1,
        ),
        ({"x_ratelimit_reset": "1700000030"}, "", 30),
        ({"x_ratelimit_reset": "1700000030000"}, "", 30),
        ({"x_ratelimit_reset": "1600000000"}, "", None),
    ],
)
def test_when_a_limit_ends(headers: dict[str, str], message: str, seconds: float | None) -> None:
    """Headers before words, milliseconds before seconds, ten minutes at most, zero is no time."""
    found = fault(429, said(message), **headers)
    assert found.cool_for == (None if seconds is None else pytest.approx(seconds))
    assert found.credential == ("backoff" if seconds is None else "cool")
    assert found.error.retry_after is not None


def test_an_overloaded_server_may_say_when() -> None:
    """The client is told the same time."""
    assert fault(503, said(), retry_after="9").error.retry_after == 9


@pytest.mark.parametrize(
    ("error", "kind", "credential", "retry"),
    [
        ({"message": "m", "code": 429}, RateLimited, "backoff", "again"),
        ({"message": "m", "code": "429"}, RateLimited, "backoff", "again"),
        ({"message": "m", "type": "rate_limit_error"}, RateLimited, "backoff", "again"),
        ({"message": "m", "code": "insufficient_quota"}, RateLimited, "cool", "next_credential"),
        ({"message": "m", "type": "overloaded_error"}, Unavailable, "none", "again"),
        ({"message": "m", "type": "server_error"}, UpstreamFailed, "none", "again"),
        ({"message": "m", "code": "invalid_api_key", "type": "invalid_request_error"},
         UpstreamDenied, "invalid", "next_credential"),
        ({"message": "m", "code": "context_length_exceeded"}, UpstreamRejected, "none", "never"),
        ({"message": "m", "type": "invalid_request_error"}, UpstreamRejected, "none", "never"),
        ({"message": "m"}, UpstreamFailed, "none", "again"),
        ("just words", UpstreamFailed, "none", "again"),
    ],
)  # fmt: skip
def test_an_error_inside_a_200_means_what_its_status_would(
    error: Any, kind: type[GatewayError], credential: str, retry: str
) -> None:
    """By a number, a code or a type; without a sign it is the server's failure."""
    found = fault_of_event({"error": error})
    assert (type(found.error), found.credential, found.retry) == (kind, credential, retry)


@given(
    status=st.integers(300, 599),
    body=st.binary(max_size=60),
    value=st.text(max_size=20),
)
def test_any_failure_has_a_meaning(status: int, body: bytes, value: str) -> None:
    """No header or body makes reading a failure fail, and no wait is beyond ten minutes."""
    headers = [
        (b"content-type", value.encode()),
        (b"retry-after", value.encode()),
        (b"x-ratelimit-reset", value.encode()),
    ]
    found = UPSTREAM.fault(ReplyHead(status, headers), body, NOW)
    assert found.error.status >= 400
    assert found.cool_for is None or 0 < found.cool_for <= 600
