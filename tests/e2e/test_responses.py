"""``/v1/responses`` over every kind of upstream: what is kept, whose it is, how replies end."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final

import pytest
import pytest_asyncio

from support.gateway_process import Answer, GatewayProcess, gateway_process, wait_until
from support.responses_replies import call, message, response, stream
from support.rig import Rig
from support.scripted_backend import (
    Play,
    Seen,
    chat_chunks,
    conversation,
    json_play,
    scripted_backend,
)
from support.shared_rig import OpenScript, events_of

pytestmark = pytest.mark.asyncio(loop_scope="module")

CONFIG: Final = """
[upstreams.chat]
kind = "openai"
base_url = "{base}/chat/v1"
api_keys = ["sk-chat"]
models = ["gpt-x"]
endpoints = ["chat"]

[upstreams.native]
kind = "openai"
base_url = "{base}/native/v1"
api_keys = ["sk-native"]
models = ["own-x"]
endpoints = ["chat", "responses"]

[upstreams.plain]
kind = "openai-responses"
base_url = "{base}/plain/v1"
api_keys = ["sk-plain"]
models = ["plain-x"]

[upstreams.conversation]
kind = "conversation"
base_url = "{base}/backend-api/conversation"
models = ["talk"]
"""
ANN: Final = {"authorization": "Bearer key-ann"}
BOB: Final = {"authorization": "Bearer key-bob"}
NAMESPACE: Final = {
    "type": "namespace",
    "name": "mcp__x",
    "description": "More tools.",
    "tools": [
        {"type": "function", "name": "js", "parameters": {"type": "object"}},
        {"type": "custom", "name": "exec"},
    ],
}
PATCH: Final = {"type": "custom", "name": "apply_patch", "description": "Change files."}


def whole(text: str) -> Play:
    """A whole chat completion."""
    said = {"role": "assistant", "content": text}
    choice = {"index": 0, "message": said, "finish_reason": "stop"}
    counts = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}
    return json_play(
        {"id": "x", "object": "chat.completion", "model": "gpt-x-1", "choices": [choice]}
        | {"usage": counts}
    )


def calls(*made: tuple[str, str]) -> Play:
    """A chat completion that calls tools."""
    listed = [
        {"id": f"call_{n}", "type": "function", "function": {"name": name, "arguments": arguments}}
        for n, (name, arguments) in enumerate(made)
    ]
    said = {"role": "assistant", "content": None, "tool_calls": listed}
    choice = {"index": 0, "message": said, "finish_reason": "tool_calls"}
    return json_play({"id": "x", "model": "gpt-x-1", "choices": [choice]})


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def script() -> OpenScript:
    return OpenScript()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared(
    tmp_path_factory: pytest.TempPathFactory, script: OpenScript
) -> AsyncIterator[Rig]:
    def serve(seen: Seen) -> Play:
        if seen.method == "GET" and seen.path.endswith("/models"):
            return json_play({"object": "list", "data": []})
        return script(seen)

    data = tmp_path_factory.mktemp("responses") / "data"
    data.mkdir()
    async with scripted_backend(serve) as backend:
        (data / "config.toml").write_text(CONFIG.format(base=backend.url("")))
        with gateway_process(
            data,
            ACCESS_TOKENS="tok-a",
            API_KEYS="key-ann,key-bob",
            CHATGPT_TO_API_HOLD="0.05",
            CHATGPT_TO_API_KEEP_ALIVE="0.1",
        ) as gateway:
            await backend.until(backend.listed)
            yield Rig(gateway, backend)


@pytest_asyncio.fixture(loop_scope="module")
async def rig(shared: Rig) -> Rig:
    for name in ("chat", "native", "plain", "conversation"):
        reset = await shared.admin("POST", f"/admin/tokens/reset?upstream={name}")
        assert reset.status == 200, reset.text
    shared.backend.seen.clear()
    return shared


async def create(
    rig: Rig, input: Any = "Hello", *, headers: dict[str, str] = ANN, **more: Any
) -> Answer:
    body = {"model": "gpt-x", "input": input, **more}
    return await rig.fetch("/v1/responses", method="POST", body=json.dumps(body), headers=headers)


async def get(rig: Rig, path: str, headers: dict[str, str] = ANN) -> Answer:
    return await rig.fetch(path, headers=headers)


# -- what is kept, and whose it is -----------------------------------------------------------


async def test_responses_are_each_client_keys_own(rig: Rig, script: OpenScript) -> None:
    """Another key neither sees, follows, refers to nor deletes one; nor a conversation."""
    script.play(whole("Hi."))
    mine = (await create(rig)).json
    item = mine["output"][0]["id"]
    made = await rig.fetch("/v1/conversations", method="POST", body="{}", headers=ANN)
    kept = made.json["id"]
    assert (await get(rig, f"/v1/responses/{mine['id']}")).json == mine
    for path in (f"/v1/responses/{mine['id']}", f"/v1/conversations/{kept}"):
        assert (await get(rig, path, BOB)).status == 404
        assert (await rig.fetch(path, method="DELETE", headers=BOB)).status == 404
    followed = await create(rig, previous_response_id=mine["id"], headers=BOB)
    assert (followed.status, followed.json["error"]["code"]) == (400, "previous_response_not_found")
    assert followed.json["error"]["param"] == "previous_response_id"
    referred = await create(rig, [{"type": "item_reference", "id": item}], headers=BOB)
    assert referred.status == 404
    joined = await create(rig, conversation=kept, headers=BOB)
    assert (joined.status, joined.json["error"]["code"]) == (404, "conversation_not_found")
    assert (await get(rig, f"/v1/responses/{mine['id']}")).status == 200


async def test_without_a_key_nothing_is_shown(rig: Rig) -> None:
    """The endpoints beside are behind the same door."""
    for path in ("/v1/responses/resp_" + "0" * 32, "/v1/conversations/conv_" + "0" * 32):
        assert (await get(rig, path, {})).status == 401


async def test_a_response_is_on_the_disk_before_its_client_sees_the_end(
    rig: Rig, script: OpenScript
) -> None:
    """Whoever has read ``completed`` finds it in the database, whatever happens then."""
    script.play(Play(pieces=chat_chunks(["Hel", "lo"], model="gpt-x-1")))
    answer = await create(rig, stream=True)
    last = events_of(answer)[-1]
    assert last["type"] == "response.completed"
    path = Path(rig.gateway.data_dir) / "chatgpt-to-api.db"
    with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as database:
        ids = [row[0] for row in database.execute("SELECT id FROM responses")]
    assert last["response"]["id"] in ids
    shown = await get(rig, f"/v1/responses/{last['response']['id']}")
    assert shown.json == last["response"]


async def test_what_is_not_to_be_kept_is_not(rig: Rig, script: OpenScript) -> None:
    """``store: false``, and a response that failed."""
    script.play(whole("Hi."))
    answer = await create(rig, store=False)
    assert answer.json["store"] is False
    assert (await get(rig, f"/v1/responses/{answer.json['id']}")).status == 404
    script.play(Play(pieces=chat_chunks(["half"], model="gpt-x-1")[:2], end="close"))
    broken = events_of(await create(rig, stream=True))[-1]
    assert broken["type"] == "response.failed"
    assert (await get(rig, f"/v1/responses/{broken['response']['id']}")).status == 404


async def test_an_item_is_kept_as_it_came(rig: Rig, script: OpenScript) -> None:
    """What the gateway does not read keeps its bytes, be it a number that no double can hold."""
    script.play(whole("Hi."))
    item = {"type": "function_call_output", "call_id": "c", "output": "r", "more": "ODD"}
    asked = [{"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"}, item]
    body = json.dumps({"model": "gpt-x", "input": asked}).replace('"ODD"', "1e999")
    answer = await rig.fetch("/v1/responses", method="POST", body=body, headers=ANN)
    assert answer.status == 200, answer.text
    shown = await get(rig, f"/v1/responses/{answer.json['id']}/input_items")
    assert '"more":1e999' in shown.text


async def test_items_without_an_id_are_told_apart(rig: Rig, script: OpenScript) -> None:
    """Both what a client brings and what a server of the dialect has made."""
    searches = [{"type": "web_search_call", "status": "completed", "n": n} for n in (1, 2)]
    script.play(json_play(response([*searches, message("Found.")])))
    made = await rig.fetch("/v1/conversations", method="POST", body="{}", headers=ANN)
    path = made.json["id"]
    said = [{"id": "", "role": "user", "content": text} for text in ("one", "two")]
    answer = await create(rig, said, model="plain-x", conversation=path)
    assert answer.status == 200, answer.text
    listed = (await get(rig, f"/v1/conversations/{path}/items?order=asc")).json["data"]
    kinds = ["message"] * 2 + ["web_search_call"] * 2 + ["message"]
    assert [item["type"] for item in listed] == kinds
    ids = {item["id"] for item in listed}
    assert len(ids) == len(listed)
    assert all(ids)


async def test_an_item_is_referred_to_once(rig: Rig, script: OpenScript) -> None:
    """Else a short request could hold any number of a long one's items."""
    script.play(whole("Hi."))
    item = (await create(rig)).json["output"][0]["id"]
    referred = {"type": "item_reference", "id": item}
    assert (await create(rig, [referred, {"role": "user", "content": "And?"}])).status == 200
    twice = await create(rig, [referred, referred])
    assert (twice.status, twice.json["error"]["code"]) == (400, "duplicate_item")
    assert twice.json["error"]["param"] == "input[1]"


