"""Who may use the doors, and as whom: client keys, neighbours, web pages, callers' own tokens."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final
from urllib.parse import parse_qs

from chatgpt_to_api.errors import Forbidden, Unauthorized
from chatgpt_to_api.gateway.caller import Caller
from chatgpt_to_api.server.doors import Bearer
from chatgpt_to_api.server.keys import ClientKeys, caller_id
from chatgpt_to_api.server.origins import AllowedOrigins, HostNames, same_origin
from chatgpt_to_api.server.peers import FORWARDING, forwarded_by, is_near
from chatgpt_to_api.wire.secret import Access as UpstreamAccess
from chatgpt_to_api.wire.secret import Secret

NOBODY: Final = Caller()

_TOKEN: Final = re.compile(
    r"(?P<token>eyJ[\w-]+\.[\w-]+\.[\w-]+|[fp]k-[\w-]{20,})"
    r"(?:,(?P<account>[0-9a-fA-F]{8}-[0-9a-fA-F-]{27}))?",
    re.ASCII,
)
"""An access token of a conversation backend: a JWT, or a share or pool token of Pandora.

``,<account uuid>`` after it selects a team workspace.
"""

GOOGLE_KEY: Final = b"x-goog-api-key"
"""Where Gemini's clients show their key."""

SECRET_FIELDS: Final = (b"authorization", b"x-authorization", b"x-api-key", GOOGLE_KEY)
"""Where callers show keys and tokens, in order. The second is go-chatgpt-api's."""

_HOW_TO_SEND: Final = (
    "Send it as 'Authorization: Bearer <key>', 'x-api-key: <key>' or 'x-goog-api-key: <key>'."
)

_HOW_TO_SET: Final = (
    "To let others in, put client keys, one a line, into api_keys.txt in the gateway's data folder "
    "and send one of them as 'Authorization: Bearer <key>'."
)

_SHOWN: Final = 100
"""Longest piece of a caller's header that an error repeats."""


class Gatekeeper:
    """Decides whether a request may come in, and who its caller is.

    With client keys: whoever shows one, from anywhere. Without: programs on this machine or its
    private network that come directly, but not web pages of other sites in somebody's browser.
    ``caller_tokens`` lets, where keys are set, a caller's own access token stand for a key.
    """

    def __init__(
        self,
        keys: ClientKeys,
        *,
        hosts: HostNames,
        origins: AllowedOrigins,
        caller_tokens: bool = False,
    ) -> None:
        self.keys = keys
        self.origins = origins
        self._hosts = hosts
        self._caller_tokens = caller_tokens

    def admit(
        self, peer: str, fields: Mapping[bytes, bytes], bearer: Bearer = Bearer.KEY
    ) -> Caller:
        """Return the caller of a request from ``peer`` with these header fields.

        Raises Unauthorized (401: no key, a wrong one, or none configured for strangers) or
        Forbidden (403: the page or host name may not).
        """
        if self.keys.configured:
            return self._by_key(fields, bearer)
        self._check_neighbour(peer, fields)
        secret = _shown_secret(fields)
        if not secret:
            if bearer is Bearer.IDENTITY:
                raise _missing_token()
            return NOBODY
        own = own_token(secret)
        if own is not None:
            return Caller(id=caller_id(secret), own=own)
        return NOBODY if bearer is Bearer.KEY else Caller(id=caller_id(secret))

    def _by_key(self, fields: Mapping[bytes, bytes], bearer: Bearer) -> Caller:
        shown = False
        for name in SECRET_FIELDS:
            value = fields.get(name)
            secret = _bare(value) if value else b""
            if secret:
                shown = True
                caller = self.keys.find(secret)
                if caller is not None:
                    return caller
                if self._caller_tokens and (own := own_token(secret)) is not None:
                    return Caller(id=caller_id(secret), own=own)
        if not shown and bearer is not Bearer.KEY:
            raise _missing_token()
        if not shown:
            raise Unauthorized(
                f"This gateway wants a client key. {_HOW_TO_SEND}", code="missing_api_key"
            )
        raise Unauthorized(
            "This client key is not valid here: it is none of the lines of the gateway's "
            f"api_keys.txt. {_HOW_TO_SEND}"
        )

    def _check_neighbour(self, peer: str, fields: Mapping[bytes, bytes]) -> None:
        if not is_near(peer):
            raise Unauthorized(
                "This gateway has no client keys, so only programs on its own machine or private "
                f"network may use it, and you come from {peer or 'an unknown address'}. "
                f"{_HOW_TO_SET}",
                code="client_keys_required",
            )
        if not FORWARDING.isdisjoint(fields):
            raise Unauthorized(
                "This gateway has no client keys, so only programs on its own machine or private "
                f"network may use it directly, and this request came through a proxy (it has the "
                f"header {forwarded_by(fields)}). {_HOW_TO_SET}",
                code="client_keys_required",
            )
        host = fields.get(b"host")
        if host is not None and not self._hosts.answers_to(host):
            raise Forbidden(
                f"This gateway does not answer to the host name {_quoted(host)}. If it is yours, "
                "add it to ALLOWED_HOSTS, or set client keys.",
                code="host_not_allowed",
            )
        origin = fields.get(b"origin")
        if origin is not None:
            if not same_origin(origin, host) and origin not in self.origins:
                raise Forbidden(
                    f"Web pages of {_quoted(origin)} may not use this gateway. To allow them, add "
                    "that origin to CORS_ALLOWED_ORIGINS, or set client keys.",
                    code="origin_not_allowed",
                )
        elif fields.get(b"sec-fetch-site") in (b"cross-site", b"same-site") and not (
            self.origins.any
        ):
            raise Forbidden(
                "A web page of another site caused this request. To allow pages to use this "
                "gateway, add their origin to CORS_ALLOWED_ORIGINS, or set client keys.",
                code="origin_not_allowed",
            )


def with_key_of_query(fields: Mapping[bytes, bytes], query: bytes) -> Mapping[bytes, bytes]:
    """Return the header fields, with a key that is shown as ``?key=`` among them.

    Nothing here keeps, logs or passes on a query, so that a key is as safe in it as in a header;
    what stands before the gateway may not be so careful.
    """
    if b"key=" not in query or GOOGLE_KEY in fields:
        return fields
    shown = parse_qs(query.decode("latin-1")).get("key")
    return {**fields, GOOGLE_KEY: shown[0].encode()} if shown else fields


def own_token(secret: bytes) -> UpstreamAccess | None:
    """Return what a caller's own access token gives, None for any other bearer."""
    if not secret.startswith((b"eyJ", b"fk-", b"pk-")):
        return None
    match = _TOKEN.fullmatch(secret.decode("latin-1"))
    if match is None:
        return None
    return UpstreamAccess(token=Secret(match["token"]), account=match["account"])


def _missing_token() -> Unauthorized:
    # The words of go-chatgpt-api: people probe a conversation backend for exactly them.
    return Unauthorized("Missing accessToken.", code="missing_access_token")


def _shown_secret(fields: Mapping[bytes, bytes]) -> bytes:
    for name in SECRET_FIELDS:
        value = fields.get(name)
        if value and (secret := _bare(value)):
            return secret
    return b""


def _bare(value: bytes) -> bytes:
    """The key of a header value: with ``Bearer`` before it, or bare."""
    if value[:7].lower() == b"bearer ":
        return value[7:].strip()
    value = value.strip()
    return b"" if value.lower() == b"bearer" else value


def _quoted(value: bytes) -> str:
    text = value.decode("ascii", "backslashreplace")
    return repr(text[:_SHOWN] + ("…" if len(text) > _SHOWN else ""))
