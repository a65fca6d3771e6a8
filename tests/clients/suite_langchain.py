"""LangChain's standard suite for chat models, run in the clients' own environment.

``test_langchain.py`` starts it with the gateway's address in ``OPENAI_BASE_URL``. The suite loads
its picture, sound and document from the Internet; here they come from this file.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage
from langchain_openai import ChatOpenAI
from langchain_tests.integration_tests import ChatModelIntegrationTests
from langchain_tests.integration_tests import chat_models as suite

ASSETS = {
    ".png": b"\x89PNG\r\n\x1a\n, no more than a name",
    ".wav": b"RIFF....WAVEfmt ",
    ".pdf": b"%PDF-1.4 and nothing else",
}


def from_this_file(url: str, **_: Any) -> SimpleNamespace:
    """Stand in for ``httpx.get``, with which the suite fetches what it shows to a model."""
    return SimpleNamespace(content=ASSETS[url[-4:]])


@pytest.fixture(autouse=True)
def nothing_is_fetched(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(suite.httpx, "get", from_this_file)


class TestThroughTheGateway(ChatModelIntegrationTests):
    """Everything the suite can ask of a chat model."""

    supports_json_mode = True
    supports_image_inputs = True
    supports_image_urls = True
    supports_pdf_inputs = True
    supports_audio_inputs = True
    supports_image_tool_message = True
    supports_pdf_tool_message = True
    supports_anthropic_inputs = True
    model_override_value = "gpt-4o-mini"

    @property
    def supported_usage_metadata_details(self) -> dict[str, list[str]]:
        details = ["reasoning_output", "cache_read_input"]
        return {"invoke": details, "stream": details}

    @property
    def chat_model_class(self) -> type[BaseChatModel]:
        return ChatOpenAI

    @property
    def chat_model_params(self) -> dict[str, Any]:
        return {"model": "gpt-4o", "stream_usage": True, "max_retries": 0}

    def invoke_with_reasoning_output(self, *, stream: bool = False) -> AIMessage:
        return ask("o4-mini", "Why?", stream=stream)

    def invoke_with_cache_read_input(self, *, stream: bool = False) -> AIMessage:
        messages = [("system", "Be brief."), ("human", "Hello")]
        message = ask("gpt-4o", messages, stream=stream)
        assert message.usage_metadata["input_token_details"]["cache_read"] > 0
        return message


def ask(model: str, given: Any, *, stream: bool) -> AIMessage:
    chat = ChatOpenAI(model=model, stream_usage=True)
    if not stream:
        return chat.invoke(given)
    whole = None
    for chunk in chat.stream(given):
        whole = chunk if whole is None else whole + chunk
    return whole
