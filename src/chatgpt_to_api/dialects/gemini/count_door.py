"""Client side of counting tokens: of turns alone, or of a whole request."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec
from msgspec import Raw

from chatgpt_to_api.dialects.bodies import NO_RAW, decode_body, present, without_mark
from chatgpt_to_api.dialects.gemini.count import DIALECT, Counted
from chatgpt_to_api.dialects.gemini.door import GenerateAsked, GenerateDoor
from chatgpt_to_api.dialects.gemini.messages import CountTokensRequest
from chatgpt_to_api.dialects.gemini.spelling import spelled
from chatgpt_to_api.dialects.problems import invalid
from chatgpt_to_api.wire.http import HttpReply, RequestHead

_EXAMPLE: Final = '{"contents": [{"role": "user", "parts": [{"text": "Hello"}]}]}'
_WHOLE: Final = "generateContentRequest"

_REQUEST: Final = msgspec.json.Decoder(CountTokensRequest)
_RAW_OBJECT: Final = msgspec.json.Decoder(dict[str, Raw])


class CountAsked(GenerateAsked):
    """A prompt to be counted: turns alone, or a whole request with all that belongs to it."""

    __slots__ = ("_sent",)

    def __init__(self, asked: GenerateAsked, sent: bytes) -> None:
        super().__init__(asked.head, asked.body, asked.put_right, asked.asked, asked.depth)
        self._sent = sent

    def with_pictures(self, data: Mapping[str, str]) -> CountAsked:
        """Return the request with URLs of pictures replaced by their data."""
        shown = super().with_pictures(data)
        fields = _RAW_OBJECT.decode(spelled(self._sent))
        if not present(fields.get(_WHOLE, NO_RAW)):
            return CountAsked(shown, shown.body)
        fields[_WHOLE] = Raw(shown.body)
        return CountAsked(shown, msgspec.json.encode(fields))

    def relayed(self, model: str, *, ask_usage: bool) -> bytes:  # noqa: ARG002  # nothing is used
        """Return the client's own JSON; a whole request in it has to name the path's model."""
        fields = _RAW_OBJECT.decode(self._sent)
        name = _WHOLE if _WHOLE in fields else "generate_content_request"
        if name not in fields or not present(fields[name]):
            return self._sent
        inner = _RAW_OBJECT.decode(fields[name])
        inner["model"] = Raw(msgspec.json.encode(f"models/{model.removeprefix('models/')}"))
        fields[name] = Raw(msgspec.json.encode(inner))
        return msgspec.json.encode(fields)


class CountDoor(GenerateDoor):
    """The door of ``POST …/{model}:countTokens``, whose answer is a number."""

    dialect = DIALECT

    def ask(self, head: RequestHead, body: bytes) -> CountAsked:
        """Decode and check a request. Raises InvalidRequest."""
        body = without_mark(body)
        asked = decode_body(spelled(body), _REQUEST, _EXAMPLE, depth=self._limits.depth)
        whole = asked.generate_content_request
        if asked.contents is None and not present(whole):
            raise invalid("contents", f"expected turns, or {_WHOLE}; got neither")
        inner = bytes(whole) if present(whole) else body
        return CountAsked(super().ask(head, inner), body)

    def counted(self, tokens: int, how: str) -> HttpReply:
        """Return the reply for a count that is not the upstream's own; ``how`` says whose it is."""
        body = msgspec.json.encode(Counted(tokens))
        headers = ((b"content-type", b"application/json"), (b"x-token-count", how.encode()))
        return HttpReply(200, headers, body)
