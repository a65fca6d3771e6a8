"""One request of one client, as it goes through the engine."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Sequence, Set
from typing import TYPE_CHECKING, Final, Protocol

from msgspec import structs

from chatgpt_to_api.chat.prefix import DigestedChat
from chatgpt_to_api.chat.request import ChatRequest
from chatgpt_to_api.chat.usage import Usage
from chatgpt_to_api.config.route_settings import RouteSettings
from chatgpt_to_api.config.settings import LimitSettings
from chatgpt_to_api.dialects.contract import Asked, AsksPrompts, RelayUpstream, UpstreamFault
from chatgpt_to_api.emulation.features import TOLD, Emulated
from chatgpt_to_api.emulation.prompt import needed
from chatgpt_to_api.errors import InvalidRequest
from chatgpt_to_api.gateway.caller import Caller
from chatgpt_to_api.gateway.delivery import Delivery
from chatgpt_to_api.gateway.exchange import Exchange
from chatgpt_to_api.gateway.part import Part, summed
from chatgpt_to_api.gateway.routes import NOWHERE, Path, Routes
from chatgpt_to_api.gateway.upstreams import Candidate, ConfiguredUpstream
from chatgpt_to_api.pool.contract import Granted
from chatgpt_to_api.telemetry.records import RequestRecord

if TYPE_CHECKING:
    from chatgpt_to_api.gateway.engine import Gateway

DRAIN: Final = 60.0
"""How long a call of an ``on_client_gone = "drain"`` upstream is read on for nobody, seconds."""


_JUDGED: Final[Set[Emulated]] = frozenset(("tools", "json"))


class Errand(Protocol):
    """Carries a request through without decoding it."""

    @property
    def waits(self) -> bool:
        """Whether it stands in the queue while no credential can be leased."""
        ...

    def path(self, routes: Routes) -> Path:
        """Where it leads. Raises GatewayError."""
        ...

    def able(self, candidates: Sequence[Candidate]) -> Sequence[Candidate]:
        """Those of the path that can take it, in their order. Raises GatewayError if none can."""
        ...

    async def call(
        self, gateway: Gateway, question: Question, candidate: Candidate, lease: Granted
    ) -> UpstreamFault | None:
        """Call one upstream once and hand its reply on. Raises TransportError."""
        ...

    async def unleased(self, question: Question, candidate: Candidate) -> bool:
        """No credential can be leased: answer without, and return whether that was done.

        Raises GatewayError.
        """
        ...


class Question:
    """What one request carries through the engine. Times are loop times."""

    # What most requests never touch stands on the class: a fresh one costs fewer stores.
    errand: Errand | None = None
    relays = True
    """Whether the reply may be passed on unread."""
    prompts = 1
    """How many prompts are answered, each as often as the others."""
    showing: asyncio.Lock | None = None
    """Held while linked pictures are fetched."""
    draining = 0
    """Running calls of upstreams that are to be read to their end though nobody listens."""
    _request: ChatRequest | None = None
    _requests: dict[int, ChatRequest] | None = None
    _digested: DigestedChat | None = None

    def __init__(
        self,
        exchange: Exchange,
        asked: Asked,
        caller: Caller,
        delivery: Delivery,
        record: RequestRecord,
        limits: LimitSettings,
        now: float,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self.exchange = exchange
        self.asked = asked
        self.caller = caller
        self.delivery = delivery
        self.record = record
        self.deadline = deadline = now + limits.request_deadline
        queue_until = now + limits.queue_wait
        self.queue_until = queue_until if queue_until < deadline else deadline
        self.read_timeout = limits.read_timeout
        self.path = NOWHERE
        self._loop = loop
        self.gone = False
        self.parts: list[Part] = []

    def bound(self, route: RouteSettings, limits: LimitSettings) -> None:
        """Let a route's own times hold instead of the usual limits."""
        if route.queue_wait is not None:
            self.queue_until += route.queue_wait - limits.queue_wait
        if route.request_deadline is not None:
            self.deadline += route.request_deadline - limits.request_deadline
        if route.read_timeout is not None:
            self.read_timeout = route.read_timeout
        self.queue_until = min(self.queue_until, self.deadline)

    def tries(self, candidate: Candidate, lease: Granted) -> None:
        """A candidate is called now."""
        record, delivery = self.record, self.delivery
        record.attempts = delivery.attempts = record.attempts + 1
        record.upstream = candidate.upstream.name
        record.credential = lease.credential.label
        delivery.source = candidate.headers
        if self.caller.admin:
            self.delivery.show_credential(lease.credential.label)

    @property
    def split(self) -> bool:
        """Whether several choices are asked for one by one."""
        return len(self.parts) > 1

    def request(self, choice: int = 0) -> ChatRequest:
        """The canonical request of one part, decoded once. Raises InvalidRequest."""
        if self.prompts > 1:
            return self._of_prompt(choice // (self.asked.n // self.prompts))
        request = self._request
        if request is None:
            request = self._request = self.asked.request()
        if self.split and request.n != 1:  # it may have been read whole before it was split
            request = self._request = structs.replace(request, n=1)
        return request

    def _of_prompt(self, prompt: int) -> ChatRequest:
        known = self._requests = self._requests or {}
        request = known.get(prompt)
        if request is None:
            assert isinstance(self.asked, AsksPrompts)
            request = known[prompt] = structs.replace(self.asked.request_of(prompt), n=1)
        return request

    def replace(self, asked: Asked) -> None:
        """Go on with a request that says the same in another way."""
        self.asked = asked
        self._request = None

    def digested(self, choice: int = 0) -> DigestedChat:
        """The digests of the chat's beginnings, read once. Raises InvalidRequest."""
        if self.prompts > 1:
            return DigestedChat(self.request(choice).messages)
        if self._digested is None:
            self._digested = DigestedChat(self.request().messages)
        return self._digested

    def relayed_by(self, upstream: ConfiguredUpstream) -> RelayUpstream | None:
        """What relays the request to ``upstream``, None where it has to be translated."""
        return upstream.relays.get(self.delivery.door.dialect) if self.relays else None

    def needs(self, upstream: ConfiguredUpstream) -> Sequence[Emulated]:
        """What has to be emulated for this request at ``upstream``. Raises InvalidRequest.

        Where nothing is, it is told without translating the request.
        """
        emulates = upstream.emulates
        if not emulates or not any(map(self.asked.may_need, emulates)):
            return ()
        return needed(self.request(), emulates, upstream.native)

    @property
    def several(self) -> bool:
        """Whether a prompt gets more than one answer."""
        return self.asked.n > self.prompts

    def at_once(self, upstream: ConfiguredUpstream) -> bool:
        """Whether ``upstream`` gives all choices in answer to one call."""
        if self.several and upstream.can("n") != "native":
            return False
        try:
            needs = self.needs(upstream)
        except InvalidRequest:
            return False  # told when its turn comes: those before it may take the request as it is
        if not needs and self.relayed_by(upstream) is not None:
            return True
        # A reply that is judged may have to be asked for again, which is one choice's business.
        return self.prompts == 1 and _JUDGED.isdisjoint(needs)

    async def drained(self, call: Awaitable[UpstreamFault | None]) -> UpstreamFault | None:
        """Await a call that is to be read to its end though nobody listens."""
        self.draining += 1
        try:
            return await call
        finally:
            self.draining -= 1

    def usage(self) -> Usage | None:
        """What the parts' answers cost together, as far as is known."""
        return summed(self.parts, self.prompts)

    def emulated(self, needs: Set[Emulated]) -> list[Emulated]:
        """What is emulated where an upstream ``needs`` it, in the order it is always told."""
        several = self.split and self.several
        return [name for name in TOLD if name in needs or (name == "n" and several)]

    def client_gone(self) -> None:
        """The client went away: stop whatever is being done for it, at once."""
        self.gone = True
        if self.draining:
            self._loop.call_later(DRAIN, self.exchange.work.cancel)
        else:
            self.exchange.work.cancel()
