"""The door: what it refuses and how it says so, what it relays, what it understands."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openai.types.chat.completion_create_params import (
    CompletionCreateParamsBase,
    CompletionCreateParamsNonStreaming,
)

from chatgpt_to_api.chat.request import (
    AllowedTools,
    Audio,
    File,
    Grammar,
    Image,
    JsonFormat,
    Message,
    NamedTool,
    Reasoning,
    Refusal,
    Sampling,
    Text,
    Tool,
    ToolCall,
    ToolResult,
    Vendor,
)
from chatgpt_to_api.dialects.openai_chat.door import DOOR, ChatAsked
from chatgpt_to_api.dialects.openai_chat.messages import ChatCompletionRequest, TypedExtras
from chatgpt_to_api.errors import (
    BodyTooLarge,
    GatewayError,
    InvalidRequest,
    RateLimited,
    UpstreamRejected,
)
from chatgpt_to_api.wire.http import RequestHead

HEAD = RequestHead(
    "POST", "/v1/chat/completions", b"", [(b"content-type", b"application/x-www-form-urlencoded")]
)
HELLO = [{"role": "user", "content": "hi"}]
TOOL = {"type": "function", "function": {"name": "f"}}


def ask(body: Any = None, **fields: Any) -> ChatAsked:
    if body is None:
        body = {"model": "m", "messages": HELLO, **fields}
    return DOOR.ask(HEAD, body if isinstance(body, bytes) else json.dumps(body).encode())


def refusal(body: Any = None, **fields: Any) -> InvalidRequest:
    """The error of a request, from its first decode or its translation."""
    with pytest.raises(InvalidRequest) as raised:
        ask(body, **fields).request()
    return raised.value


# -- bad input -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "code", "words"),
    [
        (b"", "empty_body", "send a JSON object"),
        (b" \n", "empty_body", "send a JSON object"),
        (b'{"model": "m", "messages": [', "invalid_json", "ends too early, after 28 bytes"),
        (b'{"model": "m" "messages": []}', "invalid_json", "at byte 14"),
        (b"hello", "invalid_json", "at byte 0"),
        (b'{"model": "m", "messages": []} x', "invalid_json", "trailing characters at byte"),
        (b'{"model": "\xff"}', "invalid_json", "not valid UTF-8, at byte 11"),
        (b'{"user": "m", "odd": "\xc3"}', "invalid_json", "not valid UTF-8, at byte 22"),
        (b"[]", "invalid_request", "must be a JSON object: expected object, got array"),
        (b"null", "invalid_request", "must be a JSON object"),
        (b'"x"', "invalid_request", "must be a JSON object"),
        (b'{"x": ' + b"[" * 100_000, "nested_too_deeply", "nested too deeply"),
    ],
)
def test_a_body_that_is_no_request_is_told_what_is_wrong(
    body: bytes, code: str, words: str
) -> None:
    """Broken JSON says where; whatever is no object says what was expected."""
    error = refusal(body)
    assert error.status == 400
    assert error.code == code
    assert words in error.message


NOT_A_MODEL = "expected a model's name, got an empty string"


@pytest.mark.parametrize(
    ("fields", "param", "words"),
    [
        ({"model": None}, "model", "expected string, got null"),
        ({"model": 5}, "model", "expected string, got integer"),
        ({"model": ""}, "model", NOT_A_MODEL),
        ({"messages": []}, "messages", "at least one message"),
        ({"messages": "hi"}, "messages", "expected array, got string"),
        ({"messages": ["hi"]}, "messages[0]", "expected object, got string"),
        ({"messages": [*HELLO, {"content": "x"}]}, "messages[1].role", "Missing"),
        ({"messages": [{"role": "user"}]}, "messages[0].content", "got null"),
        ({"messages": [{"role": "user", "content": 5}]}, "messages[0].content", "got integer"),
        ({"messages": [{"role": "king", "content": "x"}]}, "messages[0].role", "one of system"),
        ({"messages": [{"role": "tool", "content": "x"}]}, "messages[0].tool_call_id", "nothing"),
        (
            {"messages": [{"role": "assistant", "tool_calls": [{"id": "a", "function": {}}]}]},
            "messages[0].tool_calls[0].function.name",
            "Missing",
        ),
        (
            {"messages": [{"role": "assistant", "tool_calls": [{"function": {"name": "f"}}]}]},
            "messages[0].tool_calls[0].id",
            "Missing",
        ),
        (
            {"messages": [{"role": "assistant", "tool_calls": [{"id": "a"}]}]},
            "messages[0].tool_calls[0].function",
            "expected object",
        ),
        (
            {"messages": [{"role": "assistant", "audio": {}}]},
            "messages[0].audio.id",
            "Missing",
        ),
        (
            {"messages": [{"role": "function", "name": "f", "content": "x"}]},
            "messages[0].name",
            "was called",
        ),
        ({"stream": "yes"}, "stream", "expected boolean or null, got string"),
        ({"stream_options": []}, "stream_options", "expected object or null, got array"),
        ({"stream_options": {"include_usage": 1}}, "stream_options.include_usage", "got integer"),
        ({"n": 0}, "n", "from 1 to 128, got 0"),
        ({"n": 129}, "n", "from 1 to 128, got 129"),
        ({"n": 1.5}, "n", "expected integer"),
        ({"temperature": 2.5}, "temperature", "from 0 to 2, got 2.5"),
        ({"temperature": "hot"}, "temperature", "expected number"),
        ({"top_p": -1}, "top_p", "from 0 to 1"),
        ({"presence_penalty": 3}, "presence_penalty", "from -2 to 2"),
        ({"frequency_penalty": -3}, "frequency_penalty", "from -2 to 2"),
        ({"max_tokens": 0}, "max_tokens", "at least 1, got 0"),
        ({"max_tokens": 5, "max_completion_tokens": -1}, "max_completion_tokens", "got -1"),
        ({"stop": 5}, "stop", "expected string, array or null, got integer"),
        ({"stop": ["a", 1]}, "stop[1]", "expected string, got integer"),
        ({"stop": ["x"] * 17}, "stop", "at most 16 strings, got 17"),
        ({"stop": ["a", "x" * 1001]}, "stop[1]", "at most 1000 characters"),
        ({"tools": {}}, "tools", "expected array or null, got object"),
        ({"tools": [5]}, "tools[0]", "expected object, got integer"),
        ({"tools": [{"type": "function"}]}, "tools[0].function", "Missing"),
        (
            {"tools": [{"type": "function", "function": {"name": 1}}]},
            "tools[0].function.name",
            "expected string, got integer",
        ),
        (
            {"tools": [{"type": "function", "function": {"name": "f", "parameters": []}}]},
            "tools[0].function.parameters",
            "expected object or null, got array",
        ),
        ({"tool_choice": "perhaps"}, "tool_choice", "auto, none, required"),
        ({"functions": [{"name": 5}]}, "functions[0].name", "expected string"),
        ({"functions": [{"name": "f"}], "tools": [TOOL]}, "functions", "got both"),
        ({"functions": [{"name": "f"}], "tool_choice": "none"}, "tool_choice", "'function_call'"),
        ({"tools": [TOOL], "function_call": {"name": "f"}}, "function_call", "'functions' beside"),
        ({"response_format": {"type": "json_schema"}}, "response_format.json_schema", "nothing"),
        ({"response_format": {}}, "response_format.type", "Missing"),
        ({"user": 5}, "user", "expected string or null"),
        ({"metadata": json.loads("[" * 150 + "]" * 150)}, "metadata[0][0]", "100 deep in"),
    ],
)
def test_a_wrong_field_is_named_with_what_was_expected(
    fields: dict[str, Any], param: str, words: str
) -> None:
    """The error's param is the field's path as the vendor writes it."""
    error = refusal({"model": "m", "messages": HELLO} | fields)
    assert error.status == 400
    assert error.param == param
    assert words in error.message
    assert f"'{param}'" in error.message


def test_an_idle_word_of_the_other_way_to_give_functions_is_no_error() -> None:
    """Clients fill in defaults: an empty list, or a choice that demands nothing."""
    for fields in ({"functions": []}, {"function_call": "auto"}, {"function_call": None}):
        assert len(ask(tools=[TOOL], **fields).request().tools) == 1
    assert len(ask(functions=[{"name": "f"}], tools=[]).request().tools) == 1


def test_a_missing_field_says_which() -> None:
    """Neither the model nor the messages can be guessed."""
    for missing in ("model", "messages"):
        body = {"model": "m", "messages": HELLO}
        del body[missing]
        error = refusal(body)
        assert (error.param, error.code) == (missing, "missing_required_parameter")


@pytest.mark.parametrize(
    ("part", "where", "words"),
    [
        ({}, "type", "got nothing"),
        ({"type": "video_url"}, "type", "one of text, image_url"),
        ({"type": "text"}, "text", "expected string, got nothing"),
        ({"type": "text", "text": 5}, "text", "got number"),
        ({"type": "image_url"}, "image_url", "expected object, got nothing"),
        ({"type": "image_url", "image_url": {"url": 5}}, "image_url.url", "got number"),
        ({"type": "image_url", "image_url": {"url": "ftp://x"}}, "image_url.url", "https"),
        ({"type": "image_url", "image_url": "file:///etc/passwd"}, "image_url", "https"),
        (
            {"type": "image_url", "image_url": {"url": "data:,", "detail": 1}},
            "image_url.detail",
            "got number",
        ),
        ({"type": "input_audio", "input_audio": {"data": "AA"}}, "input_audio.format", "nothing"),
        ({"type": "file", "file": {}}, "file", "file_data or file_id"),
        ({"type": "file", "file": True}, "file", "expected object, got boolean"),
    ],
)
def test_a_wrong_part_is_named_to_the_last_field(
    part: dict[str, Any], where: str, words: str
) -> None:
    """A message's content parts are checked one by one."""
    content = [{"type": "text", "text": "see"}, part]
    error = refusal(messages=[*HELLO, {"role": "user", "content": content}])
    assert error.param == f"messages[1].content[1].{where}"
    assert words in error.message


