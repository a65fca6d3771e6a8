"""The door's side of a request: what is read of it, what is refused, and where it is at fault."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

from chatgpt_to_api.chat.request import (
    AllowedTools,
    ChatRequest,
    File,
    Foreign,
    Grammar,
    Image,
    JsonFormat,
    Message,
    NamedTool,
    Opaque,
    Reasoning,
    Refusal,
    Text,
    Tool,
    ToolCall,
    ToolResult,
    Vendor,
)
from chatgpt_to_api.dialects.openai_responses import seals
from chatgpt_to_api.dialects.openai_responses.door import DOOR, ResponsesAsked, ResponsesDoor
from chatgpt_to_api.dialects.openai_responses.naming import MOST, flat_name
from chatgpt_to_api.errors import (
    GatewayError,
    InvalidRequest,
    NotFound,
    RateLimited,
    UpstreamRejected,
)
from chatgpt_to_api.wire.http import RequestHead
from chatgpt_to_api.wire.limits import RequestLimits

HEAD = RequestHead("POST", "/v1/responses", b"", [])
OWN = "openai_responses"


def ask(input: Any = "hi", *, head: RequestHead = HEAD, **more: Any) -> ResponsesAsked:
    return DOOR.ask(head, json.dumps({"model": "m", "input": input, **more}).encode())


def request(input: Any = "hi", **more: Any) -> ChatRequest:
    return ask(input, **more).request()


def function(name: str, **more: Any) -> dict[str, Any]:
    return {"type": "function", "name": name, "parameters": {"type": "object"}, **more}


# -- input -----------------------------------------------------------------------------------


def test_input_may_be_a_string_or_items() -> None:
    """Trap 53: both forms, and instructions stand before whatever system items there are."""
    assert request("hi").messages == (Message("user", (Text("hi"),)),)
    items = [
        {"role": "system", "content": "s"},
        {"type": "message", "role": "developer", "content": [{"type": "input_text", "text": "d"}]},
        {"role": "user", "content": "u"},
        {"role": "assistant", "content": [{"type": "output_text", "text": "a", "annotations": []}]},
    ]
    assert request(items, instructions="i").messages == (
        Message("system", (Text("i"),)),
        Message("system", (Text("s"),)),
        Message("developer", (Text("d"),)),
        Message("user", (Text("u"),)),
        Message("assistant", (Text("a"),)),
    )


def test_a_system_item_in_the_middle_keeps_its_place() -> None:
    """Trap 24: it is neither hoisted nor dropped."""
    items = [
        {"role": "user", "content": "u"},
        {"role": "developer", "content": "d"},
        {"role": "user", "content": "v"},
    ]
    assert [message.role for message in request(items).messages] == ["user", "developer", "user"]


def test_what_the_model_did_in_a_row_is_one_message() -> None:
    """Thoughts, words and parallel calls together, each output by itself."""
    items = [
        {"role": "user", "content": "u"},
        {
            "type": "reasoning",
            "id": "rs_1",
            "summary": [
                {"type": "summary_text", "text": "a"},
                {"type": "summary_text", "text": "b"},
            ],
            "content": None,
            "encrypted_content": "sealed==",
        },
        {
            "type": "message",
            "id": "msg_1",
            "status": "completed",
            "role": "assistant",
            "content": [
                {"type": "output_text", "text": "t", "annotations": [{"type": "x"}]},
                {"type": "refusal", "refusal": "no"},
            ],
        },
        {"type": "function_call", "id": "fc_1", "call_id": "c1", "name": "f", "arguments": "{}"},
        {"type": "custom_tool_call", "id": "ctc_1", "call_id": "c2", "name": "p", "input": "x\n"},
        {"type": "function_call_output", "call_id": "c1", "output": "one"},
        {
            "type": "custom_tool_call_output",
            "call_id": "c2",
            "output": [
                {"type": "input_text", "text": "two"},
                {"type": "input_image", "image_url": "data:image/png;base64,AA=="},
            ],
        },
    ]
    user, said, first, second = request(items).messages
    assert user.role == "user"
    assert said.parts == (
        Reasoning("a\n\nb", Opaque(OWN, "sealed==")),
        Text("t"),
        Refusal("no"),
        ToolCall("c1", "f", "{}"),
        ToolCall("c2", "p", "x\n", freeform=True),
    )
    assert first == Message("tool", (ToolResult("c1", (Text("one"),)),))
    assert second == Message(
        "tool", (ToolResult("c2", (Text("two"), Image("data:image/png;base64,AA=="))),)
    )


def test_a_turn_of_very_many_items_takes_no_time() -> None:
    """Each item looked at all before it: minutes for a request of four megabytes."""
    many = [{"type": "output_text", "text": "a"}] * 100_000
    items = [{"role": "assistant", "content": many}]
    items += [{"role": "assistant", "content": "a", "phase": "commentary"}] * 2
    items += [{"role": "assistant", "content": "a"}] * 2000
    began = time.process_time()
    first, second = request(items).messages
    assert time.process_time() - began < 10
    assert (len(first.parts), len(second.parts)) == (100_000, 2002)


def test_parts_of_every_kind_are_read() -> None:
    """Pictures and files by data, URL and id; fields of the vendor alone stay with their part."""
    parts = [
        {"type": "input_text", "text": "t", "prompt_cache_breakpoint": {"mode": "explicit"}},
        {"type": "input_image", "image_url": "https://a.b/c.png", "detail": "high"},
        {"type": "input_image", "file_id": "file-1"},
        {"type": "input_file", "file_data": "data:text/plain;base64,AA==", "filename": "a.txt"},
        {"type": "input_file", "file_url": "https://a.b/c.pdf"},
        {"type": "input_audio", "input_audio": {"data": "AA==", "format": "wav"}},
    ]
    [message] = request([{"role": "user", "content": parts}]).messages
    text, image, kept, file, linked, audio = message.parts
    assert text == Text("t", Vendor(OWN, {"prompt_cache_breakpoint": {"mode": "explicit"}}))
    assert image == Image("https://a.b/c.png", "high")
    assert kept == File(file_id="file-1", vendor=Vendor(OWN, {"type": "input_image"}))
    assert file == File(data="data:text/plain;base64,AA==", filename="a.txt")
    assert linked == File(url="https://a.b/c.pdf")
    assert not isinstance(audio, Text)


def test_items_of_hosted_tools_are_foreign_and_unknown_ones_too() -> None:
    """Trap 51: nothing of them is refused; other dialects are asked without them."""
    search = {"type": "web_search_call", "id": "ws_1", "status": "completed"}
    output = {"type": "computer_call_output", "call_id": "c", "output": {}}
    items = [{"role": "user", "content": "u"}, search, output, {"type": "brand_new", "x": 1}]
    _, said, brought, new = request(items).messages
    [part] = said.parts
    assert isinstance(part, Foreign)
    assert (part.opaque.dialect, json.loads(part.opaque.data)) == (OWN, search)
    assert (said.role, brought.role, new.role) == ("assistant", "user", "assistant")


def test_ids_of_items_are_nobodys_business() -> None:
    """Equal turns give equal requests, whether a client repeats the ids and states or not."""
    plain: list[dict[str, Any]] = [
        {"role": "user", "content": "u"},
        {"type": "function_call", "call_id": "c1", "name": "f", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c1", "output": "one"},
    ]
    named = [{**item, "id": f"id_{n}", "status": "completed"} for n, item in enumerate(plain)]
    assert request(plain) == request(named)


# -- tools -----------------------------------------------------------------------------------


def test_functions_and_custom_tools_are_tools() -> None:
    """Trap 50: a custom tool is a freeform one, with its grammar."""
    grammar = {"type": "grammar", "syntax": "lark", "definition": 'start: "x"'}
    tools = [
        function("f", description="d", strict=True),
        {"type": "custom", "name": "p", "description": "patch", "format": grammar},
        {"type": "custom", "name": "q"},
    ]
    assert request(tools=tools).tools == (
        Tool("f", "d", {"type": "object"}, strict=True),
        Tool("p", "patch", freeform=True, grammar=Grammar("lark", 'start: "x"')),
        Tool("q", freeform=True),
    )


def test_a_tool_of_a_namespace_has_a_flat_name() -> None:
    """What it was made of stays in its vendor fields, and a call of it in the history agrees."""
    tools = [
        {
            "type": "namespace",
            "name": "mcp__x",
            "description": "D",
            "tools": [function("js"), {"type": "custom", "name": "exec"}],
        }
    ]
    call = {"type": "function_call", "call_id": "c", "name": "js", "namespace": "mcp__x"}
    asked = request([{"role": "user", "content": "u"}, call], tools=tools)
    js, run = asked.tools
    space = {"name": "mcp__x", "description": "D"}
    assert js.name == "mcp__x__js"
    assert js.vendor == Vendor(OWN, {"namespace": space, "name": "js"})
    assert (run.name, run.freeform) == ("mcp__x__exec", True)
    [part] = asked.messages[-1].parts
    assert isinstance(part, ToolCall)
    assert part.name == js.name


def test_hosted_tools_stand_apart() -> None:
    """Trap 51: they are for servers of this dialect; nothing is refused for them."""
    hosted = [{"type": "web_search"}, {"type": "image_generation", "size": "auto"}]
    asked = request(tools=[*hosted, function("f")], tool_choice={"type": "web_search"})
    assert asked.extras["tools"] == hosted
    assert asked.extras["tool_choice"] == {"type": "web_search"}
    assert [tool.name for tool in asked.tools] == ["f"]


def test_tools_are_declared_among_the_items_too() -> None:
    """``additional_tools``, and what a client's own search has found."""
    found = [{"type": "namespace", "name": "n", "tools": [function("late")]}]
    items = [
        {
            "type": "additional_tools",
            "role": "developer",
            "tools": [{"type": "custom", "name": "e"}],
        },
        {"role": "user", "content": "u"},
        {
            "type": "tool_search_call",
            "call_id": "c",
            "execution": "client",
            "arguments": {"query": "late"},
        },
        {"type": "tool_search_output", "call_id": "c", "execution": "client", "tools": found},
    ]
    search = {"type": "tool_search", "execution": "client", "parameters": {"type": "object"}}
    asked = request(items, tools=[search])
    assert [tool.name for tool in asked.tools] == ["tool_search", "e", "n__late"]
    _, call, output = asked.messages
    [part] = call.parts
    assert isinstance(part, ToolCall)
    assert (part.name, json.loads(part.arguments)) == ("tool_search", {"query": "late"})
    [result] = output.parts
    assert isinstance(result, ToolResult)
    assert isinstance(result.parts[0], Text)
    assert json.loads(result.parts[0].text) == found


