"""From settings to upstreams and routes: the one place that knows every kind of upstream."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Final

import msgspec
from msgspec import structs

from chatgpt_to_api import __version__
from chatgpt_to_api.config.settings import Settings
from chatgpt_to_api.config.upstream_settings import UpstreamSettings
from chatgpt_to_api.dialects.anthropic.count import CountUpstream
from chatgpt_to_api.dialects.anthropic.upstream import MessagesUpstream
from chatgpt_to_api.dialects.contract import RelayUpstream, Upstream
from chatgpt_to_api.dialects.conversation.upstream import ConversationOptions, ConversationUpstream
from chatgpt_to_api.dialects.gemini.count import CountUpstream as GeminiCountUpstream
from chatgpt_to_api.dialects.gemini.upstream import GeminiUpstream
from chatgpt_to_api.dialects.ollama.embed_messages import PATHS as EMBED_PATHS
from chatgpt_to_api.dialects.ollama.embed_upstream import EmbedRelay, EmbedUpstream
from chatgpt_to_api.dialects.ollama.messages import bare
from chatgpt_to_api.dialects.ollama.model_list import OllamaModels
from chatgpt_to_api.dialects.ollama.server import OllamaServer
from chatgpt_to_api.dialects.ollama.upstream import PATHS as CHAT_PATHS
from chatgpt_to_api.dialects.ollama.upstream import OllamaRelay, OllamaUpstream
from chatgpt_to_api.dialects.openai_any.upstream import AnyUpstream
from chatgpt_to_api.dialects.openai_chat.llama_cpp import LlamaCppUpstream, unheard
from chatgpt_to_api.dialects.openai_chat.upstream import ChatUpstream
from chatgpt_to_api.dialects.openai_completions.upstream import CompletionUpstream
from chatgpt_to_api.dialects.openai_embeddings.upstream import EmbeddingsUpstream
from chatgpt_to_api.dialects.openai_responses.upstream import ResponsesUpstream, ServerTraits
from chatgpt_to_api.emulation.features import EMULATED, Emulated
from chatgpt_to_api.gateway.aliases import Aliases
from chatgpt_to_api.gateway.endpoints import CHAT, EVERY, RESPONSES, Endpoints
from chatgpt_to_api.gateway.renewing import Renewer, RenewingUpstream
from chatgpt_to_api.gateway.routes import Routes
from chatgpt_to_api.gateway.upstreams import (
    CAPABILITIES,
    NEEDS,
    WITH_FREEFORM,
    Capability,
    ConfiguredUpstream,
    ContinuingRules,
    unsure_of_freeform,
    untold_stop,
)
from chatgpt_to_api.pool.contract import CredentialSpec, PoolRules
from chatgpt_to_api.pool.windows import parse_rate_limits
from chatgpt_to_api.transport.environment import ProxyRules, is_loopback
from chatgpt_to_api.wire.http import split_url
from chatgpt_to_api.wire.proxy import Proxy, parse_proxy
from chatgpt_to_api.wire.refresh import TokenServer, seed_of
from chatgpt_to_api.wire.secret import Access, Secret

_EMBEDDED: Final[frozenset[Capability]] = CAPABILITIES - {"images", "audio", "files", "tools"}
"""What the embedded model's server does. It reads text only, and the template its model runs with
shows the model no tools; measured, it never calls one."""

_EMBEDDED_ENDPOINTS: Final = frozenset({CHAT, "embeddings"})

_SHOWN_BY_US: Final[frozenset[Emulated]] = frozenset({"tools"})

_OLLAMA: Final = CAPABILITIES - {"n", "audio", "files"}

_FREEFORM: Final[frozenset[Emulated]] = frozenset({"freeform"})
"""Made of functions at no cost in meaning, and so wherever an upstream has none."""

_NEVER_ABSENT: Final[frozenset[Emulated]] = frozenset({"freeform", "n", "stop"})
"""What is seen to for every vendor's server whose dialect has it not."""