def test_parts_a_tool_cannot_give_back_are_refused() -> None:
    """A result is text, pictures, files."""
    sound = {"type": "input_audio", "input_audio": {"data": "AA==", "format": "wav"}}
    message = {"role": "tool", "tool_call_id": "a", "content": [sound]}
    assert refusal(messages=[message]).param == "messages[0].content[0].type"


NAMES = st.sampled_from(
    (
        *("model", "messages", "role", "content", "type", "text", "tools", "stop", "n", "function"),
        *("tool_calls", "response_format", "stream_options", "image_url", "metadata", "name"),
        *("tool_choice", "json_schema", "url", "id", "arguments", "functions", "function_call"),
    )
)
VALUE = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.text()
    | st.sampled_from(
        ["user", "assistant", "tool", "text", "image_url", "function", "json_schema"]
    ),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=4),
    max_leaves=8,
)
ANYTHING = VALUE | st.builds(
    lambda messages, rest: rest | {"model": "m", "messages": messages},
    st.lists(
        st.dictionaries(NAMES, VALUE, max_size=5).map(lambda m: {"role": "user"} | m),
        min_size=1,
        max_size=3,
    ),
    st.dictionaries(NAMES, VALUE, max_size=5),
)


@settings(max_examples=300)
@given(body=st.binary() | ANYTHING.map(lambda value: json.dumps(value).encode()))
def test_random_input_is_understood_or_refused(body: bytes) -> None:
    """Nothing a client can send raises anything but InvalidRequest."""
    try:
        asked = DOOR.ask(HEAD, body)
        asked.request()
    except InvalidRequest:
        return
    assert isinstance(asked.affinity, bytes)
    assert isinstance(asked.opening, bytes)
    assert asked.relayed("other", ask_usage=True)


