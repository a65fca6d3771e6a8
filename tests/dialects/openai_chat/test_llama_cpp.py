"""What llama.cpp's server takes without effect is named; what it cannot be asked is refused."""

from __future__ import annotations

import msgspec
import pytest

from chatgpt_to_api.chat.request import ChatRequest, Message, Text
from chatgpt_to_api.dialects.faults import fault_of_reply
from chatgpt_to_api.dialects.openai_chat.llama_cpp import LlamaCppUpstream
from chatgpt_to_api.errors import InvalidRequest
from chatgpt_to_api.wire.http import ReplyHead

CODEC = LlamaCppUpstream("http://127.0.0.1:1/v1", parallel=3)
unheard = CODEC.unheard


def test_more_answers_than_it_writes_are_refused() -> None:
    """Its server's own words would speak of slots, which nobody has asked for."""
    hello = (Message("user", (Text("hi"),)),)
    assert unheard(b'{"n":3}') == unheard(b'{"n":null}') == unheard(b'{"n":"x"}') == ()
    assert CODEC.ignored(ChatRequest(model="m", messages=hello, n=3)) == ()
    with pytest.raises(InvalidRequest) as relayed:
        unheard(b'{"n":128}')
    with pytest.raises(InvalidRequest) as translated:
        CODEC.ignored(ChatRequest(model="m", messages=hello, n=128))
    for caught in (relayed, translated):
        assert caught.value.param == "n"
        assert "at most 3 answers" in caught.value.text
        assert "CHATGPT_TO_API_MODEL_PARALLEL" in caught.value.text


def test_given_parameters_without_effect_are_named_in_their_order() -> None:
    """Null is not given, and what has an effect is not named."""
    body = b'{"verbosity":"low","seed":1,"user":"u","store":null,"modalities":["text"]}'
    assert unheard(body) == ("verbosity", "user")


def test_an_answer_in_sound_is_refused() -> None:
    """The server would answer with text and say nothing."""
    with pytest.raises(InvalidRequest) as caught:
        unheard(b'{"modalities":["text","audio"]}')
    assert caught.value.param == "modalities"
    assert unheard(b'{"modalities":5}') == ()


def test_what_was_translated_is_named_and_refused_alike() -> None:
    """The translate lane tells the same as the relay lane."""
    codec = LlamaCppUpstream("http://127.0.0.1:1/v1")
    hello = (Message("user", (Text("hi"),)),)
    extras = {"verbosity": "low", "modalities": ["text"], "logit_bias": {"7": 1}, "top_k": 3}
    asked = ChatRequest(
        model="m",
        messages=hello,
        user="u",
        reasoning_effort="low",
        prompt_cache_key="k",
        dialect="openai_chat",
        extras=extras,
    )
    assert codec.ignored(asked) == ("reasoning_effort", "user", "prompt_cache_key", "verbosity")
    with pytest.raises(InvalidRequest) as caught:
        codec.ignored(ChatRequest(model="m", messages=hello, extras={"modalities": ["audio"]}))
    assert caught.value.param == "modalities"


@pytest.mark.parametrize(
    ("message", "status"),
    [
        ("image input is not supported - hint: you may need to provide the mmproj", 400),
        ("Failed to parse tools: Unsupported tool type: custom", 400),
        ("CUDA error: out of memory", 502),
    ],
)
def test_a_500_that_blames_the_request_is_no_failure_of_the_server(
    message: str, status: int
) -> None:
    """Its breaker would otherwise take it from everybody because of one client's picture."""
    body = msgspec.json.encode({"error": {"code": 500, "message": message, "type": "server_error"}})
    fault = fault_of_reply(ReplyHead(500, [(b"content-type", b"application/json")]), body, 0.0)
    assert fault.error.status == status
    assert fault.upstream == ("none" if status == 400 else "count")
    assert message in fault.error.text
