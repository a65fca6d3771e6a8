"""How a reply is read, whatever its dialect: as a stream or as one whole object, to its end."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Final

from chatgpt_to_api.chat.events import ChatEvent, Failed, UsageReported
from chatgpt_to_api.chat.request import Branch, ChatRequest
from chatgpt_to_api.chat.usage import Usage
from chatgpt_to_api.dialects.bodies import LEADING
from chatgpt_to_api.dialects.contract import UpstreamFault
from chatgpt_to_api.dialects.faults import too_long

MAX_WHOLE: Final = 64 * 1024 * 1024
"""Largest reply that is one object, bytes."""


class Broken(Exception):
    """The reply has failed."""

    def __init__(self, fault: UpstreamFault) -> None:
        self.fault = fault


class ReplyReader(ABC):
    """Decodes one reply. ``fault`` says what a failure means; ``done`` that the end was seen.

    What bytes mean is the dialect's: its methods append the events they find, set ``done``, and
    raise Broken for a reply that has failed. The events found before that are still returned.
    """

    # What few replies have stands on the class; what every read looks at is found sooner in the
    # instance.
    revised: str | None = None
    _body: list[bytes] | None = None
    _size = 0

    def __init__(self) -> None:
        self.fault: UpstreamFault | None = None
        self.done: bool = False
        self._streams: bool | None = None

    def feed(self, data: bytes) -> list[ChatEvent]:
        """Take the next bytes; return the events they complete."""
        if self.done or self.fault is not None:
            return []
        if self._streams is None:
            data = data.lstrip(LEADING)
            if not data:
                return []
            self._streams = self._is_stream(data)
        events: list[ChatEvent] = []
        try:
            if self._streams:
                self._stream(data, events)
            else:
                self._hold(data)
        except Broken as broken:
            return self._fail(events, broken.fault)
        return events

    def eof(self) -> list[ChatEvent]:
        """The body has ended: a reply that just ends has failed."""
        if self.done or self.fault is not None:
            return []
        events: list[ChatEvent] = []
        try:
            if self._streams:
                self._close(events)
            else:
                self._whole(b"".join(self._body or ()), events)
        except Broken as broken:
            return self._fail(events, broken.fault)
        return events

    @property
    def kept_at(self) -> Branch | None:
        """Nowhere: these dialects' servers keep no conversations, or the gateway does without."""
        return None

    def follow_up(self) -> ChatRequest | None:
        """Return None: an answer that was cut stays as it is."""
        return None

    def conclude(self) -> list[ChatEvent]:
        """Return nothing: no end is ever held back."""
        return []

    # -- what a dialect does itself ----------------------------------------------------------

    @abstractmethod
    def _is_stream(self, data: bytes) -> bool:
        """Tell a stream from a whole object by the reply's first bytes (``LEADING`` is off)."""

    @abstractmethod
    def _stream(self, data: bytes, events: list[ChatEvent]) -> None:
        """Take the next bytes of a stream."""

    @abstractmethod
    def _close(self, events: list[ChatEvent]) -> None:
        """The stream has ended: take what is left of it. Raises Broken if it was cut."""

    @abstractmethod
    def _whole(self, body: bytes, events: list[ChatEvent]) -> None:
        """Take a reply that is one object; b"" where nothing came at all."""

    def _reported(self) -> Usage | None:
        """What was counted so far, which counts even where the reply fails."""
        return None

    # ----------------------------------------------------------------------------------------

    def _hold(self, data: bytes) -> None:
        if self._body is None:
            self._body = []
        self._body.append(data)
        self._size += len(data)
        if self._size > MAX_WHOLE:
            raise Broken(too_long(MAX_WHOLE))

    def _fail(self, events: list[ChatEvent], fault: UpstreamFault) -> list[ChatEvent]:
        self.fault = fault
        self._body = None
        usage = self._reported()
        if usage is not None:
            events.append(UsageReported(usage))
        events.append(Failed(fault.error))
        return events
