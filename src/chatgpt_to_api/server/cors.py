"""Cross-origin sharing: which web pages may read what the gateway answers them.

Only the programming interfaces are shared. A page is let in when an operator named its origin, when
it is the gateway's own, or when client keys guard the gateway: a page cannot know a key its user
did not give it, and the gateway uses no cookies.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from chatgpt_to_api.server.keys import ClientKeys
from chatgpt_to_api.server.origins import AllowedOrigins, same_origin
from chatgpt_to_api.wire.http import Header

EXPOSED: Final = (
    b"x-request-id, request-id, retry-after, x-ignored-parameters, x-conversation, "
    b"x-upstream, x-upstream-model, x-attempts"
)
METHODS: Final = b"GET, HEAD, POST, PATCH, PUT, DELETE, OPTIONS"
USUAL_FIELDS: Final = b"authorization, content-type, x-api-key, x-goog-api-key"
MAX_AGE: Final = b"7200"
"""How long a browser may keep a preflight's answer, seconds."""

_FIELD_NAMES: Final = re.compile(rb"[A-Za-z0-9!#$%&'*+.^_`|~, -]{1,2000}")
_ORIGIN: Final = re.compile(rb"[\x21-\x7e]{1,300}")


class Cors:
    """Decides what a page of another origin may see."""

    def __init__(self, keys: ClientKeys, origins: AllowedOrigins) -> None:
        self._keys = keys
        self._origins = origins

    def allows(self, origin: bytes, host: bytes | None) -> bool:
        """Whether a page of ``origin`` may read the answers of the programming interfaces."""
        return self._keys.configured or origin in self._origins or same_origin(origin, host)

    def lines(self, origin: bytes, host: bytes | None) -> bytes:
        """The header lines that an answer to a page of ``origin`` gets, errors included."""
        if not _ORIGIN.fullmatch(origin) or not self.allows(origin, host):
            return b"vary: origin\r\n"
        return (
            b"access-control-allow-origin: %b\r\n"
            b"access-control-expose-headers: %b\r\n"
            b"vary: origin\r\n" % (origin, EXPOSED)
        )

    def preflight(self, fields: Mapping[bytes, bytes]) -> list[Header]:
        """The further headers of the answer to an allowed preflight request."""
        asked = fields.get(b"access-control-request-headers", b"")
        headers = [
            (b"access-control-allow-methods", METHODS),
            (
                b"access-control-allow-headers",
                asked if _FIELD_NAMES.fullmatch(asked) else USUAL_FIELDS,
            ),
            (b"access-control-max-age", MAX_AGE),
        ]
        if b"access-control-request-private-network" in fields:
            headers.append((b"access-control-allow-private-network", b"true"))
        return headers
