"""The official openai package, answered by the real embedded model."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Literal

import pytest
from openai import OpenAI
from pydantic import BaseModel

from support.embedded_model import give_model
from support.gateway_process import GatewayProcess, gateway_process


class Mood(BaseModel):
    mood: Literal["glad", "sad"]
    sure: bool


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    data_dir = tmp_path_factory.mktemp("embedded") / "data"
    give_model(data_dir)
    with gateway_process(data_dir, EMBEDDED_MODEL="on") as running:
        yield running


@pytest.fixture(scope="module")
def sdk(gateway: GatewayProcess) -> Iterator[OpenAI]:
    with OpenAI(base_url=gateway.url("/v1"), api_key="anything", max_retries=0) as client:
        yield client


def test_the_openai_package_parses_what_the_models_grammar_kept(sdk: OpenAI) -> None:
    """``.parse()`` and ``stream()``: the small model cannot leave the schema."""
    messages = [{"role": "user", "content": "I won! How do I feel?"}]
    reply = sdk.chat.completions.parse(
        model="gpt-4o",
        messages=messages,  # type: ignore[arg-type]
        response_format=Mood,
        max_tokens=60,
    )
    assert isinstance(reply.choices[0].message.parsed, Mood)
    with sdk.chat.completions.stream(
        model="gpt-4o",
        messages=messages,  # type: ignore[arg-type]
        response_format=Mood,
        max_tokens=60,
    ) as stream:
        kinds = {event.type for event in stream}
        whole = stream.get_final_completion().choices[0].message
    assert {"content.delta", "content.done"} <= kinds
    assert isinstance(whole.parsed, Mood)
    assert json.loads(whole.content or "") == whole.parsed.model_dump()


def test_the_openai_package_gets_log_probabilities(sdk: OpenAI) -> None:
    """As many as tokens, the likeliest first."""
    reply = sdk.chat.completions.create(
        model="gpt-4o",
        messages=[{"role": "user", "content": "Say hello."}],
        max_tokens=4,
        logprobs=True,
        top_logprobs=2,
    )
    logprobs = reply.choices[0].logprobs
    assert logprobs is not None and logprobs.content
    for entry in logprobs.content:
        assert len(entry.top_logprobs) == 2
        assert entry.top_logprobs[0].logprob >= entry.top_logprobs[1].logprob


def test_the_openai_package_gets_vectors(sdk: OpenAI) -> None:
    """Under the model's own name, two texts give two vectors."""
    reply = sdk.embeddings.create(
        model="smollm2-135m-instruct", input=["A cat sleeps.", "A kitten naps."]
    )
    assert [len(item.embedding) for item in reply.data] == [576, 576]