@pytest.mark.parametrize("limit", ["0", "101", "0000000019999", "000000001" + "9" * 5000])
async def test_a_page_of_no_length_is_refused(rig: Rig, script: OpenScript, limit: str) -> None:
    """A length is a short number from 1 to 100."""
    script.play(whole("Hi."))
    id = (await create(rig)).json["id"]
    answer = await get(rig, f"/v1/responses/{id}/input_items?limit={limit}")
    assert (answer.status, answer.json["error"]["param"]) == (400, "limit")


async def test_what_is_sealed_in_thoughts_is_shown_only_where_it_is_asked_for(
    rig: Rig, script: OpenScript
) -> None:
    """It is kept either way: the next turn needs it, whoever carries it."""
    sealed = {"id": "rs_1", "type": "reasoning", "summary": [], "encrypted_content": "SEAL=="}
    script.play(json_play(response([sealed, message("Hi.")])))
    answer = await create(rig, model="plain-x")
    assert "SEAL" not in answer.text
    path = f"/v1/responses/{answer.json['id']}"
    assert "SEAL" not in (await get(rig, path)).text
    assert "SEAL==" in (await get(rig, f"{path}?include[]=reasoning.encrypted_content")).text
    await create(rig, "Again", model="plain-x", previous_response_id=answer.json["id"])
    told = rig.backend.seen[-1].json["input"]
    assert [item.get("encrypted_content") for item in told if item["type"] == "reasoning"] == [
        "SEAL=="
    ]
    shown = await create(rig, model="plain-x", include=["reasoning.encrypted_content"])
    assert shown.json["output"][0]["encrypted_content"] == "SEAL=="


