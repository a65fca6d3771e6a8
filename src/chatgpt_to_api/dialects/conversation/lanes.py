"""The fast lanes: runs of events that differ in their text alone, read by their known bytes.

A backend repeats itself: between two events of a message only the text differs. Once one event was
read the exact way, its bytes before and after the text are known. Whatever stands between the same
bytes in the next event is the new text, if it is the inside of a JSON string: a JSON decoder tells,
for a whole run at once. So nothing is guessed: an event that a lane takes would decode to the very
same object, but for its text; any other event is left to the exact road.
"""

from __future__ import annotations

import re
from typing import Any, Final, Protocol

import msgspec

from chatgpt_to_api.dialects.conversation.reading import NotJson, read_json
from chatgpt_to_api.dialects.conversation.usual import read_shown

_END: Final = b"\n\n"
_BORDER: Final = b'"\n"'
_WINDOW: Final = 32 * 1024
"""How far a lane looks at once, bytes: a run may be short, and the block behind it long."""
_INSIDE: Final = re.compile(rb'[^"\\\n]*(?:\\.[^"\\\n]*)*')
_PROBE: Final = "a text that was never there"
_PARTS: Final = (b'"parts": ["', b'"parts":["')
_strings: Final = msgspec.json.Decoder(str).decode_lines


class Lane(Protocol):
    """Takes whole events off the front of a block, as long as they are of its kind."""

    def run(self, block: bytes, at: int) -> tuple[str, int]:
        """Return the text that the events from ``at`` on add, and where the first other one is."""
        ...


class SnapshotLane:
    """Events that repeat a text from its beginning, each time with a little more at its end."""

    __slots__ = ("_after", "_known")

    def __init__(self, known: bytes, after: bytes) -> None:
        self._known = known  # everything up to the end of the text so far
        self._after = after + _END

    def run(self, block: bytes, at: int) -> tuple[str, int]:
        """Return the text the events from ``at`` on add; see :class:`Lane`."""
        known, after = self._known, self._after
        before = size = len(known)
        fixed = len(after) - len(_END)
        begins, find = block.startswith, block.find
        sizes: list[int] = []
        stop = at
        while begins(known, stop):
            end = find(b"\n", stop + size) - fixed
            if end < stop + size or not begins(after, end):
                break
            known = block[stop:end]
            sizes.append(size)
            size = end - stop
            stop = end + fixed + 2
        added = known[before:]
        if not added:
            return "", stop
        if b"\\" in added or not added.isascii():
            # An event may end inside a character: what each adds has to be text by itself.
            ends = [*sizes[1:], size]
            added = _BORDER.join([known[n:end] for n, end in zip(sizes, ends, strict=True)])
        texts = _lines(b'"%b"' % added)
        if texts is None:
            return "", at
        self._known = known
        return "".join(texts), stop


class DeltaLane:
    """Operations that append to the same text, all of one form."""

    __slots__ = ("_after", "_before", "_between")

    def __init__(self, before: bytes, after: bytes) -> None:
        self._before = before
        self._after = after + _END
        self._between = self._after + before

    def run(self, block: bytes, at: int) -> tuple[str, int]:
        """Return the text the events from ``at`` on add; see :class:`Lane`."""
        if not block.startswith(self._before, at):
            return "", at
        start = at + len(self._before)
        # Between two events of the form is a line end now; a blank line that is left ends the run.
        lines = block[start : start + _WINDOW].replace(self._between, _BORDER)
        end = lines.find(self._after)
        if end < 0 or lines.find(_END, 0, end) >= 0:
            # The last event in sight has another end, or its end is not in sight.
            border = lines.find(_END)
            end = lines.rfind(_BORDER, 0, border) if border >= 0 else lines.rfind(_BORDER)
            if end < 0:
                return "", at
        texts = _lines(b'"%b"' % lines[:end])
        if texts is None:
            return "", at
        borders = (len(texts) - 1) * (len(self._between) - len(_BORDER))
        return "".join(texts), start + end + borders + len(self._after)


def _lines(lines: bytes) -> list[str] | None:
    """Decode a JSON string from each line; None unless each line is one."""
    try:
        texts = _strings(lines)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    # A string cannot span lines, so as many strings as lines means: one in each.
    return texts if len(texts) == lines.count(b"\n") + 1 else None


def snapshot_lane(raw: bytes, event: dict[str, Any]) -> SnapshotLane | None:
    """Make a lane from the bytes of one event, ``data: {…}``, and what they decode to.

    None unless the text is one string and all of it stands where it seems to.
    """
    try:
        (text,) = event["message"]["content"]["parts"]
    except (KeyError, TypeError, ValueError):
        return None
    if not isinstance(text, str):
        return None
    found = _around(raw, *_PARTS)
    if found is None:
        return None
    before, inside, after = found
    probe = _probed(before, after)
    try:
        parts = probe["message"]["content"]["parts"]
    except (KeyError, TypeError):
        return None
    if parts != [_PROBE]:
        return None
    parts[0] = text
    return SnapshotLane(before + inside, after) if probe == event else None


def shown_lane(raw: bytes) -> SnapshotLane | None:
    """Make a lane from the bytes of an event of the usual kind, as :func:`snapshot_lane` does.

    That kind has one text; where the probe comes back as that, all of it stands there.
    """
    found = _around(raw, *_PARTS)
    if found is None:
        return None
    before, inside, after = found
    probe = read_shown(_probe(before, after))
    if probe is None or probe.text != _PROBE:
        return None
    return SnapshotLane(before + inside, after)


def bare_lane(raw: bytes) -> DeltaLane:
    """Make a lane for the bare values that mostly follow an operation that appended text.

    ``raw`` are that operation's bytes. Nothing of them need be checked: a lone value is one, and
    behind such an operation it appends to the same text.
    """
    head, brace, _ = raw.partition(b"{")
    value = b'"v": "' if b'"v": ' in raw else b'"v":"'
    return DeltaLane(head + brace + value, b'"}')


def delta_lane(raw: bytes, event: dict[str, Any]) -> DeltaLane | None:
    """Make a lane for an operation that appended text and is repeated with other text."""
    found = _around(raw, b'"v": "', b'"v":"')
    if found is None:
        return None
    before, _, after = found
    probe = _probed(before, after)
    if not isinstance(probe, dict) or probe.get("v") != _PROBE:
        return None
    return DeltaLane(before, after) if {**probe, "v": event["v"]} == event else None


def _around(raw: bytes, *openings: bytes) -> tuple[bytes, bytes, bytes] | None:
    """Split an event at the first string that follows one of ``openings``."""
    for opening in openings:
        at = raw.find(opening)
        if at >= 0:
            start = at + len(opening)
            inside = _INSIDE.match(raw, start)
            assert inside is not None  # it matches nothing, too
            return raw[:start], inside[0], raw[inside.end() :]
    return None


def _probed(before: bytes, after: bytes) -> Any:
    """Decode the event with a text of ours between ``before`` and ``after``; None if it is none."""
    try:
        return read_json(_probe(before, after))
    except NotJson:
        return None


def _probe(before: bytes, after: bytes) -> bytes:
    """The data of the event with a text of ours between ``before`` and ``after``."""
    line = before + _PROBE.encode() + after
    return line[line.rfind(b"\n") + 1 :].partition(b":")[2]
