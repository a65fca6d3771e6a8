"""Proxies as people write them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatgpt_to_api.wire.proxy import Proxy, parse_proxy
from chatgpt_to_api.wire.secret import Secret


@pytest.mark.parametrize(
    ("line", "proxy"),
    [
        ("http://h.example:8888", Proxy("http", "h.example", 8888)),
        ("http://h.example/", Proxy("http", "h.example", 80)),
        ("HTTPS://H.example", Proxy("https", "h.example", 443)),
        ("socks5://h.example", Proxy("socks5", "h.example", 1080)),
        ("socks5h://h.example:9", Proxy("socks5", "h.example", 9)),
        ("http://[::1]:3128", Proxy("http", "::1", 3128)),
        ("http://ann:p%40ss@h:1", Proxy("http", "h", 1, "ann", Secret("p@ss"))),
        ("socks5://ann@h:1", Proxy("socks5", "h", 1, "ann", Secret(""))),
        (" h.example:8080\n", Proxy("http", "h.example", 8080)),
        ("[::1]:8080", Proxy("http", "::1", 8080)),
        ("ann:pass@h:8080", Proxy("http", "h", 8080, "ann", Secret("pass"))),
        ("h:8080:ann:pass", Proxy("http", "h", 8080, "ann", Secret("pass"))),
        ("ann:pass:h:8080", Proxy("http", "h", 8080, "ann", Secret("pass"))),
        ("1.2.3.4:80:ann:1234", Proxy("http", "1.2.3.4", 80, "ann", Secret("1234"))),
        ("ann:1234:1.2.3.4:80", Proxy("http", "1.2.3.4", 80, "ann", Secret("1234"))),
        ("ann:1234:localhost:80", Proxy("http", "localhost", 80, "ann", Secret("1234"))),
        ("h:80:ann:1234", Proxy("http", "h", 80, "ann", Secret("1234"))),
    ],
)
def test_every_written_form_is_understood(line: str, proxy: Proxy) -> None:
    """URLs, host:port and both four-part forms give the proxy they mean."""
    assert parse_proxy(line) == proxy


@pytest.mark.parametrize(
    "line",
    [
        "",
        "   ",
        "h",
        "://h:1",
        "socks4://h:1",
        "http://",
        "http://:80",
        "http://h:99999",
        "http://h:0",
        "http://h:port",
        "http://[::1:80",
        "http://h:80/path",
        "http://h:80?x=1",
        "http://ann:p#ss@h:80",
        "http://h h:80",
        "http://h:80\x00",
        "::1:80",
        "h:80:ann",
        "h:80:ann:pass:more",
        "ann:pass:h:port",
        "ann%3Ax:pass@h:80",
        "socks5://ann:pässword@h:80",
        f"http://ann:{'p' * 256}@h:80",
    ],
)
def test_what_is_no_proxy_is_refused(line: str) -> None:
    """Anything else raises ValueError with a message that says what is expected."""
    with pytest.raises(ValueError, match="proxy"):
        parse_proxy(line)


@given(text=st.text())
def test_any_text_gives_a_proxy_or_a_value_error(text: str) -> None:
    """No line, however odd, raises anything but ValueError."""
    try:
        proxy = parse_proxy(text)
    except ValueError:
        return
    assert proxy.host and 0 < proxy.port < 65536


@pytest.mark.parametrize(
    "line",
    [
        "http://ann:hunter2secret@h:notaport",
        "ann:hunter2secret@h",
        "ann:hunter2secret:h:notaport",
        "ftp://ann:hunter2secret@h:1",
        "http://ann:hunter2secret@h:1/path",
        "http://ann:hunter2secret@:1",
        "http://ann:hunter2secret@h:70000",
    ],
)
def test_an_error_repeats_nothing_of_the_line(line: str) -> None:
    """A line that cannot be read may hold a password, so no message, cause or context shows it."""
    with pytest.raises(ValueError) as caught:
        parse_proxy(line)
    assert "hunter2secret" not in str(caught.value)
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


def test_a_shown_proxy_has_no_credentials() -> None:
    """Neither str nor repr shows user name or password."""
    proxy = parse_proxy("socks5://session-token:hunter2secret@h.example:1080")
    for shown in (str(proxy), repr(proxy), f"{proxy}"):
        assert "socks5://h.example:1080" in shown
        assert "hunter2" not in shown
        assert "session" not in shown


def test_equal_proxies_are_one_key() -> None:
    """Equal lines give equal values with equal hashes, and other passwords other ones."""
    a, b = parse_proxy("http://u:p@h:1"), parse_proxy("h:1:u:p")
    assert a == b and hash(a) == hash(b)
    assert a != parse_proxy("http://u:q@h:1")
