"""What a conversation backend is asked: body, headers, model names, and what is refused."""

from __future__ import annotations

import json
from typing import Any

import pytest

from chatgpt_to_api.chat.request import (
    AllowedTools,
    Branch,
    ChatRequest,
    Continuation,
    Image,
    JsonFormat,
    Message,
    NamedTool,
    Sampling,
    Text,
    Tool,
)
from chatgpt_to_api.dialects.conversation.upstream import ConversationOptions, ConversationUpstream
from chatgpt_to_api.errors import InvalidRequest, UpstreamDenied
from chatgpt_to_api.wire.http import HttpRequest, ReplyHead, header
from chatgpt_to_api.wire.secret import ANONYMOUS, Access, Secret

URL = "https://chatgpt.com/backend-api/conversation?x=1"
TOKEN = Access(token=Secret("eyJhbGciOiJSUzI1NiJ9.e30.c2ln"))


class CountedIds:
    """Fresh ids that are the same in every run."""

    def __init__(self) -> None:
        self.made = 0

    def uuid4(self) -> str:
        self.made += 1
        return f"id-{self.made}"


def asked(*messages: tuple[str, str], **fields: Any) -> ChatRequest:
    turns = tuple(Message(role, (Text(text),)) for role, text in messages)  # type: ignore[arg-type]
    return ChatRequest(model="gpt-4", messages=turns or HI, **fields)


HI = (Message("user", (Text("hi"),)),)


def encoded(
    request: ChatRequest | None = None,
    *,
    model: str = "gpt-4",
    access: Access = ANONYMOUS,
    **options: Any,
) -> HttpRequest:
    upstream = ConversationUpstream(URL, ConversationOptions(**options))
    return upstream.encode(request or asked(), model, access, CountedIds())


def body(*args: Any, **more: Any) -> Any:
    return json.loads(encoded(*args, **more).body)


# -- the body --------------------------------------------------------------------------------------


def test_the_smallest_request_is_the_body_all_backends_agree_on() -> None:
    """Key order included; fresh ids for the message and the root it hangs under."""
    assert encoded().body == (
        b'{"action":"next","messages":[{"id":"id-1","author":{"role":"user"},'
        b'"content":{"content_type":"text","parts":["hi"]},"metadata":{}}],'
        b'"parent_message_id":"id-2","model":"gpt-4","history_and_training_disabled":true}'
    )


def test_it_goes_to_the_configured_url() -> None:
    """Path and query as they are."""
    request = encoded()
    assert request.method == b"POST"
    assert str(request.origin) == "https://chatgpt.com"
    assert request.target == b"/backend-api/conversation?x=1"


def test_history_is_kept_only_where_it_is_wanted() -> None:
    """The original had it the wrong way round."""
    assert body(history=False)["history_and_training_disabled"] is True
    assert body(history=True)["history_and_training_disabled"] is False


def test_text_that_is_not_ascii_is_sent_as_utf_8() -> None:
    """The guide's own example."""
    question = "你是什么模型,是GPT3.5吗"
    assert body(asked(("user", question)))["messages"][0]["content"]["parts"] == [question]


def test_a_chat_is_one_message_by_default() -> None:
    """With the last question at its end."""
    messages = body(asked(("system", "s"), ("user", "a"), ("assistant", "b"), ("user", "c")))
    (message,) = messages["messages"]
    assert message["author"] == {"role": "user"}
    assert message["content"]["parts"][0].endswith("\n\nc")


@pytest.mark.parametrize("mapping", ["critic", "system"])
def test_a_chat_may_be_one_message_each(mapping: str) -> None:
    """System and developer messages in that role, the others in their own."""
    request = asked(("system", "s"), ("developer", "d"), ("user", "a"), ("assistant", "b"))
    messages = body(request, system_mapping=mapping)["messages"]
    roles = [message["author"]["role"] for message in messages]
    assert roles == [mapping, mapping, "user", "assistant"]
    assert [message["content"]["parts"][0] for message in messages] == ["s", "d", "a", "b"]
    assert len({message["id"] for message in messages}) == 4


