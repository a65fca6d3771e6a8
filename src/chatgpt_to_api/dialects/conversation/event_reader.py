"""What the events of a conversation backend's reply mean, in both of its encodings.

v0 events are snapshots of messages, v1 events are operations that build the same messages; both end
in one turn. Events are told apart by their shape, never by their place in the stream or by an
announcement: proxies drop, add and reorder them. From events of the usual kinds lanes are learned
for the runs that may follow.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Final

import msgspec
from msgspec import UNSET

from chatgpt_to_api.chat.events import ChatEvent, Failed, FinishReason
from chatgpt_to_api.chat.request import ChatRequest
from chatgpt_to_api.dialects.contract import UpstreamFault
from chatgpt_to_api.dialects.conversation import faults
from chatgpt_to_api.dialects.conversation.bodies import SPACE, moved_to_websocket
from chatgpt_to_api.dialects.conversation.changes import meaning
from chatgpt_to_api.dialects.conversation.documents import Document, Documents, find
from chatgpt_to_api.dialects.conversation.lanes import (
    Lane,
    bare_lane,
    delta_lane,
    shown_lane,
    snapshot_lane,
)
from chatgpt_to_api.dialects.conversation.reading import (
    CUT,
    FINISHED,
    NotJson,
    Rope,
    plain,
    read_flags,
    read_json,
    read_text,
)
from chatgpt_to_api.dialects.conversation.turn import Answer, Turn
from chatgpt_to_api.dialects.conversation.usual import (
    Shown,
    patched,
    read_operation,
    read_shown,
)
from chatgpt_to_api.wire.error_body import ErrorBody

_FINISH: Final[dict[str | None, FinishReason]] = {CUT: "length", "content_filter": "content_filter"}
SERVER_ERROR: Final = b"Internal Server Error"
"""A bare line inside a stream."""
_OPERATES: Final = (b'{"v"', b'{"p"', b'{"o"', b'{"c"')
_SHOWS: Final = b'{"message"'
_NEAR: Final = 64
_TRIES: Final = 4
"""How many lanes may be built in vain before no more are: each costs as much as a few events."""


class _Entered(msgspec.Struct, frozen=True, eq=False):
    """A lane in use: whose text its events add to, and who else keeps that text."""

    lane: Lane
    answer: Answer
    keep: Callable[[str], None] | None = None


class EventReader:
    """Takes one reply's events, whole and in their order, until it is ``done``."""

    __slots__ = (
        "_blocked",
        "_carried",
        "_complete",
        "_continued",
        "_documents",
        "_ending",
        "_glimpse",
        "_handed_off",
        "_held_back",
        "_lane",
        "_request",
        "_tries",
        "_turn",
        "_writing",
        "conversation_id",
        "done",
        "dropped",
        "fault",
        "title",
    )

    def __init__(self, request: ChatRequest) -> None:
        self._request = request
        self._continued = request.continuation
        self._turn = Turn(self._continued, request.branch)
        self._documents = Documents()
        self._writing: Answer | None = None  # whose document usual operations are for
        self._carried: str | None = None  # the kind of the usual operation before
        self._glimpse: bytes | None = b""  # the first bytes, until an event was seen in them
        self._lane: _Entered | None = None
        self._tries = _TRIES
        self._blocked = False
        self._complete = False
        self._handed_off = False
        self._held_back = False
        self._ending: list[ChatEvent] = []
        self.done = False
        """Nothing that comes after this matters."""
        self.fault: UpstreamFault | None = None
        self.conversation_id = "" if self._continued is None else self._continued.conversation_id
        """The conversation the answer belongs to, "" where the backend names none."""
        self.title = ""
        """The title the backend gave the conversation, if it did."""
        self.dropped = 0
        """How many events meant nothing."""

    # -- events ------------------------------------------------------------------------------------

    def _dispatch(self, name: bytes, data: bytes, raw: bytes | None) -> None:
        """Tell an event's kind by its shape. ``raw`` is what a lane can be learned from."""
        if self.done or name == b"ping":
            return
        if not data.startswith(b"{") and self._is_word(name, data.strip()):
            return
        if data.startswith(_OPERATES) and self._usual_operation(data, raw):
            return
        if data.startswith(_SHOWS) and self._usual_snapshot(data, raw):
            return
        try:
            event = read_json(data)
        except NotJson:
            event = None
        if not isinstance(event, dict):
            self.dropped += 1
            return
        self._glimpse = None
        message = event.get("message")
        if isinstance(message, dict) and "v" not in event:
            self._snapshot(event, message, raw)
        elif "v" in event or name == b"delta" or ("p" in event and "o" in event):
            self._operation(event, len(data), raw)
        elif not self._foreign(event.get("conversation_id")):
            self._control(event)

    def _is_word(self, name: bytes, data: bytes) -> bool:
        """Take data that is a word and no object; False for what may still be JSON."""
        if data == b"[DONE]":
            self._ended()
        elif name == b"delta_encoding":
            self._announced(data.strip(b'"'))
        elif data == SERVER_ERROR:
            self._server_error()
        else:
            return not data
        return True

    def _announced(self, encoding: bytes) -> None:
        if encoding != b"v1":
            shown = encoding[:40].decode("utf-8", "replace")
            self._fail(
                faults.unsupported(
                    f"The conversation backend uses an encoding that is not known: {shown!r}."
                )
            )

    def _foreign(self, found: object) -> bool:
        """Whether an event's conversation is another one; the first id seen is ours."""
        if not isinstance(found, str) or not found:
            return False
        if not self.conversation_id:
            self.conversation_id = found
            branch = self._request.branch
            if branch is not None and found != branch.conversation_id:
                # It has begun anew, with the last turn alone: the answer would be to nothing.
                self._fail(faults.elsewhere())
                return True
        return found != self.conversation_id

    def _control(self, event: dict[str, Any]) -> None:
        """An event about the turn, without a message."""
        match event.get("type"):
            case "title_generation":
                title = event.get("title")
                self.title = title if isinstance(title, str) else self.title
                return
            case "message_stream_complete":
                self._complete = True
                return
            case "stream_handoff":
                self._handed_off = True
                return
            case "moderation" if "moderation_response" not in event:
                self._blocked = True
                return
        moderation = event.get("moderation_response")
        if isinstance(moderation, dict):
            self._blocked = self._blocked or moderation.get("blocked") is True
        elif event.get("type") == "error" or any(
            event.get(key) for key in ("error", "detail", "errorMessage")
        ):
            self._complained(event)
        elif event.get("type") is None:
            self.dropped += 1

    def _complained(self, event: dict[str, Any]) -> None:
        """The backend reports an error. After the whole answer it changes nothing any more."""
        if not self._turn.over:
            self._fail(faults.fault_of_complaint(_complaint(event) or event))

    def _server_error(self) -> None:
        if not self._turn.over:
            self._fail(
                faults.broken(
                    "The conversation backend broke off with an error of its server.",
                    "upstream_error",
                    ErrorBody(SERVER_ERROR.decode()),
                )
            )

    def _snapshot(self, event: dict[str, Any], message: dict[str, Any], raw: bytes | None) -> None:
        """A v0 event: a message as it stands now."""
        self._lane = self._writing = None  # it says nothing of the documents
        if self._foreign(event.get("conversation_id")):
            return
        complaint = _complaint(event)
        was_over = complaint is not None and self._turn.over
        flags = read_flags(message)
        text = read_text(message, flags.kind) if flags.kind is not None else ""
        answer = self._turn.see(flags.id or f"#{flags.role}", flags, text)
        if complaint is not None and not was_over:
            self._fail(faults.fault_of_complaint(complaint))
        elif answer is not None and raw is not None and flags.status != FINISHED:
            self._learn_snapshots(answer, raw, event)

    def _usual_snapshot(self, data: bytes, raw: bytes | None) -> bool:
        """Take a v0 event of the usual kind; False for any other."""
        shown = read_shown(data)
        flags = shown.flags if shown is not None else None
        if shown is None or flags is None:
            return False
        self._glimpse = self._lane = self._writing = None
        if not self._foreign(shown.conversation_id):
            answer = self._turn.see(flags.id, flags, shown.text)
            if answer is not None and raw is not None and flags.status != FINISHED:
                self._learn_snapshots(answer, raw, None)
        return True

    def _usual_operation(self, data: bytes, raw: bytes | None) -> bool:
        """Take a v1 event of the usual kind; False for any other."""
        if self._writing is None and b'"message"' not in data[:_NEAR]:
            return False  # it opens nothing, and there is nothing usual to go on with
        found = read_operation(data)
        if found is None:
            return False
        value = found.v
        if isinstance(value, Shown):
            return found.opens and self._opened(value, data)
        writing = self._writing
        kind = found.kind(self._carried)
        if writing is None or kind is None or found.c is not UNSET:
            return False
        answer = self._turn.answer(writing.flags.id)
        if answer is None:
            return False
        if kind == "append" and isinstance(value, str):
            self._lane = None
            self._turn.append(answer, value)
            if raw is not None and value:
                self._learn_operations(answer, data, raw, self._documents.append_later)
        elif kind == "patch" and isinstance(value, list):
            change = patched(answer.flags, value)
            if change is None:
                return False
            self._lane = None
            flags, added = change
            if flags is not answer.flags:
                self._turn.mark(flags.id, flags)
            if added:
                self._turn.append(answer, added)
        else:
            return False
        self._glimpse = None
        self._documents.later(data)
        self._carried = kind
        return True

    def _opened(self, shown: Shown, data: bytes) -> bool:
        """Take the operation that opens a message of the usual kind; False for any other."""
        flags = shown.flags
        if flags is None:
            return False
        self._glimpse = self._lane = self._carried = self._writing = None
        if self._foreign(shown.conversation_id):
            self._documents.later(data, "")
        else:
            self._documents.later(data, flags.id)
            self._documents.spend(len(shown.text))
            self._writing = self._turn.see(flags.id, flags, shown.text)
        return True

    def _operation(self, event: dict[str, Any], size: int, raw: bytes | None) -> None:
        """A v1 event: an operation, or a batch of them, on a message that is being built."""
        self._lane = self._carried = self._writing = None
        document, changes = self._documents.apply(event, size)
        if document is None or not changes or not isinstance(document.root, dict):
            self.dropped += 1
            return
        found = meaning(changes, document.root)
        answer = self._turn.answer(document.key)
        if found.rewritten or (found.flagged and answer is None):
            self._look(document)
            return
        if answer is None:
            return
        if found.flagged:
            self._turn.mark(document.key, read_flags(document.root["message"]))
        if found.appended:
            self._turn.append(answer, found.appended)
            rope = find(document.root, changes[0][1])
            if raw is not None and len(changes) == 1 and isinstance(rope, Rope):
                keep = partial(self._documents.extend, rope)
                self._learn_operations(answer, event, raw, keep)

    def _look(self, document: Document) -> None:
        """Read a document anew, as the v0 event it amounts to."""
        root = document.root
        document.key = ""
        if self._foreign(root.get("conversation_id")):
            return
        was_over = self._turn.over
        message = root.get("message")
        if isinstance(message, dict):
            flags = read_flags(message)
            document.key = flags.id or f"#{document.channel}"
            text = read_text(message, flags.kind) if flags.kind is not None else ""
            self._documents.spend(len(text))
            self._turn.see(document.key, flags, text)
        complaint = _complaint(root)
        if complaint is not None and not was_over:
            self._fail(faults.fault_of_complaint(complaint))

    # -- the fast lane -----------------------------------------------------------------------------

    def _learn_snapshots(self, answer: Answer, raw: bytes, event: dict[str, Any] | None) -> None:
        if self._tries and self._turn.speaks_last(answer):
            self._tries -= 1
            lane = shown_lane(raw) if event is None else snapshot_lane(raw, event)
            self._lane = _Entered(lane, answer) if lane is not None else None

    def _learn_operations(
        self,
        answer: Answer,
        event: dict[str, Any] | bytes,
        raw: bytes,
        keep: Callable[[str], None],
    ) -> None:
        if not self._tries or not self._turn.speaks_last(answer):
            return
        # Bare values follow, mostly; where they did not, perhaps the operation is repeated whole.
        if self._tries % 2 == 0:
            lane: Lane | None = bare_lane(raw)
        else:
            lane = delta_lane(raw, read_json(event) if isinstance(event, bytes) else event)
        self._tries -= 1
        if lane is not None:
            self._lane = _Entered(lane, answer, keep)

    def _ran(self, entered: _Entered, text: str) -> None:
        """A run of events added ``text`` to the answer of the lane."""
        self._tries = _TRIES
        if text:
            if entered.keep is not None:
                entered.keep(text)
            self._turn.append(entered.answer, text)

    # -- the end -----------------------------------------------------------------------------------

    def _ended(self) -> None:
        """The backend said that the reply is complete."""
        turn = self._turn
        turn.close()
        last = turn.last
        if self._blocked:
            self._finish("content_filter")
        elif last is not None:
            self._finish(_FINISH.get(last.flags.finish, "stop"))
        elif turn.pictures:
            self._finish("stop")
        elif turn.pictured:
            self._fail(
                faults.nothing_to_read(
                    "The conversation backend answered with a picture or a file and no text; only "
                    "text can be passed on."
                )
            )
        elif self._handed_off:
            self._fail(moved_to_websocket())
        else:
            self._fail(
                faults.broken(
                    "The conversation backend ended its reply without an answer.",
                    "upstream_empty",
                    self._glimpsed(),
                )
            )

    def _glimpsed(self) -> ErrorBody | None:
        """What the reply said, where it was plain text and never an event."""
        if not self._glimpse:
            return None
        line = self._glimpse.lstrip(SPACE).split(b"\n", 1)[0].split(b"\r", 1)[0]
        if line.startswith((b":", b"data", b"event", b"id:", b"retry")):
            return None
        return ErrorBody(line[:200].decode("utf-8", "replace"))

    def _finish(self, reason: FinishReason) -> None:
        self.done = True
        if reason == "length" and self._can_go_on():
            self._held_back = True
        else:
            self._ending = self._turn.finish(reason)

    def _can_go_on(self) -> bool:
        """Whether a follow-up may be made of an answer that was cut."""
        last = self._turn.last
        # An empty answer is not continued: it would go on being empty, for ever.
        if last is None or not (last.text and last.flags.id and self.conversation_id):
            return False
        # Pictures are told with the end, and of this call only.
        return not self._turn.pictures

    def _fail(self, fault: UpstreamFault) -> None:
        self.done = True
        if self._continued is not None and self._turn.silent:
            # What was said before the continuation is a true answer, only a shorter one.
            self._ending = self._turn.finish("length")
            return
        self.fault = fault
        self._ending = [Failed(fault.error)]


def _complaint(event: dict[str, Any]) -> dict[str, Any] | None:
    """The error of an event with the code that may stand beside it, None where it has none."""
    error = plain(event.get("error"))
    return {"error": error, "code": event.get("error_code")} if error else None
