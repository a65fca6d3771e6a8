"""Tool calls as servers really stream them: which piece belongs to which call."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

import msgspec
from msgspec import Raw

from chatgpt_to_api.chat.blocks import BlockTracker
from chatgpt_to_api.chat.events import ChatEvent
from chatgpt_to_api.chat.request import Opaque
from chatgpt_to_api.dialects.openai_chat.extra_content import read_extra_content
from chatgpt_to_api.dialects.openai_chat.messages import ToolCallPiece

_WHOLE: Final = msgspec.json.Decoder(Raw)
_LONGEST_GUESS: Final = 64 * 1024
"""Arguments longer than this are not looked at to find where a nameless call ends, characters."""


class LatePiece(Exception):
    """Arguments came for a call that had ended when another one began."""


class ToolCalls:
    """The calls of one choice, in the order they began; one is open at a time.

    Servers count ``index`` per stream, per chunk or not at all, give the id once or with every
    piece, and repeat names. A piece goes on with the open call unless something says otherwise:
    a new id, a new index, a new name, or, where there is nothing but names, finished arguments.
    """

    __slots__ = (
        "_arguments",
        "_choice",
        "_ended",
        "_freeform",
        "_id",
        "_index",
        "_name",
        "_names",
        "_opaque",
        "_reply",
        "_tracker",
        "_waiting",
        "count",
    )

    def __init__(
        self,
        tracker: BlockTracker,
        reply: str,
        choice: int,
        names: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        """``names``: what tools are really called whose names the server would refuse."""
        self._names = names
        self._tracker = tracker
        self._reply = reply
        self._choice = choice
        self.count = 0
        self._ended: set[str | int] = set()  # ids and indexes of calls that are over
        self._id = ""
        self._index: int | None = None
        self._name = ""
        self._arguments: str = ""  # of a call that has neither id nor index
        self._waiting: list[str] | None = None  # arguments of a call whose name has not come yet
        self._freeform = False
        self._opaque: Opaque | None = None

    def piece(self, piece: ToolCallPiece) -> list[ChatEvent]:
        """Take a piece. Raises LatePiece."""
        if piece.custom is not None:
            name, arguments = piece.custom.name or "", piece.custom.input or ""
        else:
            name, arguments = _function(piece)
        call_id = piece.id or ""
        if self._late(piece, call_id):
            if arguments:
                raise LatePiece
            return []
        events: list[ChatEvent] = []
        if self.count == 0 or self._is_new(piece, call_id, name):
            events += self._begin(piece, call_id)
        if piece.custom is not None:
            self._freeform = True
        opaque = read_extra_content(piece.extra_content)
        if opaque is not None:
            self._opaque = opaque
        if self._waiting is not None:
            if not name:
                self._waiting.append(arguments)
                return events
            events += self._name_it(name)
        if not self._id and self._index is None and len(self._arguments) < _LONGEST_GUESS:
            self._arguments += arguments
        return events + self._tracker.arguments(arguments)

    def end(self) -> list[ChatEvent]:
        """The choice ends: a call that never got a name is handed on without one."""
        return [] if self._waiting is None else self._name_it("")

    def _late(self, piece: ToolCallPiece, call_id: str) -> bool:
        if call_id:
            return call_id != self._id and call_id in self._ended
        return piece.index != self._index and piece.index in self._ended

    def _is_new(self, piece: ToolCallPiece, call_id: str, name: str) -> bool:
        if call_id and self._id:
            return call_id != self._id
        if piece.index is not None and self._index is not None and piece.index != self._index:
            return True
        if not name or not self._name:
            return False
        if name != self._name:
            return True
        nameless = not call_id and not self._id and piece.index is None
        return nameless and self._arguments_are_whole()

    def _arguments_are_whole(self) -> bool:
        try:
            _WHOLE.decode(self._arguments)
        except msgspec.DecodeError:
            return False
        return True

    def _begin(self, piece: ToolCallPiece, call_id: str) -> list[ChatEvent]:
        events = self.end()
        if self.count:
            self._ended.add(self._id)
            if self._index is not None:
                self._ended.add(self._index)
        if piece.index is not None:
            self._ended.discard(piece.index)  # an index counted per chunk comes again
        self._id, self._index, self._name, self._arguments = call_id, piece.index, "", ""
        self._waiting = []
        self._freeform, self._opaque = False, None
        self.count += 1
        return events

    def _name_it(self, name: str) -> list[ChatEvent]:
        waiting = "".join(self._waiting or ())
        self._waiting = None
        self._name = name
        call_id = self._id or self._made_up_id()
        events = self._tracker.tool_call(
            call_id, self._names.get(name, name), freeform=self._freeform, opaque=self._opaque
        )
        return events + self._tracker.arguments(waiting)

    def _made_up_id(self) -> str:
        """An id for a call that got none: unique because the reply's is; "" where that has none."""
        if not self._reply:
            return ""
        seed = f"{self._reply}:{self._choice}:{self.count}".encode()
        return "call_" + hashlib.blake2b(seed, digest_size=12).hexdigest()


def _function(piece: ToolCallPiece) -> tuple[str, str]:
    function = piece.function
    if function is None:
        return "", ""
    arguments = function.arguments
    if isinstance(arguments, dict):
        arguments = msgspec.json.encode(arguments).decode()
    return function.name or "", arguments or ""
