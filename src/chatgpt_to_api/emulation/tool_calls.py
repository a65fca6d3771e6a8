"""Tool calls out of text: the reply side of the prompted protocol."""

from __future__ import annotations

import re
from collections.abc import Container, Iterable
from typing import Final, Literal, TypeAlias

from chatgpt_to_api.chat.blocks import BlockTracker
from chatgpt_to_api.chat.events import (
    AudioDelta,
    BlockEnded,
    BlockStarted,
    ChatEvent,
    Failed,
    Finished,
    ReasoningDelta,
    RefusalDelta,
    ReplyNoted,
    Started,
    TextDelta,
    ToolCallDelta,
    UsageReported,
)
from chatgpt_to_api.emulation.call_reader import CallReader
from chatgpt_to_api.emulation.protocol import CALL, RESULT

MOST_FAILED: Final = 32
"""Beginnings of calls that turn out to be none, before a reply is taken for mere text: each is read
twice."""

_AROUND: Final = 96
"""How much white space and fence before or behind a call belongs to it, characters."""

_OPENER: Final = re.compile(rf"<{CALL}(?:\s[^<>]{{0,200}})?>")
_OPENER_BEGUN: Final = re.compile(rf"<{CALL}(?:\s[^<>]{{0,200}})?")
_BEFORE: Final = re.compile(r"\s*(?:```[a-z_]{0,12}\s*)?\Z")
_BEFORE_BEGUN: Final = re.compile(r"\s*(?:`{1,2}|```[a-z_]{0,12}\s*)?\Z")
_BARE: Final = re.compile(r"\s*(?:```[a-z_]{0,12}\s+)?(?=\{)")
_BARE_BEGUN: Final = re.compile(r"\s*(?:`{1,2}|```[a-z_]{0,12}\s*)?")
_ENTRY: Final = re.compile(r"[\s\[]*(?:```[a-z_]{0,12}\s+[\s\[]*)?")
_ENTRY_BEGUN: Final = re.compile(r"[\s\[]*(?:`{1,2}|```[a-z_]{0,12}[\s\[]*)?")
_BEHIND: Final = re.compile(r"[\s\]};,]*(?:```\s*)?")
"""What may stand between a call and its closing tag: brackets too many, the end of a fence."""
_CLOSER: Final = re.compile(rf"</{CALL}\s*>")
_TAG_BEGUN: Final = re.compile(r"`{1,2}|</?[a-z_]{0,16}\s{0,16}")
_FENCE_END: Final = re.compile(r"\s*```[ \t]*")
_FENCE_END_BEGUN: Final = re.compile(r"\s*`{0,2}")
_INVENTED: Final = re.compile(rf"\s*<{RESULT}[\s>]")
_INVENTED_BEGUN: Final = re.compile(r"\s*(?:<[a-z_]{0,16})?")

_Where: TypeAlias = Literal["text", "entry", "call", "behind", "outside"]


class ToolCalls:
    """Turns calls of ``tools`` in each choice's text into tool calls; sans-IO.

    Text streams on, but for an end that may be the beginning of a call; the white space and the
    code fence around a call are its own. A call of another tool, or what cannot be read as a call,
    is text. With ``one`` the reply ends with the first call. It ends too where a model that has
    called goes on to invent the tool's answer.
    """

    __slots__ = ("_choices", "_one", "_tools")

    def __init__(self, tools: Container[str], *, one: bool = False) -> None:
        self._tools = tools
        self._one = one
        self._choices: dict[int, _Choice] = {}

    @property
    def finished(self) -> bool:
        """Whether every choice has ended, one of them before its upstream ended it."""
        choices = self._choices.values()
        return any(c.cut for c in choices) and all(c.blocks.finished for c in choices)

    def feed(self, events: Iterable[ChatEvent]) -> list[ChatEvent]:
        """Return the events with the calls apart from the text."""
        out: list[ChatEvent] = []
        for event in events:
            match event:
                case Started() | UsageReported() | ReplyNoted():
                    out.append(event)
                case Failed():
                    for choice in self._choices.values():
                        choice.give_up(out)
                    out.append(event)
                case _:
                    self._choice(event.choice).take(event, out)
        return out

    def _choice(self, index: int) -> _Choice:
        choice = self._choices.get(index)
        if choice is None:
            choice = self._choices[index] = _Choice(index, self._tools, one=self._one)
        return choice