async def test_one_response_at_a_time_in_a_conversation(rig: Rig, script: OpenScript) -> None:
    """A second one is told to wait; when the first is through, it is taken."""
    made = await rig.fetch("/v1/conversations", method="POST", body="{}", headers=ANN)
    kept = made.json["id"]
    gate = asyncio.Event()
    script.play([Play(gate=gate, pieces=whole("One.").pieces, content_type="application/json")])
    first = asyncio.create_task(create(rig, conversation=kept))
    await rig.backend.until(lambda: bool(rig.backend.seen))
    second = await create(rig, conversation=kept)
    assert (second.status, second.json["error"]["code"]) == (409, "conversation_locked")
    gate.set()
    assert (await first).json["conversation"] == {"id": kept}
    script.play(whole("Two."))
    assert (await create(rig, conversation=kept)).status == 200
    listed = (await get(rig, f"/v1/conversations/{kept}/items?order=asc")).json["data"]
    assert [item["role"] for item in listed] == ["user", "assistant"] * 2


async def test_a_response_of_a_conversation_is_followed_by_its_conversation(
    rig: Rig, script: OpenScript
) -> None:
    """By its id alone it would be followed without all that was said before it."""
    made = await rig.fetch("/v1/conversations", method="POST", body="{}", headers=ANN)
    script.play(whole("One."))
    first = (await create(rig, conversation=made.json["id"])).json["id"]
    asked = len(rig.backend.seen)
    refused = await create(rig, previous_response_id=first)
    assert (refused.status, refused.json["error"]["code"]) == (400, "response_in_conversation")
    assert refused.json["error"]["param"] == "previous_response_id"
    assert len(rig.backend.seen) == asked