def test_equal_requests_differ_in_nothing_but_fresh_ids() -> None:
    """Nothing random is in the text."""
    request = asked(("system", "s"), ("user", "a"), ("assistant", "b"), ("user", "c"))
    assert encoded(request).body == encoded(request).body


def test_a_branch_names_its_place_and_brings_only_what_is_new() -> None:
    """The new message hangs under the last answer, in the conversation that is there."""
    request = asked(("user", "and then?"), branch=Branch("c-1", "m-9"))
    sent = body(request, history=True)
    assert sent["conversation_id"] == "c-1"
    assert sent["parent_message_id"] == "m-9"
    assert sent["action"] == "next"
    assert [m["content"]["parts"] for m in sent["messages"]] == [["and then?"]]
    by_role = body(request, history=True, system_mapping="critic")
    assert by_role["messages"][0]["author"] == {"role": "user"}


def test_hiding_a_conversation_is_a_patch_below_the_url() -> None:
    """Its id stands before the URL's query, and cannot lead elsewhere."""
    upstream = ConversationUpstream(URL, ConversationOptions(headers={"x-more": Secret("v")}))
    request = upstream.hiding("../c 1?x", TOKEN)
    assert (request.method, request.target) == (
        b"PATCH",
        b"/backend-api/conversation/..%2Fc%201%3Fx?x=1",
    )
    assert json.loads(request.body) == {"is_visible": False}
    assert header(request.headers, b"x-more") == b"v"
    assert header(request.headers, b"authorization")


def test_a_continuation_names_the_cut_message_and_brings_no_messages() -> None:
    """Not even an empty list: backends differ about it."""
    request = asked(continuation=Continuation("chat", "cut"))
    assert body(request) == {
        "action": "continue",
        "conversation_id": "chat",
        "parent_message_id": "cut",
        "model": "gpt-4",
        "history_and_training_disabled": True,
    }


@pytest.mark.parametrize(
    ("name", "slug"),
    [
        ("gpt-3.5-turbo", "text-davinci-002-render-sha"),
        ("gpt-3.5-turbo-0301", "text-davinci-002-render-sha"),
        ("gpt-3.5-turbo-16k", "text-davinci-002-render-sha"),
        ("text-davinci-002-render-sha", "text-davinci-002-render-sha"),
        ("gpt-4", "gpt-4"),
        ("gpt-4-32k", "gpt-4"),
        ("gpt-4-0613", "gpt-4"),
        ("gpt-4-1106-preview", "gpt-4"),
        ("gpt-4-browsing", "gpt-4-browsing"),
        ("gpt-4-mobile", "gpt-4-mobile"),
        ("gpt-4o", "gpt-4o"),
        ("gpt-4o-2024-08-06", "gpt-4o"),
        ("gpt-4o-mini", "gpt-4o-mini"),
        ("gpt-4o-mini-2024-07-18", "gpt-4o-mini"),
        ("gpt-4o-canmore", "gpt-4o-canmore"),
        ("gpt-5-2-thinking", "gpt-5-2-thinking"),
        ("o1-preview", "o1-preview"),
        ("auto", "auto"),
        ("", "text-davinci-002-render-sha"),
    ],
)
def test_model_names_become_what_the_backend_knows(name: str, slug: str) -> None:
    """API names are mapped; the backend's own are opaque and go unchanged."""
    assert body(model=name)["model"] == slug


def test_the_configured_table_comes_first_in_its_order() -> None:
    """Names and globs."""
    table = {"gpt-4-0613": "exact", "gpt-4*": "glob", "x": "y"}
    found = [body(model=name, model_map=table)["model"] for name in ("gpt-4-0613", "gpt-4o", "x")]
    assert found == ["exact", "glob", "y"]
    assert body(model="gpt-3.5-turbo", model_map=table)["model"] == "text-davinci-002-render-sha"


