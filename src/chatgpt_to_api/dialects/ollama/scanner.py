"""The relay lane: reads along a reply of this dialect while its bytes go on as they are.

Lines are decoded up to the first content; after that only those that hold the word ``done":true``
or ``error``. In JSON a quoted key cannot stand inside a string (its quotes would be escaped), but
in a tool's arguments, which are an object here: so what was found is decoded before it counts.
"""

from __future__ import annotations

import re
from typing import Final

from chatgpt_to_api.chat.usage import Usage
from chatgpt_to_api.dialects.bodies import UNREADABLE, present
from chatgpt_to_api.dialects.contract import Passed, UpstreamFault, WholeFacts
from chatgpt_to_api.dialects.faults import complaint, nonsense, too_long, truncated
from chatgpt_to_api.dialects.ollama.messages import ReplyLine
from chatgpt_to_api.dialects.ollama.upstream_reply import LINE, no_reply, usage_of
from chatgpt_to_api.wire.http import ReplyHead
from chatgpt_to_api.wire.ndjson import MAX_LINE, LineSplitter

_MARKED: Final = re.compile(rb'"done"\s*:\s*true|"error"')
_NOTHING: Final = Passed(b"")
_UNREAD: Final = WholeFacts()

MAX_READ_WHOLE: Final = 8 * 1024 * 1024
"""Largest reply that is read as one object, bytes; a larger one goes on unread."""


class ReplyScanner:
    """Passes one relayed stream on, in whole lines, and tells what it means."""

    def __init__(self, head: ReplyHead) -> None:
        self._head = head
        self._lines = LineSplitter()
        self._committed = False
        self._begun = False
        self.usage: Usage | None = None
        self.model: str = ""
        self.fault: UpstreamFault | None = None
        self.done: bool = False

    def feed(self, data: bytes) -> Passed:
        """Take the next bytes; return those that may go on, and what they mean."""
        if self.done or self.fault is not None:
            return _NOTHING
        passed = self._read(self._lines.feed(data))
        if self._lines.overflow and not self.done and self.fault is None:
            return self._fail(passed.data, too_long(MAX_LINE), content=passed.content)
        return passed

    def eof(self) -> Passed:
        """The body has ended: well only after a line that says ``done``."""
        if self.done or self.fault is not None:
            return _NOTHING
        last = self._lines.eof()
        if last:
            try:
                LINE.decode(last)
            except UNREADABLE:
                fault = truncated() if self._begun else no_reply(self._head, last)
                return self._fail(b"", fault)
        passed = self._read([last] if last else [])
        if self.done or self.fault is not None:
            return passed
        if not self._begun:
            fault = nonsense("The upstream's stream ended without an answer.")
            return self._fail(b"", fault)
        return self._fail(passed.data, truncated(), content=passed.content)

    def _read(self, lines: list[bytes]) -> Passed:
        """Read whole lines."""
        content = False
        out: list[bytes] = []
        for data in lines:
            if self._committed and not _MARKED.search(data):
                out.append(data)
                continue
            try:
                line = LINE.decode(data)
            except UNREADABLE:
                return self._fail(_joined(out), no_reply(self._head, data), content=content)
            if present(line.error):
                return self._fail(_joined(out), complaint(line.error), content=content)
            self._begun = True
            self.model = self.model or line.model or ""
            if not self._committed and (line.done or says_something(line)):
                self._committed = content = True
            out.append(data)
            if line.done:
                self.usage = usage_of(line)
                self.done = True
                break
        return Passed(_joined(out), content=content)

    def _fail(self, data: bytes, fault: UpstreamFault, *, content: bool = False) -> Passed:
        self.fault = fault
        return Passed(data, content=content, failed=fault.error)


def read_whole(head: ReplyHead, body: bytes) -> WholeFacts:
    """Return what the body of a 2xx reply that came whole says."""
    if len(body) > MAX_READ_WHOLE:
        return _UNREAD
    try:
        line = LINE.decode(body)
    except UNREADABLE:
        return WholeFacts(fault=no_reply(head, body))
    if present(line.error):
        return WholeFacts(fault=complaint(line.error))
    if line.message is None and line.response is None:
        return WholeFacts(fault=no_reply(head, body))
    return WholeFacts(usage_of(line), line.model or "")


def says_something(line: ReplyLine) -> bool:
    """Whether anything was generated: text, a thought, or a call."""
    message = line.message
    if message is None:
        return bool(line.response or line.thinking)
    return bool(message.content or message.thinking or message.tool_calls)


def _joined(lines: list[bytes]) -> bytes:
    return b"\n".join([*lines, b""]) if lines else b""
