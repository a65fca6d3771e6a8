"""The canonical reply: a small closed set of events, in an order the block tracker guards."""

from __future__ import annotations

from typing import Literal, TypeAlias

import msgspec

from chatgpt_to_api.chat.request import Opaque
from chatgpt_to_api.chat.usage import Usage
from chatgpt_to_api.errors import GatewayError

BlockKind: TypeAlias = Literal["text", "reasoning", "tool_call", "refusal"]
FinishReason: TypeAlias = Literal["stop", "length", "tool_calls", "content_filter"]


class Started(msgspec.Struct, frozen=True):
    """The reply has begun. ``model`` is what really answers, "" where the upstream does not say."""

    model: str = ""


class BlockStarted(msgspec.Struct, frozen=True):
    """A block of one choice opens; blocks count from 0 within their choice, one open at a time.

    ``tool_id`` and ``tool_name`` are set for a block of kind ``tool_call``.
    """

    block: int
    kind: BlockKind
    choice: int = 0
    tool_id: str = ""
    tool_name: str = ""


class TextDelta(msgspec.Struct, frozen=True):
    """A piece of one choice's text; its pieces joined in order are the whole.

    Never empty: decoders drop empty pieces, so no door has to check.
    """

    text: str
    choice: int = 0


class ReasoningDelta(msgspec.Struct, frozen=True):
    """A piece of what the model thinks; never empty unless it brings an ``opaque`` part."""

    text: str
    choice: int = 0
    opaque: Opaque | None = None


class ToolCallDelta(msgspec.Struct, frozen=True):
    """A piece of the open tool call's arguments (JSON text); never empty."""

    arguments: str
    choice: int = 0


class RefusalDelta(msgspec.Struct, frozen=True):
    """A piece of the model's own refusal; never empty."""

    text: str
    choice: int = 0


class BlockEnded(msgspec.Struct, frozen=True):
    """The open block of this choice is complete."""

    block: int
    choice: int = 0


class UsageReported(msgspec.Struct, frozen=True):
    """Token counts of the whole reply; a later one replaces an earlier one."""

    usage: Usage


class Finished(msgspec.Struct, frozen=True):
    """One choice is complete, no block of it open. ``stop_sequence``: the stop string that hit."""

    reason: FinishReason
    choice: int = 0
    stop_sequence: str | None = None


class Failed(msgspec.Struct, frozen=True):
    """The reply has failed; nothing follows."""

    error: GatewayError


ChatEvent: TypeAlias = (
    Started
    | BlockStarted
    | TextDelta
    | ReasoningDelta
    | ToolCallDelta
    | RefusalDelta
    | BlockEnded
    | UsageReported
    | Finished
    | Failed
)

CONTENT = (TextDelta, ReasoningDelta, ToolCallDelta, RefusalDelta)
"""Events that are generated content: with the first of them a reply is committed."""
