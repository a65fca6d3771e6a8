"""What a client of this dialect says, as far as it is more than the mirror shows."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from chatgpt_to_api.chat.events import (
    Annotated,
    BlockStarted,
    ChatEvent,
    Citation,
    Finished,
    ReasoningDelta,
    Started,
    TextDelta,
    ToolCallDelta,
    UsageReported,
)
from chatgpt_to_api.chat.request import Foreign, Image, Text, ToolResult
from chatgpt_to_api.chat.usage import Usage
from chatgpt_to_api.dialects.anthropic.door import DOOR
from chatgpt_to_api.dialects.contract import LinksPictures, Stamp
from chatgpt_to_api.errors import (
    BodyTooLarge,
    GatewayError,
    InvalidRequest,
    NoCredentials,
    RateLimited,
    Unauthorized,
    Unavailable,
    UpstreamRejected,
    UpstreamTimeout,
)
from chatgpt_to_api.wire.http import RequestHead

STAMP = Stamp("0f", 1_700_000_000)
HELLO = {"role": "user", "content": "hello"}


def asking(*headers: tuple[bytes, bytes], **fields: Any) -> Any:
    body = {"model": "m", "max_tokens": 9, "messages": [HELLO], **fields}
    head = RequestHead("POST", "/v1/messages", b"", headers)
    return DOOR.ask(head, json.dumps(body).encode())


def block(**fields: Any) -> Any:
    """The one part of a user's turn with one block."""
    (message,) = asking(messages=[{"role": "user", "content": [fields]}]).request().messages
    return message.parts[0]


def test_a_billing_line_is_no_instruction() -> None:
    """Trap 44: it changes with each request; own servers alone are sent it."""
    line = {"type": "text", "text": "x-anthropic-billing-header: cc_version=2; cch=1a"}
    said = {"type": "text", "text": "Be brief."}
    first = asking(system=[line, said]).request().messages[0]
    assert isinstance(first.parts[0], Foreign)
    assert first.parts[1] == Text("Be brief.")
    turns = [HELLO, {"role": "assistant", "content": "hi"}, HELLO]
    other = {**line, "text": line["text"].replace("1a", "2b")}
    assert (
        asking(system=[line, said], messages=turns).opening
        == asking(system=[other, said], messages=turns).opening
        != asking(system=[line], messages=turns).opening
    )


@pytest.mark.parametrize(
    ("user_id", "headers", "session"),
    [
        ("user-1", [], b"user-1"),
        (json.dumps({"device_id": "d", "session_id": "s-1"}), [], b"s-1"),
        ("user-1", [(b"x-claude-code-session-id", b"s-2")], b"s-2"),
    ],
)
def test_a_session_is_named(user_id: str, headers: Any, session: bytes) -> None:
    """Trap 44: by the header, by the session in ``user_id``, or by ``user_id`` itself."""
    asked = asking(*headers, metadata={"user_id": user_id})
    assert asked.affinity == session
    request = asked.request()
    assert request.user == user_id
    assert request.prompt_cache_key is not None
    assert len(request.prompt_cache_key) == 32


def test_a_thread_is_refused_in_the_words_that_clients_act_on() -> None:
    """They send the whole conversation then; ignored, all of it but the last turn would be lost."""
    thread = {"type": "continue", "previous_message_id": "msg_1"}
    with pytest.raises(InvalidRequest) as refused:
        asking(thread=thread).request()
    error = json.loads(DOOR.failure(refused.value).body)["error"]
    assert error["details"]["error_code"] == "thread_unsupported_request"
    assert error["details"]["unsupported"] == ["thread"]


def test_results_of_every_kind() -> None:
    """Trap 41: text, blocks, pictures, errors, search results and documents."""
    picture = {"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgo="}
    plain = {"type": "text", "media_type": "text/plain", "data": "of the year"}
    found = {
        "type": "search_result",
        "title": "T",
        "source": "https://s",
        "content": [{"type": "text", "text": "found"}],
    }
    content = [
        {"type": "text", "text": "see"},
        {"type": "image", "source": picture},
        {"type": "document", "source": plain, "title": "Report"},
        found,
        {"type": "tool_reference", "tool_name": "x"},
    ]
    result = block(type="tool_result", tool_use_id="a", content=content, is_error=True)
    assert isinstance(result, ToolResult)
    assert result.is_error
    text, image, document, search, reference = result.parts
    assert isinstance(image, Image)
    assert image.url.startswith("data:image/png;base64,")
    assert isinstance(text, Text)
    assert isinstance(document, Text)
    assert isinstance(search, Text)
    assert (text.text, document.text) == ("see", "of the year")
    assert search.text == "T (https://s)\n\nfound"
    assert isinstance(reference, Foreign)
    assert block(type="tool_result", tool_use_id="a").parts == ()


