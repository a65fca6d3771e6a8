"""Which addresses are near, and which headers betray a middleman."""

from __future__ import annotations

import pytest

from chatgpt_to_api.server.peers import FORWARDING, forwarded_by, is_near

NEAR = [
    "127.0.0.1",
    "127.8.9.10",
    "10.1.2.3",
    "172.16.0.1",
    "172.31.255.255",
    "192.168.1.1",
    "169.254.1.1",
    "::1",
    "fd00::1",
    "fe80::1",
    "fe80::1%eth0",
    "::ffff:127.0.0.1",
    "::ffff:10.0.0.1",
]

FAR = [
    "8.8.8.8",
    "172.32.0.1",
    "172.15.255.255",
    "192.169.0.1",
    "100.64.0.1",
    "0.0.0.0",
    "11.0.0.1",
    "2001:4860::1",
    "::ffff:8.8.8.8",
    "::",
    "ff02::1",
    "198.51.100.1",
]


@pytest.mark.parametrize("address", NEAR)
def test_this_machine_and_private_networks_are_near(address: str) -> None:
    """Also in IPv6 clothes, and with a zone."""
    assert is_near(address)


@pytest.mark.parametrize("address", [*FAR, "", "localhost", "127.0.0.1:80", "1.2.3", "127.1"])
def test_everything_else_is_not(address: str) -> None:
    """The shared space of providers is not private, nor is what cannot be read."""
    assert not is_near(address)


@pytest.mark.parametrize("name", ["Forwarded", "X-Forwarded-For", "X-Real-IP", "Via"])
def test_a_proxy_is_seen_by_what_it_adds(name: str) -> None:
    """The usual ones, and those of tunnels and networks in front of servers."""
    fields = {b"host": b"a", name.lower().encode(): b"8.8.8.8"}
    assert forwarded_by(fields) == name.lower()
    assert {b"cf-connecting-ip", b"true-client-ip", b"x-forwarded-host"} <= FORWARDING
    assert forwarded_by({b"host": b"a", b"user-agent": b"b"}) is None
