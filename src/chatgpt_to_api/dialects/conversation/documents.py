"""The v1 encoding (``delta_encoding``): operations that build and change the messages of a turn.

Each message is a document, what a v0 event would be. An operation names its document by ``c``, the
place in it by a JSON pointer ``p``, and what to do by ``o``; each that is missing is the one of the
operation before. An operation that fits nothing is ignored: it must not fail the reply.
"""

from __future__ import annotations

from functools import lru_cache
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
_SHORT: Final = 128
_VALUE_WEIGHT: Final = 16
_SMALL: Final = 4096
_SCALARS: Final = frozenset((int, bool, float, type(None)))

Path: TypeAlias = tuple[str, ...]
ROOT: Final[Path] = ()


class Document(msgspec.Struct, eq=False):
    """One message as it is built. ``root`` is its v0 event; strings in it may be ropes.

    ``key`` is kept for the reader of the document: under it the turn knows the message.
    """

    channel: int | str
    root: Any
    weight: int
    key: str = ""


Change: TypeAlias = tuple[str, Path, Any]
"""One operation that was applied: which kind, where, with what."""

_TEXT_PATH: Final = ("message", "content", "parts")


class Documents:
    """The documents of one reply, and the operation state that is carried over."""

    __slots__ = ("_by_channel", "_channel", "_op", "_path", "_weight", "_work", "ignored")

    def __init__(self) -> None:
        self._by_channel: dict[int | str, Document] = {}
        self._channel: int | str = 0
        self._path: Any = ""
        self._op: Any = "add"
        self._weight = 0
        self._work = 0
        self.ignored = 0
        """How many operations fitted nothing."""

    def apply(self, event: dict[str, Any], size: int) -> tuple[Document | None, list[Change]]:
        """Apply one event; return the document it was for and what was changed in it, in order.

        ``size`` is the length of its JSON. Raises ReplyTooLong.
        """
        value = event.get("v")
        if "c" in event:
            channel = event["c"]
            self._channel = channel if isinstance(channel, int | str) else 0
        if isinstance(value, dict) and "message" in value and "p" not in event:
            # Whatever the carry-over says: only a document has a ``message``.
            self._path, self._op = "", "add"
            return self._open(value, size)
        if "p" in event:
            self._path = event["p"]
        if "o" in event:
            self._op = event["o"]
        if self._path == "" and self._op in ("add", "replace") and isinstance(value, dict):
            return self._open(value, size)

        document = self._by_channel.get(self._channel)
        if document is None:  # the reading of ``c`` as a running number
            document = next(reversed(self._by_channel.values()), None)
        if document is None:
            self.ignored += 1
            return None, []
        before = document.weight
        changes = self._changes(document, value)
        self._weigh(document, document.weight - before)
        return document, changes

    def added(self, document: Document, size: int) -> None:
        """A string of ``document`` has grown by ``size`` beside ``apply``. Raises ReplyTooLong."""
        document.weight += size
        self._weigh(document, size)

    def spend(self, work: int) -> None:
        """Count work that the size of what came does not bound. Raises ReplyTooLong."""
        self._work += work
        if self._work > MAX_WORK:
            raise ReplyTooLong(limit=MAX_WORK, what="characters to move about")

    def _open(self, root: dict[str, Any], size: int) -> tuple[Document, list[Change]]:
        old = self._by_channel.pop(self._channel, None)
        if old is not None:
            self._weight -= old.weight
        elif len(self._by_channel) >= MAX_DOCUMENTS:
            self._forget_oldest()
        # No value is shorter than two bytes, so this is no less than a small document's weight.
        weight = size * (_VALUE_WEIGHT // 2 + 1) if size <= _SMALL else _weight(root)
        document = Document(self._channel, root, weight)
        self._by_channel[self._channel] = document
        self._weigh(document, document.weight)
        return document, [("replace", ROOT, root)]

    def _weigh(self, document: Document, more: int) -> None:
        self._weight += more
        if self._weight <= MAX_WEIGHT:
            return
        while self._weight > MAX_WEIGHT and next(iter(self._by_channel.values())) is not document:
            self._forget_oldest()
        if self._weight > MAX_WEIGHT:
            raise ReplyTooLong(limit=MAX_WEIGHT, what="characters and values in one reply")

    def _forget_oldest(self) -> None:
        oldest = self._by_channel.pop(next(iter(self._by_channel)))
        self._weight -= oldest.weight

    def _changes(self, document: Document, value: Any) -> list[Change]:
        op, path = self._op, _path(self._path)
        if isinstance(value, str) and (op == "patch" or path == ROOT):
            # A bare string where none can be. Losing text silently would be worse than to take it.
            parts = find(document.root, _TEXT_PATH)
            at = max(0, len(parts) - 1) if isinstance(parts, list) else 0
            op, path = "append", (*_TEXT_PATH, str(at))
        if path is None:
            self.ignored += 1
            return []
        if op == "patch":
            return self._patch(document, path, value)
        if isinstance(op, str) and self._one(document, op, path, value):
            return [(op, path, value)]
        self.ignored += 1
        return []

    def _patch(self, document: Document, base: Path, entries: Any) -> list[Change]:
        """Apply a list of operations; nothing is carried over between them or out of them."""
        changes: list[Change] = []
        for entry in entries if isinstance(entries, list) else (None,):
            if isinstance(entry, dict):
                op, path, value = entry.get("o"), _path(entry.get("p")), entry.get("v")
                # A patch inside a patch fits nothing: nobody writes it.
                if path is not None and isinstance(op, str):
                    path = base + path if base else path
                    if self._one(document, op, path, value):
                        changes.append((op, path, value))
                        continue
            self.ignored += 1
        return changes

    def _one(self, document: Document, op: str, path: Path, value: Any) -> bool:
        """Do one operation; False where it fits nothing."""
        if not path:
            if op not in ("add", "replace") or not isinstance(value, dict):
                return False
            document.weight += _weight(value) - _weight(document.root)
            document.root = value
            return True
        holder, key = find(document.root, path[:-1]), path[-1]
        if holder is None and key == "0":
            holder = _made(document.root, path)
        if type(holder) is dict:
            return self._in_object(document, op, holder, key, value)
        if type(holder) is list:
            return self._in_list(document, op, holder, key, value)
        return False

    def _in_object(
        self, document: Document, op: str, holder: dict[str, Any], key: str, value: Any
    ) -> bool:
        old = holder.get(key)
        if op in ("replace", "add"):
            document.weight += _weight(value) - _weight(old)
            holder[key] = value
        elif op in ("append", "truncate"):
            new = self._changed(document, op, old, value)
            if new is None:
                return False
            holder[key] = new
        elif op == "remove" and key in holder:
            document.weight -= _weight(holder.pop(key))
        else:
            return False
        return True

    def _in_list(
        self, document: Document, op: str, holder: list[Any], key: str, value: Any
    ) -> bool:
        size = len(holder)
        at = size if key == "-" else _index(key)
        if at is None or at > size:
            return False
        if op == "add" or (op == "append" and at == size):
            self.spend(size - at)
            document.weight += _weight(value)
            holder.insert(at, value)
        elif at == size:
            return False
        elif op in ("append", "truncate"):
            new = self._changed(document, op, holder[at], value)
            if new is None:
                return False
            holder[at] = new
        elif op == "replace":
            document.weight += _weight(value) - _weight(holder[at])
            holder[at] = value
        elif op == "remove":
            self.spend(size - at)
            document.weight -= _weight(holder.pop(at))
        else:
            return False
        return True

    def _changed(self, document: Document, op: str, old: Any, value: Any) -> Any:
        """What ``old`` becomes by an append or a truncate; None where it fits nothing."""
        if op == "truncate":
            return self._truncated(document, old, value)
        if old is None:
            document.weight += _weight(value)
            return value
        if type(value) is str and type(old) in (str, Rope):
            rope = old if type(old) is Rope else Rope(old)
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


def _path(pointer: Any) -> Path | None:
    """Split a JSON pointer into its steps; None for what is none, or too deep."""
    if not isinstance(pointer, str):
        return None
    return _known_path(pointer) if len(pointer) <= _SHORT else _split(pointer)


def _split(pointer: str) -> Path | None:
    if not pointer:
        return ROOT
    first, *steps = pointer.split("/", _MAX_STEPS + 1)
    if first or len(steps) > _MAX_STEPS:
        return None
    if "~" in pointer:
        steps = [step.replace("~1", "/").replace("~0", "~") for step in steps]
    return tuple(steps)


_known_path = lru_cache(maxsize=256)(_split)  # a stream names the same few places all the time


def _made(root: Any, path: Path) -> list[Any] | None:
    """Make the missing list whose first element ``path`` names, if its place can be there.

    The text of a message that was opened without ``parts`` must not get lost.
    """
    outer = find(root, path[:-2])
    if len(path) < 2 or type(outer) is not dict:
        return None
    made: list[Any] = []
    outer[path[-2]] = made
    return made


def find(root: Any, path: Path) -> Any:
    """Return what stands under ``path``, None where there is nothing."""
    found = root
    for step in path:
        if type(found) is dict:
            found = found.get(step)
        elif type(found) is list:
            at = _index(step)
            found = found[at] if at is not None and at < len(found) else None
        else:
            return None
    return found


def _index(step: str) -> int | None:
    """Read a list index: plain digits, without leading zeros, of a size that can be one."""
    if step == "0":
        return 0
    if not step.isascii() or not step.isdigit() or len(step) > 9 or step[0] == "0":
        return None
    return int(step)


def _weight(value: Any) -> int:
    """How much a value holds: the characters of its strings and a little for every value."""
    if type(value) is str:
        return _VALUE_WEIGHT + len(value)
    if type(value) in _SCALARS:
        return _VALUE_WEIGHT
    weight = 0
    todo = [value]
    while todo:
        found = todo.pop()
        weight += _VALUE_WEIGHT
        if isinstance(found, str):
            weight += len(found)
        elif isinstance(found, dict):
            weight += sum(map(len, found))
            todo.extend(found.values())
        elif isinstance(found, list):
            todo.extend(found)
        elif isinstance(found, Rope):
            weight += found.size
    return weight