def test_a_document_made_of_blocks_is_not_told_twice() -> None:
    """Other vendors get its text and its pictures, own servers the block as it was."""
    picture = {"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgo="}
    inner = [{"type": "text", "text": "a"}, {"type": "image", "source": picture}]
    document = {"type": "document", "source": {"type": "content", "content": inner}}
    message = asking(messages=[{"role": "user", "content": [document]}]).request().messages[0]
    text, image = message.parts
    assert text.text == "a"
    assert text.vendor.fields == document
    assert isinstance(image, Image)


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"type": "image", "source": {"type": "url", "url": "ftp://x"}}, "source.url"),
        ({"type": "image", "source": {"type": "base64", "data": "?"}}, "source.media_type"),
        ({"type": "tool_use", "id": "a", "name": "f", "input": []}, "input"),
        ({"type": "nonsense"}, "type"),
        ({"type": "text"}, "text"),
    ],
)
def test_bad_blocks_are_told_by_their_place(fields: Any, param: str) -> None:
    """Every error names the field."""
    with pytest.raises(InvalidRequest) as refused:
        block(**fields)
    assert refused.value.param == f"messages[0].content[0].{param}"


@pytest.mark.parametrize(
    "made",
    [
        {"type": "tool_use", "id": "a", "name": "f", "input": {}},
        {"type": "thinking", "thinking": "Hm.", "signature": "s"},
    ],
)
def test_a_users_turn_holds_nothing_the_model_makes(made: Any) -> None:
    """Servers of other dialects have no place for it there."""
    with pytest.raises(InvalidRequest) as refused:
        block(**made)
    assert refused.value.param == "messages[0].content"


@pytest.mark.parametrize("limit", [0, -1])
def test_a_length_of_nothing_is_refused(limit: int) -> None:
    """Trap 30: at least one token."""
    with pytest.raises(InvalidRequest):
        asking(max_tokens=limit).request()


def test_needs() -> None:
    """What routes are chosen by, results' pictures included."""
    picture = {"type": "image", "source": {"type": "url", "url": "https://x"}}
    result = {"type": "tool_result", "tool_use_id": "a", "content": [picture]}
    asked = asking(
        tools=[{"name": "f", "input_schema": {"type": "object"}}],
        output_config={"format": {"type": "json_schema", "schema": {}}},
        messages=[HELLO, {"role": "user", "content": [{"type": "text", "text": "x"}, result]}],
    )
    assert asked.needs().fields == {
        "tools": "tools",
        "json": "output_config.format",
        "images": "messages[1].content[1].content[0]",
    }
    only_search = asking(tools=[{"type": "web_search_20250305", "name": "web_search"}])
    assert not only_search.needs().fields
    assert asked.may_need("tools")
    assert not asking().may_need("tools")
    assert asking(messages=[{"role": "user", "content": [result]}]).may_need("tools")


def test_results_in_results_are_not_followed_down() -> None:
    """What is innermost would be read once for each: here a gigabyte, for a route's sake."""
    nested = json.dumps({"type": "text", "text": "x" * 4_000_000})
    for _ in range(250):
        nested = f'{{"type": "tool_result", "tool_use_id": "a", "content": [{nested}]}}'
    body = f'{{"model": "m", "messages": [{{"role": "user", "content": [{nested}]}}]}}'
    asked = DOOR.ask(RequestHead("POST", "/v1/messages", b"", ()), body.encode())
    began = time.process_time()
    assert asked.needs().tokens > 500_000
    assert time.process_time() - began < 0.5


def test_an_odd_url_beside_a_good_one_is_told_and_no_failure() -> None:
    """The good one's data is put in its place before anybody says what is wrong with the other."""
    good, odd = (
        {"type": "image", "source": {"type": "url", "url": url}} for url in ("https://x/a", [])
    )
    asked: LinksPictures = asking(messages=[{"role": "user", "content": [odd, good]}])
    assert list(asked.linked_pictures()) == ["https://x/a"]
    with pytest.raises(InvalidRequest) as refused:
        asked.with_pictures({"https://x/a": "data:image/png;base64,AA=="}).request()
    assert refused.value.param == "messages[0].content[0].source.url"


def test_linked_pictures_are_replaced_in_their_place() -> None:
    """For upstreams that want data; every other value keeps its bytes."""
    picture = {"type": "image", "source": {"type": "url", "url": "https://x/a"}, "x": 1.50}
    asked: LinksPictures = asking(messages=[{"role": "user", "content": [picture]}])
    assert asked.linked_pictures() == {"https://x/a": "messages[0].content[0].source.url"}
    shown = asked.with_pictures({"https://x/a": "data:image/png;base64,AA=="}).request()
    assert shown.messages[0].parts[0].url == "data:image/png;base64,AA=="  # type: ignore[union-attr]


# -- replies ---------------------------------------------------------------------------------


def test_text_that_comes_first_begins_the_message_too() -> None:
    """Trap 9: one beginning, whatever the first event is."""
    encoder = DOOR.reply(asking(stream=True), STAMP)
    out = encoder.feed([TextDelta("a")]) + encoder.feed([Started("m"), TextDelta("b")])
    assert out.startswith(b"event: message_start\n")
    assert out.count(b"event: message_start") == 1
    assert out.count(b"content_block_start\n") == 1


