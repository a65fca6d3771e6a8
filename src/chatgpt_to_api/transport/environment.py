"""Which proxy the environment asks for: ``http_proxy`` and its like, and what they leave out."""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import TypeAlias

import msgspec

from chatgpt_to_api.wire.http import Origin
from chatgpt_to_api.wire.proxy import Proxy, parse_proxy

_Address: TypeAlias = IPv4Address | IPv6Address
_Network: TypeAlias = IPv4Network | IPv6Network


def is_loopback(host: str) -> bool:
    """Whether ``host`` names this machine itself; such origins never go through a proxy."""
    name = host.rstrip(".").lower()
    if name == "localhost" or name.endswith(".localhost"):
        return True
    address = _address(name)
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    return address is not None and address.is_loopback


class NoProxy(msgspec.Struct, frozen=True):
    """The origins that ``no_proxy`` excepts.

    ``names`` match themselves and everything below them; an entry with a port only that port.
    """

    everything: bool
    names: tuple[tuple[str, int | None], ...]
    networks: tuple[tuple[_Network, int | None], ...]

    def covers(self, origin: Origin) -> bool:
        """Whether ``origin`` is to be reached directly."""
        if self.everything or is_loopback(origin.host):
            return True
        host = origin.host.rstrip(".").lower()
        address = _address(host)
        if address is None:
            return any(
                (host == name or host.endswith(f".{name}")) and port in (None, origin.port)
                for name, port in self.names
            )
        return any(
            address in network and port in (None, origin.port) for network, port in self.networks
        )


def parse_no_proxy(text: str) -> NoProxy:
    """Read a ``no_proxy`` list: names, ``.suffixes``, addresses, CIDR blocks, ``*``, with ports.

    Entries are separated by commas or white space. There is no standard, so what cannot mean
    anything is passed over, as other programs do, instead of stopping the start.
    """
    everything = False
    names: list[tuple[str, int | None]] = []
    networks: list[tuple[_Network, int | None]] = []
    for entry in text.replace(",", " ").lower().split():
        if entry == "*":
            everything = True
            continue
        host, port = _split_port(entry)
        try:
            networks.append((ip_network(host, strict=False), port))
        except ValueError:
            name = host.removeprefix("*").strip(".")
            if name:
                names.append((name, port))
    return NoProxy(everything, tuple(names), tuple(networks))


class ProxyRules(msgspec.Struct, frozen=True):
    """The environment's choice of outbound proxies."""

    http: Proxy | None = None
    https: Proxy | None = None
    no_proxy: NoProxy = NoProxy(everything=False, names=(), networks=())

    @classmethod
    def from_environment(cls, env: Mapping[str, str]) -> ProxyRules:
        """Read the variables, lower case before upper case; one set to nothing is not set.

        Raises ValueError naming the variable, not its value, which may hold a password.
        """
        everywhere = _proxy(env, "all_proxy")
        return cls(
            http=_proxy(env, "http_proxy") or everywhere,
            https=_proxy(env, "https_proxy") or everywhere,
            no_proxy=parse_no_proxy(_variable(env, "no_proxy")[1]),
        )

    def for_origin(self, origin: Origin) -> Proxy | None:
        """Return the proxy to reach ``origin`` through, or None for a direct connection."""
        proxy = self.https if origin.scheme == "https" else self.http
        if proxy is None or self.no_proxy.covers(origin):
            return None
        return proxy


def _variable(env: Mapping[str, str], name: str) -> tuple[str, str]:
    for spelling in (name, name.upper()):
        value = env.get(spelling, "").strip()
        if value:
            return spelling, value
    return name, ""


def _proxy(env: Mapping[str, str], name: str) -> Proxy | None:
    spelling, value = _variable(env, name)
    if not value:
        return None
    try:
        return parse_proxy(value)
    except ValueError as error:
        raise ValueError(f"{spelling}: {error}") from None


def _address(host: str) -> _Address | None:
    try:
        return ip_address(host)
    except ValueError:
        return None


def _split_port(entry: str) -> tuple[str, int | None]:
    host, colon, port = entry.rpartition(":")
    if entry.startswith("["):
        inside, _, after = entry[1:].partition("]")
        return inside, int(after[1:]) if after[1:].isdecimal() else None
    if colon and ":" not in host and port.isdecimal():
        return host, int(port)
    return entry, None
