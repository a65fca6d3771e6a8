"""A chat as one text: what a backend is asked that takes one message of one user.

A single user message is sent as it is. Everything else becomes three parts, in this order, of which
each may be missing::

    Follow these instructions:

    (the system messages that open the chat)

    The conversation so far. The lines of each speaker begin with ">":

    User:
    > (what was said)

    Assistant:
    > (what was said)

    Now answer this message:

    (the last user message, as it is)

Whatever anybody said stands behind ``>`` on every one of its lines, so no text can pass itself off
as a turn of somebody else; only the last message is not marked, and nothing follows it. The
instructions come first, where nobody but the caller has written before them. No id, time or count
is in the text: chats that begin with the same turns begin with the same bytes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Final, assert_never

from chatgpt_to_api.chat.request import (
    Audio,
    File,
    Foreign,
    Image,
    Message,
    Part,
    Reasoning,
    Refusal,
    SpokenAnswer,
    Text,
    ToolCall,
    ToolResult,
)
from chatgpt_to_api.errors import InvalidRequest

INSTRUCTIONS: Final = "Follow these instructions:"
SO_FAR: Final = 'The conversation so far. The lines of each speaker begin with ">":'
SINCE: Final = 'What has been said since. The lines of each speaker begin with ">":'
ANSWER: Final = "Now answer this message:"
ANSWER_USER: Final = "Now answer the user."
USE_RESULTS: Final = "Now go on as the assistant, with what the tools have returned."
GO_ON: Final = "Now go on with the assistant's last message, without repeating it."

_BREAK: Final = re.compile("\r\n|[\n\r\x0b\x0c\x1c-\x1e\x85\u2028\u2029]")
_SPEAKERS: Final = {"user": "User", "assistant": "Assistant", "tool": "Tool"}
_GAP: Final = "\n\n"


def merged(messages: Sequence[Message]) -> str:
    """Return the whole chat as one text. Raises InvalidRequest for a part that is no text."""
    if len(messages) == 1 and messages[0].role == "user":
        return spoken(messages[0], 0)
    opening = 0
    while opening < len(messages) and messages[opening].role in ("system", "developer"):
        opening += 1
    pieces: list[str] = []
    if opening:
        pieces.append(INSTRUCTIONS)
        pieces += [spoken(messages[index], index) for index in range(opening)]
    return _GAP.join([*pieces, *_course(messages, opening, SO_FAR)])


def added(messages: Sequence[Message]) -> str:
    """Return what is new in a chat whose beginning the backend has, as one text.

    Raises InvalidRequest as :func:`merged` does.
    """
    if len(messages) == 1 and messages[0].role == "user":
        return spoken(messages[0], 0)
    return _GAP.join(_course(messages, 0, SINCE))


def _course(messages: Sequence[Message], start: int, heading: str) -> Iterator[str]:
    """Tell the messages from ``start`` on, and what is to be answered."""
    last = messages[-1] if len(messages) > start else None
    asked = last is not None and last.role == "user"
    told = range(start, len(messages) - asked)
    if told:
        yield heading
        for index in told:
            yield from _turn(messages[index], index)
    if last is not None:
        yield from _ending(last, len(messages) - 1)


def spoken(message: Message, index: int) -> str:
    """Return one message's own text; calls and results of tools are told after it.

    ``index`` is its place in the request, for the error. Raises InvalidRequest for what is no text.
    """
    parts = message.parts
    if len(parts) == 1 and type(parts[0]) is Text:
        return parts[0].text
    return _GAP.join(
        piece
        for place, part in enumerate(parts)
        for piece in _told(part, f"messages[{index}].content[{place}]")
    )


def _told(part: Part, param: str) -> Iterator[str]:
    match part:
        case Text(text=text) | Refusal(text=text):
            yield text
        case ToolCall():
            yield _called(part)
        case ToolResult():
            yield _returned(part, param)
        case Reasoning() | Foreign():
            pass  # the model thinks anew; what only another dialect has a meaning for is left out
        case Image() | Audio() | File() | SpokenAnswer():
            raise _unseen(part, param)
        case _:
            assert_never(part)


def _turn(message: Message, index: int) -> list[str]:
    """Tell one message of the past: who said it, and what, every line of it marked."""
    said: list[str] = []
    others: list[str] = []
    for place, part in enumerate(message.parts):
        own = isinstance(part, Text | Refusal)
        (said if own else others).extend(_told(part, f"messages[{index}].content[{place}]"))
    return [_marked(_speaker(message), _GAP.join(said)), *others] if said else others


def _speaker(message: Message) -> str:
    if message.role in ("system", "developer"):
        return "An instruction to follow from here on"
    name = f" ({_inline(message.name)})" if message.name else ""
    return _SPEAKERS[message.role] + name


def _called(call: ToolCall) -> str:
    name, call_id = _inline(call.name), _inline(call.id)
    return _marked(f"The assistant calls the tool {name} as {call_id}", call.arguments)


def _returned(result: ToolResult, param: str) -> str:
    what = "failed with" if result.is_error else "returned"
    said = "\n".join(text for part in result.parts for text in _told(part, param))
    return _marked(f"The tool call {_inline(result.call_id)} {what}", said)


def _marked(heading: str, said: str) -> str:
    """Put ``> `` before every line of what was said, whatever a reader may take for a line end."""
    return f"{heading}:\n> " + _BREAK.sub(lambda found: found[0] + "> ", said)


def _ending(last: Message, index: int) -> list[str]:
    match last.role:
        case "user":
            name = f" from {_inline(last.name)}" if last.name else ""
            return [ANSWER.replace(":", f"{name}:"), spoken(last, index)]
        case "tool":
            return [USE_RESULTS]
        case "assistant":
            return [GO_ON]
        case _:
            return [ANSWER_USER]


def _inline(text: str) -> str:
    """Return a name or id on one line, at most 128 characters of it."""
    return "".join(c if c.isprintable() else " " for c in text[:128])


def check_parts(messages: Sequence[Message]) -> None:
    """Raise InvalidRequest for the first part that is no text."""
    for index, message in enumerate(messages):
        for place, part in enumerate(message.parts):
            inner = part.parts if isinstance(part, ToolResult) else (part,)
            for found in inner:
                if isinstance(found, Image | Audio | File | SpokenAnswer):
                    raise _unseen(found, f"messages[{index}].content[{place}]")


def _unseen(part: Image | Audio | File | SpokenAnswer, param: str) -> InvalidRequest:
    """The error for a part that is no text: without it the answer would be to another question."""
    kind = "spoken answer" if isinstance(part, SpokenAnswer) else type(part).__name__.lower()
    return InvalidRequest(
        f"The conversation backend cannot be sent the {kind} in '{param}': only text can. Ask a "
        "model of another upstream, or leave it out.",
        param=param,
        code="unsupported_content",
    )
