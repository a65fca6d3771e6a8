"""A request's head as bytes, and the refusal of whatever would make it two requests."""

from __future__ import annotations

import re
from typing import Final

from chatgpt_to_api.wire.http import FixedHeaders, HttpRequest

_TOKEN: Final = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_TARGET: Final = re.compile(rb"/[!-~]*")
_COLON: Final = b": "
_IDENTITY: Final = b"accept-encoding: identity\r\n\r\n"
_EMPTY: Final = b"content-length: 0\r\n"
_BODY_EXPECTED: Final = frozenset({b"POST", b"PUT", b"PATCH"})

# What decides where a message ends, or belongs to one hop, is the transport's own business.
_OURS: Final = frozenset(
    {
        b"connection",
        b"content-length",
        b"expect",
        b"host",
        b"keep-alive",
        b"proxy-authorization",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    }
)
_MAX_KNOWN: Final = 1000
_plain_names: set[bytes] = set()
"""Header names found to be good and to need no thought. Only a cache, shared by all sites."""


class HeadWriter:
    """Writes the heads of requests to one site.

    ``before`` stands before each target (a proxy's absolute form); ``own`` are the site's own
    header lines, each with its line end.
    """

    __slots__ = ("_before", "_first_lines", "_fixed", "_own", "_own_lines")

    def __init__(self, before: bytes, own: bytes) -> None:
        self._before = before
        self._own = own
        self._own_lines = own.count(b"\r\n")
        self._first_lines: dict[tuple[bytes, bytes], bytes] = {}
        self._fixed: dict[int, tuple[FixedHeaders, bytes, bytes, bytes, bytes]] = {}

    def write(self, request: HttpRequest) -> bytes:
        """Return the head of ``request``, its empty line included.

        Raises ValueError, without repeating a value, for a method, target, name or value that could
        not arrive as one request, and for headers that are the transport's own business.
        """
        headers = request.headers
        if type(headers) is FixedHeaders:
            known = self._fixed.get(id(headers))
            if (
                known is not None
                and known[0] is headers
                and known[1] is request.target
                and known[2] == request.method
            ):
                return b"%bcontent-length: %d%b" % (known[3], len(request.body), known[4])
            return self._fix(request, headers)
        return self._head(request)

    def _fix(self, request: HttpRequest, headers: FixedHeaders) -> bytes:
        """Write a head and remember what stands before and after its length."""
        head = self._head(request)
        before, length, rest = head.rpartition(b"content-length: ")
        if length and request.method in _BODY_EXPECTED:
            if len(self._fixed) >= _MAX_KNOWN:
                self._fixed.clear()
            after = rest[rest.index(b"\r\n") :]
            self._fixed[id(headers)] = (headers, request.target, request.method, before, after)
        return head

    def _head(self, request: HttpRequest) -> bytes:
        method, headers = request.method, request.headers
        start = self._first_lines.get((method, request.target))
        if start is None:
            start = self._start(method, request.target)
        end = _IDENTITY
        for field in headers:
            if field[0] not in _plain_names and _is_accept_encoding(field[0]):
                end = b"\r\n"
        lines = self._own_lines + len(headers) + (3 if end is _IDENTITY else 2)
        if request.body or method in _BODY_EXPECTED:
            end = b"content-length: %d\r\n%b" % (len(request.body), end)
            lines += 1
        head = b"\r\n".join([start, *map(_COLON.join, headers), end])
        # One look at the whole instead of one at each value: a line too many was smuggled in.
        if head.count(b"\n") != lines or head.count(b"\r") != lines or 0 in head:
            raise ValueError("a header of the request holds a line break or NUL")
        return head

    def write_before_body(self, request: HttpRequest, length: int | None) -> bytes:
        """Return the head of a ``request`` whose body of ``length`` bytes follows by itself.

        None is a length that only the body's end will tell. Raises ValueError as ``write`` does.
        """
        framing = (
            b"transfer-encoding: chunked" if length is None else b"content-length: %d" % length
        )
        head = self.write(request)
        if request.method in _BODY_EXPECTED:
            before, _, after = head.rpartition(_EMPTY)
            return b"%b%b\r\n%b" % (before, framing, after)
        return b"%b%b\r\n\r\n" % (head.removesuffix(b"\r\n"), framing)

    def _start(self, method: bytes, target: bytes) -> bytes:
        """Return the request line and the site's own lines, less the last line end."""
        if not _TOKEN.fullmatch(method):
            raise ValueError("the request's method is not a token")
        if not _TARGET.fullmatch(target):
            raise ValueError("the request's target must be a path of visible ASCII characters")
        if len(self._first_lines) >= _MAX_KNOWN:
            self._first_lines.clear()
        start = b"%b %b%b HTTP/1.1\r\n%b" % (method, self._before, target, self._own)
        start = self._first_lines[method, target] = start.removesuffix(b"\r\n")
        return start


def _is_accept_encoding(name: bytes) -> bool:
    if not _TOKEN.fullmatch(name):
        raise ValueError("a header name of the request is not a token")
    lower = name.lower()
    if lower in _OURS:
        raise ValueError(f"the header {lower.decode('ascii')} is set by the transport")
    if lower == b"accept-encoding":
        return True
    if len(_plain_names) >= _MAX_KNOWN:
        _plain_names.clear()
    _plain_names.add(name)
    return False