# -- the relay lane --------------------------------------------------------------------------

ODD = (
    b'{ "model" : "m","future": {"b": 1.50, "a": [ ]},\n"messages": [{"role": "user", "content": '
    b'[{"type": "hologram", "shape": {"x":  1e2}}], "mood": "\\u00e4"}], "stream": true }'
)


def test_a_relayed_body_is_the_clients_own_bytes() -> None:
    """Where nothing must change, nothing does: the very same object goes on."""
    asked = ask(ODD)
    assert asked.relayed("m", ask_usage=False) is ODD
    quiet = ODD.replace(b"true", b"false")
    assert ask(quiet).relayed("m", ask_usage=True) == quiet


def test_only_the_model_and_the_stream_options_are_replaced() -> None:
    """Every other value keeps its bytes and its place; unknown parts and fields go through."""
    relayed = ask(ODD).relayed("ü", ask_usage=True)
    before = msgspec.json.decode(ODD, type=dict[str, msgspec.Raw])
    after = msgspec.json.decode(relayed, type=dict[str, msgspec.Raw])
    assert list(after) == [*before, "stream_options"]
    for name in ("future", "messages", "stream"):
        assert bytes(after[name]) == bytes(before[name])
    assert json.loads(relayed)["model"] == "ü"
    assert json.loads(relayed)["stream_options"] == {"include_usage": True}


