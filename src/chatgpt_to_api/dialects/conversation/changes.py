"""What operations on a document mean for its message: more text, another text, other flags."""

from __future__ import annotations

from typing import Any, Final, NamedTuple, TypeGuard

from chatgpt_to_api.dialects.conversation.documents import Change, find
from chatgpt_to_api.dialects.conversation.reading import TELLING, Rope, as_text

_CONTENT: Final = ("message", "content")


class Meaning(NamedTuple):
    """``appended`` was added at the end of the text; ``rewritten``: read the message anew.

    ``flagged``: what the message says about itself may have changed.
    """

    appended: str
    rewritten: bool
    flagged: bool


def meaning(changes: list[Change], root: dict[str, Any]) -> Meaning:
    """Tell what the changes of one event, applied to ``root`` already, mean together.

    Text that is appended costs nothing but its own length; everything else that touches the
    content costs the length of the whole, and is rare.
    """
    pieces: list[str] = []
    rewritten = flagged = False
    for change in changes:
        path = change[1]
        if _appends(change, root, alone=len(changes) == 1):
            pieces.append(change[2])
        elif len(path) < 2 or path[1] == "content":
            rewritten = True
        elif path[1] != "metadata" or len(path) == 2 or path[2] in TELLING:
            flagged = True
    return Meaning("".join(pieces), rewritten, flagged)


def _appends(change: Change, root: dict[str, Any], *, alone: bool) -> bool:
    """Whether a change adds to the very end of a message's text, or of what it thinks."""
    op, path, value = change
    if op != "append" or path[:2] != _CONTENT or not isinstance(value, str):
        return False
    if len(path) == 4 and path[2] == "parts":
        parts = find(root, path[:-1])
        return _is_last(path[3], parts) and isinstance(parts[-1], str | Rope)
    if len(path) == 5 and path[2] == "thoughts" and path[4] == "content" and alone:
        thoughts = find(root, path[:-2])
        # With its first words a thought is set apart from the one before.
        return _is_last(path[3], thoughts) and len(as_text(thoughts[-1]["content"])) > len(value)
    return False


def _is_last(at: str, entries: Any) -> TypeGuard[list[Any]]:
    return isinstance(entries, list) and bool(entries) and at == str(len(entries) - 1)
