"""A string that must not be shown, and what a request carries of it."""

from __future__ import annotations

import hashlib
import hmac
import re
from typing import Final, NoReturn

import msgspec

MASK: Final = "…"

TELLING: Final = 8
"""Fewest characters that are a secret wherever they stand.

A shorter one, such as the "x" or "EMPTY" that a server without keys is given, is one as a word by
itself only: in the middle of other words it is chance, and masking it would spoil them.
"""


class Secret:
    """A secret string that cannot be formatted by accident.

    ``str``, ``repr`` and ``format`` give a masked form; only :meth:`reveal` gives the text.
    Equality is constant-time; the hash is that of a digest, so secrets can be dictionary keys.
    """

    __slots__ = ("_text", "fingerprint")

    def __init__(self, text: str) -> None:
        self._text = text
        self.fingerprint: str = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()

    def reveal(self) -> str:
        """Return the secret text itself; only for a socket, a cipher or a digest."""
        return self._text

    @property
    def masked(self) -> str:
        """A form a person can recognise and nobody can use: ``eyJh…3f9a`` or ``…``."""
        text = self._text
        return f"{text[:4]}{MASK}{text[-4:]}" if len(text) >= 24 else MASK

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        return hmac.compare_digest(self.fingerprint, other.fingerprint)

    def __hash__(self) -> int:
        return hash(self.fingerprint)

    def __bool__(self) -> bool:
        return bool(self._text)

    def __repr__(self) -> str:
        return f"Secret({self.masked})"

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return repr(self)

    def __reduce__(self) -> NoReturn:
        raise TypeError("a Secret is not serialised; seal it with the store's cipher")


class Access(msgspec.Struct, frozen=True):
    """What one credential puts on a request: its token and, for some accounts, more.

    ``token`` is None for an upstream that wants none. ``puid`` is the value of the ``_puid``
    cookie, ``account`` the workspace id of a team account (both conversation backends only).
    """

    token: Secret | None = None
    puid: Secret | None = None
    account: str | None = None


ANONYMOUS: Final = Access()

# JWTs, vendor keys, and the cookie and header that carry them.
_SHAPES: Final = re.compile(
    r"eyJ[\w-]{10,}(?:\.[\w-]+){0,2}|\b(?:sk|fk|pk|sess)-[\w-]{12,}|(?i:_puid=|bearer )[^\s;,\"']+"
)


def scrubbed(text: str) -> str:
    """Return ``text`` with everything shaped like a secret masked."""
    return _SHAPES.sub(MASK, text)
