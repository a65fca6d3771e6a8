"""The head of a request: its target, what makes it refused, and an offer taken out of it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final
from urllib.parse import unquote

from chatgpt_to_api.errors import GatewayError, HeadTooLarge, InvalidRequest
from chatgpt_to_api.server.limits import Limits
from chatgpt_to_api.wire.http import Header

ONCE: Final = frozenset(
    (
        b"authorization",
        b"content-type",
        b"expect",
        b"host",
        b"origin",
        b"sec-fetch-site",
        b"x-api-key",
        b"x-authorization",
        b"x-goog-api-key",
    )
)
"""Fields whose second copy could make two readers see two requests."""


def split_target(target: bytes) -> tuple[str, bytes]:
    """Return the percent-decoded path and the raw query of a request target.

    A target in absolute form (``http://host/path``, as sent to proxies) gives its path; one without
    a path (``*``) is returned as it is.
    """
    if not target.startswith(b"/"):
        scheme, mark, rest = target.partition(b"://")
        if mark and scheme.lower() in (b"http", b"https"):
            slash = rest.find(b"/")
            target = rest[slash:] if slash >= 0 else b"/"
    path, _, query = target.partition(b"?")
    text = path.decode("latin-1")
    return (unquote(text) if "%" in text else text), query


def repeated(headers: Iterable[Header]) -> GatewayError | None:
    """Return what is wrong where a field stands twice that may stand once."""
    seen: set[bytes] = set()
    for name, _ in headers:
        if name in ONCE and name in seen:
            return InvalidRequest(f"The header {name.decode()} comes twice.")
        seen.add(name)
    return None


def head_size(url: bytes, headers: Iterable[Header]) -> int:
    """Return how many bytes a head has, about."""
    return len(url) + sum(len(name) + len(value) + 4 for name, value in headers)


def head_too_large(limits: Limits) -> HeadTooLarge:
    """Return the error for a head beyond the limits."""
    return HeadTooLarge(
        f"The request's head has more than {limits.head} bytes or {limits.fields} fields."
    )


def without_offer(method: bytes, url: bytes, headers: Sequence[Header]) -> bytes:
    """Return a head's bytes without the protocol change it offers; all else stays."""
    lines = [b"%b %b HTTP/1.1\r\n" % (method, url)]
    for name, value in headers:
        if name == b"connection" and b"close" not in value.lower():
            continue
        if name == b"connection":
            value = b"close"
        if name not in (b"upgrade", b"http2-settings"):
            lines.append(b"%b: %b\r\n" % (name, value))
    lines.append(b"\r\n")
    return b"".join(lines)