def test_the_servers_own_tool_search_is_a_hosted_tool() -> None:
    """Only a server of this dialect can make it."""
    assert request(tools=[{"type": "tool_search"}]).extras["tools"] == [{"type": "tool_search"}]


def test_tool_choices_of_every_kind() -> None:
    """Words, functions, custom tools, those of namespaces, a set of allowed ones."""
    tools = [function("f"), {"type": "custom", "name": "p"}]
    assert request(tools=tools, tool_choice="required").tool_choice == "required"
    chosen = request(tools=tools, tool_choice={"type": "function", "name": "f"})
    assert chosen.tool_choice == NamedTool("f")
    assert request(tool_choice={"type": "custom", "name": "p"}).tool_choice == NamedTool("p")
    spaced = {"type": "function", "name": "f", "namespace": "n"}
    assert request(tool_choice=spaced).tool_choice == NamedTool("n__f")
    allowed = {
        "type": "allowed_tools",
        "mode": "required",
        "tools": [{"type": "function", "name": "f"}, {"type": "web_search"}],
    }
    asked = request(tools=tools, tool_choice=allowed)
    assert asked.tool_choice == AllowedTools(("f",), "required")
    assert asked.extras["tool_choice"] == allowed


def test_two_tools_that_would_share_a_name_are_refused() -> None:
    """A call of one could not be told from a call of the other."""
    tools = [function("n__f"), {"type": "namespace", "name": "n", "tools": [function("f")]}]
    with pytest.raises(InvalidRequest) as refused:
        request(tools=tools)
    assert refused.value.param == "tools[1].tools[0].name"


