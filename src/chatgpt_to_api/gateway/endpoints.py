"""Which upstreams offer an endpoint: the first part of a path after ``/v1/``, such as ``audio``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

from chatgpt_to_api.errors import EndpointNotServed

if TYPE_CHECKING:
    from chatgpt_to_api.gateway.routes import Routes
    from chatgpt_to_api.gateway.upstreams import ConfiguredUpstream

CHAT: Final = "chat"

RESPONSES: Final = "responses"
"""An upstream of kind ``openai`` that lists it has that API itself."""

EVERY: Final = "*"
"""Stands, in an upstream's endpoints, for all there are."""

INSTEAD: Final = {"completions": CHAT}
"""Endpoints that another one can stand in for: legacy completions go through chat."""


class Endpoints:
    """The same routing rules over the upstreams that offer an endpoint, for each endpoint.

    ``routes_over`` makes the routes over some of ``upstreams``. They are made when first asked for.
    ``at_rest``: endpoints that the embedded model would offer, were it on.
    """

    def __init__(
        self,
        upstreams: Sequence[ConfiguredUpstream],
        routes_over: Callable[[Sequence[ConfiguredUpstream]], Routes],
        at_rest: frozenset[str] = frozenset(),
    ) -> None:
        self.upstreams = tuple(upstreams)
        self._routes_over = routes_over
        self._at_rest = at_rest
        self._named = {endpoint for upstream in upstreams for endpoint in upstream.endpoints}
        self._made: dict[str, Routes] = {}

    def offered(self, endpoint: str) -> bool:
        """Whether any upstream offers it."""
        return any(_answers(upstream, endpoint) for upstream in self.upstreams)

    def routes(self, endpoint: str) -> Routes:
        """Return the routes of requests to ``endpoint``.

        Raises EndpointNotServed where no upstream offers it.
        """
        # Names come from callers: those nobody lists are one and the same.
        known = endpoint in self._named or endpoint in INSTEAD
        key = endpoint if known else EVERY
        made = self._made.get(key)
        if made is None:
            able = [upstream for upstream in self.upstreams if _answers(upstream, key)]
            if not able and endpoint.endswith("/…"):
                raise EndpointNotServed(
                    f"There is nothing at this path below /v1/{endpoint[:-1]}: is it spelt "
                    "right? Only an upstream of kind openai whose 'endpoints' are [\"*\"] is asked "
                    "for what the gateway does not know there."
                )
            if not able:
                hint = ", or set EMBEDDED_MODEL=on" if endpoint in self._at_rest else ""
                raise EndpointNotServed(
                    f"No upstream of this gateway offers {endpoint[:64]!r}. Add it to the "
                    "'endpoints' of an upstream of kind openai (OPENAI_ENDPOINTS, where "
                    f"OPENAI_BASE_URL makes it){hint}."
                )
            made = self._made[key] = self._routes_over(able)
        return made


def _answers(upstream: ConfiguredUpstream, endpoint: str) -> bool:
    return upstream.offers(endpoint) or upstream.offers(INSTEAD.get(endpoint, endpoint))
