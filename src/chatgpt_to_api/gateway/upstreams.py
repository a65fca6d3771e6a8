"""Upstreams as the gateway uses them: a codec, and the rules that hold for its calls."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping, Set
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

import msgspec

from chatgpt_to_api.chat.needs import Need
from chatgpt_to_api.chat.request import ChatRequest
from chatgpt_to_api.config.upstream_settings import KEYED, Kind
from chatgpt_to_api.dialects.contract import (
    ListsModels,
    RelayUpstream,
    Unseals,
    Upstream,
    VectorUpstream,
)
from chatgpt_to_api.emulation.features import Emulated
from chatgpt_to_api.gateway.endpoints import CHAT, EVERY
from chatgpt_to_api.gateway.renewing import RenewingUpstream
from chatgpt_to_api.pool.contract import Granted, LeaseAsk, Lender
from chatgpt_to_api.wire.http import Header, HttpRequest
from chatgpt_to_api.wire.proxy import Proxy
from chatgpt_to_api.wire.secret import Access, Secret

if TYPE_CHECKING:
    from chatgpt_to_api.dialects.openai_any.upstream import AnyUpstream

Capability: TypeAlias = Emulated | Literal["images", "audio", "files"]
"""What a request may need of the upstream that answers it."""

CAPABILITIES: Final[frozenset[Capability]] = frozenset(
    ("tools", "json", "stop", "max_tokens", "n", "images", "audio", "files")
)
"""What an upstream of a vendor's dialect is taken to be able to do, until it says no."""

WITH_FREEFORM: Final[frozenset[Capability]] = CAPABILITIES | {"freeform"}
"""The same in the dialects that have freeform tools."""

NEEDS: Final[frozenset[Need]] = frozenset(("tools", "json", "images", "audio", "files"))
"""The capabilities whose lack changes an answer's meaning: without them nobody is asked."""


def untold_stop(request: ChatRequest) -> Set[Emulated]:
    """Most servers do not say which stop string ended an answer; a client that is told needs it."""
    return frozenset({"stop"}) if request.names_stop and request.stop else frozenset()


def unsure_of_freeform(request: ChatRequest) -> Set[Emulated]:
    """Of OpenAI-compatible servers hardly any but the vendor's has freeform tools.

    A chat client that asks for them knows its server; for all others functions do as well.
    """
    lacking = untold_stop(request)
    if request.dialect not in ("openai_chat", "") and any(t.freeform for t in request.tools):
        return lacking | {"freeform"}
    return lacking


Hiding: TypeAlias = Literal["never", "after_use", "on_expiry"]


class ContinuingRules(msgspec.Struct, frozen=True):
    """What becomes of an upstream's conversations.

    ``keep``: seconds after its last use for which one is remembered. ``go_on``: whether further
    turns are asked in it. ``hide``: when it leaves the account's list; ``hiding`` makes that call.
    """

    keep: float
    go_on: bool
    hide: Hiding
    hiding: Callable[[str, Access], HttpRequest]


