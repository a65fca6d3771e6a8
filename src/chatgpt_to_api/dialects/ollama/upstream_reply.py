"""Backend side, the reply: lines of a stream, or one whole object → canonical events.

A whole reply is a stream of one line, so both are read alike.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import Final

import msgspec

from chatgpt_to_api.chat.blocks import BlockTracker
from chatgpt_to_api.chat.events import (
    ChatEvent,
    FinishReason,
    LogprobsReported,
    Started,
    TokenLogprob,
    UsageReported,
)
from chatgpt_to_api.chat.usage import Usage
from chatgpt_to_api.dialects.bodies import UNREADABLE, present
from chatgpt_to_api.dialects.contract import UpstreamFault
from chatgpt_to_api.dialects.faults import (
    challenge_page,
    complaint,
    nonsense,
    too_long,
    truncated,
)
from chatgpt_to_api.dialects.ollama.arguments import as_text
from chatgpt_to_api.dialects.ollama.messages import CallMessage, Likely, ReplyLine
from chatgpt_to_api.dialects.reply_reading import Broken, ReplyReader
from chatgpt_to_api.wire.error_body import read_error_body
from chatgpt_to_api.wire.http import ReplyHead
from chatgpt_to_api.wire.ndjson import MAX_LINE, LineSplitter

LINE: Final = msgspec.json.Decoder(ReplyLine)

_REASONS: Final[dict[str, FinishReason]] = {
    "length": "length",
    "content_filter": "content_filter",
}


class OllamaReplyDecoder(ReplyReader):
    """Decodes one reply. ``fault`` says what a failure means; ``done`` that the end was seen."""

    def __init__(self, head: ReplyHead) -> None:
        super().__init__()
        self._head = head
        self._lines = LineSplitter()
        self._tracker = BlockTracker()
        self._started = False
        self._calls = 0

    def _is_stream(self, data: bytes) -> bool:  # noqa: ARG002
        return True

    def _stream(self, data: bytes, events: list[ChatEvent]) -> None:
        lines = self._lines.feed(data)
        found: list[ReplyLine] = []
        try:
            if lines:
                found = LINE.decode_lines(b"\n".join(lines))
        except UNREADABLE:
            for raw in lines:
                if not self.done:
                    self._line(self._decoded(raw), events)
        texts: list[str] = []
        for line in found:
            if self.done:
                break
            text = _plain(line)
            if text is not None and self._started:
                texts.append(text)
                continue
            events += self._tracker.text("".join(texts))
            texts.clear()
            self._line(line, events)
        events += self._tracker.text("".join(texts))
        if self._lines.overflow and not self.done:
            raise Broken(too_long(MAX_LINE))

    def _close(self, events: list[ChatEvent]) -> None:
        """The stream is good only after a line that says ``done``."""
        last = self._lines.eof()
        if last:
            self._last(last, events)
        if not self.done:
            raise Broken(self._cut())

    def _whole(self, body: bytes, events: list[ChatEvent]) -> None:  # noqa: ARG002
        """Nothing came: all that comes is read as lines."""
        raise Broken(self._cut())

    def _last(self, data: bytes, events: list[ChatEvent]) -> None:
        """Read a last line without its end. Half a line is a reply that was cut."""
        try:
            line = LINE.decode(data)
        except UNREADABLE:
            if not self._started:
                self._decoded(data)  # it says what is wrong, where that is no cut
            raise Broken(self._cut()) from None
        self._line(line, events)

    def _decoded(self, data: bytes) -> ReplyLine:
        try:
            return LINE.decode(data)
        except UNREADABLE:
            raise Broken(no_reply(self._head, data)) from None

    def _line(self, line: ReplyLine, events: list[ChatEvent]) -> None:
        if present(line.error):
            raise Broken(complaint(line.error))
        message = line.message
        if message is None and line.response is None and not line.done:
            raise Broken(nonsense("The upstream sent a line that is no part of an answer."))
        if not self._started:
            self._started = True
            events.append(Started(line.model or ""))
        thinking = line.thinking if message is None else message.thinking
        content = line.response if message is None else message.content
        events += self._tracker.reasoning(thinking or "")
        events += self._tracker.text(content or "")
        for call in (message.tool_calls if message is not None else None) or ():
            events += self._call(call, line.created_at or "")
        if line.logprobs:
            events.append(LogprobsReported(tuple(map(_likely, line.logprobs))))
        if line.done:
            self._finish(line, events)

    def _call(self, call: CallMessage, at: str) -> list[ChatEvent]:
        """A call comes whole. One without an id gets one from when it came, so it is a new one."""
        arguments = as_text(call.function.arguments)
        if arguments is None:
            raise Broken(nonsense("The upstream sent a tool call whose arguments are no object."))
        made = blake2b(f"{at} {self._calls} {call.function.name}".encode(), digest_size=12)
        self._calls += 1
        return [
            *self._tracker.tool_call(call.id or f"call_{made.hexdigest()}", call.function.name),
            *self._tracker.arguments(arguments),
            *self._tracker.end_block(),
        ]

    def _finish(self, line: ReplyLine, events: list[ChatEvent]) -> None:
        reason = _REASONS.get(line.done_reason or "", "stop")
        if reason == "stop" and self._calls:
            reason = "tool_calls"  # the dialect says stop whatever was called
        events += self._tracker.finish(reason)
        usage = usage_of(line)
        if usage is not None:
            events.append(UsageReported(usage))
        self.done = True

    def _cut(self) -> UpstreamFault:
        if not self._started:
            return nonsense("The upstream's stream ended without an answer.")
        return truncated()


def usage_of(line: ReplyLine) -> Usage | None:
    """Return what the last line counts, None where it counts nothing.

    A prompt that the server had in its cache may be left out of the line.
    """
    if line.prompt_eval_count is None and line.eval_count is None:
        return None
    return Usage(input=line.prompt_eval_count, output=line.eval_count, source="reported")


def no_reply(head: ReplyHead, body: bytes) -> UpstreamFault:
    """Return what a good status with something that is no line of an answer means."""
    said = read_error_body(head.content_type, body[: 64 * 1024])
    if said.is_html:
        return challenge_page(said)
    return nonsense("The upstream answered with something that is no answer.", said.message)


def _plain(line: ReplyLine) -> str | None:
    """Return a line's text if it says nothing else, else None."""
    message = line.message
    if message is None or line.done or present(line.error) or line.logprobs:
        return None
    if message.thinking or message.tool_calls or line.response:
        return None
    return message.content or ""


def _likely(token: Likely) -> TokenLogprob:
    return TokenLogprob(
        token.token,
        token.logprob,
        None if token.bytes is None else tuple(token.bytes),
        tuple(map(_likely, token.top_logprobs or ())),
    )
