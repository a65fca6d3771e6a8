"""The typed settings object that everything else is built from.

Each setting stands here once: its type, bounds, unit, default, meaning and environment name. The
loader, ``config show`` and the documentation read them from here.
"""

from __future__ import annotations

import os
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta

from chatgpt_to_api.config.route_settings import RouteSettings
from chatgpt_to_api.config.upstream_settings import UpstreamSettings
from chatgpt_to_api.wire.secret import Secret


def env(
    name: str, text: str, *, also: str = "", unit: str = "", not_in_file: bool = False, **more: Any
) -> Meta:
    """Describe a setting that an environment variable can give: its name and meaning.

    ``also`` is a second variable, read where the first is not set. ``not_in_file``: the
    configuration file cannot hold it.
    """
    names = (name, also) if also else (name,)
    extra = {"env": names, "unit": unit, "not_in_file": not_in_file}
    return Meta(description=text, extra=extra, **more)


class ServerSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``[server]``: where the gateway listens and whom it lets in."""

    host: Annotated[str, env("SERVER_HOST", "Address to listen on.")] = "127.0.0.1"
    port: Annotated[
        int,
        env("SERVER_PORT", "Port to listen on; 0 is any free one.", also="PORT", ge=0, le=65535),
    ] = 8080
    api_keys: Annotated[
        tuple[Secret, ...],
        env("API_KEYS", "Client keys callers must show, besides those in api_keys.txt."),
    ] = ()
    allow_caller_tokens: Annotated[
        bool,
        env(
            "ALLOW_CALLER_TOKENS",
            "Take a caller's own access token in place of a client key, where keys are set.",
        ),
    ] = False
    allow_anonymous_conversation: Annotated[
        bool,
        env(
            "ALLOW_ANONYMOUS_CONVERSATION",
            "Answer the conversation endpoints without a token, where no keys are set.",
        ),
    ] = False
    cors_allowed_origins: Annotated[
        tuple[str, ...],
        env("CORS_ALLOWED_ORIGINS", "Origins of web pages that may call the gateway; * is any."),
    ] = ()
    allowed_hosts: Annotated[
        tuple[str, ...],
        env(
            "ALLOWED_HOSTS", "Host names, besides addresses and localhost, the gateway answers to."
        ),
    ] = ()
    model_aliases: Annotated[
        bool,
        env(
            "CHATGPT_TO_API_MODEL_ALIASES",
            "List every model to Anthropic clients, which show only names of that vendor's kind: "
            "as claude/NAME, which leads to NAME.",
        ),
    ] = True
    max_body: Annotated[
        int, env("CHATGPT_TO_API_MAX_BODY", "Largest request body.", unit="bytes", ge=1)
    ] = 64 * 1024 * 1024
    drain: Annotated[
        float,
        env(
            "CHATGPT_TO_API_DRAIN",
            "Time running requests get at a stop.",
            unit="seconds",
            ge=0,
        ),
    ] = 10.0


class AdminSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``[admin]``: who may administer the gateway."""

    password: Annotated[
        Secret | None,
        env("ADMIN_PASSWORD", "Password of the admin API; without one a random one is made."),
    ] = None


class TokenSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``[tokens]``: credentials of the conversation backend, and of the official API."""

    access_tokens: Annotated[
        tuple[Secret, ...], env("ACCESS_TOKENS", "Access tokens of the conversation backend.")
    ] = ()
    access_tokens_file: Annotated[
        str,
        env(
            "ACCESS_TOKENS_FILE",
            "File of access tokens, read instead of access_tokens.json in the data folder.",
        ),
    ] = ""
    official_api_key: Annotated[
        Secret | None, env("OFFICIAL_API_KEY", "API key of the official OpenAI API.")
    ] = None


class StoreSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``[store]``: how stored secrets are kept."""

    secret_key: Annotated[
        Secret | None,
        env("SECRET_KEY", "Key that stored secrets are sealed with, instead of the key file."),
    ] = None


class LimitSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``[limits]``: how long things may take, and how many there may be."""

    queue_wait: Annotated[
        float,
        env(
            "CHATGPT_TO_API_QUEUE_WAIT",
            "Longest wait for a credential; 0 answers 429 at once.",
            unit="seconds",
            ge=0,
        ),
    ] = 30.0
    read_timeout: Annotated[
        float,
        env("CHATGPT_TO_API_READ_TIMEOUT", "Longest silence of an upstream.", unit="seconds", gt=0),
    ] = 360.0
    connect_timeout: Annotated[
        float,
        env(
            "CHATGPT_TO_API_CONNECT_TIMEOUT",
            "Longest time to reach an upstream.",
            unit="seconds",
            gt=0,
        ),
    ] = 10.0
    request_deadline: Annotated[
        float,
        env("CHATGPT_TO_API_REQUEST_DEADLINE", "Longest whole request.", unit="seconds", gt=0),
    ] = 900.0
    max_queue: Annotated[
        int, env("CHATGPT_TO_API_MAX_QUEUE", "Most requests waiting for a credential.", ge=0)
    ] = 1000
    max_messages: Annotated[
        int, env("CHATGPT_TO_API_MAX_MESSAGES", "Most messages in one request.", ge=1)
    ] = 10_000
    max_tools: Annotated[
        int, env("CHATGPT_TO_API_MAX_TOOLS", "Most tools in one request.", ge=0)
    ] = 1_000
    max_depth: Annotated[
        int,
        env(
            "CHATGPT_TO_API_MAX_DEPTH",
            "How deep arrays and objects of one translated request may stand in each other.",
            ge=10,
            le=500,
        ),
    ] = 100
    max_attempts: Annotated[
        int, env("CHATGPT_TO_API_MAX_ATTEMPTS", "Most upstream calls for one request.", ge=1)
    ] = 3
    max_continuations: Annotated[
        int,
        env(
            "CHATGPT_TO_API_MAX_CONTINUATIONS",
            "How often an answer cut by max_tokens is continued on a conversation backend.",
            ge=0,
        ),
    ] = 2
    keep_alive: Annotated[
        float,
        env(
            "CHATGPT_TO_API_KEEP_ALIVE",
            "Silence after which a stream gets a comment.",
            unit="seconds",
            gt=0,
        ),
    ] = 15.0
    hold: Annotated[
        float,
        env(
            "CHATGPT_TO_API_HOLD",
            "How long a stream's head is held back for the first content.",
            unit="seconds",
            ge=0,
        ),
    ] = 5.0


class ConversationSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``[conversations]``: how much the conversation endpoints keep, sealed, in the data folder."""

    keep: Annotated[
        float,
        env(
            "CHATGPT_TO_API_KEEP_CONVERSATIONS",
            "How long an unused conversation is kept; 0 is for ever.",
            unit="days",
            ge=0,
        ),
    ] = 90.0
    max_count: Annotated[
        int,
        env(
            "CHATGPT_TO_API_MAX_CONVERSATIONS",
            "Most conversations of one bearer; the longest unused makes room.",
            ge=1,
        ),
    ] = 1000
    max_messages: Annotated[
        int,
        env("CHATGPT_TO_API_MAX_CONVERSATION_MESSAGES", "Longest conversation, messages.", ge=2),
    ] = 2000
    max_bytes: Annotated[
        int,
        env(
            "CHATGPT_TO_API_MAX_CONVERSATION_BYTES",
            "Most that is kept of one bearer's conversations.",
            unit="bytes",
            ge=1,
        ),
    ] = 64 * 1024 * 1024
    max_bytes_in_all: Annotated[
        int,
        env(
            "CHATGPT_TO_API_MAX_CONVERSATION_BYTES_IN_ALL",
            "Most that is kept of everybody's conversations together.",
            unit="bytes",
            ge=1,
        ),
    ] = 1024 * 1024 * 1024


class ResponseSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``[responses]``: how much the Responses endpoints keep, sealed, in the data folder."""

    keep: Annotated[
        float,
        env(
            "CHATGPT_TO_API_KEEP_RESPONSES",
            "How long stored responses, and conversations of them, are kept after their last use; "
            "0 is for ever.",
            unit="days",
            ge=0,
        ),
    ] = 30.0
    max_bytes: Annotated[
        int,
        env(
            "CHATGPT_TO_API_MAX_RESPONSE_BYTES",
            "Most that is kept of one client key's responses; the longest unused make room.",
            unit="bytes",
            ge=1,
        ),
    ] = 256 * 1024 * 1024
    max_bytes_in_all: Annotated[
        int,
        env(
            "CHATGPT_TO_API_MAX_RESPONSE_BYTES_IN_ALL",
            "Most that is kept of everybody's responses together.",
            unit="bytes",
            ge=1,
        ),
    ] = 1024 * 1024 * 1024


class EmbeddedModelSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``[embedded_model]``: the small model that answers where nothing else is configured."""

    use: Annotated[
        Literal["auto", "on", "off"],
        env("EMBEDDED_MODEL", "auto: only while no other upstream is configured."),
    ] = "auto"
    threads: Annotated[
        int,
        env("CHATGPT_TO_API_MODEL_THREADS", "Threads it computes with; 0 is half the cores.", ge=0),
    ] = 0
    parallel: Annotated[
        int, env("CHATGPT_TO_API_MODEL_PARALLEL", "Answers it writes at once.", ge=1, le=64)
    ] = 4
    context: Annotated[
        int,
        env(
            "CHATGPT_TO_API_MODEL_CONTEXT",
            "Longest prompt and answer together.",
            unit="tokens",
            ge=256,
            le=8192,
        ),
    ] = 4096


class ProxySettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``[proxy]``: outbound proxies; loopback is always reached directly."""

    http: Annotated[
        Secret | None, env("http_proxy", "Proxy to http:// upstreams.", also="HTTP_PROXY")
    ] = None
    https: Annotated[
        Secret | None, env("https_proxy", "Proxy to https:// upstreams.", also="HTTPS_PROXY")
    ] = None
    all: Annotated[
        Secret | None,
        env("all_proxy", "Proxy to upstreams that have no other.", also="ALL_PROXY"),
    ] = None
    no_proxy: Annotated[
        tuple[str, ...],
        env("no_proxy", "Hosts, networks and .domains to reach directly.", also="NO_PROXY"),
    ] = ()

    def environment(self) -> dict[str, str]:
        """Return the proxies as the variables they usually come in; it holds secrets."""
        proxies = {"http_proxy": self.http, "https_proxy": self.https, "all_proxy": self.all}
        found = {name: secret.reveal() for name, secret in proxies.items() if secret is not None}
        return found | ({"no_proxy": ",".join(self.no_proxy)} if self.no_proxy else {})


class LogSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``[log]``: what is logged, and how."""

    level: Annotated[
        Literal["debug", "info", "warning", "error"],
        env("CHATGPT_TO_API_LOG_LEVEL", "Least serious messages that are logged."),
    ] = "info"
    format: Annotated[
        Literal["text", "json"], env("CHATGPT_TO_API_LOG_FORMAT", "Form of a log line.")
    ] = "text"


CONVERSATION: Final = "conversation"
"""Name of the upstream that the conversation variables (API_REVERSE_PROXY, PUID, …) describe."""

OPENAI: Final = "openai"
"""Name of the upstream that OPENAI_BASE_URL and OPENAI_API_KEY make."""

LOCAL: Final = "local"
"""Name of the embedded model's upstream, where the configuration gives it no other."""

OFFICIAL_CONVERSATION_URL: Final = "https://chatgpt.com/backend-api/conversation"
"""Where access tokens go while no conversation upstream is configured."""


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All settings, after every source was read. Every path in it is absolute."""

    data_dir: Annotated[
        str, env("CHATGPT_TO_API_DATA_DIR", "Folder of the store, keys, tokens and model.")
    ]
    config_file: Annotated[
        str,
        env(
            "CHATGPT_TO_API_CONFIG",
            "Configuration file; else config.toml in the data folder.",
            not_in_file=True,
        ),
    ] = ""
    server: ServerSettings = ServerSettings()
    admin: AdminSettings = AdminSettings()
    tokens: TokenSettings = TokenSettings()
    store: StoreSettings = StoreSettings()
    limits: LimitSettings = LimitSettings()
    conversations: ConversationSettings = ConversationSettings()
    responses: ResponseSettings = ResponseSettings()
    embedded_model: EmbeddedModelSettings = EmbeddedModelSettings()
    proxy: ProxySettings = ProxySettings()
    log: LogSettings = LogSettings()
    upstreams: dict[str, UpstreamSettings] = {}
    """What is configured with an address, in the order it stands."""
    conversation_default: UpstreamSettings = UpstreamSettings(
        "conversation", base_url=OFFICIAL_CONVERSATION_URL
    )
    """What access tokens are used with while ``upstreams`` has no conversation backend."""
    routes: tuple[RouteSettings, ...] = ()
    well_known_models: Annotated[
        tuple[str, ...],
        Meta(description="More names that stand for the default upstream."),
    ] = ()

    @property
    def conversation_upstreams(self) -> dict[str, UpstreamSettings]:
        """The conversation upstreams that can have tokens; never empty, the first is usual."""
        found = {n: u for n, u in self.upstreams.items() if u.kind == "conversation"}
        return found or {CONVERSATION: self.conversation_default}

    @property
    def token_upstream(self) -> str:
        """Name of the upstream that access tokens belong to when nothing else is said."""
        return next(iter(self.conversation_upstreams))

    @property
    def token_file(self) -> str:
        """Path of the file that access tokens are taken from, whether it is there or not."""
        return self.tokens.access_tokens_file or os.path.join(self.data_dir, "access_tokens.json")  # noqa: PTH118

    def upstreams_with(self, *, tokens: bool) -> dict[str, UpstreamSettings]:
        """Return the upstreams in force, given whether access tokens are at hand.

        Adds the official conversation backend where there are tokens and no other conversation
        upstream, and the embedded model where it is wanted: ``embedded_model.use`` is ``on``, or
        ``auto`` and there is no other upstream or a route names it.
        """
        found = dict(self.upstreams)
        if tokens and all(u.kind != "conversation" for u in found.values()):
            found[CONVERSATION] = self.conversation_default
        local = [name for name, upstream in found.items() if upstream.kind == "local"]
        if self.embedded_model.use == "off":
            for name in local:
                del found[name]
        elif not local:
            routed = any(c.upstream == LOCAL for r in self.routes for c in r.candidates)
            if self.embedded_model.use == "on" or routed or not found:
                found[LOCAL] = UpstreamSettings("local")
        return found