@pytest.mark.parametrize(
    ("given_options", "sent"),
    [
        (None, {"include_usage": True}),
        ({"include_usage": False}, {"include_usage": True}),
        ({"include_obfuscation": False}, {"include_obfuscation": False, "include_usage": True}),
        ({"include_usage": True, "x": 1}, {"include_usage": True, "x": 1}),
    ],
)
def test_usage_is_asked_for_beside_the_clients_own_options(
    given_options: dict[str, Any] | None, sent: dict[str, Any]
) -> None:
    """Whatever the client set besides stays."""
    asked = ask(stream=True, stream_options=given_options)
    assert json.loads(asked.relayed("m", ask_usage=True))["stream_options"] == sent
    assert asked.include_usage == bool(given_options and given_options.get("include_usage"))


def test_a_byte_order_mark_is_no_error() -> None:
    """Files saved by some editors begin with one."""
    assert (
        ask(b"\xef\xbb\xbf" + json.dumps({"model": "m", "messages": HELLO}).encode()).model == "m"
    )


# -- affinity --------------------------------------------------------------------------------


def test_a_session_is_known_by_header_then_cache_key_then_metadata() -> None:
    """The dialect's own signs, in this order; none is b""."""
    keyed: dict[str, Any] = {"prompt_cache_key": "key", "metadata": {"user_id": "u"}}
    body = json.dumps({"model": "m", "messages": HELLO, **keyed}).encode()
    head = RequestHead("POST", "/", b"", [(b"x-session-id", b"s1")])
    assert DOOR.ask(head, body).affinity == b"s1"
    assert ask(**keyed).affinity == b"key"
    assert ask(metadata={"user_id": "u"}).affinity == b"u"
    assert ask(metadata={"session_id": "s", "user_id": "u"}).affinity == b"s"
    assert ask(metadata={"user_id": 5}).affinity == b""
    assert ask().affinity == b""


def test_a_conversation_is_known_by_its_opening_once_it_goes_on() -> None:
    """A first turn has no opening; later turns share it; marks that move do not change it."""
    system = {"role": "system", "content": "be brief"}
    later = [*HELLO, {"role": "assistant", "content": "yo"}]
    assert ask(messages=HELLO).opening == b""
    opening = ask(messages=[system, *later]).opening
    assert opening
    more = [*later, {"role": "user", "content": "more"}]
    assert ask(messages=[system, *more]).opening == opening
    assert ask(messages=more).opening != opening
    part = {"type": "text", "text": "hi"}
    marked = part | {"cache_control": {"type": "ephemeral"}}
    plain, cached = ([{"role": "user", "content": [p]}, *later[1:]] for p in (part, marked))
    assert ask(messages=plain).opening == ask(messages=cached).opening


# -- translation -----------------------------------------------------------------------------


@given(
    fields=st.fixed_dictionaries(
        {},
        optional={
            "stream": st.sampled_from([True, False, None]),
            "stream_options": st.sampled_from(
                [None, {}, {"include_usage": True}, {"include_usage": None, "chunk": [1]}]
            ),
            "messages": st.sampled_from(
                [
                    HELLO,
                    [{"role": "system", "content": "Be short."}, {**HELLO[0], "mood": "high"}],
                    [{"role": "assistant", "tool_calls": [{"id": "c", **TOOL}]}, *HELLO],
                ]
            ),
        },
    )
)
def test_a_request_of_words_alone_is_understood_as_any_other(fields: dict[str, Any]) -> None:
    """Giving one more parameter, with its usual value, changes nothing of the rest."""
    if "messages" in fields and "tool_calls" in fields["messages"][0]:
        fields["messages"][0]["tool_calls"][0]["function"] = {"name": "f", "arguments": "{}"}
    assert ask(**fields).request() == ask(n=1, **fields).request()