@given(st.none() | st.text(min_size=1, max_size=80), st.text(min_size=1, max_size=80))
def test_flat_names_fit_every_dialect_and_differ(namespace: str | None, name: str) -> None:
    """Trap 28: at most 64 of the usual characters, the same each time, others for other tools."""
    flat = flat_name(namespace, name)
    assert len(flat) <= MOST
    assert flat.isascii()
    assert flat.replace("_", "").replace("-", "").isalnum() or set(flat) <= set("_-")
    assert flat == flat_name(namespace, name)
    assert flat != flat_name(namespace, name + "!")


# -- parameters ------------------------------------------------------------------------------


def test_parameters_have_their_canonical_places() -> None:
    """What has no place stands in extras; what the gateway itself sees to, nowhere."""
    schema = {"type": "object", "properties": {}}
    form = {"type": "json_schema", "name": "n", "schema": schema, "strict": True}
    asked = request(
        temperature=1,
        top_p=0.5,
        max_output_tokens=7,
        parallel_tool_calls=False,
        prompt_cache_key="k",
        user="u",
        stream=True,
        text={"format": form, "verbosity": "low"},
        reasoning={"effort": "high", "summary": "auto"},
        include=["reasoning.encrypted_content"],
        truncation="auto",
        service_tier="flex",
        store=False,
        metadata={"a": "b"},
        background=False,
    )
    assert (asked.sampling.temperature, asked.sampling.top_p, asked.max_tokens) == (1, 0.5, 7)
    assert asked.parallel_tool_calls is False
    assert (asked.prompt_cache_key, asked.user, asked.stream) == ("k", "u", True)
    assert asked.json == JsonFormat(schema, "n", None, strict=True)
    assert asked.reasoning_effort == "high"
    assert asked.extras == {
        "include": ["reasoning.encrypted_content"],
        "truncation": "auto",
        "service_tier": "flex",
        "verbosity": "low",
        "reasoning": {"summary": "auto"},
    }
    assert asked.named("verbosity") == "text.verbosity"
    assert asked.named("reasoning") == "reasoning.summary"
    assert asked.named("max_tokens") == "max_output_tokens"


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"input": None}, "input"),
        ({"input": []}, "input"),
        ({"input": 5}, "input"),
        ({"model": ""}, "model"),
        ({"input": [{"role": "wizard", "content": "x"}]}, "input[0].role"),
        ({"input": [{"role": "user"}]}, "input[0].content"),
        ({"input": [{"role": "user", "content": [{"type": "x"}]}]}, "input[0].content[0].type"),
        ({"input": [{"type": "function_call", "name": "f"}]}, "input[0].call_id"),
        (
            {
                "input": [
                    {"type": "function_call_output", "call_id": "c", "output": [{"type": "x"}]}
                ]
            },
            "input[0].output[0].type",
        ),
        (
            {
                "input": [
                    {"role": "user", "content": [{"type": "input_image", "image_url": "ftp:x"}]}
                ]
            },
            "input[0].content[0].image_url",
        ),
        ({"tools": [{"type": "function"}]}, "tools[0].name"),
        ({"tools": [{"type": "custom", "name": ""}]}, "tools[0].name"),
        (
            {"tools": [{"type": "namespace", "name": "n", "tools": [{"type": "web_search"}]}]},
            "tools[0].tools[0].type",
        ),
        ({"tools": [{"type": "custom", "name": "c", "format": {"type": "z"}}]}, "tools[0].format"),
        ({"tool_choice": "maybe"}, "tool_choice"),
        ({"tool_choice": {"type": "function"}}, "tool_choice.name"),
        ({"temperature": 3}, "temperature"),
        ({"max_output_tokens": 0}, "max_output_tokens"),
        ({"text": {"format": {"type": "grammar"}}}, "text.format.type"),
        ({"text": {"format": {"type": "json_schema"}}}, "text.format.schema"),
        ({"metadata": {"a": 1}}, "metadata[...]"),
        ({"metadata": {"a": "x" * 513}}, "metadata.a"),
        ({"metadata": {str(n): "" for n in range(17)}}, "metadata"),
        ({"previous_response_id": "a", "conversation": "b"}, "conversation"),
        ({"top_logprobs": 99}, "top_logprobs"),
    ],
)
def test_what_is_wrong_is_named_by_its_path(fields: dict[str, Any], param: str) -> None:
    """Each mistake is a 400 that says where it is."""
    body = json.dumps({"model": "m", "input": "hi"} | fields).encode()
    with pytest.raises(InvalidRequest) as refused:
        DOOR.ask(HEAD, body).request()
    assert refused.value.param == param


