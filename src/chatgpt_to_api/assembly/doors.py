"""Which door stands at which path, and what makes it when the first request comes to it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from chatgpt_to_api.config.settings import Settings
from chatgpt_to_api.dialects.conversation.door import CONVERSATION_PATHS
from chatgpt_to_api.dialects.gemini import count as gemini_count
from chatgpt_to_api.dialects.gemini import paths as gemini
from chatgpt_to_api.dialects.openai_chat.door import ChatDoor
from chatgpt_to_api.gateway.engine import Gateway
from chatgpt_to_api.late import Late
from chatgpt_to_api.server.doors import DoorEntry, Doors, Place
from chatgpt_to_api.wire.limits import RequestLimits

if TYPE_CHECKING:
    from chatgpt_to_api.gateway.responses_backend import ResponsesBackend


class Dialects:
    """The doors of one gateway, each as what makes it; all but chat completions are made late.

    A method imports what its door needs and nothing else, and is run on a thread.
    """

    def __init__(
        self, settings: Settings, gateway: Gateway, answering: Late[ResponsesBackend]
    ) -> None:
        most = settings.limits
        self._limits = RequestLimits(most.max_messages, most.max_tools, most.max_depth)
        self._max_body = settings.server.max_body
        self._gateway = gateway
        self._answering = answering

    def doors(self, conversations: DoorEntry) -> Doors:
        """Return the table of doors."""
        entries: dict[str, Place] = {
            "/v1/chat/completions": DoorEntry(ChatDoor(self._limits), self._gateway),
            "/v1/completions": Late(self.completions),
            "/v1/embeddings": Late(self.embeddings),
            "/v1/responses": Late(self.responses),
            "/v1/messages": Late(self.messages),
            "/v1/messages/count_tokens": Late(self.messages_count),
            "/api/chat": Late(self.ollama_chat),
            "/api/generate": Late(self.ollama_generate),
            "/api/embed": Late(self.ollama_embed),
            "/api/embeddings": Late(self.ollama_embeddings),
        }
        entries |= dict.fromkeys(CONVERSATION_PATHS, conversations)
        generate = Late(self.generate)
        of_models: dict[str, Place] = {
            gemini.GENERATE: generate,
            gemini.STREAM: generate,
            gemini_count.METHOD: Late(self.gemini_count),
            gemini.EMBED: Late(self.gemini_embed),
            gemini.EMBED_BATCH: Late(self.gemini_embed_batch),
        }
        return Doors(entries, dict.fromkeys(gemini.PREFIXES, of_models))

    def completions(self) -> DoorEntry:
        """``/v1/completions``."""
        from chatgpt_to_api.dialects.openai_completions.door import CompletionDoor

        return DoorEntry(CompletionDoor(), self._gateway)

    def embeddings(self) -> DoorEntry:
        """``/v1/embeddings``."""
        from chatgpt_to_api.dialects.openai_embeddings.door import EmbeddingsDoor

        return DoorEntry(EmbeddingsDoor(), self._gateway)

    def responses(self) -> DoorEntry:
        """``/v1/responses``."""
        from chatgpt_to_api.dialects.openai_responses.door import ResponsesDoor

        return DoorEntry(ResponsesDoor(self._limits), self._answering.now())

    def messages(self) -> DoorEntry:
        """``/v1/messages``."""
        from chatgpt_to_api.dialects.anthropic.door import MessagesDoor

        return DoorEntry(MessagesDoor(self._limits), self._gateway, id_field=b"request-id")

    def messages_count(self) -> DoorEntry:
        """``/v1/messages/count_tokens``."""
        from chatgpt_to_api.dialects.anthropic.count_door import CountDoor
        from chatgpt_to_api.gateway.token_counts import TokenCounts

        door = CountDoor(self._limits)
        return DoorEntry(door, TokenCounts(self._gateway, door), id_field=b"request-id")

    def generate(self) -> DoorEntry:
        """``…/models/{model}:generateContent`` and ``:streamGenerateContent``."""
        from chatgpt_to_api.dialects.gemini.door import GenerateDoor

        return DoorEntry(GenerateDoor(self._limits), self._gateway, key_in_query=True)

    def gemini_count(self) -> DoorEntry:
        """``…/models/{model}:countTokens``."""
        from chatgpt_to_api.dialects.gemini.count_door import CountDoor
        from chatgpt_to_api.gateway.token_counts import TokenCounts

        door = CountDoor(self._limits)
        return DoorEntry(door, TokenCounts(self._gateway, door), key_in_query=True)

    def gemini_embed(self) -> DoorEntry:
        """``…/models/{model}:embedContent``."""
        from chatgpt_to_api.dialects.gemini.embed_door import EMBED_DOOR

        return DoorEntry(EMBED_DOOR, self._gateway, key_in_query=True)

    def gemini_embed_batch(self) -> DoorEntry:
        """``…/models/{model}:batchEmbedContents``."""
        from chatgpt_to_api.dialects.gemini.embed_door import BATCH_DOOR

        return DoorEntry(BATCH_DOOR, self._gateway, key_in_query=True)

    def ollama_chat(self) -> DoorEntry:
        """``/api/chat``."""
        from chatgpt_to_api.dialects.ollama.door import OllamaChatDoor
        from chatgpt_to_api.gateway.loading import LoadingFirst

        loading = LoadingFirst(self._gateway, max_body=self._max_body)
        return DoorEntry(OllamaChatDoor(self._limits), loading)

    def ollama_generate(self) -> DoorEntry:
        """``/api/generate``."""
        from chatgpt_to_api.dialects.ollama.door import OllamaGenerateDoor
        from chatgpt_to_api.gateway.loading import LoadingFirst

        loading = LoadingFirst(self._gateway, max_body=self._max_body)
        return DoorEntry(OllamaGenerateDoor(self._limits), loading)

    def ollama_embed(self) -> DoorEntry:
        """``/api/embed``."""
        from chatgpt_to_api.dialects.ollama.embed_door import EMBED_DOOR

        return DoorEntry(EMBED_DOOR, self._gateway)

    def ollama_embeddings(self) -> DoorEntry:
        """``/api/embeddings``."""
        from chatgpt_to_api.dialects.ollama.embed_door import OLDER_DOOR

        return DoorEntry(OLDER_DOOR, self._gateway)
