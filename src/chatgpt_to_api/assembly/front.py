"""The server's front of a gateway: its doors, its site, its admin API."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from starlette.routing import Route

from chatgpt_to_api.assembly.doors import Dialects
from chatgpt_to_api.assembly.ids import RandomIds
from chatgpt_to_api.config.settings import Settings
from chatgpt_to_api.dialects.conversation import door as conversation_door
from chatgpt_to_api.dialects.openai_any import door as any_door
from chatgpt_to_api.gateway.aliases import Aliases
from chatgpt_to_api.gateway.conversation_backend import ConversationBackend
from chatgpt_to_api.gateway.conversations import Conversations
from chatgpt_to_api.gateway.engine import Gateway
from chatgpt_to_api.gateway.passthrough import Passthrough
from chatgpt_to_api.gateway.unsaved import UnsavedConversations
from chatgpt_to_api.late import Late
from chatgpt_to_api.server.access import Gatekeeper
from chatgpt_to_api.server.anthropic_lists import AnthropicLists
from chatgpt_to_api.server.app import build_asgi, claimed
from chatgpt_to_api.server.codex_lists import CodexLists
from chatgpt_to_api.server.conversation_site import ConversationSite
from chatgpt_to_api.server.doors import Bearer, Beyond, DoorEntry
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
from chatgpt_to_api.store.responses import StoredResponses

if TYPE_CHECKING:
    from chatgpt_to_api.gateway.responses_backend import ResponsesBackend


def open_front(
    settings: Settings,
    *,
    gateway: Gateway,
    store: Store,
    responses: StoredResponses,
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
    answering = Late(lambda: _answering(settings, gateway, store, responses))
    bearer = Bearer.IDENTITY
    if server.allow_anonymous_conversation:
        bearer = Bearer.IDENTITY_OR_NOBODY
    doors = Dialects(settings, gateway, answering).doors(
        DoorEntry(conversation_door.DOOR, backend, bearer)
    )
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
        if is_of_responses(path) and _is_an_upstreams(gateway, path):
            return True
        return path.startswith("/v1/") and not has_program(path)

    return ServerFront(
        doors=doors,
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


def _answering(
    settings: Settings, gateway: Gateway, store: Store, stored: StoredResponses
) -> ResponsesBackend:
    from chatgpt_to_api.gateway.responses import Responses
    from chatgpt_to_api.gateway.responses_backend import ResponsesBackend

    return ResponsesBackend(
        gateway,
        Responses(stored, wall=time.time, new_key=lambda: RandomIds().uuid4().replace("-", "")),
        owner_digest=store.cipher.digest,
        max_body=settings.server.max_body,
    )


def _is_an_upstreams(gateway: Gateway, path: str) -> bool:
    """Whether a path of responses is for an upstream that has the API itself, by what it names."""
    from chatgpt_to_api.dialects.openai_responses.own_ids import is_ours

    _, _, endpoint, *rest = path.rstrip("/").split("/")
    if rest and is_ours(rest[0]):
        return False
    return gateway.routes.endpoints.offered(endpoint)


def _description() -> object:
    # Few ever ask: the start does not pay for it.
    from chatgpt_to_api.openapi.document import document

    return document()
