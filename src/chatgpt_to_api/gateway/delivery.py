"""The client's side of one reply: held back, committed, kept alive, ended or failed."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Final

from chatgpt_to_api.chat.events import ChatEvent, TextDelta, UsageReported
from chatgpt_to_api.chat.usage import Usage
from chatgpt_to_api.dialects.contract import (
    Asked,
    Door,
    FollowsRelayed,
    ReplyEncoder,
    Stamp,
)
from chatgpt_to_api.errors import GatewayError
from chatgpt_to_api.gateway.exchange import Exchange
from chatgpt_to_api.wire.http import Header, HttpReply

MOST_NOTED: Final = 32
"""Most names in ``x-ignored-parameters``."""

# The names come from a caller's JSON: nothing else may reach a header.
_HEADER_SAFE: Final = re.compile(r"[A-Za-z0-9_.\[\]\-]{1,64}")

_UNPRINTABLE: Final = re.compile(rb"[^ -~]")

_COUNTS: Final = (b"0", b"1", b"2", b"3")
"""Nearly all numbers of attempts, ready to be sent."""


class Delivery:
    """What one client has been sent so far, and how to send it more.

    A streamed reply's head is held back until the first generated content (the commit point), so
    that whatever fails before can still be tried again. Holding is bounded: the keeper opens the
    stream after a while and sends comments, which commit to nothing.
    """

    # What most replies never touch stands on the class: a fresh one costs fewer stores.
    waiting_since: float | None = None
    """Loop time of the upstream's good answer, from which the hold is counted."""
    last_write = 0.0
    """Loop time of the last bytes, as far as the keeper has looked."""
    heard = False
    """Whether bytes have left since the keeper last looked."""
    notes: Sequence[Header] = ()
    """Headers to send with the head (``x-ignored-parameters``, ``x-emulated``)."""
    source: tuple[Header, ...] = ()
    """Headers that tell which upstream was asked last, and for which model."""
    attempts = 0
    """How many calls were made for it."""
    credential: tuple[Header, ...] = ()
    """Headers that tell whose credential was used, to an administrator."""
    opened = False
    """The reply's head has left."""
    committed = False
    """Generated content has left, or will at once: nothing may be tried again."""
    _going_on: dict[int, bool] | None = None
    _encoder: ReplyEncoder | None = None
    _out = b""
    _last = b""

    def __init__(
        self, exchange: Exchange, door: Door, asked: Asked, stamp: Callable[[], Stamp]
    ) -> None:
        self.exchange = exchange
        self.door = door
        self.streaming = asked.stream
        self.relayed = False
        """The reply went, or goes, through the relay lane."""
        self._asked = asked
        self._stamp = stamp
        self._whole: HttpReply | None = None
        self._collected: list[ChatEvent] = []

    def stamp(self) -> Stamp:
        """Return a fresh identity for a reply."""
        return self._stamp()

    @property
    def encoder(self) -> ReplyEncoder:
        """The door's encoder, made when first needed: a relayed reply may never need one."""
        if self._encoder is None:
            self._encoder = self.door.reply(self._asked, self._stamp())
        return self._encoder

    def note_parameters(self, ignored: Sequence[str], emulated: Sequence[str]) -> None:
        """Name, in headers, the parameters that cannot be honoured, and what was emulated."""
        if not (ignored or emulated or self.notes):
            return  # nearly always: nothing to name, and nothing that was named before
        shown = [name for name in ignored if _HEADER_SAFE.fullmatch(name)][:MOST_NOTED]
        self._note(b"x-ignored-parameters", ", ".join(shown).encode())
        self._note(b"x-emulated", ", ".join(emulated).encode())

    def note_conversation(self, choice: int, *, goes_on: bool | None) -> None:
        """Tell, in a header, whether the backend's conversation goes on; None: it never does.

        Of several choices each has its own, and all have to go on.
        """
        if goes_on is None:
            self._note(b"x-conversation", b"off")
            return
        going_on = self._going_on = {**(self._going_on or {}), choice: goes_on}
        self._note(b"x-conversation", b"continued" if all(going_on.values()) else b"new")

    def _note(self, name: bytes, value: bytes) -> None:
        """Put a header in the place of an earlier one; an empty one only takes that away."""
        notes = [note for note in self.notes if note[0] != name]
        self.notes = [*notes, (name, value)] if value else notes

    def show_credential(self, label: str) -> None:
        """Tell the client, an administrator, whose credential is used."""
        shown = label.encode("ascii", "replace")
        self.credential = ((b"x-credential", _UNPRINTABLE.sub(b"?", shown)),)

    def origin(self) -> tuple[Header, ...]:
        """The headers that tell who answered, at which attempt."""
        attempts = self.attempts
        count = _COUNTS[attempts] if attempts < len(_COUNTS) else b"%d" % attempts
        return (*self.source, (b"x-attempts", count), *self.credential)

    # -- streaming ---------------------------------------------------------------------------

    def open(self) -> None:
        """Send the head of a streamed reply, once."""
        if not self.opened:
            self.opened = True
            self.exchange.start(200, [*self.encoder.headers(), *self.origin(), *self.notes])

    def take(self, events: Sequence[ChatEvent]) -> None:
        """Take events of a committed reply: to the client at once, or collected for the end."""
        self.committed = True
        if not self.streaming:
            self._collected.extend(events)
            return
        self.open()
        self._out += self.encoder.feed(events)

    def flush(self) -> None:
        """Send what was taken. Called before every wait: what one read brings leaves at once,
        and the end leaves with it where it came in the same read.
        """
        if self._out:
            self.heard = True
            self.exchange.write(self._out)
            self._out = b""

    def pass_on(self, data: bytes) -> None:
        """Relay lane: bytes of a stream, whole events, that hold content or follow it."""
        self.committed = self.relayed = True
        self.open()
        self._out += data

    def keep_alive(self) -> None:
        """Send a comment on an open, silent stream."""
        self.open()
        self.exchange.write(self.encoder.keep_alive())

    # -- the end -----------------------------------------------------------------------------

    def pass_whole(self, reply: HttpReply) -> None:
        """Relay lane: keep a whole reply for the end."""
        self.relayed = True
        self._whole = reply

    def conclude(self, usage: Usage | None) -> None:
        """Make the end of a good reply, which then only has to be sent.

        ``usage`` is for translated ones; a relayed reply brings its own.
        """
        if self.relayed:
            return
        encoder = self.encoder
        if self.streaming:
            last = encoder.feed([UsageReported(usage)]) if usage is not None else b""
            self._last = last + encoder.end()
        else:
            if usage is not None:
                self._collected.append(UsageReported(usage))
            self._whole = encoder.complete(self._collected)

    def end(self) -> None:
        """End a good reply."""
        if self._whole is not None:
            self.send(self._whole)
        else:
            self.open()
            self.exchange.finish(self._out + self._last)

    def revise(self, text: str, choice: int) -> None:
        """Replace the text of a collected choice: the upstream rewrote what it had said."""
        first = True
        revised: list[ChatEvent] = []
        for event in self._collected:
            if isinstance(event, TextDelta) and event.choice == choice:
                if first:
                    revised.append(TextDelta(text, choice))
                first = False
            else:
                revised.append(event)
        self._collected = revised

    def send(self, reply: HttpReply) -> None:
        """Send a whole reply."""
        self.opened = True
        self.exchange.reply(reply, *self.origin(), *self.notes)

    def fail(self, error: GatewayError) -> None:
        """Tell the client of an error: by status while nothing has left, in-band after that."""
        if not self.opened:
            self.send(self.door.failure(error))
            return
        encoder = self.encoder
        if self.relayed and isinstance(encoder, FollowsRelayed):
            encoder.follow_relayed()
        data = encoder.failure(error)
        if data:
            self.exchange.finish(self._out + data)
        else:  # a cut reply must not look whole
            self.flush()
            self.exchange.abort()
