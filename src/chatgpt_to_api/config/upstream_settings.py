"""The settings of one upstream: ``[upstreams.NAME]``."""

from __future__ import annotations

from typing import Annotated, Final, Literal, TypeAlias

import msgspec
from msgspec import Meta

from chatgpt_to_api.wire.secret import Secret

Kind: TypeAlias = Literal[
    "conversation", "openai", "openai-responses", "anthropic", "gemini", "ollama", "local"
]
KEYED: Final[tuple[Kind, ...]] = ("openai", "openai-responses", "anthropic", "gemini", "ollama")
"""Kinds whose upstreams stand at an address and take API keys, each in its vendor's dialect."""
Able: TypeAlias = Literal["tools", "freeform", "json", "images", "audio", "files"]
Emulated: TypeAlias = Literal["tools", "json", "stop", "max_tokens", "n"]


def of_upstream(text: str, *kinds: Kind, **variables: str) -> Meta:
    """Describe a field of an upstream: the kinds that have it (none named: all of them).

    ``variables`` maps the name of an upstream to the environment variable that gives it this field.
    """
    return Meta(description=text, extra={"kinds": kinds, "variables": variables})


class UpstreamSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``[upstreams.NAME]``: one backend the gateway calls. Fields of other kinds are refused."""

    kind: Annotated[
        Kind, of_upstream("Protocol it speaks; a NAME that is a kind need not repeat it.")
    ]
    base_url: Annotated[
        str,
        of_upstream(
            "conversation: the whole URL of POST …/conversation; openai: the URL before "
            "/chat/completions, mostly ending in /v1; openai-responses: the URL before /responses; "
            "anthropic: the URL before /v1/messages; "
            "gemini: the URL before /models, mostly ending in /v1beta; "
            "ollama: the server's address, such as http://127.0.0.1:11434.",
            "conversation",
            *KEYED,
            conversation="API_REVERSE_PROXY",
            openai="OPENAI_BASE_URL",
        ),
    ] = ""
    api_keys: Annotated[
        tuple[Secret, ...],
        of_upstream(
            "API keys it accepts; refresh:TOKEN is a refresh token, which takes token_url.",
            *KEYED,
            openai="OPENAI_API_KEY",
        ),
    ] = ()
    token_url: Annotated[
        str,
        of_upstream(
            "Where access tokens are got with a refresh token; a form is posted there (OAuth 2).",
            *KEYED,
        ),
    ] = ""
    client_id: Annotated[
        str, of_upstream("As whom they are got there, where it wants to know.", *KEYED)
    ] = ""
    client_secret: Annotated[
        Secret | None, of_upstream("The secret of that client, where it has one.", *KEYED)
    ] = None
    endpoints: Annotated[
        tuple[str, ...],
        of_upstream(
            "What it offers: the first parts of its paths after /v1/, such as chat, models, "
            "completions, embeddings, audio, images, files; * is all.",
            "openai",
            openai="OPENAI_ENDPOINTS",
        ),
    ] = ("chat", "models")
    models: Annotated[
        tuple[str, ...] | None,
        of_upstream('Model names and globs it serves; ["*"] is every name.'),
    ] = None
    max_concurrency: Annotated[
        Annotated[int, Meta(ge=1)] | None,
        of_upstream(
            "Most requests at once per credential; without it 1 (conversation) or no limit.",
        ),
    ] = None
    rate_limits: Annotated[
        tuple[str, ...],
        of_upstream(
            "Most requests in any stretch of a length, such as 5/10s; more wait their turn.",
            conversation="API_RATE_LIMIT",
        ),
    ] = ()
    credential_rate_limits: Annotated[
        tuple[str, ...],
        of_upstream("The same for each credential by itself.", "conversation", *KEYED),
    ] = ()
    proxy: Annotated[
        Secret | None,
        of_upstream("Outbound proxy to it, instead of the environment's.", "conversation", *KEYED),
    ] = None
    include_usage: Annotated[
        bool, of_upstream("Ask for token counts at the end of a stream.", "openai", "local")
    ] = True
    late_system: Annotated[
        Literal["system", "user"],
        of_upstream(
            "As whose words a system message after the first turn is sent, where a request is "
            "translated: some models' templates refuse a late one.",
            "openai",
        ),
    ] = "system"
    max_tokens: Annotated[
        Annotated[int, Meta(ge=1)] | None,
        of_upstream(
            "Longest answer to ask for where a client does not say it, tokens, because the API "
            "must be told; without it what the model's name tells.",
            "anthropic",
        ),
    ] = None
    fetch_images: Annotated[
        bool,
        of_upstream(
            "Fetch pictures given by URL, from public addresses only, and send it their data.",
            *KEYED,
        ),
    ] = False
    on_client_gone: Annotated[
        Literal["cancel", "drain"],
        of_upstream("What becomes of its answer when the client goes away."),
    ] = "cancel"
    puid: Annotated[
        Secret | None,
        of_upstream(
            "The _puid cookie for tokens that bring none.", "conversation", conversation="PUID"
        ),
    ] = None
    history: Annotated[
        bool,
        of_upstream(
            "Let the backend keep the conversations.",
            "conversation",
            conversation="ENABLE_HISTORY",
        ),
    ] = False
    capabilities: Annotated[
        tuple[Able, ...] | None,
        of_upstream(
            "What it can by itself, as far as not every server can; without it everything. "
            "Requests that need more go to other candidates; for freeform tools it is given "
            "functions.",
            *KEYED,
        ),
    ] = None
    context_length: Annotated[
        Annotated[int, Meta(ge=1)] | None,
        of_upstream("Longest prompt and answer of its models, tokens, where that is known."),
    ] = None
    emulate: Annotated[
        tuple[Emulated, ...] | None,
        of_upstream(
            "What the gateway does in its place because it cannot; without it everything "
            "(conversation), tools (local) or nothing (others). Several answers, stop strings and "
            "freeform tools are seen to wherever its protocol has none."
        ),
    ] = None
    continue_conversations: Annotated[
        bool,
        of_upstream(
            "Go on with the backend's own conversation where a chat goes on, sending only what is "
            "new; takes history.",
            "conversation",
            conversation="CHATGPT_TO_API_CONTINUE_CONVERSATIONS",
        ),
    ] = True
    continue_for: Annotated[
        Annotated[float, Meta(gt=0)],
        of_upstream(
            "How long after its last use a conversation is remembered, seconds.",
            "conversation",
            conversation="CHATGPT_TO_API_CONTINUE_FOR",
        ),
    ] = 86400.0
    hide_conversations: Annotated[
        Literal["never", "after_use", "on_expiry"],
        of_upstream(
            "When the gateway takes its conversations out of the account's list: after each answer "
            "(none is then gone on with), or when it forgets them.",
            "conversation",
            conversation="CHATGPT_TO_API_HIDE_CONVERSATIONS",
        ),
    ] = "never"
    system_mapping: Annotated[
        Literal["merge", "critic", "system"],
        of_upstream("How system messages are sent to it.", "conversation"),
    ] = "merge"
    model_map: Annotated[
        dict[str, str],
        of_upstream(
            "Model names asked for and what they are called there; adds to the built-in table.",
            "conversation",
        ),
    ] = {}
    headers: Annotated[
        dict[str, Secret],
        of_upstream("More headers for its requests.", "conversation", "openai-responses"),
    ] = {}
    always_streams: Annotated[
        bool,
        of_upstream(
            "It answers with streams only: whole answers are collected from them.",
            "openai-responses",
        ),
    ] = False
    account_header: Annotated[
        str,
        of_upstream(
            "Header in which it wants the account id that its tokens tell, such as "
            "chatgpt-account-id.",
            "openai-responses",
        ),
    ] = ""
    refused_parameters: Annotated[
        tuple[str, ...],
        of_upstream(
            "Parameters it refuses, such as max_output_tokens: they are not sent, and listed in "
            "x-ignored-parameters.",
            "openai-responses",
        ),
    ] = ()

    @property
    def continues(self) -> bool:
        """Whether chats go on in the backend's conversations: they have to be kept, and seen."""
        return (
            self.history and self.continue_conversations and self.hide_conversations != "after_use"
        )

    @property
    def how_chats_go_on(self) -> str:
        """What a conversation upstream does with a chat that goes on, in words, and why."""
        if self.continues:
            return "chats go on in its conversations"
        if not self.history:
            why = "ENABLE_HISTORY is off"
        elif not self.continue_conversations:
            why = "continue_conversations is off"
        else:
            why = "they are hidden after use"
        return f"chats do not go on in its conversations ({why})"