# -- the headers -----------------------------------------------------------------------------------


def test_headers_say_what_is_sent_and_wanted() -> None:
    """And who asks; nothing about a credential where there is none."""
    assert encoded(user_agent="chatgpt-to-api/9").headers == [
        (b"content-type", b"application/json"),
        (b"accept", b"text/event-stream"),
        (b"accept-encoding", b"identity"),
        (b"user-agent", b"chatgpt-to-api/9"),
    ]


def test_a_credential_puts_its_token_cookie_and_account() -> None:
    """The token's own puid comes before the upstream's."""
    access = Access(token=Secret("tok"), puid=Secret("user-1"), account="acc-1")
    headers = encoded(access=access, puid=Secret("user-2")).headers
    assert header(headers, b"authorization") == b"Bearer tok"
    assert header(headers, b"cookie") == b"_puid=user-1;"
    assert header(headers, b"chatgpt-account-id") == b"acc-1"
    assert header(encoded(puid=Secret("user-2")).headers, b"cookie") == b"_puid=user-2;"


def test_more_headers_are_passed_through_as_they_are() -> None:
    """What a backend asks for beside the protocol; a cookie joins ours."""
    given = {
        "Openai-Sentinel-Proof-Token": Secret("proof"),
        "User-Agent": Secret("mine"),
        "Cookie": Secret("a=b; c=d;"),
    }
    headers = encoded(access=Access(puid=Secret("user-1")), headers=given).headers
    assert header(headers, b"openai-sentinel-proof-token") == b"proof"
    assert [value for name, value in headers if name == b"user-agent"] == [b"mine"]
    assert header(headers, b"cookie") == b"a=b; c=d; _puid=user-1;"


@pytest.mark.parametrize(
    "name", ["Host", "content-length", "Authorization", "bad name", "x\r\ny", "", "é"]
)
def test_headers_that_are_ours_or_none_are_refused(name: str) -> None:
    """At the start, by name."""
    with pytest.raises(ValueError, match="cannot be set"):
        encoded(headers={name: Secret("v")})


@pytest.mark.parametrize("value", ["a\r\nb: c", "a\nb", "a\0", "é", "\u2028"])
def test_header_values_that_cannot_be_are_refused_unseen(value: str) -> None:
    """The value is a secret and stays out of the error."""
    for options in ({"headers": {"x-y": Secret(value)}}, {"puid": Secret(value)}):
        with pytest.raises(ValueError, match="no header can hold") as caught:
            encoded(**options)
        assert value not in str(caught.value)


@pytest.mark.parametrize("evil", ["a\r\nx: y", "a\nb", "a b", "a\tb", "tök", "", "a;b"])
def test_a_credential_never_injects_a_header(evil: str) -> None:
    """Whatever reached the pool; the error names the kind, never the value."""
    for access in (
        Access(token=Secret(evil)),
        Access(puid=Secret(evil)),
        Access(account=evil),
    ):
        with pytest.raises(UpstreamDenied) as caught:
            encoded(access=access)
        assert not evil or evil not in caught.value.text


def test_a_request_shows_no_secret() -> None:
    """Neither by its repr nor by its upstream's."""
    upstream = ConversationUpstream(URL, ConversationOptions(puid=Secret("user-secret-1234567890")))
    request = upstream.encode(asked(), "gpt-4", TOKEN, CountedIds())
    shown = f"{request!r} {upstream!r} {upstream._options!r}"
    assert "eyJ" not in shown
    assert "user-secret-1234567890" not in shown


@pytest.mark.parametrize(
    "url", ["", "chatgpt.com/x", "ftp://h/x", "http://u:p@h/x", "http://h/a b"]
)
def test_a_url_that_is_none_is_refused(url: str) -> None:
    """At the start."""
    with pytest.raises(ValueError):
        ConversationUpstream(url, ConversationOptions())


