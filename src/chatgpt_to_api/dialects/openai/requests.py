"""The body of a request to one of OpenAI's endpoints: its first decode, what is changed in it."""

from __future__ import annotations

from typing import Final, TypeVar

import msgspec
from msgspec import Raw

from chatgpt_to_api.dialects.openai.messages import present
from chatgpt_to_api.dialects.openai.problems import malformed, mistyped, too_deep
from chatgpt_to_api.errors import InvalidRequest
from chatgpt_to_api.wire.limits import RequestLimits

T = TypeVar("T")

_BOM: Final = b"\xef\xbb\xbf"
_RAW_OBJECT: Final = msgspec.json.Decoder(dict[str, Raw])
_LIMITS: Final = RequestLimits()
_TRUE: Final = Raw(b"true")

SHARED_EXTRAS: Final = frozenset(
    {
        "metadata",
        "prompt_cache_options",
        "prompt_cache_retention",
        "safety_identifier",
        "service_tier",
        "store",
        "top_logprobs",
    }
)
"""Parameters without a canonical form that mean the same at several of the endpoints."""


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


def rewritten(body: bytes, model: str | None, *, ask_usage: bool) -> bytes:
    """Return a client's JSON with another ``model`` and a stream that reports usage.

    None leaves the model. A field that must change is replaced in its place; every other value
    keeps its bytes.
    """
    fields = _RAW_OBJECT.decode(body)
    if model is not None:
        fields["model"] = Raw(msgspec.json.encode(model))
    if ask_usage:
        given = fields.get("stream_options")
        options = {} if given is None or not present(given) else _RAW_OBJECT.decode(given)
        options["include_usage"] = _TRUE
        fields["stream_options"] = Raw(msgspec.json.encode(options))
    return msgspec.json.encode(fields)


def renamed(body: bytes, model: str) -> bytes:
    """Return JSON that nobody has decoded yet with another ``model``. Raises InvalidRequest."""
    fields = decode_body(body, _RAW_OBJECT, '{"model": "…"}')
    fields["model"] = Raw(msgspec.json.encode(model))
    return msgspec.json.encode(fields)