async def test_a_chain_whose_beginning_was_deleted_is_not_found(
    rig: Rig, script: OpenScript
) -> None:
    """Half a history would be answered as if it were whole."""
    script.play(whole("Hi."))
    first = (await create(rig)).json["id"]
    second = (await create(rig, previous_response_id=first)).json["id"]
    gone = await rig.fetch(f"/v1/responses/{first}", method="DELETE", headers=ANN)
    assert gone.json == {"id": first, "object": "response", "deleted": True}
    third = await create(rig, previous_response_id=second)
    assert third.json["error"]["code"] == "previous_response_not_found"


async def test_kept_responses_outlive_the_process(tmp_path: Path) -> None:
    """After a kill and a start the next turn follows; the settings forget in time."""
    data = tmp_path / "data"
    async with scripted_backend([whole("Hi.")]) as backend:
        variables = {"OPENAI_BASE_URL": backend.url("/v1"), "OPENAI_API_KEY": "sk-x"}
        with gateway_process(data, **variables) as gateway:
            body: dict[str, Any] = {"model": "gpt-x", "input": "Hello"}
            first = await asyncio.to_thread(post, gateway, body)
            gateway.kill()
        with gateway_process(data, **variables) as gateway:
            body |= {"input": "Again", "previous_response_id": first["id"]}
            await asyncio.to_thread(post, gateway, body)
            said = [m["content"] for m in backend.seen[-1].json["messages"]]
            assert said == ["Hello", "Hi.", "Again"]
        path = f"/v1/responses/{first['id']}"
        with gateway_process(data, **variables, CHATGPT_TO_API_KEEP_RESPONSES="1e-9") as gateway:
            await asyncio.to_thread(wait_until, lambda: gateway.fetch(path).status == 404)


def post(gateway: GatewayProcess, body: dict[str, Any]) -> dict[str, Any]:
    answer = gateway.fetch("/v1/responses", method="POST", body=json.dumps(body))
    assert answer.status == 200, answer.text
    created: dict[str, Any] = answer.json
    return created


# -- tools -----------------------------------------------------------------------------------


async def test_calls_come_back_as_their_client_knows_the_tools(
    rig: Rig, script: OpenScript
) -> None:
    """Trap 50: over chat completions, a namespace's function and custom tools, raw text and all."""
    patch = '*** Begin Patch\n"quoted" \\ 潮\n*** End Patch\n'
    script.play(
        calls(
            ("mcp__x__js", '{"code": "1"}'),
            ("mcp__x__exec", json.dumps({"input": "ls -l\n"})),
            ("apply_patch", json.dumps({"input": patch})),
        )
    )
    answer = await create(rig, tools=[NAMESPACE, PATCH], store=False)
    js, run, patched = answer.json["output"]
    assert (js["type"], js["namespace"], js["name"]) == ("function_call", "mcp__x", "js")
    assert js["arguments"] == '{"code": "1"}'
    assert (run["type"], run["namespace"], run["name"]) == ("custom_tool_call", "mcp__x", "exec")
    assert run["input"] == "ls -l\n"
    assert (patched["type"], patched["input"]) == ("custom_tool_call", patch)
    assert "namespace" not in patched
    asked = rig.backend.seen[-1].json
    assert [tool["function"]["name"] for tool in asked["tools"]] == [
        "mcp__x__js",
        "mcp__x__exec",
        "apply_patch",
    ]
    # The history goes back as what the vendor knows.
    output = {"type": "custom_tool_call_output", "call_id": patched["call_id"], "output": "done"}
    others = [
        {"type": "function_call_output", "call_id": js["call_id"], "output": "1"},
        {"type": "custom_tool_call_output", "call_id": run["call_id"], "output": "x"},
    ]
    script.play(whole("Done."))
    history = [{"role": "user", "content": "Hello"}, *answer.json["output"], *others, output]
    await create(rig, history, tools=[NAMESPACE, PATCH], store=False)
    roles = [m["role"] for m in rig.backend.seen[-1].json["messages"]]
    assert roles == ["user", "assistant", "tool", "tool", "tool"]