def test_a_number_out_of_range_is_wrong_even_where_nobody_knows_the_field() -> None:
    """It was a failure of the gateway's own."""
    part = '{"type": "input_text", "text": "hi", "more": 1e999}'
    body = f'{{"model": "m", "input": [{{"role": "user", "content": [{part}]}}]}}'
    with pytest.raises(InvalidRequest) as refused:
        DOOR.ask(HEAD, body.encode()).request()
    assert (refused.value.param or "").startswith("input[0].content[0]")


def test_an_item_nobody_keeps_is_not_found() -> None:
    """A reference that nobody has resolved, in both of its forms."""
    for reference in ({"type": "item_reference", "id": "msg_1"}, {"id": "msg_1"}):
        asked = ask([{"role": "user", "content": "u"}, reference])
        assert asked.references == [(1, "msg_1")]
        with pytest.raises(NotFound) as missing:
            asked.request()
        assert missing.value.param == "input[1]"


def test_limits_hold_for_items_and_tools() -> None:
    """Counted before anything is translated."""
    door = ResponsesDoor(RequestLimits(messages=1, tools=1))
    given: list[dict[str, Any]] = [{"input": [{}, {}]}, {"input": "x", "tools": [{}, {}]}]
    for fields in given:
        with pytest.raises(InvalidRequest):
            door.ask(HEAD, json.dumps({"model": "m"} | fields).encode())


