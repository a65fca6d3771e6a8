"""Bodies of JSON: a request's first decode, and what is kept as bytes until somebody needs it."""

from __future__ import annotations

from typing import Final, TypeVar

import msgspec
from msgspec import Raw

from chatgpt_to_api.dialects.problems import malformed, mistyped, too_deep
from chatgpt_to_api.errors import InvalidRequest
from chatgpt_to_api.wire.limits import RequestLimits

T = TypeVar("T")

NO_RAW: Final = Raw()
"""Stands for a field that was not there."""

UNREADABLE: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""What a decoder raises for bytes that are no JSON, or not of its type."""

LEADING: Final = b"\xef\xbb\xbf \t\r\n"
"""What may stand before a reply's body and says nothing: a byte order mark, white space."""

_BOM: Final = b"\xef\xbb\xbf"
_LIMITS: Final = RequestLimits()


def present(raw: Raw) -> bool:
    """Whether the field was there and is not null."""
    return len(raw) > 4 or (len(raw) > 0 and bytes(raw) != b"null")


def without_mark(body: bytes) -> bytes:
    """Return the body without a byte order mark."""
    return body.removeprefix(_BOM)


def decode_body(
    body: bytes, decoder: msgspec.json.Decoder[T], example: str, *, depth: int = _LIMITS.depth
) -> T:
    """Decode a request whatever its content type says; ``example`` is shown for an empty one.

    Raises InvalidRequest: where the JSON breaks, or which field is missing or wrong. What is too
    deep for the decoder is told as being deeper than ``depth``, which whoever takes the rest of
    the JSON apart has to check: a body that goes on as it is pays nothing for it.
    """
    try:
        body.decode()  # fields nobody decodes here would reach an upstream unchecked
        return decoder.decode(body)
    except UnicodeDecodeError as error:
        raise InvalidRequest(
            f"The body is not valid UTF-8, at byte {error.start}.", code="invalid_json"
        ) from None
    except msgspec.ValidationError as error:
        raise mistyped(error) from None
    except msgspec.DecodeError as error:
        if not body.strip():
            raise InvalidRequest(
                f"The body is empty: send a JSON object such as {example}", code="empty_body"
            ) from None
        raise malformed(error, body) from None
    except RecursionError:
        raise too_deep(depth) from None