async def test_tools_are_emulated_over_a_conversation_backend(rig: Rig, script: OpenScript) -> None:
    """A custom tool of a namespace, called in words, streamed back as the client knows it."""
    script.play(
        conversation(
            'I will.\n<tool_call>\n{"name": "mcp__x__exec", "arguments": {"input": "ls -l"}}\n'
            "</tool_call>"
        )
    )
    answer = await create(rig, "List.", model="talk", tools=[NAMESPACE], stream=True, store=False)
    events = events_of(answer)
    done = [e["item"] for e in events if e["type"] == "response.output_item.done"]
    assert [item["type"] for item in done] == ["message", "custom_tool_call"]
    assert done[1]["input"] == "ls -l"
    assert (done[1]["namespace"], done[1]["name"]) == ("mcp__x", "exec")
    assert events[-1]["response"]["usage"]["total_tokens"] > 0
    assert "tools" in answer.headers["x-emulated"]


async def test_hosted_tools_are_dropped_with_a_notice(rig: Rig, script: OpenScript) -> None:
    """Trap 51: an upstream without them answers without them, and says so."""
    script.play(whole("Hi."))
    answer = await create(rig, tools=[{"type": "web_search"}, {"type": "image_generation"}])
    assert answer.status == 200
    told = answer.headers["x-ignored-parameters"].split(", ")
    assert told == ["tools[web_search]", "tools[image_generation]"]
    assert "tools" not in rig.backend.seen[-1].json


async def test_a_clients_own_tool_search_goes_through(rig: Rig, script: OpenScript) -> None:
    """Its call is an item of its own kind, and what it found can be called."""
    search = {
        "type": "tool_search",
        "execution": "client",
        "description": "Finds tools.",
        "parameters": {"type": "object", "properties": {"query": {"type": "string"}}},
    }
    script.play(calls(("tool_search", '{"query": "js"}')))
    answer = await create(rig, tools=[search], store=False)
    [call] = answer.json["output"]
    assert (call["type"], call["execution"]) == ("tool_search_call", "client")
    assert call["arguments"] == {"query": "js"}
    found = {
        "type": "tool_search_output",
        "call_id": call["call_id"],
        "execution": "client",
        "status": "completed",
        "tools": [NAMESPACE],
    }
    script.play(calls(("mcp__x__js", "{}")))
    history = [{"role": "user", "content": "Hello"}, call, found]
    again = await create(rig, history, tools=[search], store=False)
    assert again.json["output"][0]["namespace"] == "mcp__x"


# -- ends, errors, waiting -------------------------------------------------------------------


async def test_a_request_laid_out_over_lines_streams_whole_events(
    rig: Rig, script: OpenScript
) -> None:
    """What a response repeats of its request must not break an event's line."""
    script.play(Play(pieces=chat_chunks(["Hi."], model="gpt-x-1")))
    tools = [{"type": "function", "name": "f", "parameters": {"type": "object"}}]
    body = {"model": "gpt-x", "input": "Hello", "stream": True, "tools": tools}
    laid_out = json.dumps(body, indent=2).replace("\n", "\r\n").encode()
    answer = await rig.fetch("/v1/responses", method="POST", body=laid_out, headers=ANN)
    events = events_of(answer)
    assert events[0]["response"]["tools"] == tools
    assert events[-1]["type"] == "response.completed"
    lines = [line for line in answer.text.split("\n") if line]
    assert all(line.startswith(("data: ", "event: ", ":")) for line in lines)