_RESPONSES: Final = WITH_FREEFORM - {"n", "stop"}
_ANTHROPIC: Final = CAPABILITIES - {"n"}

_FIRST_EDITIONS: Final[Mapping[str, int]] = MappingProxyType({})


class LocalEndpoint(msgspec.Struct, frozen=True):
    """Where the embedded model answers.

    ``models`` are the names it has for itself, ``vector_size`` is the length of its embeddings,
    ``context`` of the longest prompt and answer together, tokens; ``ready`` waits while it is being
    loaded.
    """

    base_url: str
    models: tuple[str, ...]
    vector_size: int
    context: int
    ready: Callable[[float], Awaitable[None]]


def build_routes(
    settings: Settings,
    in_force: Mapping[str, UpstreamSettings],
    local: LocalEndpoint | None,
    proxies: ProxyRules,
    editions: Mapping[str, int] = _FIRST_EDITIONS,
    renewer: Renewer | None = None,
) -> Routes:
    """Return the routes over the upstreams ``in_force``.

    An embedded model that cannot run here (``local`` is None) is left out. ``editions`` tells each
    upstream from those that had its name before. ``renewer`` sees to credentials that expire.
    """
    upstreams = [
        structs.replace(
            _upstream(name, upstream, local, proxies),
            edition=editions.get(name, 0),
            renewal=_renewal(name, upstream, proxies, renewer),
        )
        for name, upstream in in_force.items()
        if upstream.kind != "local" or local is not None
    ]
    embedded = any(upstream.kind == "local" for upstream in in_force.values())
    endpoints = Endpoints(
        upstreams,
        lambda able: _routes_over(able, settings),
        at_rest=frozenset() if embedded else _EMBEDDED_ENDPOINTS,
    )
    able = [upstream for upstream in upstreams if upstream.offers(CHAT)]
    return _routes_over(able, settings, endpoints)


def _routes_over(
    upstreams: Sequence[ConfiguredUpstream],
    settings: Settings,
    endpoints: Endpoints | None = None,
) -> Routes:
    """Return the routes over those ``upstreams`` that offer an endpoint.

    Those of chat have all other ``endpoints`` with them, and an error where a configured route
    leads to nobody. Of other endpoints such a route says nothing: the next rule counts.
    """
    conversation = next((u for u in upstreams if u.kind == "conversation"), None)
    embedded = next((u for u in upstreams if u.kind == "local"), None)
    takes_all = any(u.takes_every_name for u in upstreams)
    return Routes(
        upstreams,
        routes=settings.routes,
        skip_idle=endpoints is None,
        default=conversation or (None if takes_all else embedded),
        also_known=settings.well_known_models,
        aliases=Aliases(settings.server.model_aliases),
        endpoints=endpoints,
    )


def pool_rules(upstream: UpstreamSettings, settings: Settings) -> PoolRules:
    """Return how an upstream's credentials may be used."""
    conversation = upstream.kind == "conversation"
    return PoolRules(
        max_concurrency=upstream.max_concurrency or (1 if conversation else None),
        rate_limits=parse_rate_limits(", ".join(upstream.rate_limits)),
        credential_rate_limits=parse_rate_limits(", ".join(upstream.credential_rate_limits)),
        needs_credentials=conversation,
        max_queue=settings.limits.max_queue,
        rotate_proxies=_is_far(upstream) and upstream.proxy is None,
    )


def _is_far(upstream: UpstreamSettings) -> bool:
    """Whether an upstream is reached through the network, and so perhaps through a proxy."""
    return bool(upstream.base_url) and not is_loopback(split_url(upstream.base_url)[0].host)


def configured_credentials(name: str, upstream: UpstreamSettings) -> list[CredentialSpec]:
    """Return the API keys that the configuration gives an upstream, each once."""
    return [_spec(name, key) for key in dict.fromkeys(upstream.api_keys)]


