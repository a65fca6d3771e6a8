"""The list of models, as Anthropic's own package turns its pages."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from support.client_environments import program_of, told_by
from support.vendor.serving import CLIENT_KEY, Served, serving

PROGRAM: Final = """
import json
import anthropic

client = anthropic.Anthropic(max_retries=0)
pages = [[model.id for model in client.models.list(limit=2).data]]
every = list(client.models.list(limit=2))
one = client.models.retrieve("claude/gpt-4o")
hello = [{"role": "user", "content": "Hello"}]
reply = client.messages.create(model="claude/gpt-4o", max_tokens=9, messages=hello)
try:
    client.models.list(limit=0)
except anthropic.BadRequestError as error:
    refused = error.body["error"]["type"]
print(json.dumps({
    "page": pages[0],
    "ids": [model.id for model in every],
    "one": [one.id, one.display_name, one.type, one.created_at.year > 2000],
    "reply": reply.content[0].text,
    "refused": refused,
}))
"""


@pytest.fixture(scope="module")
def standing_here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with serving(tmp_path_factory.mktemp("lists") / "data") as served:
        yield served


def test_the_anthropic_package_turns_the_pages(standing_here: Served, tmp_path: Path) -> None:
    """Trap 62: every model once, each of them of a kind that Anthropic's clients show."""
    gateway = standing_here.gateway
    told: Any = told_by(
        tmp_path / "home",
        program_of("anthropic"),
        "-c",
        PROGRAM,
        ANTHROPIC_BASE_URL=gateway.url(""),
        ANTHROPIC_API_KEY=CLIENT_KEY,
    )
    headers = {"Authorization": f"Bearer {CLIENT_KEY}"}
    listed = gateway.fetch("/v1/models", headers=headers).json["data"]
    assert sorted(told["ids"]) == sorted(f"claude/{model['id']}" for model in listed)
    assert told["page"] == told["ids"][:2]
    assert told["one"] == ["claude/gpt-4o", "gpt-4o", "model", True]
    assert told["reply"] == "You said: Hello"
    assert told["refused"] == "invalid_request_error"