async def test_an_error_inside_a_stream_is_the_failed_response(
    rig: Rig, script: OpenScript
) -> None:
    """Traps 4 and 9: created once, then failed, then nothing; a rate limit says when."""
    pieces = chat_chunks(["half"], model="gpt-x-1")[:2]
    error = {"error": {"message": "Slow down.", "type": "requests", "code": "rate_limit_exceeded"}}
    script.play(Play(pieces=[*pieces, b"data: " + json.dumps(error).encode() + b"\n\n"]))
    events = events_of(await create(rig, stream=True))
    kinds = [event["type"] for event in events]
    assert kinds.count("response.created") == 1
    assert kinds[-1] == "response.failed"
    assert [e["sequence_number"] for e in events] == list(range(len(events)))
    assert events[-1]["response"]["status"] == "failed"
    assert events[-1]["response"]["error"]["code"] in ("rate_limit_exceeded", "server_error")


async def test_silence_is_kept_alive_and_a_late_failure_has_a_beginning(
    rig: Rig, script: OpenScript
) -> None:
    """Trap 11: comments between events; a stream opened by one alone still begins with created."""
    gate = asyncio.Event()
    script.play(Play(pieces=[b": thinking\n\n", b""], gates={1: gate}, end="close"))
    body = json.dumps({"model": "gpt-x", "input": "Hello", "stream": True}).encode()
    port = await asyncio.to_thread(lambda: rig.gateway.port)
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    head = "POST /v1/responses HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer key-ann\r\n"
    writer.write(f"{head}content-length: {len(body)}\r\n\r\n".encode() + body)
    async with asyncio.timeout(20):
        await reader.readuntil(b": keep-alive\n\n")
        gate.set()
        rest = (await reader.readuntil(b"0\r\n\r\n")).decode()
    writer.close()
    kinds = [line[7:] for line in rest.replace("\r\n", "\n").split("\n") if line[:7] == "event: "]
    assert kinds == ["response.created", "response.in_progress", "response.failed"]


async def test_a_client_that_leaves_ends_the_call_and_nothing_is_kept(
    rig: Rig, script: OpenScript
) -> None:
    """Seen in the middle of a stream: the upstream is let go, no half response is stored."""
    script.play(Play(pieces=chat_chunks(["half"], model="gpt-x-1")[:2], end="hang"))
    gone = rig.backend.hung_up
    body = json.dumps({"model": "gpt-x", "input": "Hello", "stream": True}).encode()
    port = await asyncio.to_thread(lambda: rig.gateway.port)
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    head = "POST /v1/responses HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer key-ann\r\n"
    writer.write(f"{head}content-length: {len(body)}\r\n\r\n".encode() + body)
    async with asyncio.timeout(20):
        said = (await reader.readuntil(b'"delta":"half"')).decode()
    writer.close()
    await rig.backend.until(lambda: rig.backend.hung_up > gone)
    id = said.partition('"response":{"id":"')[2].partition('"')[0]
    assert id.startswith("resp_")
    assert (await get(rig, f"/v1/responses/{id}")).status == 404


async def test_what_an_agent_must_know_of_an_error(rig: Rig, script: OpenScript) -> None:
    """A 429 with its time; the codes for a full context and an empty purse as they came."""
    body = {"error": {"message": "Too long.", "code": "context_length_exceeded", "type": "x"}}
    script.play(json_play(body, 400))
    long = await create(rig)
    assert (long.status, long.json["error"]["code"]) == (400, "context_length_exceeded")
    script.play(json_play({"error": {"message": "Slow.", "code": "rate_limit_exceeded"}}, 429))
    limited = await create(rig)
    assert limited.status == 429
    assert int(limited.headers["retry-after"]) >= 1


async def test_an_upgrade_to_a_websocket_is_refused_at_once(rig: Rig) -> None:
    """Agents try it first, and ask by POST after a quick no."""
    headers = ANN | {
        "connection": "Upgrade",
        "upgrade": "websocket",
        "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ==",
        "sec-websocket-version": "13",
    }
    answer = await get(rig, "/v1/responses", headers)
    assert 400 <= answer.status < 500


# -- upstreams of the same dialect -----------------------------------------------------------