def _spec(name: str, key: Secret) -> CredentialSpec:
    seed = seed_of(key)
    access = Access(token=key) if seed is None else Access()
    label = f"{name} {(seed or key).masked}"
    return CredentialSpec(key.fingerprint[:16], access, label=label, renews=seed)


def _upstream(
    name: str,
    upstream: UpstreamSettings,
    local: LocalEndpoint | None,
    proxies: ProxyRules,
) -> ConfiguredUpstream:
    match upstream.kind:
        case "conversation":
            talk = ConversationUpstream(
                upstream.base_url,
                ConversationOptions(
                    history=upstream.history,
                    puid=upstream.puid,
                    system_mapping=upstream.system_mapping,
                    model_map=upstream.model_map,
                    headers=upstream.headers,
                    user_agent=f"chatgpt-to-api/{__version__}",
                ),
            )
            return ConfiguredUpstream(
                name=name,
                kind="conversation",
                codec=talk,
                models=upstream.models,
                proxy=outbound_proxy(upstream, proxies),
                native=frozenset(),
                emulates=(
                    EMULATED if upstream.emulate is None else _FREEFORM | set(upstream.emulate)
                ),
                counts_tokens=True,
                context_length=upstream.context_length,
                on_client_gone=upstream.on_client_gone,
                continuing=_continuing(upstream, talk),
                secrets=(*upstream.headers.values(), *filter(None, [upstream.puid])),
            )
        case "openai":
            vectors = EmbeddingsUpstream(upstream.base_url)
            completes = not {"completions", EVERY}.isdisjoint(upstream.endpoints)
            responds = not {RESPONSES, EVERY}.isdisjoint(upstream.endpoints)
            responses = [ResponsesUpstream(upstream.base_url)] if responds else []
            codec = ChatUpstream(
                upstream.base_url,
                include_usage=upstream.include_usage,
                late_system=upstream.late_system,
            )
            return structs.replace(
                _keyed(name, upstream, proxies, codec, WITH_FREEFORM),
                endpoints=frozenset(upstream.endpoints),
                relays=_relays(
                    codec,
                    vectors,
                    *([CompletionUpstream(upstream.base_url)] if completes else []),
                    *responses,
                ),
                unsealing={relay.dialect: relay for relay in responses},
                carrier=AnyUpstream(upstream.base_url),
                include_usage=upstream.include_usage,
                lists=codec if {"models", EVERY} & set(upstream.endpoints) else None,
                vectors=vectors,
                lacks=unsure_of_freeform if upstream.capabilities is None else untold_stop,
            )
        case "openai-responses":
            speaker = ResponsesUpstream(
                upstream.base_url,
                ServerTraits(
                    always_streams=upstream.always_streams,
                    account_header=upstream.account_header,
                    refuses=frozenset(upstream.refused_parameters),
                    headers=tuple(upstream.headers.items()),
                ),
            )
            return structs.replace(
                _keyed(name, upstream, proxies, speaker, _RESPONSES),
                relays=_relays(speaker),
                unsealing={speaker.dialect: speaker},
                lists=speaker,
                always_streams=upstream.always_streams,
                unheard=speaker.unheard if upstream.refused_parameters else None,
                secrets=tuple(upstream.headers.values()),
            )
        case "ollama":
            server = OllamaServer(upstream.base_url)
            return structs.replace(
                _keyed(name, upstream, proxies, OllamaUpstream(server), _OLLAMA),
                # As its own list writes them; a name without a tag means the same.
                models=None if upstream.models is None else tuple(map(bare, upstream.models)),
                endpoints=frozenset({CHAT, "embeddings"}),
                relays=_relays(
                    *(OllamaRelay(server, dialect) for dialect in CHAT_PATHS),
                    *(EmbedRelay(server, dialect) for dialect in EMBED_PATHS),
                ),
                vectors=EmbedUpstream(server),
                lists=OllamaModels(server),
            )
        case "gemini":
            generate = GeminiUpstream(upstream.base_url)
            return structs.replace(
                _keyed(name, upstream, proxies, generate),
                relays=_relays(generate, GeminiCountUpstream(upstream.base_url)),
                lists=generate,
            )
        case "anthropic":
            messages = MessagesUpstream(upstream.base_url, longest=upstream.max_tokens)
            return structs.replace(
                _keyed(name, upstream, proxies, messages, _ANTHROPIC),
                relays=_relays(messages, CountUpstream(upstream.base_url)),
                lacks=messages.lacks,
                lists=messages,
            )
        case "local":
            assert local is not None
            vectors = EmbeddingsUpstream(local.base_url, own_size=local.vector_size)
            codec = LlamaCppUpstream(local.base_url, include_usage=upstream.include_usage)
            emulates = _SHOWN_BY_US if upstream.emulate is None else frozenset(upstream.emulate)
            return ConfiguredUpstream(
                name=name,
                kind="local",
                codec=codec,
                endpoints=_EMBEDDED_ENDPOINTS,
                relays=_relays(codec, vectors),
                vectors=vectors,
                models=(*local.models, *(upstream.models or ())),
                context_length=upstream.context_length or local.context,
                native=_EMBEDDED - emulates,
                emulates=emulates | _FREEFORM,
                unheard=unheard,
                ready=local.ready,
                include_usage=upstream.include_usage,
                on_client_gone=upstream.on_client_gone,
            )


