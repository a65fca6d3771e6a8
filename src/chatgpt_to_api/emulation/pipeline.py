"""The emulations one request needs, one after another."""

from __future__ import annotations

from collections.abc import Callable, Sequence, Set

from chatgpt_to_api.chat.events import ChatEvent
from chatgpt_to_api.chat.request import ChatRequest
from chatgpt_to_api.emulation.features import EMULATED, Emulated
from chatgpt_to_api.emulation.limit import TokenLimit
from chatgpt_to_api.emulation.stop import StopStrings


class Pipeline:
    """Applies ``max_tokens``, then ``stop``: a stop string beyond the limit was never said."""

    __slots__ = ("_stages",)

    def __init__(self, stages: Sequence[TokenLimit | StopStrings]) -> None:
        self._stages = tuple(stages)

    @classmethod
    def for_request(
        cls,
        request: ChatRequest,
        count: Callable[[str], int],
        emulates: Set[Emulated] = EMULATED,
    ) -> Pipeline | None:
        """Return what ``request`` needs of what is emulated, None where it needs nothing.

        ``count`` counts a text's tokens; it is called only for a request with ``max_tokens``.
        """
        stages: list[TokenLimit | StopStrings] = []
        if request.max_tokens is not None and "max_tokens" in emulates:
            stages.append(TokenLimit(request.max_tokens, count))
        if request.stop and "stop" in emulates:
            stages.append(StopStrings(request.stop))
        return cls(stages) if stages else None

    @property
    def finished(self) -> bool:
        """Whether the reply has been cut for good: the upstream's call may end."""
        return any(stage.finished for stage in self._stages)

    def feed(self, events: Sequence[ChatEvent]) -> list[ChatEvent]:
        """Return what is left of the events of one read."""
        for stage in self._stages:
            events = stage.feed(events)
        return list(events)
