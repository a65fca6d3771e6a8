"""What a value's type cannot say: URLs, rates, proxies, names, what may stand in a header."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from ipaddress import ip_address
from typing import Any, Final

from chatgpt_to_api.config.globs import check_glob
from chatgpt_to_api.config.rates import parse_rate_limit
from chatgpt_to_api.config.settings import ServerSettings
from chatgpt_to_api.wire.http import split_url
from chatgpt_to_api.wire.proxy import parse_proxy
from chatgpt_to_api.wire.secret import Secret

_HOST_NAME: Final = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_.-]{0,252}[A-Za-z0-9_])?\.?")
_ORIGIN: Final = re.compile(r"\*|null|[a-z][a-z0-9+.-]*://[^\s/?#@]+", re.IGNORECASE)
_UPSTREAM_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_ENDPOINT: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
_HEADER_NAME: Final = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_OWN_HEADERS: Final = frozenset(
    {"host", "content-length", "transfer-encoding", "connection", "authorization", "cookie"}
)
"""Headers that the gateway writes itself."""


def check_upstream_name(name: str) -> None:
    """Raise ValueError for a name that would not do in headers, logs and admin paths."""
    if not _UPSTREAM_NAME.fullmatch(name):
        raise ValueError("expected a name of letters, digits, - _ . (64 at most)")


def conversation_url(value: str) -> str:
    """Return a conversation backend's URL. Raises ValueError unless it can be called."""
    split_url(value)
    return value


def api_url(value: str) -> str:
    """Return the base URL of a vendor's API without a final slash. Raises ValueError."""
    _, path = split_url(value)
    if "?" in path:
        raise ValueError("the URL must not have a query")
    return value.rstrip("/")


def points_at(url: str, server: ServerSettings) -> bool:
    """Whether ``url`` leads to this gateway itself, as far as one can tell without looking."""
    origin, _ = split_url(url)
    if not server.port or origin.port != server.port or origin.scheme != "http":
        return False
    return origin.host in {"localhost", "127.0.0.1", "::1", "0.0.0.0", "::", server.host}


def _host(value: str) -> str:
    try:
        ip_address(value)
    except ValueError:
        if not _HOST_NAME.fullmatch(value):
            raise ValueError(
                "expected an address or a host name without port, such as 127.0.0.1 or 0.0.0.0"
            ) from None
    return value


def _origins(values: tuple[str, ...]) -> tuple[str, ...]:
    cleaned = tuple(value.rstrip("/") for value in values)
    for value in cleaned:
        if not _ORIGIN.fullmatch(value):
            raise ValueError(f"expected * or origins such as https://app.example, got {value!r}")
    return cleaned


def _hosts(values: tuple[str, ...]) -> tuple[str, ...]:
    for value in values:
        if not _HOST_NAME.fullmatch(value):
            raise ValueError(f"expected host names without scheme and port, got {value[:64]!r}")
    return tuple(value.lower() for value in values)


def _rates(values: tuple[str, ...]) -> tuple[str, ...]:
    for value in values:
        try:
            parse_rate_limit(value)
        except ValueError as error:
            raise ValueError(f"{error}; got {value[:40]!r}") from None
    return values


def _globs(values: tuple[str, ...] | None) -> tuple[str, ...] | None:
    for place, value in enumerate(values or ()):
        try:
            check_glob(value)
        except ValueError as error:
            raise ValueError(f"[{place}] {error}") from None
    return values


def _endpoints(values: tuple[str, ...]) -> tuple[str, ...]:
    if not values:
        raise ValueError('expected endpoints such as "chat" and "models", or "*"; got none')
    for value in values:
        if value != "*" and not _ENDPOINT.fullmatch(value):
            raise ValueError(
                "expected * or the first part of a path after /v1/, such as audio; "
                f"got {value[:64]!r}"
            )
    return values


def _proxy(value: Secret | None) -> Secret | None:
    if value is not None:
        parse_proxy(value.reveal())
    return value


def _header_secret(value: Secret | None) -> Secret | None:
    # It is sent in a header, where a control character would end the line.
    if value is not None and not all(33 <= ord(c) < 127 for c in value.reveal()):
        raise ValueError("holds a space, a control character or one that is not ASCII")
    return value


def _header_secrets(values: tuple[Secret, ...]) -> tuple[Secret, ...]:
    for place, value in enumerate(values):
        try:
            _header_secret(value)
        except ValueError as error:
            raise ValueError(f"[{place}] {error}") from None
    return values


def _headers(values: Mapping[str, Secret]) -> dict[str, Secret]:
    for name, value in values.items():
        if not _HEADER_NAME.fullmatch(name) or name.lower() in _OWN_HEADERS:
            raise ValueError(f"{name[:64]!r} is not a header that can be set here")
        if not all(c == "\t" or 32 <= ord(c) < 127 for c in value.reveal()):
            raise ValueError(f"the value of {name!r} is not printable ASCII")
    return {name.lower(): value for name, value in values.items()}


def _token_url(value: str) -> str:
    if value:
        split_url(value)
    return value


def _header_name(value: str) -> str:
    if value and (not _HEADER_NAME.fullmatch(value) or value.lower() in _OWN_HEADERS):
        raise ValueError(f"{value[:64]!r} is not a header that can be set here")
    return value.lower()


CHECKS: Final[Mapping[str, Callable[[Any], Any]]] = {
    "server.host": _host,
    "server.api_keys": _header_secrets,
    "server.cors_allowed_origins": _origins,
    "server.allowed_hosts": _hosts,
    "tokens.access_tokens": _header_secrets,
    "tokens.official_api_key": _header_secret,
    "proxy.http": _proxy,
    "proxy.https": _proxy,
    "proxy.all": _proxy,
    "well_known_models": _globs,
    "upstreams.NAME.api_keys": _header_secrets,
    "upstreams.NAME.endpoints": _endpoints,
    "upstreams.NAME.models": _globs,
    "upstreams.NAME.rate_limits": _rates,
    "upstreams.NAME.credential_rate_limits": _rates,
    "upstreams.NAME.proxy": _proxy,
    "upstreams.NAME.puid": _header_secret,
    "upstreams.NAME.headers": _headers,
    "upstreams.NAME.token_url": _token_url,
    "upstreams.NAME.account_header": _header_name,
}
"""Checks of single values by their key: each returns the value, tidied, or raises ValueError."""
