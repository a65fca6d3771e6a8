"""Error bodies of every shape seen give text, code and the blamed field."""

from __future__ import annotations

import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatgpt_to_api.wire.error_body import (
    MAX_MESSAGE,
    looks_like_challenge,
    read_error_body,
    read_error_value,
)

JSON = "application/json"


@pytest.mark.parametrize(
    ("body", "message", "code", "param"),
    [
        ('{"detail": "text"}', "text", None, None),
        ('{"detail": {"message": "m", "code": "c", "param": null}}', "m", "c", None),
        (
            '{"detail": [{"loc": ["body", "action"], "msg": "field required", "type": "missing"}]}',
            "body.action: field required",
            None,
            "action",
        ),
        ('{"error": {"message": "m", "type": "t", "param": "p", "code": "c"}}', "m", "c", "p"),
        ('{"error": {"message": "m", "code": 429, "status": "EXHAUSTED"}}', "m", "429", None),
        ('{"error": "text"}', "text", None, None),
        ('{"detail": null, "error": "text"}', "text", None, None),
        ('{"errorMessage": "Missing accessToken."}', "Missing accessToken.", None, None),
        ('{"code": 401, "msg": "AccessToken is required"}', "AccessToken is required", "401", None),
        ('{"object": "error", "message": "m", "code": 400, "param": null}', "m", "400", None),
        ('[{"error": {"message": "m"}}]', "m", None, None),
        ('{"errors": [{"message": "a"}, {"message": "b"}]}', "a; b", None, None),
        ('{"error": {"reason": {"x": 1}}}', '{"x":1}', None, None),
        ('{"error": {"x": 1}}', '{"x":1}', None, None),
        ('{"error": 5}', "5", None, None),
        ('{"error": {"message": {"message": "deep"}}}', "deep", None, None),
        ('"text"', "text", None, None),
        ("{}", "", None, None),
        ("null", "", None, None),
        ("", "", None, None),
        ("Internal Server Error\n", "Internal Server Error", None, None),
        ('{"error": {"message": "cut', '{"error": {"message": "cut', None, None),
    ],
)
def test_each_shape_gives_its_words(
    body: str, message: str, code: str | None, param: str | None
) -> None:
    """The message is always text, whatever stood there, and nothing else is invented."""
    read = read_error_body(JSON, body.encode())
    assert (read.message, read.code, read.param, read.is_html) == (message, code, param, False)


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("text/html", b"<p>blocked</p>"),
        ("", b"<!DOCTYPE html><html><title>Just a moment...</title>"),
        (JSON, b"\n  <HTML><head><title>\nJust a moment...</title>"),
    ],
)
def test_a_web_page_is_told_from_an_error_by_type_or_by_its_beginning(
    content_type: str, body: bytes
) -> None:
    """A challenge page is recognised though the content type lies; its title is the message."""
    read = read_error_body(content_type, body)
    assert read.is_html
    assert read.message in ("", "Just a moment...")


def test_a_challenge_is_told_from_a_plain_error_page_by_its_words() -> None:
    """A server's own 503 page says nothing about the address that asked."""
    assert looks_like_challenge(b"<title>Just a moment...</title>")
    assert looks_like_challenge(b"<p>Sorry, you have been blocked</p>")
    assert not looks_like_challenge(b"<h1>503 Service Temporarily Unavailable</h1>")


def test_the_object_the_message_stood_in_is_kept() -> None:
    """A dialect finds its own extra fields there, with their JSON types."""
    body = b'{"detail": {"message": "m", "code": "model_cap_exceeded", "clears_in": 11461}}'
    read = read_error_body(JSON, body)
    assert read.fields["clears_in"] == 11461
    assert read_error_value({"error": {"message": "m", "type": "t"}}).kind == "t"


def test_messages_are_bounded() -> None:
    """A page of text does not become a page of error message."""
    read = read_error_body(JSON, json.dumps({"error": {"message": "x" * 10_000}}).encode())
    assert len(read.message) == MAX_MESSAGE
    assert len(read_error_body("text/plain", b"\xff" * 100_000).message) == MAX_MESSAGE


@given(
    st.binary()
    | st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda inner: (
            st.lists(inner)
            | st.dictionaries(st.sampled_from(["error", "detail", "message", "loc", "code"]), inner)
        ),
    ).map(lambda value: json.dumps(value).encode())
)
def test_any_body_is_read(body: bytes) -> None:
    """Whatever an upstream sends, reading its error gives text and never raises."""
    read = read_error_body(JSON, body)
    assert isinstance(read.message, str)
    assert read.code is None or isinstance(read.code, str)


def test_deep_nesting_is_text() -> None:
    """JSON nested too deeply to decode is shown as text, bounded."""
    assert read_error_body(JSON, b"[" * 100_000).message.startswith("[[[")
    assert read_error_body(JSON, b'{"error":' * 400 + b"1" + b"}" * 400).message
    assert read_error_body(JSON, b"[" * 900 + b"]" * 900).message


def test_a_page_of_titles_is_read_in_linear_time() -> None:
    """Each would be the beginning of all that follows: it has to end before another one begins."""
    before = time.process_time()
    assert read_error_body("text/html", b"<title" * 50_000).message == ""
    assert time.process_time() - before < 2