# -- what the engine asks --------------------------------------------------------------------


def test_needs_are_told_without_translating() -> None:
    """Tools, pictures, files, sound, a form; each with the path that has it."""
    assert ask().needs().fields == {}
    items = [
        {"role": "user", "content": [{"type": "input_image", "image_url": "https://a.b/c"}]},
        {"type": "function_call_output", "call_id": "c", "output": [{"type": "input_file"}]},
        {"type": "additional_tools", "tools": [function("f")]},
    ]
    asked = ask(items, text={"format": {"type": "json_object"}})
    assert asked.needs().fields == {
        "json": "text.format",
        "images": "input[0].content[0]",
        "files": "input[1].output[0]",
        "tools": "input[2].tools",
    }
    assert "tools" not in ask(tools=[{"type": "web_search"}]).needs().fields
    assert ask(tools=[function("f")]).needs().fields == {"tools": "tools"}
    assert ask(tools=[function("f")]).may_need("tools")
    assert ask(items).may_need("tools")
    assert not ask().may_need("tools")
    assert ask(tools=[{"type": "custom", "name": "p"}]).may_need("freeform")
    assert not ask(tools=[function("f")]).may_need("freeform")
    assert ask(max_output_tokens=3).may_need("max_tokens")
    assert not ask(max_output_tokens=3).may_need("stop")
    custom = {"type": "custom", "name": "p"}
    call = {"type": "custom_tool_call", "call_id": "c", "name": "p", "input": "x"}
    assert ask(tools=[custom]).may_need("freeform")
    assert ask(tools=[{"type": "namespace", "name": "n", "tools": [custom]}]).may_need("freeform")
    assert ask([call]).may_need("freeform")
    assert ask([{"type": "additional_tools", "tools": [custom]}]).may_need("freeform")
    assert not ask(items, tools=[function("f")]).may_need("freeform")
    assert ask("x" * 500).needs().tokens >= 100


def test_a_session_is_named_by_headers_then_by_key() -> None:
    """What agents send with every turn keeps their turns on one credential."""
    head = RequestHead("POST", "/v1/responses", b"", [(b"session-id", b"s1")])
    assert ask(head=head, prompt_cache_key="k").affinity == b"s1"
    assert ask(prompt_cache_key="k").affinity == b"k"
    assert ask().affinity == b""