def test_a_parameter_is_canonical_or_an_extra() -> None:
    """Where every name is canonical, there are no extras whose types have to be looked at."""
    named = set(ChatCompletionRequest.__struct_fields__) - {"metadata"}
    assert named.isdisjoint(TypedExtras.__struct_fields__)


def test_every_parameter_finds_its_canonical_field() -> None:
    """Roles, names, parts, tools, choices, formats, sampling."""
    request = ask(
        messages=[
            {"role": "system", "content": "s"},
            {"role": "developer", "content": [{"type": "text", "text": "d"}]},
            {
                "role": "user",
                "name": "ann",
                "content": [
                    {"type": "text", "text": "t", "cache_control": {"type": "ephemeral"}},
                    {"type": "image_url", "image_url": {"url": "https://x", "detail": "low"}},
                    {"type": "image_url", "image_url": "data:image/png;base64,AA=="},
                    {"type": "input_audio", "input_audio": {"data": "AA", "format": "wav"}},
                    {"type": "file", "file": {"file_id": "f1"}},
                ],
            },
            {
                "role": "assistant",
                "content": None,
                "reasoning_content": "hm",
                "refusal": "no",
                "tool_calls": [
                    {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}},
                    {"id": "c2", "type": "custom", "custom": {"name": "g", "input": "raw"}},
                ],
            },
            {"role": "tool", "tool_call_id": "c1", "content": "done"},
        ],
        tools=[
            {
                "type": "function",
                "function": {
                    "name": "f",
                    "description": "d",
                    "parameters": {"type": "object"},
                    "strict": True,
                },
            },
            {"type": "web_search"},
        ],
        tool_choice={"type": "function", "function": {"name": "f"}},
        parallel_tool_calls=False,
        response_format={"type": "json_schema", "json_schema": {"name": "n", "schema": {"a": 1}}},
        stop="END",
        temperature=1,
        seed=7,
        n=2,
        max_tokens=5,
        max_completion_tokens=9,
        reasoning_effort="low",
        user="u",
    ).request()
    assert request.named("max_tokens") == "max_completion_tokens"
    assert request.messages == (
        Message("system", (Text("s"),)),
        Message("developer", (Text("d"),)),
        Message(
            "user",
            (
                Text("t", Vendor("openai_chat", {"cache_control": {"type": "ephemeral"}})),
                Image("https://x", "low"),
                Image("data:image/png;base64,AA=="),
                Audio("AA", "wav"),
                File(file_id="f1"),
            ),
            "ann",
        ),
        Message(
            "assistant",
            (
                Reasoning("hm"),
                Refusal("no"),
                ToolCall("c1", "f", "{}"),
                ToolCall("c2", "g", "raw", freeform=True),
            ),
        ),
        Message("tool", (ToolResult("c1", (Text("done"),)),)),
    )
    assert request.tools == (Tool("f", "d", {"type": "object"}, True),)
    assert request.extras == {"tools": [{"type": "web_search"}]}
    assert request.tool_choice == NamedTool("f")
    assert request.parallel_tool_calls is False
    assert request.json == JsonFormat({"a": 1}, "n")
    assert request.stop == ("END",)
    assert request.sampling == Sampling(temperature=1, seed=7)
    assert (request.n, request.max_tokens, request.user) == (2, 9, "u")
    assert request.reasoning_effort == "low"


@pytest.mark.parametrize("content", [None, "", []])
def test_a_call_without_words_is_taken_in_each_spelling(content: Any) -> None:
    """Content null, missing, or empty beside tool calls is the same."""
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": ""}}
    message: dict[str, Any] = {"role": "assistant", "tool_calls": [call]}
    missing = ask(messages=[message]).request()
    assert ask(messages=[message | {"content": content}]).request() == missing
    assert missing.messages[0].parts == (ToolCall("c", "f", ""),)


