"""What can go wrong between this process and an upstream, before HTTP has a say."""

from __future__ import annotations


class TransportError(Exception):
    """A call failed below HTTP.

    ``message`` is short, for people, and holds no secret. ``sent_anything``: whether the upstream
    may have seen any of the request; where it is False the call can be repeated without harm.
    """

    def __init__(self, message: str, *, sent_anything: bool) -> None:
        self.message = message
        self.sent_anything = sent_anything
        super().__init__(message)


class ConnectFailed(TransportError):
    """No connection came about: no such name, refused, not trusted, proxy unwilling, too slow.

    ``errno`` is the system's number where there is one (``ETIMEDOUT`` for our own limit too).
    ``at_proxy``: the outbound proxy is what failed, not the upstream behind it.
    """

    def __init__(
        self,
        message: str,
        *,
        errno: int | None = None,
        at_proxy: bool = False,
        sent_anything: bool = False,
    ) -> None:
        self.errno = errno
        self.at_proxy = at_proxy
        super().__init__(message, sent_anything=sent_anything)


class AddressRefused(ConnectFailed):
    """The name leads to an address that this client may not be sent to; nothing was sent."""


class ConnectionBroken(TransportError):
    """The connection ended before the reply was whole.

    ``answered``: whether any byte of a reply had come.
    """

    answered = True


class SilenceTimeout(TransportError):
    """The upstream sent nothing for longer than the read timeout while somebody waited for it."""


class DeadlinePassed(TransportError):
    """The request's own deadline passed, whatever the upstream was doing."""


class ProtocolViolation(TransportError):
    """The upstream sent something that is not the HTTP we asked for, or more than we hold."""
