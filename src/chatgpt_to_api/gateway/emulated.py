"""What is done in one upstream's place for one request: how it is asked, what becomes of that."""

from __future__ import annotations

from collections.abc import Callable

from msgspec import structs

from chatgpt_to_api.chat.request import ChatRequest
from chatgpt_to_api.chat.usage import Usage
from chatgpt_to_api.emulation.features import Emulated
from chatgpt_to_api.emulation.pipeline import Heard, Pipeline, demand_of
from chatgpt_to_api.emulation.prompt import needed, prompted, untold, without
from chatgpt_to_api.gateway.upstreams import ConfiguredUpstream


class Emulation:
    """The emulations of one request at one upstream, decided before it is asked."""

    __slots__ = ("_demand", "_request", "ignored", "needs")

    def __init__(self, request: ChatRequest, upstream: ConfiguredUpstream, model: str) -> None:
        """``model`` is the upstream's name for it.

        Raise InvalidRequest for what this upstream cannot be asked, in whatever words.
        """
        needs = needed(request, upstream.emulates | upstream.lacks(request), upstream.native)
        self._request = request
        self.needs: frozenset[Emulated] = frozenset(needs)
        # Asked of the messages as they came: what is wrong with one is told by its true place.
        asked = without(request, needs) if needs else request
        if asked.model != model:
            asked = structs.replace(asked, model=model)
        names = list(upstream.codec.ignored(asked))
        if "tools" in needs:
            names += untold(request)
        if request.stop and upstream.can("stop") == "absent":
            names.append("stop")
        if request.max_tokens is not None and upstream.can("max_tokens") == "absent":
            names.append("max_tokens")
        self.ignored = tuple(names)
        """Names of the parameters that nobody honours."""
        self._demand = demand_of(request, self.needs) if needs else None

    def asked(self, request: ChatRequest) -> ChatRequest:
        """Return what the upstream is asked for a request, or for what is left of one to ask."""
        if not self.needs:
            return request
        before = () if request.branch is None else self._request.messages
        return prompted(request, self.needs, before)

    def pipeline(
        self, count: Callable[[str], int], heard: Heard | None, spent: Usage | None = None
    ) -> Pipeline | None:
        """Return what has to be done to a reply, None for nothing.

        ``spent`` is the usage of an answer before it that did not do.
        """
        if not self.needs:
            return None
        return Pipeline.for_request(
            self._request, self.needs, count, demand=self._demand, heard=heard, spent=spent
        )
