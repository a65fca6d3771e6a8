"""The embedded model, which answers as a server of OpenAI's chat completions does."""

from __future__ import annotations

from typing import Final

from chatgpt_to_api.config.upstream_settings import UpstreamSettings
from chatgpt_to_api.dialects.openai_chat.llama_cpp import LlamaCppUpstream
from chatgpt_to_api.dialects.openai_embeddings.upstream import EmbeddingsUpstream
from chatgpt_to_api.emulation.features import Emulated
from chatgpt_to_api.gateway.kinds.shared import FREEFORM, relays
from chatgpt_to_api.gateway.local_endpoint import LOCAL_ENDPOINTS, LocalEndpoint
from chatgpt_to_api.gateway.upstreams import CAPABILITIES, Capability, ConfiguredUpstream

_ABLE: Final[frozenset[Capability]] = CAPABILITIES - {"images", "audio", "files", "tools"}
"""What the embedded model's server does. It reads text only, and the template its model runs with
shows the model no tools; measured, it never calls one."""

_SHOWN_BY_US: Final[frozenset[Emulated]] = frozenset({"tools"})


def configured(name: str, upstream: UpstreamSettings, local: LocalEndpoint) -> ConfiguredUpstream:
    """Return the upstream that is the embedded model."""
    vectors = EmbeddingsUpstream(local.base_url, own_size=local.vector_size)
    codec = LlamaCppUpstream(
        local.base_url, include_usage=upstream.include_usage, parallel=local.parallel
    )
    emulates = _SHOWN_BY_US if upstream.emulate is None else frozenset(upstream.emulate)
    return ConfiguredUpstream(
        name=name,
        kind="local",
        codec=codec,
        endpoints=LOCAL_ENDPOINTS,
        relays=relays(codec, vectors),
        vectors=vectors,
        models=(*local.models, *(upstream.models or ())),
        context_length=upstream.context_length or local.context,
        native=_ABLE - emulates,
        emulates=emulates | FREEFORM,
        unheard=codec.unheard,
        ready=local.ready,
        include_usage=upstream.include_usage,
        on_client_gone=upstream.on_client_gone,
    )
