"""Upstreams as the gateway uses them: a codec, and the rules that hold for its calls."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Literal, TypeAlias

import msgspec

from chatgpt_to_api.dialects.contract import RelayUpstream, Upstream
from chatgpt_to_api.wire.http import HttpRequest
from chatgpt_to_api.wire.proxy import Proxy
from chatgpt_to_api.wire.secret import Access, Secret

Kind: TypeAlias = Literal["conversation", "openai", "local"]


class ConfiguredUpstream(msgspec.Struct, frozen=True, kw_only=True):
    """One upstream, ready to be called.

    ``proxy`` is the outbound proxy where the credential has none of its own. ``relay`` is the
    codec again where the client's own dialect may pass through unchanged. ``one_choice``: the
    upstream answers with one choice, so ``n`` is asked in independent parts. ``counts_tokens``:
    the upstream reports no usage, so the gateway counts. ``emulates``: it knows neither
    ``stop`` nor ``max_tokens``, so the gateway applies them. ``list_models`` makes the request
    for its own model list, where it has one. ``ready`` waits, until a loop time, for an
    upstream that is still being started; it raises Unavailable where that fails. ``secrets``
    are those that its settings put on every request, beside the credential's: what the upstream
    says is kept free of them.
    """

    name: str
    kind: Kind
    codec: Upstream
    relay: RelayUpstream | None = None
    models: tuple[str, ...] | None = None
    proxy: Proxy | None = None
    one_choice: bool = False
    counts_tokens: bool = False
    emulates: bool = False
    list_models: Callable[[Access], HttpRequest] | None = None
    include_usage: bool = True
    ready: Callable[[float], Awaitable[None]] | None = None
    on_client_gone: Literal["cancel", "drain"] = "cancel"
    secrets: tuple[Secret, ...] = ()


class Candidate(msgspec.Struct, frozen=True):
    """One way to answer a request: an upstream, and the model's name there."""

    upstream: ConfiguredUpstream
    model: str