# -- what cannot be honoured -----------------------------------------------------------------------


def ignored(**fields: Any) -> tuple[str, ...]:
    return ConversationUpstream(URL, ConversationOptions()).ignored(asked(**fields))


def test_what_the_gateway_honours_itself_is_not_listed() -> None:
    """Nor what was not given."""
    assert ignored() == ()
    assert ignored(max_tokens=5, stop=("x",), n=2, stream=True, include_usage=True) == ()


def test_parameters_without_a_place_are_listed_by_the_clients_names() -> None:
    """They change how, not what is asked."""
    sampling = Sampling(temperature=0.0, top_p=1.0, seed=7, presence_penalty=1, frequency_penalty=1)
    assert ignored(
        sampling=sampling,
        tools=(Tool("t"),),
        tool_choice="auto",
        parallel_tool_calls=False,
        json=JsonFormat(),
        reasoning_effort="low",
        extras={"logit_bias": {"1": 1}, "logprobs": True, "tools": []},
    ) == (
        "temperature",
        "top_p",
        "seed",
        "presence_penalty",
        "frequency_penalty",
        "tools",
        "tool_choice",
        "parallel_tool_calls",
        "response_format",
        "reasoning_effort",
        "logit_bias",
        "logprobs",
    )


def test_tools_that_must_not_be_called_are_honoured() -> None:
    """By not offering them."""
    assert ignored(tools=(Tool("t"),), tool_choice="none") == ()
    legacy = {"tools": "functions", "tool_choice": "function_call"}
    named = legacy | {"parallel_tool_calls": "functions"}
    asks = {"tools": (Tool("t"),), "parallel_tool_calls": False, "own_names": named}
    assert ignored(**asks, tool_choice="auto") == ("functions", "function_call")
    with pytest.raises(InvalidRequest, match="as 'function_call' demands") as refused:
        ignored(**asks, tool_choice=NamedTool("t"))
    assert refused.value.param == "function_call"


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"tools": (Tool("t"),), "tool_choice": "required"}, "tool_choice"),
        ({"tools": (Tool("t"),), "tool_choice": NamedTool("t")}, "tool_choice"),
        ({"tool_choice": AllowedTools(("t",), "required")}, "tool_choice"),
        ({"json": JsonFormat(schema={"type": "object"}, strict=True)}, "response_format"),
        ({"extras": {"modalities": ["text", "audio"]}}, "modalities"),
    ],
)
def test_what_the_answer_would_have_to_be_is_refused(fields: dict[str, Any], param: str) -> None:
    """It could be so only by chance."""
    with pytest.raises(InvalidRequest) as caught:
        ignored(**fields)
    assert caught.value.param == param


def test_softer_wishes_are_only_listed() -> None:
    """A schema that need not be kept, tools that may be called."""
    assert ignored(json=JsonFormat(schema={"type": "object"})) == ("response_format",)
    assert ignored(tools=(Tool("t"),), tool_choice=AllowedTools(("t",))) == ("tools", "tool_choice")
    assert ignored(extras={"modalities": ["text"]}) == ("modalities",)


def test_an_image_is_refused_by_its_path() -> None:
    """Never dropped silently."""
    picture = Message("user", (Text("what is this?"), Image("https://example.org/a.png")))
    request = ChatRequest(model="m", messages=(*HI, picture))
    upstream = ConversationUpstream(URL, ConversationOptions())
    with pytest.raises(InvalidRequest) as caught:
        upstream.ignored(request)
    assert caught.value.param == "messages[1].content[1]"
    assert caught.value.status == 400


def test_the_upstream_hands_out_its_decoder_and_faults() -> None:
    """The whole contract in one object."""
    upstream = ConversationUpstream(URL, ConversationOptions())
    assert upstream.dialect == "conversation"
    assert upstream.decoder(asked(), ReplyHead(200, [])).done is False
    assert upstream.fault(ReplyHead(401, []), b"", 0.0).credential == "invalid"