def test_functions_of_the_time_before_tools_are_tools() -> None:
    """Legacy calls get counted ids, so that results find them and equal turns stay equal."""
    call = {"name": "f", "arguments": "{}"}
    asked = ask(
        messages=[
            *HELLO,
            {"role": "assistant", "content": None, "function_call": call},
            {"role": "function", "name": "f", "content": "1"},
            {"role": "assistant", "content": None, "function_call": call},
            {"role": "function", "name": "f", "content": "2"},
        ],
        functions=[{"name": "f", "parameters": {"type": "object"}}],
        function_call={"name": "f"},
    )
    request = asked.request()
    assert [message.parts[0] for message in request.messages[1:]] == [
        ToolCall("call_1", "f", "{}"),
        ToolResult("call_1", (Text("1"),)),
        ToolCall("call_2", "f", "{}"),
        ToolResult("call_2", (Text("2"),)),
    ]
    assert request.tools == (Tool("f", None, {"type": "object"}),)
    assert request.tool_choice == NamedTool("f")
    assert request.parallel_tool_calls is False
    assert asked.request() == request


@pytest.mark.parametrize(
    ("given_choice", "canonical", "extra"),
    [
        ("auto", "auto", None),
        ("none", "none", None),
        ("required", "required", None),
        (
            {
                "type": "allowed_tools",
                "allowed_tools": {
                    "mode": "required",
                    "tools": [{"type": "function", "function": {"name": "f"}}],
                },
            },
            AllowedTools(("f",), "required"),
            None,
        ),
        ({"type": "custom", "custom": {"name": "g"}}, NamedTool("g"), None),
        (
            {
                "type": "allowed_tools",
                "allowed_tools": {"tools": [{"type": "custom", "custom": {"name": "g"}}]},
            },
            AllowedTools(("g",)),
            None,
        ),
        ({"type": "hosted", "name": "g"}, None, {"type": "hosted", "name": "g"}),
    ],
)
def test_tool_choices(given_choice: Any, canonical: Any, extra: Any) -> None:
    """What has a canonical form takes it; what only this dialect knows is an extra."""
    request = ask(tool_choice=given_choice).request()
    assert request.tool_choice == canonical
    assert request.extras.get("tool_choice") == extra


def custom(**fields: Any) -> Any:
    return {"type": "custom", "custom": {"name": "g", **fields}}


LARK: Any = {"type": "grammar", "grammar": {"syntax": "lark", "definition": "start: /x/"}}


def test_freeform_tools() -> None:
    """Trap 50: they are tools; of a text in an unknown form only this dialect's servers know."""
    hosted = custom(format={"type": "picture"})
    tools = [
        custom(description="d", format=LARK),
        custom(format={"type": "text"}) | {"cache_control": 1},
        hosted,
        {"type": "hosted"},
    ]
    request = ask(tools=tools).request()
    assert request.tools == (
        Tool("g", "d", freeform=True, grammar=Grammar("lark", "start: /x/")),
        Tool("g", vendor=Vendor("openai_chat", {"cache_control": 1}), freeform=True),
    )
    assert request.extras == {"tools": [hosted, {"type": "hosted"}]}


@pytest.mark.parametrize(
    ("tool", "param"),
    [
        ({"type": "custom"}, "tools[0].custom"),
        ({"type": "custom", "custom": {}}, "tools[0].custom.name"),
        (custom(description=1), "tools[0].custom.description"),
        (custom(format={"type": "grammar"}), "tools[0].custom.format.grammar"),
        (
            custom(format={"type": "grammar", "grammar": {"syntax": "lark"}}),
            "tools[0].custom.format.grammar.definition",
        ),
    ],
)
def test_what_is_wrong_with_a_freeform_tool(tool: Any, param: str) -> None:
    """The error names the place."""
    with pytest.raises(InvalidRequest) as caught:
        ask(tools=[tool]).request()
    assert caught.value.param == param