async def test_what_leaves_nothing_behind_is_relayed_byte_for_byte(
    rig: Rig, script: OpenScript
) -> None:
    """To both kinds of upstream that speak it; unknown fields and events go through."""
    for model, path in (("plain-x", "/plain/v1/responses"), ("own-x", "/native/v1/responses")):
        play = stream([message("Hi."), {"type": "brand_new", "id": "b_1", "x": [1.50]}])
        script.play(play)
        answer = await create(rig, model=model, store=False, stream=True, brand_new={"y": 1})
        assert answer.body == b"".join(play.pieces)
        assert rig.backend.seen[-1].path == path
        assert rig.backend.seen[-1].json["brand_new"] == {"y": 1}


async def test_what_is_kept_of_a_plain_server_is_kept_here(rig: Rig, script: OpenScript) -> None:
    """It is asked to keep nothing; the next turn takes its history from here."""
    script.play(json_play(response([message("Hi.")])))
    first = (await create(rig, model="plain-x")).json
    assert rig.backend.seen[-1].json["store"] is False
    assert first["id"] != "resp_1"
    script.play(json_play(response([message("Yes.")])))
    await create(rig, "Again", model="plain-x", previous_response_id=first["id"])
    asked = rig.backend.seen[-1].json
    assert "previous_response_id" not in asked
    assert [item["role"] for item in asked["input"]] == ["user", "assistant", "user"]


async def test_a_server_is_never_shown_ids_that_were_given_here(
    rig: Rig, script: OpenScript
) -> None:
    """After a kept response with a call, one that is not kept: joined to it, or sent again."""
    thought = {"id": "rs_1", "type": "reasoning", "summary": [], "encrypted_content": "gAAA="}
    script.play(json_play(response([thought, call("look", "{}")])))
    first = (await create(rig, model="plain-x", include=["reasoning.encrypted_content"])).json
    result = {"type": "function_call_output", "call_id": "call_1", "output": "22"}
    script.play(json_play(response([message("Warm.")])))
    more: dict[str, Any] = {"model": "plain-x", "store": False}
    await create(rig, [result], previous_response_id=first["id"], **more)
    joined = rig.backend.seen[-1].json["input"]
    await create(rig, [*joined[:1], *first["output"], result], **more)
    for sent in (joined, rig.backend.seen[-1].json["input"]):
        kinds = [item["type"] for item in sent[1:]]
        assert kinds == ["reasoning", "function_call", "function_call_output"]
        assert sent[1]["encrypted_content"] == "gAAA="
        assert sent[2]["call_id"] == "call_1"
        assert not any("id" in item for item in sent)


async def test_a_server_with_the_whole_api_keeps_its_own(rig: Rig, script: OpenScript) -> None:
    """Asked first, it answers as it is: its ids, its background work, its endpoints beside."""
    native = response([message("Hi.")], id="resp_" + "a" * 48)
    script.play(json_play(native))
    answer = await create(rig, model="own-x", background=True)
    assert answer.json == native
    assert rig.backend.seen[-1].json["background"] is True
    await create(rig, "Again", model="own-x", previous_response_id=native["id"])
    assert rig.backend.seen[-1].json["previous_response_id"] == native["id"]
    shown = await get(rig, f"/v1/responses/{native['id']}")
    assert shown.json == native
    assert rig.backend.seen[-1].path == f"/native/v1/responses/{native['id']}"


async def test_one_that_was_kept_here_goes_on_at_any_upstream(rig: Rig, script: OpenScript) -> None:
    """A response of another model's upstream, followed at one with the whole API."""
    script.play(whole("Hi."))
    first = (await create(rig)).json["id"]
    await create(rig, "Again", model="own-x", previous_response_id=first)
    seen = rig.backend.seen[-1]
    assert seen.path == "/native/v1/chat/completions"
    assert [m["role"] for m in seen.json["messages"]] == ["user", "assistant", "user"]


async def test_background_is_refused_where_nobody_can(rig: Rig) -> None:
    """A clear 400, and nobody is asked; ``false`` is what happens anyway."""
    answer = await create(rig, background=True)
    assert (answer.status, answer.json["error"]["param"]) == (400, "background")
    assert rig.backend.seen == []
