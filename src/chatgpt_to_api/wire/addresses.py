"""Which network addresses the gateway may be sent to by a caller."""

from __future__ import annotations

from ipaddress import IPv6Address, IPv6Network, ip_address
from typing import Final

_NAT64: Final = IPv6Network("64:ff9b::/96")


def is_public(address: str) -> bool:
    """Whether an IP address belongs to the public internet.

    False for this machine, private and link-local networks (where clouds keep their metadata),
    multicast, and IPv6 addresses that stand for an IPv4 one, which may be any of these.
    """
    try:
        found = ip_address(address.partition("%")[0])
    except ValueError:
        return False
    if isinstance(found, IPv6Address) and (
        found.ipv4_mapped or found.sixtofour or found.teredo or found in _NAT64
    ):
        return False
    return found.is_global and not found.is_multicast
