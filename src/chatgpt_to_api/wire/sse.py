"""Server-sent events, split from bytes that may be cut anywhere, and written; sans-IO.

Two roads give the same events. The plain one knows a read whose events are all ``data: {…}`` and a
blank line, and splits it with a handful of C-speed searches, without a Python object per event. The
exact one reads line by line and takes everything else the format allows.
Source: https://html.spec.whatwg.org/multipage/server-sent-events.html#parsing-an-event-stream
"""

from __future__ import annotations

import re
from functools import cache
from typing import Final, NamedTuple

MAX_EVENT: Final = 8 * 1024 * 1024
"""Longest event held in memory, bytes; a picture inside one event still fits."""

_BOM: Final = b"\xef\xbb\xbf"
_SPACED: Final = b"data: "
_BARE: Final = b"data:"
_NAME: Final = b"event: "


class SseEvent(NamedTuple):
    """One event: its name (b"" where it has none) and its data lines joined by newlines."""

    name: bytes
    data: bytes


class SseSplitter:
    """Bytes in, complete events out, the same ones however the bytes are cut.

    Comments, ``id``, ``retry`` and unknown fields mean nothing here. An event without data, or with
    empty data, is dropped. ``alias`` is an event name that says no more than none does (``delta``):
    events that bear it come out unnamed, and stay on the plain road.

    An event longer than ``limit`` bytes (its lines with their ends, the blank one left out) is not
    given out: ``overflow`` becomes true, events before it are still returned, and every byte after
    is ignored.
    """

    __slots__ = (
        "_after_cr",
        "_alias",
        "_held",
        "_held_size",
        "_limit",
        "_named",
        "_started",
        "cut",
        "overflow",
    )

    def __init__(self, *, limit: int = MAX_EVENT, alias: bytes = b"") -> None:
        self._limit = limit
        self._alias = alias
        self._named = b"event: %b\ndata: " % alias if alias else _SPACED
        self._held: list[bytes] = []  # bytes since the last border, line ends already LF
        self._held_size = 0
        self._started = False
        self._after_cr = False
        self.overflow: bool = False
        self.cut: SseEvent | None = None
        """After ``eof``: the event whose last line had no line end. It may be half a line, so it is
        not delivered; a payload that ends by itself (whole JSON, ``[DONE]``) may still be read."""

    @property
    def pending(self) -> int:
        """How many bytes of an unfinished event are held."""
        return self._held_size

    def feed(self, data: bytes) -> bytes | list[SseEvent]:
        """Take the next bytes; return the events they complete.

        ``bytes``: every event is unnamed and of one line; these are their payloads joined by
        newlines, fit for ``msgspec.json.Decoder.decode_lines`` (b"" is no event). A list: framing
        that is not plain, event by event.
        """
        block = self.whole(data)
        if not block:
            return b""
        if len(block) <= self._limit + 1:  # no event in it can be too long
            lines = self._lines(block)
            if lines is not None:
                return lines
        return self._exact(block)

    def runs(self, data: bytes) -> list[bytes | SseEvent]:
        """Do what ``feed`` does where other events stand around the plain ones.

        ``bytes`` in the list are payloads of plain events that follow each other, never none; with
        an alias they are those that bear it, in the usual spelling. All else comes event by event.
        """
        block = self.whole(data)
        if not block:
            return []
        if len(block) > self._limit + 1:
            return [*self._exact(block)]
        lines = self._lines(block)
        if lines is not None:
            return [lines] if lines else []
        return self._mixed(block)

    def _lines(self, block: bytes) -> bytes | None:
        """Return the payloads of events that are all plain, one a line; else None."""
        named = self._named
        if block.startswith(named):
            joined = block[len(named) : -2].replace(b"\n\n" + named, b"\n")
            taken = len(block) - len(named) - 2 - len(joined)
            if joined.count(b"\n") * (len(named) + 1) == taken:
                return joined  # no line end is left but those between payloads
        return _plain(block, self._alias)

    def _mixed(self, block: bytes) -> list[bytes | SseEvent]:
        named = self._named
        run = _run(named)
        found: list[bytes | SseEvent] = []
        at = 0
        while at < len(block):
            plain = run.match(block, at)
            if plain is not None:
                found.append(plain[0][len(named) : -2].replace(b"\n\n" + named, b"\n"))
                at = plain.end()
                continue
            end = block.find(b"\n\n" + named, at) + 2
            if end == 1:
                end = len(block)
            found += self._exact(block[at:end])
            at = end
        return found

    def events(self, data: bytes) -> list[SseEvent]:
        """Do what ``feed`` does, always as a list."""
        found = self.feed(data)
        if isinstance(found, list):
            return found
        return [SseEvent(b"", line) for line in found.split(b"\n") if line]

    def eof(self) -> list[SseEvent]:
        """The body has ended: return the last event where only its blank line is missing.

        Its last line must be complete, with its line end; if not, nothing is returned and ``cut``
        holds the event as far as it came.
        """
        rest, self._held, self._held_size = b"".join(self._held), [], 0
        if not self._started and rest == _BOM:
            return []
        self._started = True
        if self.overflow or not rest:
            return []
        if rest.endswith(b"\n"):
            return self._exact(rest + b"\n")
        cut = read_event(rest.split(b"\n"), self._alias)
        self.cut = cut if cut is not None and cut.data else None
        return []

    def whole(self, data: bytes) -> bytes:
        """Take the next bytes; return whole events as they stand, up to the last blank line.

        For readers that know their stream's usual bytes. Line ends are LF; b"" while no event is
        complete. No event in it was measured: one longer than the limit is the reader's to refuse.
        """
        if not data or self.overflow:
            return b""
        if self._after_cr:
            # A CR ended the line at once; an LF right after it belongs to the same line end.
            self._after_cr = False
            if data[0] == 10:
                data = data[1:]
        if b"\r" in data:
            self._after_cr = data.endswith(b"\r")
            data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        if not self._started:
            data = self._begin(data)
        if not data:
            return b""

        end = data.rfind(b"\n\n") + 2
        if end == 1 and not (data[0] == 10 and (not self._held or self._held[-1][-1] == 10)):
            self._hold(data)
            return b""
        rest = data[end:]
        block = data[:end] if rest else data
        if self._held:
            self._held.append(block)
            block = b"".join(self._held)
            self._held.clear()
            self._held_size = 0
        if rest:
            self._hold(rest)
        return block

    def _hold(self, data: bytes) -> None:
        self._held.append(data)
        self._held_size += len(data)
        if self._held_size > self._limit:
            self._give_up()

    def _give_up(self) -> None:
        self.overflow = True
        self._held.clear()
        self._held_size = 0

    def _begin(self, data: bytes) -> bytes:
        """Take the byte order mark off the stream's first bytes; b"" while they are too few."""
        if self._held:
            data = b"".join(self._held) + data
        if len(data) < len(_BOM) and _BOM.startswith(data):
            self._held, self._held_size = [data], len(data)
            return b""
        self._held.clear()
        self._held_size = 0
        self._started = True
        return data.removeprefix(_BOM)

    def _exact(self, block: bytes) -> list[SseEvent]:
        """Read whole events line by line. ``block`` ends with a blank line."""
        events: list[SseEvent] = []
        lines: list[bytes] = []
        size = 0
        for line in block.split(b"\n")[:-1]:
            if line:
                lines.append(line)
                size += len(line) + 1
                continue
            if size > self._limit:
                self._give_up()
                break
            event = read_event(lines, self._alias)
            if event is not None and event.data:
                events.append(event)
            lines, size = [], 0
        return events


