"""A site's next reply with a head like the last one's: recognised by its bytes, not parsed again.

A server's heads are alike but for a few values: the date, an id, the body's length. So the head of
a good reply is remembered as a pattern, and a read that holds exactly one whole reply with such a
head is taken apart by one match. Only the parser says what a good head is: the lines, their names
and order, and the value of every field that could change how the message is read have to be those
it has accepted. All else goes to the parser.
"""

from __future__ import annotations

import re
from typing import Final

from chatgpt_to_api.wire.http import ReplyHead

MAX_LINES: Final = 64
"""Most header lines of a head that is remembered."""

_SAME: Final = frozenset(
    {
        b"connection",
        b"content-encoding",
        b"content-type",
        b"keep-alive",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    }
)
"""Fields whose value has to come again: they say how the message, or the connection, goes on."""

_LINE: Final = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*(.*?)[ \t]*")
_NOTHING: Final = re.compile(rb"(?!)")
_LENGTH: Final = rb"([0-9]{1,12})"
_VALUE: Final = rb"((?:[!-~\x80-\xff](?:[\t -~\x80-\xff]*[!-~\x80-\xff])?)?)"
"""What the parser takes for a value, without the white space around it."""


STRANGERS: Final = 8
"""After how many heads in a row that never came again no more are remembered."""


class Twins:
    """What one site's replies look like, as far as their heads are alike."""

    __slots__ = ("_length_at", "_match", "_names", "_status", "_strangers")

    def __init__(self) -> None:
        self._match = _NOTHING.match
        self._status = 0
        self._names: list[bytes] = []
        self._length_at = 0
        self._strangers = 0  # heads remembered since one was met again

    def read(self, data: bytes) -> tuple[ReplyHead, bytes] | None:
        """Return head and body, if ``data`` is exactly one whole reply with a known head."""
        found = self._match(data)
        if found is None:
            return None
        end = found.end()
        if int(found[self._length_at]) != len(data) - end:
            return None
        self._strangers = 0
        headers = list(zip(self._names, found.groups(), strict=True))
        return ReplyHead(self._status, headers), data[end:]

    def learn(self, data: bytes, head: ReplyHead) -> None:
        """Remember a head, as the parser took it from the beginning of ``data``.

        The read held one whole reply, with a body, and the connection goes on after it. Nothing is
        remembered of a head without exactly one content-length, or that is written in odd ways.
        """
        if self._strangers >= STRANGERS:
            return
        self._strangers += 1
        end = data.find(b"\r\n\r\n")
        first, *lines = data[: max(end, 0)].split(b"\r\n")
        names = [name for name, _ in head.headers]
        if (
            first[9:12] != b"%d" % head.status
            or len(lines) != len(names)
            or len(lines) > MAX_LINES
            or names.count(b"content-length") != 1
            or b"transfer-encoding" in names
        ):
            return
        pattern = [re.escape(first)]
        for line, field in zip(lines, head.headers, strict=True):
            found = _LINE.fullmatch(line)
            if found is None or (found[1].lower(), found[2]) != field:
                return
            pattern.append(_like(found[1], *field))
        self._match = re.compile(b"\r\n".join(pattern) + b"\r\n\r\n").match
        self._status = head.status
        self._names = names
        self._length_at = 1 + names.index(b"content-length")


def _like(written: bytes, name: bytes, value: bytes) -> bytes:
    """Return a pattern for lines that say what this one does, as far as the framing goes."""
    if name == b"content-length":
        shape = _LENGTH
    elif name in _SAME:
        shape = b"(" + re.escape(value) + b")"
    else:
        shape = _VALUE
    return re.escape(written) + rb":[ \t]*" + shape + rb"[ \t]*"
