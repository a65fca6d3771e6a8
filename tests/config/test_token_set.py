"""The set an admin sends is taken whole or not at all."""

from __future__ import annotations

import json

import pytest

from chatgpt_to_api.config.token_set import parse_added_tokens, parse_token_set
from chatgpt_to_api.errors import InvalidRequest


def test_strings_and_objects_are_taken_mixed() -> None:
    """The guide's body, with a byte-order mark too; short opaque tokens count; null is no PUID."""
    body = (
        b'\xef\xbb\xbf["eyJhbXXX", {"token": "Bearer eyJb", "puid": "user-x"}, '
        b'{"token": "c", "puid": null}]'
    )
    one, two, three = parse_token_set(body)
    assert [entry.token.reveal() for entry in (one, two, three)] == ["eyJhbXXX", "eyJb", "c"]
    assert one.access.puid is None and three.access.puid is None
    assert two.access.puid is not None and two.access.puid.reveal() == "user-x"


def test_an_empty_set_is_a_set() -> None:
    """[] is how all tokens are taken away."""
    assert parse_token_set(b"[]") == ()


@pytest.mark.parametrize(
    ("element", "param", "words"),
    [
        (5, "tokens[3]", "expected a token or an object with one, got a number"),
        (None, "tokens[3]", "got null"),
        (True, "tokens[3]", "got a boolean"),
        ([], "tokens[3]", "got an array"),
        ({}, "tokens[3].token", "expected a string"),
        ({"token": 5}, "tokens[3].token", "expected a string"),
        ({"token": "a", "puid": 5}, "tokens[3].puid", "expected a string"),
        ({"token": "a", "puid": "a;b"}, "tokens[3].puid", "no cookie may hold"),
        ({"token": "a", "team_uid": ["x"]}, "tokens[3].team_uid", "expected a string"),
        ("", "tokens[3]", "empty"),
        ("a\r\nX: y", "tokens[3]", "white space"),
        ("eyJh…3f9a", "tokens[3]", "masked"),
        ("sk-abcdef", "tokens[3]", "API key"),
        ("a@example.org:hunter2", "tokens[3]", "does not log in"),
    ],
)
def test_one_bad_element_refuses_the_set_by_its_place(
    element: object, param: str, words: str
) -> None:
    """The error's param is the element, and it says that nothing was changed."""
    with pytest.raises(InvalidRequest) as caught:
        parse_token_set(json.dumps(["a", "b", "c", element, "d"]).encode())
    assert caught.value.param == param
    assert words in caught.value.message
    assert "Nothing was changed" in caught.value.message
    assert "hunter2" not in caught.value.message


@pytest.mark.parametrize("body", [b"", b"eyJh", b"[", b'["a"', b"[" * 100000, b"\xff", b"tokens=a"])
def test_what_is_not_json_is_refused(body: bytes) -> None:
    """The original's words, and what is expected."""
    with pytest.raises(InvalidRequest, match="tokens not provided") as caught:
        parse_token_set(body)
    assert caught.value.code == ("invalid_json" if body.strip() else "empty_body")


@pytest.mark.parametrize("body", [b'"eyJ"', b"{}", b"null", b'{"token":"a"}', b"5"])
def test_a_set_is_an_array(body: bytes) -> None:
    """Anything else could be a slip that would drop every token."""
    with pytest.raises(InvalidRequest) as caught:
        parse_token_set(body)
    assert caught.value.param == "tokens"


@pytest.mark.parametrize("body", [b'"eyJh"', b'{"token":"eyJh"}', b'["eyJh"]'])
def test_one_token_can_be_added_without_brackets(body: bytes) -> None:
    """Adding takes a set or a single element."""
    (entry,) = parse_added_tokens(body)
    assert entry.token.reveal() == "eyJh"


def test_bearer_is_taken_off_the_front_only() -> None:
    """A token that holds the word elsewhere is kept as it is, or refused whole."""
    (entry,) = parse_token_set(b'["Bearer\\tx-bearer-y"]')
    assert entry.token.reveal() == "x-bearer-y"
    with pytest.raises(InvalidRequest, match="white space"):
        parse_token_set(b'["x bearer y"]')