def test_the_opening_of_a_chat_stays_the_same() -> None:
    """Instructions and all up to the first user item, once the model has spoken."""
    first = [{"role": "developer", "content": "d"}, {"role": "user", "content": "u"}]
    assert ask(first).opening == b""
    second = [*first, {"role": "assistant", "content": "a"}, {"role": "user", "content": "v"}]
    third = [*second, {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"}]
    assert ask(second).opening == ask(third).opening != b""
    assert ask(second, instructions="i").opening != ask(second).opening


def test_a_relayed_request_keeps_its_bytes_but_for_the_model() -> None:
    """Unknown fields and their spelling too."""
    body = b'{ "model":"m", "input" : "hi", "brand_new": {"x": 1.50} }'
    asked = DOOR.ask(HEAD, body)
    assert asked.relayed("m", ask_usage=True) == body
    assert asked.relayed("n", ask_usage=True) == (
        b'{"model":"n","input":"hi","brand_new":{"x": 1.50}}'
    )


def test_a_relayed_request_holds_what_it_was_joined_to() -> None:
    """Items in place of the ids that name them."""
    asked = ask("again", previous_response_id="resp_1", store=False)
    before = [Raw(b'{"role":"user","content":"first"}')]
    told = json.loads(asked.joined(asked.own_items, before, "t").relayed("m", ask_usage=True))
    assert "previous_response_id" not in told
    assert [item["content"] for item in told["input"]] == ["first", "again"]


def test_ids_that_were_given_here_go_to_no_server() -> None:
    """A server refuses an id it never gave; others, and references, keep their bytes."""
    ours, key = "msg_" + "ab" * 16 + "0001", "0" * 32
    items: list[Any] = [
        {"type": "message", "role": "assistant", "id": ours, "content": [], "status": "completed"},
        {"type": "reasoning", "id": f"rs_{key}i00001", "summary": [], "encrypted_content": "g="},
        {"type": "function_call", "id": "fc_" + "ab" * 24, "call_id": ours, "name": "f"},
        {"type": "item_reference", "id": ours},
        {"role": "user", "content": f'{{"id": "{ours}"}}'},
    ]
    asked = ask(items, store=False, previous_response_id="resp_theirs")
    told = json.loads(asked.relayed("m", ask_usage=True))
    assert told["input"] == [
        {"type": "message", "role": "assistant", "content": [], "status": "completed"},
        {"type": "reasoning", "summary": [], "encrypted_content": "g="},
        *items[2:],
    ]
    assert told["previous_response_id"] == "resp_theirs"


def test_pictures_by_url_are_found_and_replaced() -> None:
    """Those of messages and of outputs; all else keeps its bytes."""
    url = "https://a.b/c.png"
    items = [
        {"role": "user", "content": [{"type": "input_image", "image_url": url}]},
        {
            "type": "function_call_output",
            "call_id": "c",
            "output": [{"type": "input_image", "image_url": url + "?2"}],
        },
    ]
    asked = ask(items)
    assert asked.linked_pictures() == {
        url: "input[0].content[0].image_url",
        url + "?2": "input[1].output[0].image_url",
    }
    shown = asked.with_pictures({url: "data:image/png;base64,AA=="}).request()
    assert shown.messages[0].parts == (Image("data:image/png;base64,AA=="),)


def test_seals_of_other_dialects_travel_as_encrypted_content() -> None:
    """Trap 42: a signature goes through this dialect's clients, and back to its own."""
    for opaque in (Opaque(OWN, "gAAA=="), Opaque("anthropic", 'a:"b"')):
        assert seals.from_client(seals.to_client(opaque)) == opaque


# -- errors ----------------------------------------------------------------------------------


def test_errors_tell_an_agent_what_to_do() -> None:
    """A 429 always says when to come back, unless nothing will have changed; codes stay."""

    def told(error: GatewayError) -> tuple[int, str | None, str]:
        reply = DOOR.failure(error)
        headers = dict(reply.headers)
        again = headers.get(b"retry-after")
        code = json.loads(reply.body)["error"]["code"]
        return reply.status, None if again is None else again.decode(), code

    assert told(RateLimited("busy", retry_after=7)) == (429, "7", "rate_limit_exceeded")
    assert told(RateLimited("busy")) == (429, "1", "rate_limit_exceeded")
    quota = RateLimited("no money", code="insufficient_quota")
    assert told(quota) == (429, None, "insufficient_quota")
    long = UpstreamRejected("long", status=400, code="context_length_exceeded")
    assert told(long) == (400, None, "context_length_exceeded")
