"""Which proxy the environment asks for, and which origins it leaves out."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatgpt_to_api.transport.environment import ProxyRules, is_loopback, parse_no_proxy
from chatgpt_to_api.wire.http import Origin
from chatgpt_to_api.wire.proxy import Proxy

HTTP = Origin("http", "api.example.com", 80)
HTTPS = Origin("https", "api.example.com", 443)


@pytest.mark.parametrize(
    ("env", "http", "https"),
    [
        ({}, None, None),
        ({"http_proxy": "http://p:1"}, 1, None),
        ({"https_proxy": "http://p:2"}, None, 2),
        ({"all_proxy": "socks5://p:3"}, 3, 3),
        ({"all_proxy": "socks5://p:3", "https_proxy": "http://p:2"}, 3, 2),
        ({"HTTP_PROXY": "http://p:1", "HTTPS_PROXY": "http://p:2"}, 1, 2),
        ({"ALL_PROXY": "http://p:3"}, 3, 3),
        ({"http_proxy": "http://p:1", "HTTP_PROXY": "http://p:9"}, 1, None),
        ({"http_proxy": "", "HTTP_PROXY": "http://p:9"}, 9, None),
        ({"http_proxy": "", "https_proxy": " ", "all_proxy": ""}, None, None),
        ({"http_proxy": "p:1"}, 1, None),
    ],
)
def test_each_scheme_has_its_variable(
    env: dict[str, str], http: int | None, https: int | None
) -> None:
    """Lower case wins over upper, the scheme's own over all_proxy, and nothing is not set."""
    rules = ProxyRules.from_environment(env)
    chosen = [rules.for_origin(HTTP), rules.for_origin(HTTPS)]
    assert [None if proxy is None else proxy.port for proxy in chosen] == [http, https]


@pytest.mark.parametrize("name", ["http_proxy", "HTTPS_PROXY", "all_proxy"])
def test_a_variable_that_is_no_proxy_is_named_and_not_shown(name: str) -> None:
    """The error names the variable as it is spelt and never its value."""
    with pytest.raises(ValueError, match=f"^{name}: ") as caught:
        ProxyRules.from_environment({name: "ftp://ann:s3cret@p:1"})
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize(
    ("no_proxy", "url", "excepted"),
    [
        ("*", ("https", "a.b", 443), True),
        ("example.com", ("https", "example.com", 443), True),
        ("example.com", ("https", "api.example.com", 443), True),
        ("example.com", ("https", "notexample.com", 443), False),
        (".example.com", ("https", "api.example.com", 443), True),
        ("*.example.com", ("https", "api.example.com", 443), True),
        ("EXAMPLE.com.", ("https", "Api.Example.com.", 443), True),
        ("a.com, b.com\tc.com", ("http", "b.com", 80), True),
        ("a.com, b.com\tc.com", ("http", "d.com", 80), False),
        ("a.com:8080", ("http", "a.com", 8080), True),
        ("a.com:8080", ("http", "a.com", 80), False),
        ("10.0.0.0/8", ("http", "10.1.2.3", 80), True),
        ("10.0.0.0/8", ("http", "11.1.2.3", 80), False),
        ("10.1.2.3", ("http", "10.1.2.3", 80), True),
        ("10.1.2.3:81", ("http", "10.1.2.3", 80), False),
        ("10.1.2.3:80", ("http", "10.1.2.3", 80), True),
        ("10.0.0.0/8", ("http", "10.example", 80), False),
        ("fd00::/8", ("http", "fd12::1", 80), True),
        ("[fd12::1]:80", ("http", "fd12::1", 80), True),
        ("[fd12::1]:81", ("http", "fd12::1", 80), False),
        ("fd12::1", ("http", "fd12::1", 80), True),
        ("2.3", ("http", "10.1.2.3", 80), False),
        (", ,.,:", ("http", "a.com", 80), False),
        ("", ("http", "127.0.0.1", 80), True),
        ("", ("http", "localhost", 80), True),
    ],
)
def test_no_proxy_excepts_what_it_names(
    no_proxy: str, url: tuple[str, str, int], excepted: bool
) -> None:
    """Names with everything below them, ports, addresses, blocks and the star."""
    env = {"all_proxy": "http://p:1", "NO_PROXY": no_proxy}
    chosen = ProxyRules.from_environment(env).for_origin(Origin(*url))
    assert (chosen is None) is excepted


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        ("localhost", True),
        ("LOCALHOST.", True),
        ("model.localhost", True),
        ("127.0.0.1", True),
        ("127.8.9.10", True),
        ("::1", True),
        ("::ffff:127.0.0.1", True),
        ("128.0.0.1", False),
        ("10.0.0.1", False),
        ("localhost.example.com", False),
        ("127.0.0.1.example.com", False),
        ("::2", False),
    ],
)
def test_loopback_is_known_by_name_and_address(host: str, loopback: bool) -> None:
    """What reaches this machine itself, and look-alikes that do not."""
    assert is_loopback(host) is loopback


def test_loopback_is_direct_whatever_the_environment_says() -> None:
    """A proxy for everything does not get requests to this machine."""
    rules = ProxyRules(http=Proxy("http", "p", 1))
    assert rules.for_origin(Origin("http", "127.0.0.1", 8080)) is None


@given(text=st.text(), host=st.text(min_size=1))
def test_any_no_proxy_is_read(text: str, host: str) -> None:
    """There is no standard for no_proxy, so no value of it can stop a start."""
    parse_no_proxy(text).covers(Origin("http", host, 80))
