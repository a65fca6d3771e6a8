"""What a Responses server's refusals mean, beyond what every vendor's mean."""

from __future__ import annotations

import json
from typing import Any

import pytest

from chatgpt_to_api.dialects.contract import UpstreamFault
from chatgpt_to_api.dialects.openai_responses.upstream import ResponsesUpstream
from chatgpt_to_api.errors import RateLimited
from chatgpt_to_api.wire.http import ReplyHead

NOW = 1_700_000_000.0


def fault(status: int, error: Any) -> UpstreamFault:
    head = ReplyHead(status, [(b"content-type", b"application/json")])
    upstream = ResponsesUpstream("http://upstream.example/v1")
    return upstream.fault(head, json.dumps({"error": error}).encode(), NOW)


@pytest.mark.parametrize(
    "error",
    [
        {"code": "invalid_encrypted_content", "message": "No."},
        {"message": "The encrypted content gAAA...c90= could not be verified."},
        "Encrypted content could not be decrypted or parsed.",
        {"type": "upstream_error", "message": "param encrypted_content is invalid"},
    ],
)
def test_a_seal_that_is_not_its_own_is_told_apart(error: Any) -> None:
    """Trap 52: by its code, and by its words where a proxy has lost the code."""
    found = fault(400, error)
    assert found.seals_refused
    assert found.retry == "never"


@pytest.mark.parametrize(
    "error", [{"code": "invalid_value", "message": "encrypted_content: expected string"}, "No."]
)
def test_other_refusals_are_not_about_seals(error: Any) -> None:
    """They would be the same without."""
    assert not fault(400, error).seals_refused


@pytest.mark.parametrize(
    ("more", "wait"),
    [
        ({"resets_in_seconds": 30}, 30),
        ({"resets_in_seconds": 90_000}, 600),
        ({"resets_at": NOW + 45}, 45),
        ({"resets_at": NOW - 45}, 1),
        ({}, 600),
        ({"resets_in_seconds": True}, 600),
    ],
)
def test_an_account_that_is_used_up_rests_until_it_is_not(more: Any, wait: int) -> None:
    """Ten minutes at most, whatever it says: then it is asked again."""
    found = fault(429, {"type": "usage_limit_reached", "message": "Up.", **more})
    assert isinstance(found.error, RateLimited)
    assert (found.credential, found.cool_for, found.retry) == ("cool", wait, "next_credential")
    assert not found.only_model


def test_a_wrong_key_is_a_wrong_key() -> None:
    """The rest of the table is everybody's."""
    assert fault(401, {"message": "Bad key", "code": "invalid_api_key"}).credential == "invalid"
    assert fault(500, {"message": "Oh"}).upstream == "count"
