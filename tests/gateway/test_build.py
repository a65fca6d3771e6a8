"""From settings to upstreams: what each can do, and what is done in its place."""

from __future__ import annotations

import subprocess
import sys

import pytest

from chatgpt_to_api.chat.needs import Needs
from chatgpt_to_api.chat.request import ChatRequest, Tool
from chatgpt_to_api.config.settings import Settings
from chatgpt_to_api.config.upstream_settings import Able, UpstreamSettings
from chatgpt_to_api.emulation.features import Emulated
from chatgpt_to_api.errors import InvalidRequest
from chatgpt_to_api.gateway.ability import able
from chatgpt_to_api.gateway.build import build_routes
from chatgpt_to_api.gateway.local_endpoint import LocalEndpoint
from chatgpt_to_api.gateway.upstreams import Capability
from chatgpt_to_api.transport.environment import ProxyRules


async def ready(deadline: float) -> None:
    raise AssertionError("nobody is called")


LOCAL = LocalEndpoint("http://127.0.0.1:1/v1", ("small",), 576, 4096, 4, ready)


@pytest.mark.parametrize(
    ("emulate", "capability", "how"),
    [
        (None, "tools", "emulated"),
        (None, "json", "native"),
        (None, "stop", "native"),
        (None, "n", "native"),
        (None, "images", "absent"),
        ((), "tools", "absent"),
        (("json",), "tools", "absent"),
        (("json",), "json", "emulated"),
    ],
)
def test_what_the_embedded_model_can_do(
    emulate: tuple[Emulated, ...] | None, capability: Capability, how: str
) -> None:
    """Its server shows the model no tools, so that there are none but those told in words."""
    upstreams = {"local": UpstreamSettings("local", emulate=emulate)}
    settings = Settings(data_dir="/nowhere", upstreams=upstreams)
    routes = build_routes(settings, upstreams, LOCAL, ProxyRules.from_environment({}))
    [candidate] = routes.candidates("small")
    assert candidate.upstream.can(capability) == how
    needs = Needs({"tools": "tools"})
    if candidate.upstream.can("tools") == "absent":
        with pytest.raises(InvalidRequest, match="cannot call tools"):
            able([candidate], needs)
    else:
        assert able([candidate], needs) == [candidate]


@pytest.mark.parametrize(
    ("capabilities", "dialect", "lacks"),
    [
        (None, "openai_responses", {"freeform"}),
        (None, "openai_chat", set()),
        (("tools", "freeform"), "openai_responses", set()),
    ],
)
def test_freeform_tools_of_other_clients_are_functions_unless_the_server_is_known_to_have_them(
    capabilities: tuple[Able, ...] | None, dialect: str, lacks: set[str]
) -> None:
    """Trap 50: a chat client that sends one knows its server; a Responses client does not."""
    upstreams = {"vendor": UpstreamSettings("openai", "http://h/v1", capabilities=capabilities)}
    settings = Settings(data_dir="/nowhere", upstreams=upstreams)
    routes = build_routes(settings, upstreams, None, ProxyRules.from_environment({}))
    [candidate] = routes.candidates("any")
    patch = Tool("apply_patch", freeform=True)
    request = ChatRequest(model="any", messages=(), tools=(patch,), dialect=dialect)
    assert candidate.upstream.lacks(request) == lacks


BUILD = """
import sys
from chatgpt_to_api.config.settings import Settings
from chatgpt_to_api.config.upstream_settings import UpstreamSettings
from chatgpt_to_api.gateway.build import build_routes
from chatgpt_to_api.transport.environment import ProxyRules
named = UpstreamSettings(kind=sys.argv[1], base_url="http://127.0.0.1:1/v1")
build_routes(Settings(data_dir="/nowhere"), {"one": named}, None, ProxyRules())
print(*(n for n in sys.modules if n.startswith("chatgpt_to_api.dialects.")))
"""


@pytest.mark.parametrize(
    ("kind", "dialects"),
    [
        ("conversation", {"conversation"}),
        ("openai", {"openai", "openai_any", "openai_chat", "openai_embeddings"}),
        ("openai-responses", {"openai", "openai_responses"}),
        ("anthropic", {"anthropic"}),
        ("gemini", {"gemini"}),
        ("ollama", {"ollama"}),
    ],
)
def test_a_kind_of_upstream_imports_its_own_dialect_only(kind: str, dialects: set[str]) -> None:
    """And of that the backend side."""
    done = subprocess.run(
        [sys.executable, "-c", BUILD, kind], capture_output=True, text=True, check=True
    )
    beside = {"bodies", "contract", "counting", "faults", "open_calls", "problems", "reply_reading"}
    imported = [name.split(".")[2:] for name in done.stdout.split()]
    assert {parts[0] for parts in imported} - beside == dialects
    assert "door" not in {parts[-1] for parts in imported}