def test_a_foreign_seal_makes_no_block() -> None:
    """Trap 43: no signature of ours, and none of another vendor's."""
    from chatgpt_to_api.chat.request import Opaque

    encoder = DOOR.reply(asking(stream=True), STAMP)
    out = encoder.feed(
        [BlockStarted(0, "reasoning"), ReasoningDelta("", opaque=Opaque("gemini", "{}"))]
    )
    assert b"content_block" not in out


def test_a_web_citation_of_another_vendor_is_shown() -> None:
    """With its address and title; nobody here has sealed an index."""
    events: list[ChatEvent] = [
        BlockStarted(0, "text"),
        TextDelta("a"),
        Annotated(Citation("https://x", "T", 0, 1)),
        Finished("stop"),
    ]
    reply = json.loads(DOOR.reply(asking(), STAMP).complete(events).body)
    (citation,) = reply["content"][0]["citations"]
    assert (citation["url"], citation["title"]) == ("https://x", "T")


@pytest.mark.parametrize(
    ("written", "shown"),
    [("", {}), ('{"a": 1}', {"a": 1}), ("broken", {"input": "broken"}), ("[1]", {"input": "[1]"})],
)
def test_a_whole_calls_input_is_an_object(written: str, shown: Any) -> None:
    """Trap 37: whatever the model wrote."""
    events: list[ChatEvent] = [BlockStarted(0, "tool_call", tool_id="a", tool_name="f")]
    events += [ToolCallDelta(written)] if written else []
    events += [Finished("tool_calls"), UsageReported(Usage(1, 2))]
    reply = json.loads(DOOR.reply(asking(), STAMP).complete(events).body)
    assert reply["content"][0]["input"] == shown
    assert reply["usage"]["cache_read_input_tokens"] is None  # Trap 38: null, not zero


def test_a_freeform_calls_text_is_put_into_an_object() -> None:
    """Trap 37: the pieces join to valid JSON."""
    encoder = DOOR.reply(asking(stream=True), STAMP)
    start = BlockStarted(0, "tool_call", tool_id="a", tool_name="f", freeform=True)
    out = encoder.feed([start, ToolCallDelta('say "'), ToolCallDelta('hi"'), Finished("stop")])
    pieces = [json.loads(line[6:]) for line in out.split(b"\n") if b"partial_json" in line]
    assert json.loads(pieces[0]["delta"]["partial_json"]) == {"input": 'say "hi"'}


# -- errors ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "status", "kind"),
    [
        (Unauthorized("x"), 401, "authentication_error"),
        (BodyTooLarge("x"), 413, "request_too_large"),
        (RateLimited("x", retry_after=3), 429, "rate_limit_error"),
        (Unavailable("x"), 529, "overloaded_error"),
        (NoCredentials("x"), 503, "api_error"),
        (UpstreamTimeout("x"), 504, "timeout_error"),
        (UpstreamRejected("x", status=402), 402, "billing_error"),
        (UpstreamRejected("x", status=409), 409, "invalid_request_error"),
        (GatewayError("x"), 500, "api_error"),
    ],
)
def test_every_error_has_its_type(error: GatewayError, status: int, kind: str) -> None:
    """Trap 46: by status, in the dialect's shape; in a stream too."""
    reply = DOOR.failure(error)
    assert reply.status == status
    assert json.loads(reply.body) == {"type": "error", "error": {"type": kind, "message": "x"}}
    if error.retry_after:
        assert (b"retry-after", b"3") in reply.headers
    event = DOOR.reply(asking(stream=True), STAMP).failure(error)
    assert event == b"event: error\ndata: " + reply.body + b"\n\n"


@pytest.mark.parametrize(
    ("said", "numbers"),
    [
        (
            "This model's maximum context length is 8192 tokens. However, your messages resulted "
            "in 9000 tokens.",
            "9000 tokens > 8192",
        ),
        (
            "This model's maximum context length is 4096 tokens. However, you requested 5,000 "
            "tokens (4000 in the messages, 1000 in the completion).",
            "5000 tokens > 4096",
        ),
        (
            "request (70000 tokens) exceeds the available context size (65536 tokens), try "
            "increasing it",
            "70000 tokens > 65536",
        ),
        ("prompt is too long: 210000 tokens > 200000 maximum", "210000 tokens > 200000"),
        (
            "This request is too long with this model: upstream a: context of 4096 tokens, about "
            "5000 asked.",
            "5000 tokens > 4096",
        ),
    ],
)
def test_every_way_to_say_too_long_becomes_the_one_that_agents_know(
    said: str, numbers: str
) -> None:
    """Trap 45: with both numbers, from whichever server."""
    body = json.loads(DOOR.failure(UpstreamRejected(said, status=400)).body)
    assert body["error"]["message"].startswith(f"prompt is too long: {numbers} maximum")


def test_too_long_without_numbers_is_told_too() -> None:
    """By its code alone."""
    error = UpstreamRejected("No.", status=400, code="context_length_exceeded")
    message = json.loads(DOOR.failure(error).body)["error"]["message"]
    assert message == "prompt is too long: No."
