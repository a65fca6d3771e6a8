"""The v1 encoding (``delta_encoding``): operations that build and change the messages of a turn.

Each message is a document, what a v0 event would be. An operation names its document by ``c``, the
place in it by a JSON pointer ``p``, and what to do by ``o``; each that is missing is the one of the
operation before. An operation that fits nothing is ignored: it must not fail the reply.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Final, TypeAlias

import msgspec

from chatgpt_to_api.dialects.conversation.reading import Rope, read_json
from chatgpt_to_api.errors import ReplyTooLong

MAX_DOCUMENTS: Final = 64
"""Documents that are kept; operations go to the newest ones, so the oldest is forgotten."""

MAX_WEIGHT: Final = 8 * 1024 * 1024
"""How much all documents of a reply may hold: characters, and a little for every value."""

MAX_WORK: Final = 64 * 1024 * 1024
"""How much operations may move about: what a cut or an insertion costs is not its own size."""

_MAX_STEPS: Final = 32
_SHORT: Final = 128
_VALUE_WEIGHT: Final = 16
_DEAREST: Final = _VALUE_WEIGHT // 2 + 1  # weight of a byte of JSON: no value is shorter than two

Path: TypeAlias = tuple[str, ...]
ROOT: Final[Path] = ()


class Document(msgspec.Struct, eq=False):
    """One message as it is built. ``root`` is its v0 event; strings in it may be ropes.

    ``key`` is kept for the reader of the document: under it the turn knows the message.
    """

    channel: int | str
    root: Any
    key: str = ""


Change: TypeAlias = tuple[str, Path, Any]
"""One operation that was applied: which kind, where, with what."""

_TEXT_PATH: Final = ("message", "content", "parts")


class Documents:
    """The documents of one reply, and the operation state that is carried over.

    Whoever knows what an operation means without them leaves it for later: it is applied once an
    operation comes that has to be looked up in them, which is never, mostly.
    """

    __slots__ = (
        "_by_channel",
        "_channel",
        "_op",
        "_path",
        "_unread",
        "_unweighed",
        "_work",
        "ignored",
    )

    def __init__(self) -> None:
        self._by_channel: dict[int | str, Document] = {}
        self._channel: int | str = 0
        self._path: Any = ""
        self._op: Any = "add"
        self._unread: list[tuple[bytes, str | None] | str] = []
        self._unweighed = 0
        self._work = 0
        self.ignored = 0
        """How many operations fitted nothing."""

    def apply(self, event: dict[str, Any], size: int) -> tuple[Document | None, list[Change]]:
        """Apply one event; return the document it was for and what was changed in it, in order.

        ``size`` is the length of its JSON. Raises ReplyTooLong.
        """
        self.grown(size * _DEAREST)
        if self._unread:
            self._catch_up()
        return self._apply(event)

    def later(self, event: bytes, opens: str | None = None) -> None:
        """Keep an event of the usual kind, as JSON, until it is needed. Raises ReplyTooLong.

        ``opens`` is the key of the document that it opens, None where it opens none.
        """
        self._unread.append((event, opens))
        self._unweighed += len(event) * _DEAREST
        if self._unweighed > MAX_WEIGHT:
            self.grown(0)

    def append_later(self, text: str) -> None:
        """Keep text that was appended where the event kept last appends. Raises ReplyTooLong."""
        self._unread.append(text)
        self.grown(len(text))

    def extend(self, rope: Rope, text: str) -> None:
        """Append to a string of a document. Raises ReplyTooLong."""
        rope.add(text)
        self.grown(len(text))

    def _catch_up(self) -> None:
        """Apply what was kept."""
        unread, self._unread = self._unread, []
        for kept in unread:
            if isinstance(kept, str):
                self._apply({"v": kept})
                continue
            document, _ = self._apply(read_json(kept[0]))
            if document is not None and kept[1] is not None:
                document.key = kept[1]

    def _apply(self, event: dict[str, Any]) -> tuple[Document | None, list[Change]]:
        value = event.get("v")
        if "c" in event:
            channel = event["c"]
            self._channel = channel if isinstance(channel, int | str) else 0
        if isinstance(value, dict) and "message" in value and "p" not in event:
            # Whatever the carry-over says: only a document has a ``message``.
            self._path, self._op = "", "add"
            return self._open(value)
        if "p" in event:
            self._path = event["p"]
        if "o" in event:
            self._op = event["o"]
        if self._path == "" and self._op in ("add", "replace") and isinstance(value, dict):
            return self._open(value)

        document = self._by_channel.get(self._channel)
        if document is None:  # the reading of ``c`` as a running number
            document = next(reversed(self._by_channel.values()), None)
        if document is None:
            self.ignored += 1
            return None, []
        return document, self._changes(document, value)

    def grown(self, size: int) -> None:
        """What is held has grown by at most ``size``. Raises ReplyTooLong.

        Weighing everything at every operation would cost more than the operation. So this only adds
        up, and weighs once so much has come that there could be too much.
        """
        self._unweighed += size
        if self._unweighed <= MAX_WEIGHT:
            return
        self._catch_up()
        weights = {c: _weight(document.root) for c, document in self._by_channel.items()}
        while sum(weights.values()) > MAX_WEIGHT and len(weights) > 1:
            oldest = next(iter(weights))
            del weights[oldest], self._by_channel[oldest]
        if sum(weights.values()) > MAX_WEIGHT:
            raise ReplyTooLong(limit=MAX_WEIGHT, what="characters and values in one reply")
        self._unweighed = 0

    def spend(self, work: int) -> None:
        """Count work that the size of what came does not bound. Raises ReplyTooLong."""
        self._work += work
        if self._work > MAX_WORK:
            raise ReplyTooLong(limit=MAX_WORK, what="characters to move about")

    def _open(self, root: dict[str, Any]) -> tuple[Document, list[Change]]:
        if self._by_channel.pop(self._channel, None) is None:
            while len(self._by_channel) >= MAX_DOCUMENTS:
                del self._by_channel[next(iter(self._by_channel))]
        document = self._by_channel[self._channel] = Document(self._channel, root)
        return document, [("replace", ROOT, root)]

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
            document.root = value
            return True
        holder, key = find(document.root, path[:-1]), path[-1]
        if holder is None and key == "0":
            holder = _made(document.root, path)
        if type(holder) is dict:
            return self._in_object(op, holder, key, value)
        if type(holder) is list:
            return self._in_list(op, holder, key, value)
        return False

    def _in_object(self, op: str, holder: dict[str, Any], key: str, value: Any) -> bool:
        if op in ("replace", "add"):
            holder[key] = value
        elif op in ("append", "truncate"):
            new = self._changed(op, holder.get(key), value)
            if new is None:
                return False
            holder[key] = new
        elif op == "remove" and key in holder:
            del holder[key]
        else:
            return False
        return True

    def _in_list(self, op: str, holder: list[Any], key: str, value: Any) -> bool:
        size = len(holder)
        at = size if key == "-" else _index(key)
        if at is None or at > size:
            return False
        if op == "add" or (op == "append" and at == size):
            self.spend(size - at)
            holder.insert(at, value)
        elif at == size:
            return False
        elif op in ("append", "truncate"):
            new = self._changed(op, holder[at], value)
            if new is None:
                return False
            holder[at] = new
        elif op == "replace":
            holder[at] = value
        elif op == "remove":
            self.spend(size - at)
            del holder[at]
        else:
            return False
        return True

    def _changed(self, op: str, old: Any, value: Any) -> Any:
        """What ``old`` becomes by an append or a truncate; None where it fits nothing."""
        if op == "truncate":
            return self._truncated(old, value)
        if old is None:
            return value
        if type(value) is str and type(old) in (str, Rope):
            rope = old if type(old) is Rope else Rope(old)
            rope.add(value)
            return rope
        if isinstance(old, dict) and isinstance(value, dict):
            old.update(value)
            return old
        if isinstance(old, list):
            more = value if isinstance(value, list) else [value]
            old.extend(more)
            return old
        return None

    def _truncated(self, old: Any, value: Any) -> Any:
        if isinstance(value, bool) or not isinstance(value, int) or value < 0:
            return None
        if isinstance(old, Rope):
            old = old.text
        if not isinstance(old, str | list):
            return None
        self.spend(len(old))
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
