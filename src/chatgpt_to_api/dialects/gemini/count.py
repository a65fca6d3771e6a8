"""Both sides of ``POST …/{model}:countTokens``: how long a prompt is, before it is asked.

Source: https://ai.google.dev/api/tokens
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec
from msgspec import Raw

from chatgpt_to_api.dialects.bodies import NO_RAW, decode_body, present, without_mark
from chatgpt_to_api.dialects.contract import UpstreamFault, WholeFacts
from chatgpt_to_api.dialects.faults import nonsense
from chatgpt_to_api.dialects.gemini.door import GenerateAsked, GenerateDoor
from chatgpt_to_api.dialects.gemini.faults import fault_of_reply
from chatgpt_to_api.dialects.gemini.messages import CountTokensRequest
from chatgpt_to_api.dialects.gemini.scanner import GenerateScanner
from chatgpt_to_api.dialects.gemini.server import GeminiServer
from chatgpt_to_api.dialects.gemini.spelling import spelled
from chatgpt_to_api.dialects.problems import invalid
from chatgpt_to_api.wire.http import HttpReply, HttpRequest, ReplyHead, RequestHead
from chatgpt_to_api.wire.secret import Access

DIALECT: Final = "gemini_count"
METHOD: Final = "countTokens"

_EXAMPLE: Final = '{"contents": [{"role": "user", "parts": [{"text": "Hello"}]}]}'
_WHOLE: Final = "generateContentRequest"


class _Counted(msgspec.Struct, rename="camel"):
    total_tokens: int


_REQUEST: Final = msgspec.json.Decoder(CountTokensRequest)
_COUNTED: Final = msgspec.json.Decoder(_Counted)
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
        body = msgspec.json.encode(_Counted(tokens))
        headers = ((b"content-type", b"application/json"), (b"x-token-count", how.encode()))
        return HttpReply(200, headers, body)


class CountUpstream:
    """The counting method of a server of this dialect."""

    dialect = DIALECT

    def __init__(self, base_url: str) -> None:
        self._server = GeminiServer(base_url)

    def fault(self, head: ReplyHead, body: bytes, now: float) -> UpstreamFault:
        """Return what a non-2xx reply means. ``now`` is Unix time in seconds."""
        return fault_of_reply(head, body, now)

    def forward(
        self,
        body: bytes,
        access: Access,
        *,
        model: str,
        stream: bool,  # noqa: ARG002  # a number is never streamed
        head: RequestHead,  # noqa: ARG002  # no header of a client means anything here
    ) -> HttpRequest:
        """Return the call that carries a client's own JSON."""
        return self._server.ask(model, METHOD, body, access)

    def facts(self, head: ReplyHead, body: bytes) -> WholeFacts:  # noqa: ARG002  # the contract's
        """Return what a relayed 2xx reply says: that it is a count, or that it is none."""
        try:
            _COUNTED.decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return WholeFacts(fault=nonsense("The upstream's count of tokens holds no number."))
        return WholeFacts()

    def scanner(self, head: ReplyHead, *, hide_usage: bool) -> GenerateScanner:  # noqa: ARG002  # the contract's
        """Return a reader for a stream, which a count never is."""
        return GenerateScanner(head)
