"""The official openai package against the gateway, over a conversation backend."""

from __future__ import annotations

import openai
import pytest

from support.rig import Rig, Rigging
from support.scripted_backend import Play, conversation, conversation_events, json_play

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.fixture
def rigged(shared_rigs: Rigging) -> Rigging:
    """One gateway for all tests here that set nothing of their own."""
    return shared_rigs


def client(rig: Rig, **more: object) -> openai.AsyncOpenAI:
    return openai.AsyncOpenAI(
        base_url=rig.gateway.url("/v1"),
        api_key="anything",
        max_retries=0,
        **more,  # type: ignore[arg-type]
    )


MESSAGES = [{"role": "user", "content": "hello"}]


async def test_a_whole_completion(rigged: Rigging) -> None:
    """The reply is what the SDK's own types say it is."""
    async with rigged([conversation("Hello, ", "you.")]) as rig, client(rig) as sdk:
        reply = await sdk.chat.completions.create(model="gpt-4o", messages=MESSAGES)  # type: ignore[arg-type]
        assert reply.choices[0].message.content == "Hello, you."
        assert reply.choices[0].finish_reason == "stop"
        assert reply.usage is not None
        assert reply.usage.total_tokens > reply.usage.completion_tokens > 0
        models = await sdk.models.list()
        assert "gpt-4o" in [model.id for model in models.data]
        assert (await sdk.models.retrieve("gpt-4o")).id == "gpt-4o"


async def test_a_stream_with_usage(rigged: Rigging) -> None:
    """Pieces arrive in order, the usage chunk last, once."""
    async with rigged([conversation("Hello, ", "you.")]) as rig, client(rig) as sdk:
        stream = await sdk.chat.completions.create(
            model="gpt-4o",
            messages=MESSAGES,  # type: ignore[arg-type]
            stream=True,
            stream_options={"include_usage": True},
        )
        chunks = [chunk async for chunk in stream]
        text = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
        assert text == "Hello, you."
        assert [chunk.usage for chunk in chunks if chunk.usage] == [chunks[-1].usage]
        assert len({chunk.id for chunk in chunks}) == 1


async def test_the_sdks_typed_errors(rigged: Rigging) -> None:
    """Each status becomes the SDK's own exception, with message and code."""
    async with rigged([conversation("never")]) as rig, client(rig) as sdk:
        with pytest.raises(openai.NotFoundError) as unknown:
            await sdk.chat.completions.create(model="no-such-model", messages=MESSAGES)  # type: ignore[arg-type]
        assert unknown.value.code == "model_not_found"
        with pytest.raises(openai.BadRequestError) as empty:
            await sdk.chat.completions.create(model="gpt-4o", messages=[])
        assert empty.value.param == "messages"


async def test_a_cut_stream_raises_after_what_was_said(rigged: Rigging) -> None:
    """An in-band error reaches the SDK's user as an APIError, not as a short answer."""
    cut = Play(pieces=conversation_events(["half"])[:1], end="close")
    async with rigged([cut]) as rig, client(rig) as sdk:
        stream = await sdk.chat.completions.create(
            model="gpt-4o",
            messages=MESSAGES,  # type: ignore[arg-type]
            stream=True,
        )
        said = ""

        async def read() -> None:
            nonlocal said
            async for chunk in stream:
                said += chunk.choices[0].delta.content or ""

        with pytest.raises(openai.APIError):
            await read()
        assert said == "half"


async def test_rate_limits_carry_retry_after(rigged: Rigging) -> None:
    """429 with the time the SDK's own retries obey."""
    limited = json_play(
        {"detail": {"message": "cap", "code": "model_cap_exceeded", "clears_in": 99}}, 429
    )
    async with rigged([limited], CHATGPT_TO_API_QUEUE_WAIT="1") as rig, client(rig) as sdk:
        with pytest.raises(openai.RateLimitError) as limited_error:
            await sdk.chat.completions.create(model="gpt-4o", messages=MESSAGES)  # type: ignore[arg-type]
        assert int(limited_error.value.response.headers["retry-after"]) > 60
