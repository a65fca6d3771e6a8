"""Getting an access token with a refresh token: the question, and what the answer means.

Source: https://www.rfc-editor.org/rfc/rfc6749#section-6, and section 5.2 for errors.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlencode

import msgspec

from chatgpt_to_api.wire.http import Headers, HttpRequest, ReplyHead, header, split_url
from chatgpt_to_api.wire.jwt import read_claims
from chatgpt_to_api.wire.proxy import Proxy
from chatgpt_to_api.wire.retry_after import parse_retry_after
from chatgpt_to_api.wire.secret import Secret

PREFIX: Final = "refresh:"
"""What marks a refresh token where API keys are given."""

LONGEST_REST: Final = 600.0
"""Seconds; after this a token server is asked again, whatever it says."""
USUAL_REST: Final = 60.0
"""Seconds until a token server that was out of service is asked again."""

_HEADERS: Final[Headers] = (
    (b"content-type", b"application/x-www-form-urlencoded"),
    (b"accept", b"application/json"),
)
_CODE: Final = re.compile(r"[a-z][a-z0-9_.-]{0,63}")


class TokenServer(msgspec.Struct, frozen=True):
    """Where, and as whom, access tokens are asked for; ``proxy`` leads there."""

    url: str
    client_id: str = ""
    client_secret: Secret | None = None
    proxy: Proxy | None = None


class Grant(msgspec.Struct, frozen=True):
    """What a token server has given. ``expires`` is Unix time, None where nobody says.

    ``refresh``: the refresh token that counts from now on; None where the old one still does.
    """

    access: Secret
    refresh: Secret | None
    expires: float | None


class Refusal(msgspec.Struct, frozen=True):
    """Why there is no grant, in words without secrets.

    ``final``: the refresh token will never do. Else it is as good as before, and may be shown again
    after ``wait`` seconds.
    """

    reason: str
    final: bool = False
    wait: float = USUAL_REST


class Unclear(msgspec.Struct, frozen=True):
    """An answer that does not tell whether the refresh token is spent."""

    reason: str


class _Answer(msgspec.Struct):
    access_token: str | None = None
    refresh_token: str | None = None
    expires_in: float | str | None = None


_ANSWER: Final = msgspec.json.Decoder(_Answer)


def seed_of(key: Secret) -> Secret | None:
    """Return the refresh token that is given in an API key's place, None for a key."""
    text = key.reveal()
    return Secret(text.removeprefix(PREFIX)) if text.startswith(PREFIX) else None


def as_key(refresh: Secret) -> Secret:
    """Return what stands in an API key's place for a refresh token."""
    return Secret(PREFIX + refresh.reveal())


def refresh_request(server: TokenServer, refresh: Secret) -> HttpRequest:
    """Return the call that spends ``refresh``. Raises ValueError for a bad URL."""
    origin, target = split_url(server.url)
    fields = {"grant_type": "refresh_token", "refresh_token": refresh.reveal()}
    if server.client_id:
        fields["client_id"] = server.client_id
    if server.client_secret is not None:
        fields["client_secret"] = server.client_secret.reveal()
    return HttpRequest(b"POST", origin, target.encode(), _HEADERS, urlencode(fields).encode())


def read_answer(head: ReplyHead, body: bytes, now: float) -> Grant | Refusal | Unclear:
    """Say what a token server's answer means. ``now`` is Unix time in seconds."""
    status = head.status
    if 200 <= status < 300:
        return _granted(body, now)
    code = _error_code(body)
    told = f" ({code})" if code else ""
    if status in (400, 401, 403) and code:
        return Refusal(f"the token server refuses the refresh token{told}", final=True)
    after = header(head.headers, b"retry-after")
    wait = USUAL_REST
    if after is not None:
        try:
            wait = parse_retry_after(after.decode("latin-1"), now) or USUAL_REST
        except ValueError:
            pass
    elif 300 <= status < 500 and status not in (408, 425, 429):
        wait = LONGEST_REST  # the URL is wrong, or a page stands before it
    return Refusal(f"the token server answers {status}{told}", wait=min(wait, LONGEST_REST))


def _granted(body: bytes, now: float) -> Grant | Unclear:
    try:
        answer = _ANSWER.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return Unclear("the token server's answer holds no token")
    token = answer.access_token
    if not token or not all(33 <= ord(c) < 127 for c in token):
        return Unclear("the token server's answer holds no token")
    refresh = Secret(answer.refresh_token) if answer.refresh_token else None
    return Grant(Secret(token), refresh, _expires(answer.expires_in, token, now))


def _expires(given: float | str | None, token: str, now: float) -> float | None:
    """Return when a token ends: as the answer says, else as the token itself does."""
    try:
        seconds = float(given) if given is not None else 0.0
    except ValueError:
        seconds = 0.0
    return now + seconds if 0 < seconds < 1e10 else read_claims(token).expires


def _error_code(body: bytes) -> str:
    """Return the code of an error, "" where it has none. Its prose may hold a secret."""
    try:
        value = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return ""
    error = value.get("error") if isinstance(value, dict) else None
    if isinstance(error, Mapping):  # as the vendor's other endpoints have it
        error = error.get("code") or error.get("type")
    return _word(error)


def _word(value: Any) -> str:
    return value if isinstance(value, str) and _CODE.fullmatch(value) else ""
