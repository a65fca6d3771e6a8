"""The dialect's JSON as typed structs: what a request and a reply of it may hold.

Everything is optional but what nobody can answer without. Unknown fields are passed over: a relayed
request or reply keeps them as bytes, a translated one as extras.
Source: https://docs.ollama.com/api
"""

from __future__ import annotations

from typing import Any, Final

import msgspec
from msgspec import Raw

from chatgpt_to_api.dialects.bodies import NO_RAW

DIALECT: Final = "ollama"
GENERATE: Final = "ollama_generate"
"""What ``/api/generate`` is called among dialects: its requests look otherwise than a chat's."""

OPTION: Final = "options."
"""Begins the names of extras that stand in ``options``."""

LATEST: Final = ":latest"
"""The tag of a name that has none."""


def bare(model: str) -> str:
    """Return a model's name without the tag that says nothing."""
    return model.removesuffix(LATEST) or model


def tagged(model: str) -> str:
    """Return a model's name as the dialect's lists show it: with a tag."""
    return model if ":" in model.rpartition("/")[2] else model + LATEST


# -- requests --------------------------------------------------------------------------------


class CalledFunction(msgspec.Struct):
    """A function's name with the arguments the model wrote: an object, unlike elsewhere."""

    name: str
    arguments: Raw = NO_RAW


class CallMessage(msgspec.Struct):
    """A call an assistant message made. Servers of before 2026 gave it no ``id``."""

    function: CalledFunction
    id: str | None = None


class OllamaMessage(msgspec.Struct):
    """One message of a request. ``images`` are bare base64, without a media type."""

    role: str
    content: str | None = None
    thinking: str | None = None
    images: list[str] | None = None
    tool_calls: list[Raw] | None = None
    tool_name: str | None = None
    tool_call_id: str | None = None


class OllamaOptions(msgspec.Struct):
    """What of ``options`` has a meaning beyond this dialect's servers.

    A negative ``num_predict`` is no limit.
    """

    num_predict: int | None = None
    temperature: float | None = None
    top_k: int | None = None
    top_p: float | None = None
    seed: int | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    stop: str | list[str] | None = None


class Asking(msgspec.Struct, kw_only=True):
    """What ``/api/chat`` and ``/api/generate`` have in common. ``stream`` is true if not said."""

    model: str
    stream: bool | None = None
    format: Raw = NO_RAW
    options: OllamaOptions | None = None
    think: bool | str | None = None
    keep_alive: str | float | None = None

    @property
    def unloads(self) -> bool:
        """Whether the model may go at once."""
        return self.keep_alive is not None and str(self.keep_alive).strip("hms") in ("0", "0.0")


class OllamaChatRequest(Asking):
    """``POST /api/chat``. Without messages the model is only to be loaded."""

    messages: list[OllamaMessage] | None = None
    tools: list[Raw] | None = None


class OllamaGenerateRequest(Asking):
    """``POST /api/generate``. Without a prompt the model is only to be loaded."""

    prompt: str | None = None
    suffix: str | None = None
    images: list[str] | None = None
    system: str | None = None
    template: str | None = None
    raw: bool | None = None
    context: list[int] | None = None


class OllamaFunction(msgspec.Struct):
    """A function the model may call, with the JSON Schema of its arguments."""

    name: str
    description: str | None = None
    parameters: dict[str, Any] | None = None


class OllamaTool(msgspec.Struct):
    """An entry of ``tools``."""

    function: OllamaFunction
    type: str = "function"


# -- replies ---------------------------------------------------------------------------------


class Likely(msgspec.Struct, gc=False):
    """A token and its log probability, with the likeliest in its place."""

    token: str
    logprob: float | None = None
    bytes: list[int] | None = None
    top_logprobs: list[Likely] | None = None


class ReplyMessage(msgspec.Struct, gc=False):
    """What a line adds to the answer, or a whole answer."""

    content: str | None = None
    thinking: str | None = None
    tool_calls: list[CallMessage] | None = None


class ReplyLine(msgspec.Struct, gc=False):
    """A line of a streamed reply, or the whole of one that is not streamed.

    ``message`` is a chat's, ``response`` and ``thinking`` are of ``/api/generate``.
    """

    model: str | None = None
    created_at: str | None = None
    message: ReplyMessage | None = None
    response: str | None = None
    thinking: str | None = None
    done: bool | None = None
    done_reason: str | None = None
    prompt_eval_count: int | None = None
    eval_count: int | None = None
    logprobs: list[Likely] | None = None
    error: Raw = NO_RAW
