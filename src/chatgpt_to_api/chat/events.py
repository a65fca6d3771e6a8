"""The canonical reply: a small closed set of events, in an order the block tracker guards."""

from __future__ import annotations

from typing import Literal, TypeAlias

import msgspec

from chatgpt_to_api.chat.request import Opaque
from chatgpt_to_api.chat.usage import Usage
from chatgpt_to_api.errors import GatewayError

BlockKind: TypeAlias = Literal["text", "reasoning", "tool_call", "refusal", "audio", "foreign"]
FinishReason: TypeAlias = Literal["stop", "length", "tool_calls", "content_filter", "pause"]
"""``pause``: the upstream stopped in the middle of its own work, to be asked to go on."""


class Started(msgspec.Struct, frozen=True):
    """The reply has begun. ``model`` is what really answers, "" where the upstream does not say.

    ``service_tier`` and ``fingerprint`` say which class of service and which build answer.
    ``usage`` is what is known of it at the beginning: the prompt's tokens, or None.
    """

    model: str = ""
    service_tier: str = ""
    fingerprint: str = ""
    usage: Usage | None = None


class BlockStarted(msgspec.Struct, frozen=True):
    """A block of one choice opens; blocks count from 0 within their choice, one open at a time.

    ``tool_id`` and ``tool_name`` are set for a block of kind ``tool_call``. ``freeform``: that
    call's arguments are plain text, no JSON. ``opaque`` goes back with the call in later turns; of
    a ``foreign`` block, which only its own dialect has a meaning for, it is the whole.
    """

    block: int
    kind: BlockKind
    choice: int = 0
    tool_id: str = ""
    tool_name: str = ""
    freeform: bool = False
    opaque: Opaque | None = None


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
    """A piece of the open tool call's arguments (JSON text, or plain text); never empty."""

    arguments: str
    choice: int = 0


class RefusalDelta(msgspec.Struct, frozen=True):
    """A piece of the model's own refusal; never empty."""

    text: str
    choice: int = 0


class AudioDelta(msgspec.Struct, frozen=True):
    """A piece of a spoken answer: sound (base64) and what it says, either may be "".

    ``id`` names the answer for later turns, until Unix time ``expires_at``; both come once.
    """

    data: str = ""
    transcript: str = ""
    choice: int = 0
    id: str = ""
    expires_at: int | None = None


class BlockEnded(msgspec.Struct, frozen=True):
    """The open block of this choice is complete."""

    block: int
    choice: int = 0


class Citation(msgspec.Struct, frozen=True):
    """A web page that a choice's text rests on, from character ``start`` up to ``end`` of it.

    ``opaque`` is the same in its own dialect's words, as JSON: they may say more.
    """

    url: str
    title: str = ""
    start: int | None = None
    end: int | None = None
    opaque: Opaque | None = None


class Annotated(msgspec.Struct, frozen=True):
    """A note on a choice's text; an ``Opaque`` one is JSON that only its dialect understands."""

    note: Citation | Opaque
    choice: int = 0


class TokenLogprob(msgspec.Struct, frozen=True):
    """One token and how probable it was; ``top`` are the likeliest in its place, without theirs."""

    token: str
    logprob: float | None
    bytes: tuple[int, ...] | None = None
    top: tuple[TokenLogprob, ...] = ()


class LogprobsReported(msgspec.Struct, frozen=True):
    """Log probabilities of the tokens that the pieces before it were made of."""

    text: tuple[TokenLogprob, ...] = ()
    refusal: tuple[TokenLogprob, ...] = ()
    choice: int = 0


class ReplyNoted(msgspec.Struct, frozen=True):
    """Fields of the whole reply that only its dialect knows: a JSON object."""

    fields: Opaque


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
    | AudioDelta
    | BlockEnded
    | Annotated
    | LogprobsReported
    | ReplyNoted
    | UsageReported
    | Finished
    | Failed
)

CONTENT = (TextDelta, ReasoningDelta, ToolCallDelta, RefusalDelta, AudioDelta)
"""Events that are generated content: with the first of them a reply is committed."""

OF_THE_REPLY = (Started, ReplyNoted, UsageReported, Failed)
"""Events that speak of the whole reply; every other one has a ``choice``."""
