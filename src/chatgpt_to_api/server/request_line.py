"""The target of a request, taken apart."""

from __future__ import annotations

from urllib.parse import unquote


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
