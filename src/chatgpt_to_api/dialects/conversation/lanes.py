"""The fast lanes: runs of events that differ in their text alone, read by their known bytes.

A backend repeats itself: between two events of a message only the text differs. Once one event was
read the exact way, its bytes before and after the text are known. Whatever stands between the same
bytes in the next event is the new text, if it is the inside of a JSON string: a JSON decoder tells,
for a whole run at once. So nothing is guessed: an event that a lane takes would decode to the very
same object, but for its text; any other event is left to the exact road.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any, Final, Protocol

import msgspec

from chatgpt_to_api.dialects.conversation.reading import NotJson, read_json

_END: Final = b"\n\n"
_INSIDE: Final = re.compile(rb'[^"\\\n]*(?:\\.[^"\\\n]*)*')
_PROBE: Final = "a text that was never there"
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
        size, fixed = len(known), len(after) - len(_END)
        begins, find = block.startswith, block.find
        pieces: list[bytes] = []
        stop = at
        while begins(known, stop):
            start = stop + size
            end = find(b"\n", start) - fixed
            if end < start or not begins(after, end):
                break
            piece = block[start:end]
            pieces.append(piece)
            known += piece
            size += end - start
            stop = end + fixed + 2
        if not pieces:
            return "", at
        text = _decoded(pieces)
        if text is None:
            return "", at
        self._known = known
        return text, stop


class DeltaLane:
    """Operations that append to the same text, all of one form."""

    __slots__ = ("_form",)

    def __init__(self, form: _Form) -> None:
        self._form = form

    def run(self, block: bytes, at: int) -> tuple[str, int]:
        """Return the text the events from ``at`` on add; see :class:`Lane`."""
        form = self._form
        found = form.pattern.match(block, at)
        if found is None:
            return "", at
        end = found.end()
        inside = block[at + len(form.before) : end - len(form.after)]
        text = _joined(b'"' + inside.replace(form.between, b'"\n"') + b'"')
        return ("", at) if text is None else (text, end)


class _Form(msgspec.Struct, frozen=True, eq=False):
    """The bytes around the value of an operation; ``after`` ends the event."""

    before: bytes
    after: bytes
    between: bytes
    pattern: re.Pattern[bytes]


@lru_cache(maxsize=32)  # the same few forms in every stream
def _form(before: bytes, after: bytes) -> _Form:
    after += _END
    pattern = rb"(?:%b[^\n]*%b)+" % (re.escape(before), re.escape(after))
    return _Form(before, after, after + before, re.compile(pattern))


def _decoded(pieces: list[bytes]) -> str | None:
    """Decode raw insides of JSON strings, joined; None unless each is one by itself."""
    return _joined(b'"' + b'"\n"'.join(pieces) + b'"')


def _joined(lines: bytes) -> str | None:
    try:
        texts = _strings(lines)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    # A string cannot span lines, so as many strings as lines means: one in each.
    return "".join(texts) if len(texts) == lines.count(b"\n") + 1 else None


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
    found = _around(raw, b'"parts": ["', b'"parts":["')
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


def bare_lane(raw: bytes) -> DeltaLane:
    """Make a lane for the bare values that mostly follow an operation that appended text.

    ``raw`` are that operation's bytes. Nothing of them need be checked: a lone value is one, and
    behind such an operation it appends to the same text.
    """
    head, brace, _ = raw.partition(b"{")
    value = b'"v": "' if b'"v": ' in raw else b'"v":"'
    return DeltaLane(_form(head + brace + value, b'"}'))


def delta_lane(raw: bytes, event: dict[str, Any]) -> DeltaLane | None:
    """Make a lane for an operation that appended text and is repeated with other text."""
    found = _around(raw, b'"v": "', b'"v":"')
    if found is None:
        return None
    before, _, after = found
    probe = _probed(before, after)
    if not isinstance(probe, dict) or probe.get("v") != _PROBE:
        return None
    return DeltaLane(_form(before, after)) if {**probe, "v": event["v"]} == event else None


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
    line = before + _PROBE.encode() + after
    _, colon, data = line[line.rfind(b"\n") + 1 :].partition(b":")
    try:
        return read_json(data) if colon else None
    except NotJson:
        return None
