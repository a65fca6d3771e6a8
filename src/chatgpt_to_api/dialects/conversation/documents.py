"""The v1 encoding (``delta_encoding``): operations that build and change the messages of a turn.

Each message is a document, what a v0 event would be. An operation names its document by ``c``, the
place in it by a JSON pointer ``p``, and what to do by ``o``; each that is missing is the one of the
operation before. An operation that fits nothing is ignored: it must not fail the reply.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, TypeAlias

import msgspec

from chatgpt_to_api.dialects.conversation.reading import Rope
from chatgpt_to_api.errors import ReplyTooLong

MAX_DOCUMENTS: Final = 64
"""Documents that are kept; operations go to the newest ones, so the oldest is forgotten."""

MAX_WEIGHT: Final = 16 * 1024 * 1024
"""How much all documents of a reply may hold, characters and values."""

MAX_WORK: Final = 64 * 1024 * 1024
"""How much operations may move about: what a cut or an insertion costs is not its own size."""

_MAX_STEPS: Final = 32
_VALUE_WEIGHT: Final = 16

Path: TypeAlias = tuple[str, ...]
ROOT: Final[Path] = ()


class Document(msgspec.Struct, eq=False):
    """One message as it is built. ``root`` is its v0 event; strings in it may be ropes.

    ``key`` is kept for the reader of the document: under it the turn knows the message.
    """

    channel: Any
    root: Any
    weight: int
    key: str = ""


class Change(msgspec.Struct, frozen=True):
    """One operation that was applied: which kind, where, with what."""

    op: str
    path: Path
    value: Any


class Documents:
    """The documents of one reply, and the operation state that is carried over."""

    __slots__ = ("_by_channel", "_channel", "_op", "_path", "_weight", "_work", "ignored")

    def __init__(self) -> None:
        self._by_channel: dict[Any, Document] = {}
        self._channel: Any = 0
        self._path: Any = ""
        self._op: Any = "add"
        self._weight = 0
        self._work = 0
        self.ignored = 0
        """How many operations fitted nothing."""

    @property
    def carried(self) -> tuple[Any, Any, Any]:
        """Channel, path and operation that the next operation takes where it names none."""
        return self._channel, self._path, self._op

    def apply(self, event: dict[str, Any]) -> tuple[Document | None, list[Change]]:
        """Apply one event; return the document it was for and what was changed in it, in order.

        Raises ReplyTooLong.
        """
        value = event.get("v")
        opens = isinstance(value, dict) and "message" in value and "p" not in event
        if opens:
            # Whatever the carry-over says: only a document has a ``message``.
            self._path, self._op = "", "add"
        else:
            self._path = event.get("p", self._path)
            self._op = event.get("o", self._op)
        channel = event.get("c", self._channel)
        self._channel = channel if isinstance(channel, int | str) else 0

        if self._op in ("add", "replace") and self._path == "":
            return self._open(value)
        document = self._by_channel.get(self._channel)
        if document is None:  # the reading of ``c`` as a running number
            document = next(reversed(self._by_channel.values()), None)
        if document is None:
            self.ignored += 1
            return None, []
        before = document.weight
        changes = list(self._changes(document, self._op, self._path, value))
        self._weigh(document, document.weight - before)
        return document, changes

    def added(self, document: Document, size: int) -> None:
        """A string of ``document`` has grown by ``size`` beside ``apply``. Raises ReplyTooLong."""
        document.weight += size
        self._weigh(document, size)

    def _open(self, root: Any) -> tuple[Document, list[Change]]:
        old = self._by_channel.pop(self._channel, None)
        if old is not None:
            self._weight -= old.weight
        elif len(self._by_channel) >= MAX_DOCUMENTS:
            self._forget_oldest()
        document = Document(self._channel, root, _weight(root))
        self._by_channel[self._channel] = document
        self._weigh(document, document.weight)
        return document, [Change("replace", ROOT, root)]

    def _weigh(self, document: Document, more: int) -> None:
        self._weight += more
        while self._weight > MAX_WEIGHT and len(self._by_channel) > 1:
            if next(iter(self._by_channel.values())) is document:
                break
            self._forget_oldest()
        if self._weight > MAX_WEIGHT:
            raise ReplyTooLong(limit=MAX_WEIGHT, what="characters and values in one reply")

    def _forget_oldest(self) -> None:
        oldest = self._by_channel.pop(next(iter(self._by_channel)))
        self._weight -= oldest.weight

    def _changes(self, document: Document, op: Any, pointer: Any, value: Any) -> Iterator[Change]:
        path = _path(pointer)
        if path is None:
            self.ignored += 1
        elif op == "patch":
            yield from self._patch(document, path, value)
        elif isinstance(op, str) and self._one(document, op, path, value):
            yield Change(op, path, value)
        else:
            self.ignored += 1

    def _patch(self, document: Document, base: Path, entries: Any) -> Iterator[Change]:
        """Apply a list of operations; nothing is carried over between them or out of them."""
        if not isinstance(entries, list):
            self.ignored += 1
            return
        for entry in entries:
            path = _path(entry.get("p")) if isinstance(entry, dict) else None
            op = entry.get("o") if path is not None else None
            if path is None or not isinstance(op, str) or op == "patch":
                self.ignored += 1  # a patch inside a patch too: nobody writes it
            elif self._one(document, op, base + path, entry.get("v")):
                yield Change(op, base + path, entry.get("v"))
            else:
                self.ignored += 1

    def _one(self, document: Document, op: str, path: Path, value: Any) -> bool:
        """Do one operation; False where it fits nothing."""
        if not path:
            if op not in ("add", "replace"):
                return False
            document.weight += _weight(value) - _weight(document.root)
            document.root = value
            return True
        holder, key = _holder(document.root, path), path[-1]
        if isinstance(holder, dict):
            return self._in_object(document, op, holder, key, value)
        if isinstance(holder, list):
            return self._in_list(document, op, holder, key, value)
        return False

    def _in_object(
        self, document: Document, op: str, holder: dict[str, Any], key: str, value: Any
    ) -> bool:
        old = holder.get(key)
        match op:
            case "add" | "replace":
                document.weight += _weight(value) - _weight(old)
                holder[key] = value
            case "append" if old is None:
                document.weight += _weight(value)
                holder[key] = value
            case "append" | "truncate":
                new = self._changed(document, op, old, value)
                if new is None:
                    return False
                holder[key] = new
            case "remove" if key in holder:
                document.weight -= _weight(holder.pop(key))
            case _:
                return False
        return True

    def _in_list(
        self, document: Document, op: str, holder: list[Any], key: str, value: Any
    ) -> bool:
        size = len(holder)
        at = size if key == "-" else _index(key)
        if at is None or at > size or (at == size and op not in ("add", "append")):
            return False
        match op:
            case "add":
                self.spend(size - at)
                document.weight += _weight(value)
                holder.insert(at, value)
            case "append" if at == size:
                document.weight += _weight(value)
                holder.append(value)
            case "replace":
                document.weight += _weight(value) - _weight(holder[at])
                holder[at] = value
            case "append" | "truncate":
                new = self._changed(document, op, holder[at], value)
                if new is None:
                    return False
                holder[at] = new
            case "remove":
                self.spend(size - at)
                document.weight -= _weight(holder.pop(at))
            case _:
                return False
        return True

    def _changed(self, document: Document, op: str, old: Any, value: Any) -> Any:
        """What ``old`` becomes by an append or a truncate; None where it fits nothing."""
        if op == "truncate":
            return self._truncated(document, old, value)
        if isinstance(old, str | Rope) and isinstance(value, str):
            rope = old if isinstance(old, Rope) else Rope(old)
            rope.add(value)
            document.weight += len(value)
            return rope
        if isinstance(old, dict) and isinstance(value, dict):
            known = {key: old[key] for key in value if key in old}
            document.weight += _weight(value) - _weight(known)
            old.update(value)
            return old
        if isinstance(old, list):
            more = value if isinstance(value, list) else [value]
            document.weight += _weight(more)
            old.extend(more)
            return old
        return None

    def _truncated(self, document: Document, old: Any, value: Any) -> Any:
        if isinstance(value, bool) or not isinstance(value, int) or value < 0:
            return None
        if isinstance(old, Rope):
            old = old.text
        if not isinstance(old, str | list):
            return None
        self.spend(len(old))
        document.weight += _weight(old[:value]) - _weight(old)
        return old[:value]

    def spend(self, work: int) -> None:
        """Count work that the size of what came does not bound. Raises ReplyTooLong."""
        self._work += work
        if self._work > MAX_WORK:
            raise ReplyTooLong(limit=MAX_WORK, what="characters to move about")


def _path(pointer: Any) -> Path | None:
    """Split a JSON pointer into its steps; None for what is none, or too deep."""
    if not isinstance(pointer, str):
        return None
    if not pointer:
        return ROOT
    first, *steps = pointer.split("/", _MAX_STEPS + 1)
    if first or len(steps) > _MAX_STEPS:
        return None
    if "~" in pointer:
        steps = [step.replace("~1", "/").replace("~0", "~") for step in steps]
    return tuple(steps)


def _holder(root: Any, path: Path) -> Any:
    """Return what the last step of ``path`` stands in, None where there is nothing.

    A missing list is made when its first element is named: the text of a message that was opened
    without ``parts`` must not get lost.
    """
    holder = root
    for depth, step in enumerate(path[:-1], 2):
        inner = _step(holder, step)
        if inner is None and depth == len(path) and path[-1] == "0" and isinstance(holder, dict):
            inner = holder[step] = []
        holder = inner
    return holder


def find(root: Any, path: Path) -> Any:
    """Return what stands under ``path``, None where there is nothing."""
    for step in path:
        root = _step(root, step)
    return root


def _step(holder: Any, step: str) -> Any:
    """Return the value under ``step``, None where there is none."""
    if isinstance(holder, dict):
        return holder.get(step)
    if isinstance(holder, list):
        at = _index(step)
        return holder[at] if at is not None and at < len(holder) else None
    return None


def _index(step: str) -> int | None:
    """Read a list index: plain digits, without leading zeros, of a size that can be one."""
    if not step.isascii() or not step.isdigit() or len(step) > 9:
        return None
    return None if step[0] == "0" and step != "0" else int(step)


def _weight(value: Any) -> int:
    """How much a value holds: the characters of its strings and a little for every value."""
    weight = 0
    todo = [value]
    while todo:
        found = todo.pop()
        weight += _VALUE_WEIGHT
        if isinstance(found, str):
            weight += len(found)
        elif isinstance(found, Rope):
            weight += found.size
        elif isinstance(found, dict):
            weight += sum(map(len, found))
            todo.extend(found.values())
        elif isinstance(found, list):
            todo.extend(found)
    return weight
