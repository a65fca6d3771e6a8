"""Requests whose bodies come compressed: some agents compress the long ones."""

from __future__ import annotations

from chatgpt_to_api.errors import BodyTooLarge, InvalidRequest, UnsupportedEncoding
from chatgpt_to_api.wire.inflate import CODINGS, Inflater


def check_coding(coding: bytes) -> None:
    """Raise UnsupportedEncoding for a ``Content-Encoding`` that is not read here."""
    if coding not in CODINGS:
        shown = coding.decode("ascii", "replace")[:40]
        raise UnsupportedEncoding(
            f"The body comes in the content encoding {shown!r}, which is not read here: send it "
            "as it is, or as gzip or deflate."
        )


def decoded(body: bytes, coding: bytes, limit: int) -> bytes:
    """Return a body without its coding.

    Raises BodyTooLarge as soon as it is larger than ``limit`` bytes, however few it came in, and
    InvalidRequest for what is cut, or not in that coding.
    """
    inflater = Inflater(coding)
    inflater.put(body)
    pieces: list[bytes] = []
    size = 0
    try:
        while piece := inflater.take(limit + 1 - size):
            size += len(piece)
            if size > limit:
                raise BodyTooLarge(f"The body is larger than {limit} bytes when decompressed.")
            pieces.append(piece)
    except ValueError as error:
        raise InvalidRequest(f"The body cannot be decompressed: it is {error}.") from None
    if inflater.cut:
        raise InvalidRequest("The body cannot be decompressed: it ends too early.")
    return b"".join(pieces)
