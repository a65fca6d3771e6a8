"""Upstreams and routes as values, for tests that call nobody."""

from __future__ import annotations

from typing import Any

from chatgpt_to_api.config.route_settings import RouteSettings
from chatgpt_to_api.config.routes import convert_route
from chatgpt_to_api.dialects.conversation.upstream import ConversationOptions, ConversationUpstream
from chatgpt_to_api.dialects.openai_chat.upstream import ChatUpstream
from chatgpt_to_api.emulation.features import EMULATED
from chatgpt_to_api.gateway.upstreams import Candidate, ConfiguredUpstream


def vendor(name: str, *models: str, **more: Any) -> ConfiguredUpstream:
    """An OpenAI-compatible server that can do everything, unless ``more`` says otherwise."""
    codec = ChatUpstream("http://127.0.0.1:1/v1")
    return ConfiguredUpstream(name=name, kind="openai", codec=codec, models=models or None, **more)


def backend(name: str = "conversation") -> ConfiguredUpstream:
    """A conversation backend: text, and what is emulated."""
    codec = ConversationUpstream("http://127.0.0.1:1/conversation", ConversationOptions())
    return ConfiguredUpstream(
        name=name, kind="conversation", codec=codec, native=frozenset(), emulates=EMULATED
    )


def candidate(name: str, model: str = "m", **more: Any) -> Candidate:
    """One way to answer."""
    return Candidate(vendor(name), model, **more)


def route(model: str, *candidates: Any, **more: Any) -> RouteSettings:
    """A route as the file has it; a text is the name of another route."""
    tables = [{"route": c} if isinstance(c, str) else c for c in candidates]
    return convert_route({"model": model, "candidates": tables, **more})
