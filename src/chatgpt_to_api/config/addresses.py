"""What the base URL of each kind of upstream is, in words for who got it wrong."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from chatgpt_to_api.config.upstream_settings import Kind

ADDRESSES: Final[Mapping[Kind, str]] = {
    "openai": "the URL before /chat/completions, mostly ending in /v1",
    "openai-responses": "the URL before /responses, mostly ending in /v1",
    "anthropic": "the URL before /v1/messages, such as https://api.anthropic.com",
    "gemini": "the URL before /models, mostly ending in /v1beta",
    "ollama": "the server's address, such as http://127.0.0.1:11434",
}
