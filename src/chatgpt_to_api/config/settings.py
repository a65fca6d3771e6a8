"""The typed settings object that everything else is built from."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta

from chatgpt_to_api.wire.secret import Secret


def env(name: str, text: str, **more: Any) -> Meta:
    """Describe a setting that an environment variable can give: its name and meaning."""
    return Meta(description=text, extra={"env": name}, **more)


class ServerSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``[server]``: where the gateway listens and whom it lets in."""

    host: Annotated[str, env("SERVER_HOST", "Address to listen on.")] = "127.0.0.1"
    port: Annotated[
        int, env("SERVER_PORT", "Port to listen on; PORT is read too.", ge=0, le=65535)
    ] = 8080
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
    max_body: Annotated[
        int, env("CHATGPT_TO_API_MAX_BODY", "Largest request body, bytes.", ge=1)
    ] = 64 * 1024 * 1024
    drain: Annotated[
        float,
        env("CHATGPT_TO_API_DRAIN", "Time running requests get at a stop, seconds.", ge=0),
    ] = 10.0


class LimitSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``[limits]``: how long things may take."""

    queue_wait: Annotated[
        float,
        env(
            "CHATGPT_TO_API_QUEUE_WAIT",
            "Longest wait for a credential, seconds; 0 answers 429 at once.",
            ge=0,
        ),
    ] = 30.0
    read_timeout: Annotated[
        float, env("CHATGPT_TO_API_READ_TIMEOUT", "Longest silence of an upstream, seconds.", gt=0)
    ] = 360.0
    connect_timeout: Annotated[
        float,
        env("CHATGPT_TO_API_CONNECT_TIMEOUT", "Longest time to reach an upstream, seconds.", gt=0),
    ] = 10.0
    request_deadline: Annotated[
        float, env("CHATGPT_TO_API_REQUEST_DEADLINE", "Longest whole request, seconds.", gt=0)
    ] = 900.0
    max_queue: Annotated[
        int, env("CHATGPT_TO_API_MAX_QUEUE", "Most requests waiting for a credential.", ge=0)
    ] = 1000
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
            "Silence after which a stream gets a comment, seconds.",
            gt=0,
        ),
    ] = 15.0
    hold: Annotated[
        float,
        env(
            "CHATGPT_TO_API_HOLD",
            "How long a stream's head is held back for the first content, seconds.",
            ge=0,
        ),
    ] = 5.0


class UpstreamSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``[upstreams.NAME]``: one backend the gateway calls. Fields of other kinds are refused."""

    kind: Literal["conversation", "openai", "local"]
    base_url: str = ""
    api_keys: tuple[Secret, ...] = ()
    models: tuple[str, ...] = ("*",)
    max_concurrency: int | None = None
    rate_limits: tuple[str, ...] = ()
    proxy: Secret | None = None
    include_usage: bool = True
    on_client_gone: Literal["cancel", "drain"] = "cancel"
    # conversation only
    puid: Secret | None = None
    history: bool = False
    system_mapping: Literal["merge", "critic", "system"] = "merge"
    model_map: dict[str, str] = {}
    headers: dict[str, Secret] = {}


class CandidateSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One way to serve a route: an upstream, and the model's name there if it differs."""

    upstream: str
    model: str | None = None


class RouteSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``[[routes]]``: a model name or glob and its ordered candidates."""

    model: str
    candidates: tuple[CandidateSettings, ...]


WELL_KNOWN_MODELS: Final = (
    "gpt-*",
    "o1*",
    "o3*",
    "o4*",
    "chatgpt-*",
    "text-davinci-002-render*",
)


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All settings, after every source was read."""

    data_dir: Annotated[
        str, env("CHATGPT_TO_API_DATA_DIR", "Folder of the store, keys, tokens and model.")
    ]
    server: ServerSettings = ServerSettings()
    limits: LimitSettings = LimitSettings()
    upstreams: dict[str, UpstreamSettings] = {}
    routes: tuple[RouteSettings, ...] = ()
    well_known_models: Annotated[
        tuple[str, ...],
        Meta(description="More names that stand for the default upstream."),
    ] = ()