@pytest.mark.parametrize(
    ("form", "canonical"),
    [
        (None, None),
        ({"type": "text"}, None),
        ({"type": "json_object"}, JsonFormat()),
    ],
)
def test_response_formats(form: Any, canonical: JsonFormat | None) -> None:
    """Text is no format; an unknown kind is kept for who may know it."""
    assert ask(response_format=form).request().json == canonical
    grammar = {"type": "grammar", "grammar": "x"}
    assert ask(response_format=grammar).request().extras == {"response_format": grammar}


EXTRAS: dict[str, Any] = {
    "audio": {"voice": "alloy", "format": "wav"},
    "logit_bias": {"50256": -100},
    "logprobs": True,
    "metadata": {"a": "b"},
    "modalities": ["text", "audio"],
    "moderation": {"model": "m"},
    "prediction": {"type": "content", "content": "x"},
    "prompt_cache_options": {"mode": "explicit"},
    "prompt_cache_retention": "24h",
    "safety_identifier": "s",
    "service_tier": "flex",
    "store": True,
    "top_logprobs": 5,
    "verbosity": "low",
    "web_search_options": {"search_context_size": "low"},
}


@pytest.mark.parametrize(
    ("fields", "param", "words"),
    [
        ({"logprobs": "yes"}, "logprobs", "expected boolean or null, got string"),
        ({"top_logprobs": 129}, "top_logprobs", "expected integer <= 128"),
        ({"logit_bias": {"5": 101}}, "logit_bias[...]", "expected number <= 100"),
        ({"logit_bias": [5]}, "logit_bias", "expected object or null, got array"),
        ({"store": 1}, "store", "expected boolean or null, got integer"),
        ({"modalities": "audio"}, "modalities", "expected array or null, got string"),
        ({"stream_options": {"include_usage": 1}}, "stream_options.include_usage", "boolean"),
    ],
)
def test_an_extra_of_a_wrong_type_or_range_is_named(
    fields: dict[str, Any], param: str, words: str
) -> None:
    """Whoever translates says what is wrong with the parameters that have no field of their own."""
    error = refusal(**fields)
    assert error.param == param
    assert words in error.message


def test_what_has_no_canonical_field_is_an_extra_unless_null() -> None:
    """Today's other parameters and tomorrow's are kept under their own names."""
    given_extras = EXTRAS | {"of_tomorrow": {"a": [1]}}
    request = ask(**given_extras, absent=None, seed=None, stream_options=None).request()
    assert request.extras == given_extras
    assert ask(prompt_cache_key="k").request().prompt_cache_key == "k"


def test_every_parameter_of_todays_api_is_known() -> None:
    """What the official SDK can send is canonical, or an extra whose type is checked."""
    known = {*TypedExtras.__struct_fields__, *ChatCompletionRequest.__struct_fields__}
    official = CompletionCreateParamsNonStreaming.__annotations__.keys() | {"stream"}
    inherited = CompletionCreateParamsBase.__annotations__.keys()
    assert (official | inherited) - known == set()
    assert set(EXTRAS) >= set(TypedExtras.__struct_fields__)


# -- errors ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "status", "body"),
    [
        (
            InvalidRequest("no", param="a.b", code="c"),
            400,
            {"message": "no", "type": "invalid_request_error", "param": "a.b", "code": "c"},
        ),
        (
            BodyTooLarge("big"),
            413,
            {
                "message": "big",
                "type": "invalid_request_error",
                "param": None,
                "code": "request_too_large",
            },
        ),
        (
            UpstreamRejected("m", status=422, said="why"),
            422,
            {
                "message": "m Upstream said: why",
                "type": "invalid_request_error",
                "param": None,
                "code": "upstream_rejected",
            },
        ),
    ],
)
def test_errors_have_the_vendors_shape(
    error: GatewayError, status: int, body: dict[str, Any]
) -> None:
    """Status, and an object with message, type, param and code."""
    reply = DOOR.failure(error)
    assert reply.status == status
    assert json.loads(reply.body) == {"error": body}
    assert dict(reply.headers) == {b"content-type": b"application/json"}


def test_an_error_that_passes_says_when() -> None:
    """Retry-After is whole seconds, rounded up."""
    headers = dict(DOOR.failure(RateLimited("busy", retry_after=1.2)).headers)
    assert headers[b"retry-after"] == b"2"