def _keyed(
    name: str,
    upstream: UpstreamSettings,
    proxies: ProxyRules,
    codec: Upstream,
    able: frozenset[Capability] = CAPABILITIES,
) -> ConfiguredUpstream:
    """A vendor's API with keys, as far as all of them are alike.

    ``able``: what its dialect has; the settings may say that the server does less.
    """
    said = able if upstream.capabilities is None else frozenset(upstream.capabilities)
    optional = NEEDS | _FREEFORM
    native = (able & (able - optional | said)) - set(upstream.emulate or ())
    return ConfiguredUpstream(
        name=name,
        kind=upstream.kind,
        codec=codec,
        models=upstream.models,
        proxy=outbound_proxy(upstream, proxies),
        fetch_images=upstream.fetch_images,
        native=native,
        emulates=frozenset(upstream.emulate or ()) | (_NEVER_ABSENT - native),
        context_length=upstream.context_length,
        on_client_gone=upstream.on_client_gone,
        seals=True,
    )


def _renewal(
    name: str, upstream: UpstreamSettings, proxies: ProxyRules, renewer: Renewer | None
) -> RenewingUpstream | None:
    """Who renews its credentials; None where they are keys."""
    if renewer is None or not upstream.token_url:
        return None
    origin, _ = split_url(upstream.token_url)
    server = TokenServer(
        upstream.token_url,
        upstream.client_id,
        upstream.client_secret,
        proxies.for_origin(origin) if upstream.proxy is None else outbound_proxy(upstream, proxies),
    )
    return renewer.of(name, server)


def _continuing(upstream: UpstreamSettings, codec: ConversationUpstream) -> ContinuingRules | None:
    """What becomes of the backend's conversations; None where there is nothing to remember."""
    if not upstream.history or not (upstream.continues or upstream.hide_conversations != "never"):
        return None
    return ContinuingRules(
        keep=upstream.continue_for,
        go_on=upstream.continues,
        hide=upstream.hide_conversations,
        hiding=codec.hiding,
    )


def _relays(*codecs: RelayUpstream) -> Mapping[str, RelayUpstream]:
    return {codec.dialect: codec for codec in codecs}


def outbound_proxy(upstream: UpstreamSettings, proxies: ProxyRules) -> Proxy | None:
    """Return the proxy that leads to an upstream with an address, None for a direct way."""
    if upstream.proxy is not None:
        return parse_proxy(upstream.proxy.reveal())
    origin, _ = split_url(upstream.base_url)
    return proxies.for_origin(origin)