class ConfiguredUpstream(msgspec.Struct, frozen=True, kw_only=True):
    """One upstream, ready to be called.

    ``endpoints`` are those of its paths (``chat``, ``audio`` …) that it answers at, ``*`` all.
    ``proxy`` is the outbound proxy where the credential has none of its own. ``relays`` has a codec
    for each dialect in which a client's request may pass through to it unchanged, ``carrier`` is
    one for every endpoint that has no dialect here, ``vectors`` one for embeddings that were asked
    for in another dialect. ``native`` is what it does by itself,
    ``emulates`` what the gateway does in its place; what is in neither is absent.
    ``lacks`` names what else has to be emulated for one request, because its dialect cannot say it.
    ``context_length`` is that of all its models, tokens, where it is known beforehand.
    ``counts_tokens``: the upstream reports no usage, so the gateway counts. ``lists`` reads
    its own model list, where it has one. ``ready`` waits, until a loop time, for an
    upstream that is still being started; it raises Unavailable where that fails. ``continuing``
    holds for a backend that keeps conversations, None where it keeps none. ``fetch_images``:
    pictures by URL reach it as data. ``unheard`` names the
    parameters of a relayed body that its server takes without effect, or is not sent.
    ``unsealing`` are those of ``relays`` whose clients carry what servers have sealed.
    ``always_streams``: whatever it is asked, it answers with a stream. ``seals``: its replies can
    hold opaque parts, which no other upstream is to be sent. ``secrets``
    are those that its settings put on every request, beside the credential's: what the upstream
    says is kept free of them. ``edition`` tells it from those that had its name before. ``renewal``
    sees to credentials that are refresh tokens; it may lend keys too.
    """

    name: str
    kind: Kind
    codec: Upstream
    endpoints: frozenset[str] = frozenset({CHAT})
    relays: Mapping[str, RelayUpstream] = {}
    unsealing: Mapping[str, Unseals] = {}
    carrier: AnyUpstream | None = None
    vectors: VectorUpstream | None = None
    models: tuple[str, ...] | None = None
    context_length: int | None = None
    proxy: Proxy | None = None
    native: frozenset[Capability] = CAPABILITIES
    emulates: frozenset[Emulated] = frozenset()
    lacks: Callable[[ChatRequest], Set[Emulated]] = untold_stop
    counts_tokens: bool = False
    lists: ListsModels | None = None
    include_usage: bool = True
    fetch_images: bool = False
    always_streams: bool = False
    unheard: Callable[[bytes], tuple[str, ...]] | None = None
    ready: Callable[[float], Awaitable[None]] | None = None
    on_client_gone: Literal["cancel", "drain"] = "cancel"
    continuing: ContinuingRules | None = None
    seals: bool = False
    secrets: tuple[Secret, ...] = ()
    edition: int = 0
    renewal: RenewingUpstream | None = None

    def lease(self, pool: Lender, ask: LeaseAsk) -> AbstractAsyncContextManager[Granted]:
        """Lend one of its credentials, good for a call."""
        return pool.lease(ask) if self.renewal is None else self.renewal.lease(pool, ask)

    def offers(self, endpoint: str) -> bool:
        """Whether it answers at an endpoint."""
        return endpoint in self.endpoints or EVERY in self.endpoints

    @property
    def takes_every_name(self) -> bool:
        """Whether it is asked for any model that nobody claims."""
        return self.kind in KEYED and self.models is None

    def can(self, capability: Capability) -> Literal["native", "emulated", "absent"]:
        """How a request gets this from it."""
        if capability in self.emulates:
            return "emulated"
        return "native" if capability in self.native else "absent"


_UNFIT_FOR_A_HEADER: Final = re.compile(r"[^!-~]+")


class Candidate(msgspec.Struct, frozen=True):
    """One way to answer a request: an upstream, and the model's name there.

    ``parameters`` are sent there unless the client gave them, each as JSON. ``context_length``
    is that of this model, where it is not the upstream's usual one.
    """

    upstream: ConfiguredUpstream
    model: str
    parameters: Mapping[str, msgspec.Raw] = {}
    context_length: int | None = None
    headers: tuple[Header, ...] = ()
    """What tells a client who answered; made once, for a request should not pay for it."""

    def __post_init__(self) -> None:
        shown = _UNFIT_FOR_A_HEADER.sub("?", self.model)
        named = (
            (b"x-upstream", self.upstream.name.encode()),
            (b"x-upstream-model", shown.encode()),
        )
        msgspec.structs.force_setattr(self, "headers", named)

    @property
    def key(self) -> tuple[str, str]:
        """What makes it the same candidate, whatever else was configured anew."""
        return self.upstream.name, self.model

    @property
    def context(self) -> int | None:
        """Longest prompt and answer, tokens, None where nobody said."""
        return self.context_length or self.upstream.context_length

    @property
    def limited(self) -> bool:
        """Whether there are requests it cannot answer."""
        reach = self.upstream.native | self.upstream.emulates
        return self.context is not None or not reach.issuperset(NEEDS)
