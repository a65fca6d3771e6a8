"""Which call each result answers, in dialects whose results may name the function alone."""

from __future__ import annotations

from collections import deque


class _Call:
    __slots__ = ("id", "waits")

    def __init__(self, id: str) -> None:
        self.id = id
        self.waits = True


class OpenCalls:
    """The calls of a conversation that wait for their results, in the order they were made.

    Calls without an id get one that is counted, so that equal turns stay equal. No result looks
    through all calls: what a client sends may hold very many of both.
    """

    def __init__(self) -> None:
        self._count = 0
        self._by_id: dict[str, list[_Call]] = {}
        self._by_name: dict[str, deque[_Call]] = {}
        self._all: deque[_Call] = deque()

    def made(self, id: str | None, name: str) -> str:
        """A function was called; return the call's id."""
        self._count += 1
        call = _Call(id or f"call_{self._count}")
        self._by_id.setdefault(call.id, []).append(call)
        self._by_name.setdefault(name, deque()).append(call)
        self._all.append(call)
        return call.id

    def answered(self, id: str | None, name: str | None) -> str | None:
        """Return the id of the call that a result is of, None where no call waits for it.

        Without an ``id`` it is the first one of its ``name`` (None: of any) that waits.
        """
        if id:
            for call in self._by_id.pop(id, ()):
                call.waits = False
            return id
        waiting = self._all if name is None else self._by_name.get(name, deque())
        while waiting:
            call = waiting.popleft()
            if call.waits:
                call.waits = False
                return call.id
        return None
