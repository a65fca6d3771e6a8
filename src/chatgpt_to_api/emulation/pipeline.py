"""The emulations one request needs, one after another."""

from __future__ import annotations

from collections.abc import Callable, Sequence, Set
from typing import TypeAlias

from chatgpt_to_api.chat.events import BlockEnded, BlockStarted, ChatEvent, TextDelta
from chatgpt_to_api.chat.request import ChatRequest
from chatgpt_to_api.chat.usage import Usage
from chatgpt_to_api.emulation.demands import CallDemanded, Complaint, Demand, JsonDemanded
from chatgpt_to_api.emulation.features import Emulated
from chatgpt_to_api.emulation.freeform import FreeformCalls, freeform_tools
from chatgpt_to_api.emulation.held import HeldReply
from chatgpt_to_api.emulation.limit import TokenLimit
from chatgpt_to_api.emulation.prompt import callable_tools, must_call
from chatgpt_to_api.emulation.stop import StopStrings
from chatgpt_to_api.emulation.tool_calls import ToolCalls

Heard: TypeAlias = Callable[[Sequence[ChatEvent]], None]
"""Is told what the model wrote, within the limit of its length."""


def demand_of(request: ChatRequest, needs: Set[Emulated]) -> Demand | None:
    """Return what the reply has to be; None where any reply does.

    Raises InvalidRequest for what is no JSON Schema.
    """
    if "tools" in needs and must_call(request):
        return CallDemanded(request.named("tool_choice"))
    if "json" in needs and request.json is not None:
        return JsonDemanded(request.json)
    return None


class Pipeline:
    """Applies ``max_tokens``, finds calls, frees plain text, applies ``stop``, holds what is due.

    In this order, because a call or stop string beyond the limit was never said, and because stop
    strings are looked for in what the caller sees as text: they cut no call's arguments.
    """

    __slots__ = ("_calls", "_freeform", "_heard", "_held", "_limit", "_stop")

    def __init__(
        self,
        *,
        limit: TokenLimit | None = None,
        calls: ToolCalls | None = None,
        freeform: FreeformCalls | None = None,
        stop: StopStrings | None = None,
        held: HeldReply | None = None,
        heard: Heard | None = None,
    ) -> None:
        self._limit = limit
        self._calls = calls
        self._freeform = freeform
        self._stop = stop
        self._held = held
        self._heard = heard

    @classmethod
    def for_request(
        cls,
        request: ChatRequest,
        needs: Set[Emulated],
        count: Callable[[str], int],
        *,
        demand: Demand | None = None,
        heard: Heard | None = None,
        spent: Usage | None = None,
    ) -> Pipeline | None:
        """Return what ``request`` ``needs``, None where it needs nothing done to its reply.

        ``count`` counts a text's tokens; it is called only for a request with ``max_tokens``.
        ``heard`` is told of what the model wrote: markup of calls included, of what a stop string
        cuts nothing where there are no calls to look for. ``spent`` is the usage of an answer that
        did not do.
        """
        limit = calls = freeform = stop = None
        if request.max_tokens is not None and "max_tokens" in needs:
            limit = TokenLimit(request.max_tokens, count)
        if "tools" in needs and (tools := callable_tools(request)):
            calls = ToolCalls(tools, one=request.parallel_tool_calls is False)
        if "freeform" in needs and (names := freeform_tools(request)):
            freeform = FreeformCalls(names)
        if request.stop and "stop" in needs:
            stop = StopStrings(request.stop)
        stages = (limit, calls, freeform, stop, demand)
        if all(stage is None for stage in stages):
            return None
        held = None if demand is None else HeldReply(demand, spent)
        return cls(limit=limit, calls=calls, freeform=freeform, stop=stop, held=held, heard=heard)

    @property
    def finished(self) -> bool:
        """Whether the reply has been cut for good: the upstream's call may end."""
        stages = (self._limit, self._calls, self._stop)
        return any(stage is not None and stage.finished for stage in stages)

    @property
    def said(self) -> str:
        """The text that is held back."""
        return "" if self._held is None else self._held.said

    @property
    def usage(self) -> Usage | None:
        """What the upstream reported of a reply that is held back."""
        return None if self._held is None else self._held.usage

    def feed(self, events: Sequence[ChatEvent]) -> list[ChatEvent]:
        """Return what is left of the events of one read."""
        if self._limit is not None:
            events = self._limit.feed(events)
        if self._calls is not None:
            if self._heard is not None:
                self._heard(events)
            events = self._calls.feed(events)
        if self._freeform is not None:
            events = self._freeform.feed(events)
        if self._stop is not None:
            events = self._stop.feed(events)
        if self._calls is None and self._heard is not None:
            self._heard(events)
        if self._held is not None:
            events = self._held.feed(events)
        return list(events)

    def left_of(self, text: str) -> str:
        """Return what limit, calls and stop strings leave of a whole text; nothing is held."""
        events: list[ChatEvent] = [BlockStarted(0, "text"), TextDelta(text), BlockEnded(0)]
        for stage in (self._limit, self._calls, self._stop):
            events = events if stage is None else stage.feed(events)
        return "".join(event.text for event in events if isinstance(event, TextDelta))

    def settled(self, revised: str | None) -> list[ChatEvent] | Complaint:
        """The reply is over: return what was held of it, or why it does not do.

        ``revised`` is its whole text where the upstream rewrote what it had said.
        """
        return [] if self._held is None else self._held.settled(revised)
