"""Which network addresses the gateway may be sent to by a caller."""

from __future__ import annotations

from ipaddress import IPv6Address, IPv6Network, ip_address
from typing import Final

_UNICAST: Final = IPv6Network("2000::/3")
"""All that is given out of IPv6 so far. Outside it stand, among others, the networks that translate
to IPv4 and the forms that embed it, which a library's list of private networks may not know."""


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
        found not in _UNICAST or found.sixtofour or found.teredo
    ):
        return False
    return found.is_global and not found.is_multicast
