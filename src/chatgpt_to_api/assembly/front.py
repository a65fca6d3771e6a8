"""The server's front of a gateway: its doors, its site, its admin API."""

from __future__ import annotations

import time
from collections.abc import Sequence

from starlette.routing import Route

from chatgpt_to_api.assembly.ids import RandomIds
from chatgpt_to_api.config.settings import Settings
from chatgpt_to_api.dialects.anthropic import door as messages_door
from chatgpt_to_api.dialects.anthropic.count_door import CountDoor
from chatgpt_to_api.dialects.conversation import door as conversation_door
from chatgpt_to_api.dialects.gemini import count as gemini_count
from chatgpt_to_api.dialects.gemini import count_door as gemini_count_door
from chatgpt_to_api.dialects.gemini import door as gemini_door
from chatgpt_to_api.dialects.ollama import door as ollama_door
from chatgpt_to_api.dialects.ollama import embed_door as ollama_embed_door
from chatgpt_to_api.dialects.openai_any import door as any_door
from chatgpt_to_api.dialects.openai_chat import door as chat_door
from chatgpt_to_api.dialects.openai_completions import door as completions_door
from chatgpt_to_api.dialects.openai_embeddings import door as embeddings_door
from chatgpt_to_api.dialects.openai_responses import door as responses_door
from chatgpt_to_api.gateway.aliases import Aliases
from chatgpt_to_api.gateway.conversation_backend import ConversationBackend
from chatgpt_to_api.gateway.conversations import Conversations
from chatgpt_to_api.gateway.engine import Gateway
from chatgpt_to_api.gateway.loading import LoadingFirst
from chatgpt_to_api.gateway.passthrough import Passthrough
from chatgpt_to_api.gateway.responses import Responses
from chatgpt_to_api.gateway.responses_backend import ResponsesBackend
from chatgpt_to_api.gateway.token_counts import TokenCounts
from chatgpt_to_api.gateway.unsaved import UnsavedConversations
from chatgpt_to_api.server.access import Gatekeeper
from chatgpt_to_api.server.anthropic_lists import AnthropicLists
from chatgpt_to_api.server.app import build_asgi, claimed
from chatgpt_to_api.server.codex_lists import CodexLists
from chatgpt_to_api.server.conversation_site import ConversationSite
from chatgpt_to_api.server.doors import Bearer, Beyond, DoorEntry, Doors
from chatgpt_to_api.server.front import ProveAdmin, ServerFront
from chatgpt_to_api.server.gemini_site import GeminiSite
from chatgpt_to_api.server.keys import ClientKeys
from chatgpt_to_api.server.limits import Limits
from chatgpt_to_api.server.ollama_site import OllamaSite
from chatgpt_to_api.server.origins import AllowedOrigins, HostNames
from chatgpt_to_api.server.responses_site import ResponsesSite
from chatgpt_to_api.server.site import OtherLists, Overview, Site
from chatgpt_to_api.store.conversations import StoredConversations
from chatgpt_to_api.store.database import Store
from chatgpt_to_api.wire.limits import RequestLimits


def open_front(
    settings: Settings,
    *,
    gateway: Gateway,
    store: Store,
    responses: Responses,
    keys: ClientKeys,
    origins: AllowedOrigins,
    overview: Overview,
    admin: Sequence[Route],
    prove_admin: ProveAdmin,
) -> ServerFront:
    """Build it."""
    server = settings.server
    gatekeeper = Gatekeeper(
        keys,
        hosts=HostNames(server.allowed_hosts),
        origins=origins,
        caller_tokens=server.allow_caller_tokens,
    )
    conversations = Conversations(
        StoredConversations(store, settings.conversations),
        UnsavedConversations(),
        wall=time.time,
        new_id=RandomIds().uuid4,
    )
    backend = ConversationBackend(
        gateway,
        conversations,
        owner_digest=store.cipher.digest,
        max_body=server.max_body,
    )
    answering = ResponsesBackend(
        gateway,
        responses,
        owner_digest=store.cipher.digest,
        max_body=server.max_body,
    )
    bearer = Bearer.IDENTITY
    if server.allow_anonymous_conversation:
        bearer = Bearer.IDENTITY_OR_NOBODY
    most = settings.limits
    request_limits = RequestLimits(most.max_messages, most.max_tools, most.max_depth)
    count_door = CountDoor(request_limits)
    entries = {
        "/v1/chat/completions": DoorEntry(chat_door.ChatDoor(request_limits), gateway),
        "/v1/completions": DoorEntry(completions_door.DOOR, gateway),
        "/v1/embeddings": DoorEntry(embeddings_door.DOOR, gateway),
        "/v1/responses": DoorEntry(responses_door.ResponsesDoor(request_limits), answering),
        "/v1/messages": DoorEntry(
            messages_door.MessagesDoor(request_limits), gateway, id_field=b"request-id"
        ),
        "/v1/messages/count_tokens": DoorEntry(
            count_door, TokenCounts(gateway, count_door), id_field=b"request-id"
        ),
    }
    ollama = LoadingFirst(gateway, max_body=server.max_body)
    entries["/api/chat"] = DoorEntry(ollama_door.OllamaChatDoor(request_limits), ollama)
    entries["/api/generate"] = DoorEntry(ollama_door.OllamaGenerateDoor(request_limits), ollama)
    entries["/api/embed"] = DoorEntry(ollama_embed_door.EMBED_DOOR, gateway)
    entries["/api/embeddings"] = DoorEntry(ollama_embed_door.OLDER_DOOR, gateway)
    for path in conversation_door.CONVERSATION_PATHS:
        entries[path] = DoorEntry(conversation_door.DOOR, backend, bearer)
    generate = DoorEntry(gemini_door.GenerateDoor(request_limits), gateway, key_in_query=True)
    counts = gemini_count_door.CountDoor(request_limits)
    of_models = {
        gemini_door.GENERATE: generate,
        gemini_door.STREAM: generate,
        gemini_count.METHOD: DoorEntry(counts, TokenCounts(gateway, counts), key_in_query=True),
    }
    aliases = Aliases(server.model_aliases)
    of_gemini = GeminiSite(overview, gatekeeper)
    others: list[OtherLists] = [
        of_gemini,
        AnthropicLists(overview, gatekeeper, aliases),
        CodexLists(overview, gatekeeper),
    ]
    site = Site(overview, gatekeeper, _description, others)
    siblings = ConversationSite(backend, overview, gatekeeper, bearer=bearer, wall=time.time)
    of_responses = ResponsesSite(answering, gatekeeper, max_body=server.max_body).routes()
    lists = OllamaSite(overview, gatekeeper).routes()
    lists += of_gemini.routes()
    programs = [*site.routes(), *admin, *lists, *siblings.routes(), *of_responses]
    has_program, is_of_responses = claimed(programs), claimed(of_responses)

    def goes_beyond(path: str) -> bool:
        if is_of_responses(path) and answering.relays(path):
            return True
        return path.startswith("/v1/") and not has_program(path)

    return ServerFront(
        doors=Doors(entries, dict.fromkeys(gemini_door.PREFIXES, of_models)),
        gatekeeper=gatekeeper,
        app=build_asgi(programs),
        beyond=Beyond(
            DoorEntry(any_door.DOOR, Passthrough(gateway)),
            goes_beyond,
        ),
        has_program=has_program,
        limits=Limits(body=server.max_body),
        prove_admin=prove_admin,
    )


def _description() -> object:
    # Few ever ask: the start does not pay for it.
    from chatgpt_to_api.openapi.document import document

    return document()
