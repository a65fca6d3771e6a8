"""Reading an access token's claims."""

from __future__ import annotations

import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatgpt_to_api.wire.jwt import UNREADABLE, Claims, read_claims, read_header

FULL = {
    "https://api.openai.com/profile": {"email": "a@example.org", "email_verified": True},
    "https://api.openai.com/auth": {
        "user_id": "user-AbC",
        "chatgpt_account_id": "acc-1",
        "chatgpt_plan_type": "plus",
    },
    "aud": ["https://api.openai.com/v1"],
    "iat": 1700000000,
    "exp": 1700864000,
}


def encode(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


def jwt(claims: object) -> str:
    return f"{encode({'alg': 'RS256', 'typ': 'JWT'})}.{encode(claims)}.c2ln"


def test_every_claim_is_read() -> None:
    """Expiry, issue time, e-mail, user, account and plan come from where issuers put them."""
    assert read_claims(jwt(FULL)) == Claims(
        expires=1700864000.0,
        issued=1700000000.0,
        email="a@example.org",
        user="user-AbC",
        account="acc-1",
        plan="plus",
    )


@pytest.mark.parametrize("extra", ["", "x", "xx", "xxx", "???>>>~~~"])
def test_padding_and_alphabet_do_not_matter(extra: str) -> None:
    """Every length, both base64 alphabets, with and without padding read the same."""
    payload = {"exp": 1700864000, "extra": extra + "ÿÿÿ¿"}
    raw = json.dumps(payload, ensure_ascii=False).encode()
    for text in (base64.urlsafe_b64encode(raw), base64.b64encode(raw)):
        for form in (text.decode(), text.decode().rstrip("=")):
            assert read_claims(f"eyJh.{form}.sig").expires == 1700864000.0


@pytest.mark.parametrize(
    ("claim", "value"),
    [
        ("exp", "1700864000"),
        ("exp", True),
        ("exp", -1),
        ("exp", 10**400),
        ("exp", 1700864000000),
        ("exp", None),
        ("https://api.openai.com/profile", "text"),
        ("https://api.openai.com/auth", ["list"]),
        ("email", "two\nlines"),
        ("email", ""),
        ("email", "x" * 300),
    ],
)
def test_an_odd_claim_counts_as_missing(claim: str, value: object) -> None:
    """A claim of the wrong type or range is None and spoils nothing else."""
    assert read_claims(jwt({claim: value, "iat": 5})) == Claims(issued=5.0)


@pytest.mark.parametrize(
    "token",
    ["", ".", "..", "a.b", "a.b.c", "eyJhbXXX", "fk-abc", "a.!!!.c", f"a.{encode([])}.c", "é.é.é"],
)
def test_what_is_no_jwt_tells_nothing(token: str) -> None:
    """Opaque tokens, broken base64 and payloads that are no object are unreadable, not errors."""
    assert read_claims(token) == UNREADABLE


def test_a_deep_or_huge_payload_is_not_looked_at() -> None:
    """Hostile payloads cost nothing and tell nothing."""
    deep = base64.urlsafe_b64encode(b'{"exp":' + b"[" * 20000).decode()
    assert read_claims(f"a.{deep}.c") == UNREADABLE
    assert read_claims(jwt({"exp": 5, "x": "y" * 70000})) == UNREADABLE


@given(st.text() | st.builds(lambda a: jwt(a), st.dictionaries(st.text(), st.integers())))
def test_nothing_makes_it_fail(token: str) -> None:
    """Any text at all is read without an error."""
    assert isinstance(read_claims(token), Claims)
    assert isinstance(read_header(token), dict)
