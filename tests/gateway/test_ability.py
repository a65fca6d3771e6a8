"""Candidates that cannot answer are passed over; where none can, the error says why of each."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from chatgpt_to_api.chat.needs import Needs
from chatgpt_to_api.errors import InvalidRequest
from chatgpt_to_api.gateway.ability import able
from chatgpt_to_api.gateway.upstreams import CAPABILITIES, Candidate
from support.route_values import backend, candidate, vendor

SEES = candidate("sees")
TEXT = Candidate(backend(), "gpt-4")
SHORT = candidate("short", context_length=2048)
IMAGE = Needs({"images": "messages[0].content[1]"})


def test_who_can_do_everything_is_never_asked_about_it() -> None:
    """The common case costs nothing but a flag."""
    assert not SEES.limited
    assert TEXT.limited and SHORT.limited
    assert Candidate(vendor("v", context_length=9), "m").limited
    assert Candidate(vendor("v", native=CAPABILITIES - {"files"}), "m").limited


def test_those_left_keep_their_order() -> None:
    """Emulated is as good as native."""
    assert list(able([TEXT, SEES, SHORT], IMAGE)) == [SEES, SHORT]
    assert list(able([TEXT, SEES], Needs({"tools": "tools", "json": "response_format"}))) == [
        TEXT,
        SEES,
    ]
    assert list(able([SHORT, SEES], Needs(tokens=2049))) == [SEES]
    assert list(able([SHORT, SEES], Needs(tokens=2048))) == [SHORT, SEES]


def test_the_candidates_own_context_holds_before_its_upstreams() -> None:
    """One server, a long model and a short one."""
    server = vendor("v", context_length=1000)
    assert able([Candidate(server, "m", context_length=5000)], Needs(tokens=4000))
    with pytest.raises(InvalidRequest):
        able([Candidate(server, "m")], Needs(tokens=4000))


def test_why_none_is_left_is_said_of_each() -> None:
    """400 with the field that asks for it."""
    with pytest.raises(InvalidRequest) as error:
        able([TEXT, Candidate(vendor("b", native=CAPABILITIES - {"images"}), "m")], IMAGE)
    assert error.value.message == (
        "What 'messages[0].content[1]' asks for cannot be done with this model: "
        "upstream conversation: cannot see images; upstream b: cannot see images."
    )
    assert (error.value.param, error.value.code) == (
        "messages[0].content[1]",
        "unsupported_parameter",
    )


def test_two_different_reasons() -> None:
    """One cannot see it, the other is too small for it."""
    with pytest.raises(InvalidRequest) as error:
        able([TEXT, SHORT], Needs({"images": "messages[0].content[1]"}, 9000))
    assert (
        "upstream conversation: cannot see images; "
        "upstream short: context of 2048 tokens, about 9000 asked" in error.value.message
    )


def test_too_long_has_the_vendors_own_code() -> None:
    """Clients cut their history when they see it."""
    with pytest.raises(InvalidRequest, match="too long") as error:
        able([SHORT, SHORT], Needs(tokens=9000))
    assert error.value.code == "context_length_exceeded"
    assert error.value.message.count("upstream short") == 1


def test_who_answers_is_told_in_headers_that_cannot_break_a_line() -> None:
    """Names come from callers."""
    shown = dict(candidate("v", "модель\r\nx: y").headers)
    assert shown == {b"x-upstream": b"v", b"x-upstream-model": b"?x:?y"}
    raw = {"a": msgspec.Raw(b"1")}
    same: dict[str, Any] = {"parameters": raw}
    assert candidate("v", "m", **same).key == candidate("v", "m").key