class _Choice:
    """One choice: where its text stands, and its blocks, numbered anew."""

    __slots__ = (
        "_called",
        "_failed",
        "_fenced",
        "_fresh",
        "_held",
        "_one",
        "_reader",
        "_source",
        "_tools",
        "_where",
        "blocks",
        "cut",
    )

    def __init__(self, index: int, tools: Container[str], *, one: bool) -> None:
        self.blocks = BlockTracker(index)
        self.cut = False
        """Whether it was ended before its upstream ended it."""
        self._tools = tools
        self._one = one
        self._where: _Where = "text"
        self._fresh = True  # nothing has been said: a call may come without its tag
        self._held = ""
        self._source: list[str] = []  # of a call that may yet turn out to be none; its tag first
        self._reader = CallReader(tools)
        self._fenced = False
        self._called = 0
        self._failed = 0

    def take(self, event: ChatEvent, out: list[ChatEvent]) -> None:
        match event:
            case TextDelta(text):
                self._held += text
                self._read(out)
            case BlockStarted(kind="tool_call"):
                self._called += 1
                out += self.blocks.tool_call(
                    event.tool_id, event.tool_name, freeform=event.freeform, opaque=event.opaque
                )
            case ToolCallDelta(arguments):
                out += self.blocks.arguments(arguments)
            case ReasoningDelta(text, opaque=opaque):
                out += self.blocks.reasoning(text, opaque)
            case RefusalDelta(text):
                out += self.blocks.refusal(text)
            case BlockEnded():
                self._settle(out)
                out += self.blocks.end_block()
            case Finished(reason, stop_sequence=stop):
                called = reason == "stop" and self._called > 0
                out += self.blocks.finish("tool_calls" if called else reason, stop)
            case AudioDelta():
                out += self.blocks.audio(event)
            case BlockStarted():
                pass  # a block begins with its first piece
            case _:
                out.append(event)

    def give_up(self, out: list[ChatEvent]) -> None:
        """The reply has failed: what was held back is all there is of it."""
        out += self.blocks.text("".join(self._source) + self._held)
        self._source, self._held = [], ""

    def _read(self, out: list[ChatEvent]) -> None:
        """Take what is held as far as it is clear what it is."""
        going = True
        while going and not self.blocks.finished:
            match self._where:
                case "text":
                    going = self._in_text(out)
                case "entry":
                    going = self._at_entry(out)
                case "call":
                    going = self._in_call(out)
                case "behind":
                    going = self._behind_call()
                case "outside":
                    going = self._outside(out)

    def _say(self, text: str, out: list[ChatEvent]) -> None:
        if text:
            self._fresh = self._fresh and text.isspace()
            out += self.blocks.text(text)

    # -- each returns whether there is more to be read of what is held -----------------------------

    def _in_text(self, out: list[ChatEvent]) -> bool:
        held = self._held
        if self._fresh and len(held) < _AROUND and _BARE_BEGUN.fullmatch(held):
            return False
        bare = _BARE.match(held) if self._fresh else None
        if bare is not None:
            self._enter(0, bare.end(), "call")
            return True
        opener = _OPENER.search(held) if self._failed < MOST_FAILED else None
        if opener is not None:
            start = _with_space_before(held, opener.start(), _BEFORE)
            self._say(held[:start], out)
            self._enter(start, opener.end(), "entry")
            return True
        sure = self._sure(held)
        self._say(held[:sure], out)
        self._held = held[sure:]
        return False

    def _sure(self, held: str) -> int:
        """Return where the end of a text begins that may belong to a call."""
        at = held.rfind("<", max(0, len(held) - 256))
        begun = at >= 0 and (
            f"<{CALL}".startswith(held[at:]) or _OPENER_BEGUN.fullmatch(held, at) is not None
        )
        if begun:
            return _with_space_before(held, at, _BEFORE)
        return _with_space_before(held, len(held), _BEFORE_BEGUN)

    def _enter(self, start: int, end: int, where: _Where) -> None:
        """A call seems to begin: its tag, and what belongs to it, stands from start to end."""
        tag = self._held[start:end]
        self._fenced = self._fenced or "`" in tag
        self._source = [tag]
        self._held = self._held[end:]
        self._reader = CallReader(self._tools)
        self._where = where

    def _at_entry(self, out: list[ChatEvent]) -> bool:
        held = self._held
        if len(held) < _AROUND and _ENTRY_BEGUN.fullmatch(held):
            return False
        entry = _ENTRY.match(held)
        assert entry is not None, "it matches nothing at all, too"
        if not held.startswith("{", entry.end()):
            self._no_call(out)
            return True
        self._source.append(entry[0])
        self._held = held[entry.end() :]
        self._where = "call"
        return True

    def _in_call(self, out: list[ChatEvent]) -> bool:
        text, self._held = self._held, ""
        reader = self._reader
        if reader.name is None:
            self._source.append(text)
        arguments, rest = reader.feed(text)
        if reader.failed:
            self._no_call(out)
            return True
        self._hand_on(arguments, out)
        if not reader.done:
            return False
        self._held = rest
        self._end_call(out)
        return True

    def _hand_on(self, arguments: str, out: list[ChatEvent]) -> None:
        if self._reader.name is None:
            return
        if self._source:  # only now it is sure to be a call
            self._source = []
            self._called += 1
            self._fresh = False
            out += self.blocks.tool_call("", self._reader.name)
        out += self.blocks.arguments(arguments)

    def _end_call(self, out: list[ChatEvent]) -> None:
        out += self.blocks.end_block()
        self._where = "behind"
        if self._one:
            self._cut(out)

    def _no_call(self, out: list[ChatEvent]) -> None:
        """It only looked like a call: its tag is text, and so is what follows, as far as it is."""
        tag, *rest = self._source
        self._held = "".join(rest) + self._held
        self._source = []
        self._failed += 1
        self._where = "text"
        self._fresh = False
        self._say(tag, out)

    def _behind_call(self) -> bool:
        held = self._held
        behind = _BEHIND.match(held)
        assert behind is not None, "it matches nothing at all, too"
        at = behind.end()
        if len(held) < _AROUND and (at == len(held) or _TAG_BEGUN.fullmatch(held, at)):
            return False
        closer = _CLOSER.match(held, at)
        if closer is not None:
            self._held = held[closer.end() :]
        elif held.startswith("{", at):
            self._enter(0, at, "call")
            return True
        self._where = "outside"
        return True

    def _outside(self, out: list[ChatEvent]) -> bool:
        held = self._held
        if self._fenced:
            if len(held) < _AROUND and _FENCE_END_BEGUN.fullmatch(held):
                return False
            fence = _FENCE_END.match(held)
            self._fenced = False
            self._held = held = held[fence.end() :] if fence is not None else held
        if len(held) < _AROUND and _INVENTED_BEGUN.fullmatch(held):
            return False
        if _INVENTED.match(held):
            self._cut(out)
            return False
        self._where = "text"
        return True

    # -- the end -----------------------------------------------------------------------------------

    def _cut(self, out: list[ChatEvent]) -> None:
        self.cut = True
        out += self.blocks.finish("tool_calls")

    def _settle(self, out: list[ChatEvent]) -> None:
        """The text is over: complete a call that was not ended, and let go of what was held."""
        while self._where in ("entry", "call") and not self.blocks.finished:
            arguments = self._reader.end()
            if self._reader.failed:
                self._no_call(out)
                self._read(out)
                continue
            self._hand_on(arguments, out)
            self._end_call(out)
        held, self._held = self._held, ""
        if self._where == "behind":
            rest = held[_BEHIND.match(held).end() :]  # type: ignore[union-attr]  # it matches ""
            held = "" if _TAG_BEGUN.fullmatch(rest) or not rest else held
        elif self._called and held.isspace():
            held = ""
        self._where = "text"
        self._say(held, out)


def _with_space_before(text: str, at: int, space: re.Pattern[str]) -> int:
    """Return where the white space, and the opening of a fence, before ``at`` begins."""
    start = max(0, at - _AROUND)
    before = space.search(text[start:at])
    assert before is not None, "it matches nothing at all, too"
    return start + before.start()