@cache
def _run(beginning: bytes) -> re.Pattern[bytes]:
    """Return what a run of events matches that have one line of data each, and begin so."""
    return re.compile(rb"(?:%b[^\n]++\n\n)++" % re.escape(beginning))


def _plain(block: bytes, alias: bytes) -> bytes | None:
    """Return the payloads of ``block`` joined by newlines, None unless all of it is plain."""
    size = len(block)
    lines = block.split(b"\n")
    if alias and (name := b"event: " + alias) in lines:
        unnamed = [line for line in lines if line != name]
        size -= (len(lines) - len(unnamed)) * (len(name) + 1)
        lines = unnamed
    if len(lines) % 2 == 0 or any(lines[1::2]):
        return None  # something stands where only blank lines may
    prefix = _SPACED if lines[0].startswith(_SPACED) else _BARE
    payloads = [line.removeprefix(prefix) for line in lines[:-1:2]]
    joined = b"\n".join(payloads)
    if len(joined) != size - len(payloads) * (len(prefix) + 1) - 1:
        return None  # a line without the prefix: a comment, a name, another field
    if prefix is _BARE and (b"\n " in joined or joined.startswith(b" ")):
        return None  # the one space that may follow the colon is no part of the payload
    return joined


def read_event(lines: list[bytes], alias: bytes = b"") -> SseEvent | None:
    """Read one event's lines (without line ends); None where it has no data field."""
    if len(lines) == 1 and lines[0].startswith(_SPACED):
        return SseEvent(b"", lines[0][6:])
    if len(lines) == 2 and lines[0].startswith(_NAME) and lines[1].startswith(_SPACED):
        name = lines[0][7:]
        return SseEvent(b"" if name == alias else name, lines[1][6:])
    name = b""
    data: list[bytes] = []
    for line in lines:
        field, _, value = line.partition(b":")
        if field == b"data":
            data.append(value.removeprefix(b" "))
        elif field == b"event":
            name = value.removeprefix(b" ")
    if not data:
        return None
    return SseEvent(b"" if name == alias else name, b"\n".join(data))


def write_event(event: SseEvent) -> bytes:
    """Return the bytes of an event, its blank line included; a splitter reads the same event."""
    name = b"event: %b\n" % event.name if event.name else b""
    return b"%bdata: %b\n\n" % (name, event.data.replace(b"\n", b"\ndata: "))
