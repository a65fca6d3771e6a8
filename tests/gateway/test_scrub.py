"""What an upstream said never shows a secret."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from chatgpt_to_api.dialects.contract import UpstreamFault
from chatgpt_to_api.errors import UpstreamFailed
from chatgpt_to_api.gateway.scrub import scrub, scrub_fault
from chatgpt_to_api.wire.secret import Access, Secret

VISIBLE = st.characters(min_codepoint=33, max_codepoint=126)


@given(st.text(VISIBLE, min_size=8), st.text(VISIBLE, min_size=8), st.text(), st.text())
def test_the_credential_that_was_sent_never_shows(
    token: str, puid: str, before: str, after: str
) -> None:
    """Whatever stands around it, token and cookie are gone."""
    access = Access(token=Secret(token), puid=Secret(puid))
    shown = scrub(f"{before}{token}|{puid}{after}", access)
    hidden = f"{before}…|…{after}"
    assert token not in shown or token in hidden
    assert puid not in shown or puid in hidden


def test_things_shaped_like_secrets_are_masked() -> None:
    """JWTs, vendor keys, cookies and bearers of anybody."""
    text = (
        "bad eyJhbGciOiJSUzI1NiJ9.eyJleHAiOjF9.c2ln and sk-proj-abcdefghijklmn, "
        "Cookie: _puid=user-abc:123; Authorization: Bearer abcdef"
    )
    shown = scrub(text, Access())
    for secret in ("eyJhbGciOiJSUzI1NiJ9", "sk-proj", "user-abc", "abcdef"):
        assert secret not in shown


@given(st.integers(8, 23), st.sampled_from(["", "…"]))
def test_a_secret_that_was_cut_does_not_show_either(kept: int, end: str) -> None:
    """Words are cut where they are read, before anybody knows what is in them."""
    token = "AbCdEfGh-0123456789-xyzw"
    shown = scrub(f"headers: {token[:kept]}{end}", Access(token=Secret(token)))
    assert shown == "headers: …"
    assert scrub(f"AbCdEfG{end}", Access(token=Secret(token))) == f"AbCdEfG{end}"


def test_a_short_key_spoils_no_words() -> None:
    """Servers that want no key are given "x" or "EMPTY": no secret, and a part of many words."""
    error = UpstreamFailed("maximum context: x", code="context_length_exceeded")
    fault = UpstreamFault(error=error, reason="next: upstream_empty, EMPTY, empty")
    shown = scrub_fault(fault, Access(token=Secret("x")), [Secret("EMPTY")])
    assert error.text == "maximum context: …"
    assert error.code == "context_length_exceeded"
    assert shown.reason == "next: upstream_empty, …, …"


def test_a_secret_in_another_case_does_not_show_either() -> None:
    """Some dialects fold what an upstream gives as a code, and unfold it again."""
    access = Access(token=Secret("AbCdEfGh-01234567"))
    assert scrub("abcdefgh-01234567 ABCDEFGH-01234567", access) == "… …"


def test_everything_of_a_fault_that_can_be_shown_is_scrubbed() -> None:
    """Message, words, code, type, param and reason: upstreams choose them all."""
    error = UpstreamFailed("1 tok-12345678", said="2 tok-12345678", code="3 tok-12345678")
    error.kind, error.param = "4 tok-12345678", "5 hdr-12345678"
    fault = UpstreamFault(error=error, reason="6 tok-12345678 hdr-12345678")
    access = Access(token=Secret("tok-12345678"))
    shown = scrub_fault(fault, access, [Secret("hdr-12345678")])
    texts = (error, error.text, error.args, error.kind, error.code, error.param, shown.reason)
    assert "12345678" not in "|".join(map(str, texts))
    assert [str(text)[0] for text in (error, error.kind, shown.reason)] == ["1", "4", "6"]
