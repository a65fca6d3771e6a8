"""Host names that are answered to, and origins that are ours or allowed."""

from __future__ import annotations

import pytest

from chatgpt_to_api.server.origins import AllowedOrigins, HostNames, host_name, same_origin

OWN = [
    "127.0.0.1",
    "127.0.0.1:8080",
    "192.168.1.5:10080",
    "[::1]",
    "[::1]:8080",
    "[fe80::1]:80",
    "localhost",
    "localhost:8080",
    "LOCALHOST",
    "localhost.",
    "app.localhost:3000",
    "gateway",
    "gateway:8080",
    "my_service-2",
    "host.docker.internal:10080",
]

FOREIGN = [
    "example.com",
    "example.com:8080",
    "127.0.0.1.evil.example",
    "localhost.evil.example",
    "evil.localhost.example",
    "127.0.0.1.nip.io",
    "notlocalhost.com",
    "a.b",
    "[::1",
    "[::1]x",
    "[::g]",
    "gateway:80:80",
    "gateway:port",
    "gate\\way",
    "ütf8",
    "a@b",
    "host.docker.internal.evil.example",
    ".",
    ".localhost.x",
]


@pytest.mark.parametrize("host", OWN)
def test_addresses_and_local_names_are_answered_to(host: str) -> None:
    """Names that no stranger can make point here by public DNS."""
    assert HostNames().answers_to(host.encode())


@pytest.mark.parametrize("host", [*FOREIGN, ""])
def test_other_names_are_not(host: str) -> None:
    """A page may have made its own name point at this machine."""
    names = HostNames()
    assert not names.answers_to(host.encode())
    assert not names.answers_to(host.encode())  # also when remembered


def test_configured_names_are_answered_to() -> None:
    """Exactly, or below a star; in any case and with any port."""
    names = HostNames(["Gateway.Example.com", "*.lan.example"])
    for good in (
        "gateway.example.com:443",
        "GATEWAY.example.COM",
        "a.lan.example",
        "a.b.lan.example",
    ):
        assert names.answers_to(good.encode()), good
    for bad in ("x.gateway.example.com", "lan.example", "evil-lan.example", "example.com"):
        assert not names.answers_to(bad.encode()), bad
    assert HostNames(["*"]).answers_to(b"anything.example")


def test_what_is_remembered_of_hosts_is_bounded() -> None:
    """Callers choose the values; they cannot fill the memory with them."""
    names = HostNames()
    for number in range(10_000):
        assert not names.answers_to(f"evil{number}.example".encode())
    assert len(names._known) < 1000
    assert names.answers_to(b"localhost")


@pytest.mark.parametrize(
    ("host", "name"),
    [
        ("A.b:80", "a.b"),
        ("[::1]:80", "::1"),
        ("[0:0::1]", "::1"),
        ("a.", "a"),
        ("a:", None),
        (":80", None),
        ("a:123456", None),
    ],
)
def test_a_host_is_a_name_and_a_port(host: str, name: str | None) -> None:
    """What is malformed is no name at all."""
    assert host_name(host.encode()) == name


@pytest.mark.parametrize(
    ("origin", "host", "same"),
    [
        ("http://127.0.0.1:8080", "127.0.0.1:8080", True),
        ("http://LocalHost:8080", "localhost:8080", True),
        ("http://localhost", "localhost", True),
        ("http://localhost:3000", "localhost:8080", False),
        ("http://127.0.0.1:8080", "localhost:8080", False),
        ("null", "null", False),
        ("localhost:8080", "localhost:8080", False),
        ("http://evil.example", None, False),
    ],
)
def test_a_page_is_ours_if_it_came_from_the_same_host_and_port(
    origin: str, host: str | None, same: bool
) -> None:
    """Another port of this machine is another program's page."""
    assert same_origin(origin.encode(), host.encode() if host else None) is same


def test_allowed_origins() -> None:
    """As configured, forgiving a final slash and capitals; a star is any."""
    allowed = AllowedOrigins(["https://App.example/", " http://localhost:3000 ", "null", ""])
    for good in ("https://app.example", "http://localhost:3000", "null", "HTTPS://APP.example"):
        assert good.encode() in allowed, good
    for bad in ("https://app.example:444", "http://app.example", "https://app.example.evil", ""):
        assert bad.encode() not in allowed, bad
    assert b"anything" in AllowedOrigins(["*"])
    assert b"anything" not in AllowedOrigins([])
