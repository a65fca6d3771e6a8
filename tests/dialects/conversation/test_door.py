"""The conversation door: every variant of the request body, and every error's shape."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatgpt_to_api.chat.request import Message, Text
from chatgpt_to_api.dialects.contract import Stamp
from chatgpt_to_api.dialects.conversation.answer import Place
from chatgpt_to_api.dialects.conversation.deltas import DeltaEncoder
from chatgpt_to_api.dialects.conversation.door import (
    CONVERSATION_PATHS,
    DOOR,
    NO_TOKEN,
    ConversationAsked,
)
from chatgpt_to_api.dialects.conversation.door_messages import InvalidBody, Sent
from chatgpt_to_api.dialects.conversation.snapshots import SnapshotEncoder
from chatgpt_to_api.errors import (
    BodyTooLarge,
    GatewayError,
    InvalidRequest,
    ModelNotFound,
    RateLimited,
    Unauthorized,
    UpstreamFailed,
)
from chatgpt_to_api.wire.http import HttpReply, RequestHead, header

PARENT = "e1a70b52-6a0e-4f39-9d2b-5c8e7a104f61"
QUESTION = "5b0c1d52-6a0e-4f39-9d2b-5c8e7a104f61"
CHAT = "3b7c1d52-6a0e-4f39-9d2b-5c8e7a104f61"


def head(path: str = "/backend-api/conversation") -> RequestHead:
    return RequestHead("POST", path, b"", ())


def ask(body: Any, path: str = "/backend-api/conversation") -> ConversationAsked:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return DOOR.ask(head(path), data)


def message(**changes: Any) -> dict[str, Any]:
    return {
        "id": QUESTION,
        "author": {"role": "user"},
        "content": {"content_type": "text", "parts": ["Hi"]},
        **changes,
    }


def body(**changes: Any) -> dict[str, Any]:
    return {
        "action": "next",
        "messages": [message()],
        "parent_message_id": PARENT,
        "model": "text-davinci-002-render-sha",
        **changes,
    }


def refusal(body: Any, path: str = "/backend-api/conversation") -> tuple[int, Any]:
    """The status and JSON a refused body is answered with."""
    with pytest.raises(InvalidRequest) as caught:
        ask(body, path)
    reply = DOOR.failure(caught.value)
    return reply.status, json.loads(reply.body)


# -- what clients send -----------------------------------------------------------------------------


def test_the_smallest_body_is_a_question() -> None:
    """The body all sources agree on."""
    asked = ask(body())
    question = asked.question
    assert (question.action, question.model) == ("next", "text-davinci-002-render-sha")
    assert question.messages == (Sent(QUESTION, "user", "Hi"),)
    assert (question.conversation_id, question.parent_id) == ("", PARENT)
    assert question.keep
    assert not question.deltas
    assert asked.stream
    assert asked.n == 1


@pytest.mark.parametrize(
    "changes",
    [
        {"author": None, "role": "user"},
        {"author": {"role": "user"}, "role": "user"},
        {"author": {}, "role": None},
        {"author": {"role": "user", "name": None, "metadata": {}}, "metadata": {}, "weight": 1},
        {"content": {"content_type": "multimodal_text", "parts": ["H", "i"]}},
        {"content": {"parts": ["Hi"]}},
        {"content": {"content_type": "text", "parts": [{"type": "text", "text": "Hi"}]}},
    ],
    ids=["role only", "both", "neither", "everything", "multimodal", "no type", "text part"],
)
def test_every_clients_message_is_the_same_message(changes: dict[str, Any]) -> None:
    """``role``, ``author.role``, both or none; parts joined with nothing between."""
    assert ask(body(messages=[message(**changes)])).question == ask(body()).question


def test_the_body_a_python_client_of_2023_sends_is_read() -> None:
    """Null conversation_id, both roles, history flag."""
    sent = message(role="user")
    asked = ask(body(messages=[sent], conversation_id=None, history_and_training_disabled=True))
    assert asked.question.conversation_id == ""
    assert not asked.question.keep


def test_fields_nobody_knows_are_ignored() -> None:
    """Pages of later years send many more."""
    more = {"timezone_offset_min": -480, "suggestions": [], "conversation_mode": {"kind": "x"}}
    assert ask(body(**more, temperature=0.5)).question == ask(body()).question


@pytest.mark.parametrize("messages", ["absent", None, []])
def test_a_continue_brings_no_messages_in_any_of_three_ways(messages: Any) -> None:
    """Absent, null and [] are the same."""
    sent = body(action="continue", conversation_id=CHAT, messages=messages)
    if messages == "absent":
        del sent["messages"]
    question = ask(sent).question
    assert (question.action, question.conversation_id, question.parent_id) == (
        "continue",
        CHAT,
        PARENT,
    )
    assert question.messages == ()


def test_roles_of_a_whole_list_keep_their_meaning() -> None:
    """A critic message is a system message; a tool's is text, for it belongs to no call here."""
    roles = ["critic", "system", "user", "assistant", "tool", "user"]
    messages = [message(author={"role": role}, id=None) for role in roles]
    got = [sent.role for sent in ask(body(messages=messages)).question.messages]
    assert got == ["system", "system", "user", "assistant", "user", "user"]


def test_v1_is_served_only_to_who_asks_for_it() -> None:
    """The encoding is chosen by supported_encodings alone."""
    stamp = Stamp("f00", 1)
    assert isinstance(DOOR.reply(ask(body()), stamp), SnapshotEncoder)
    assert isinstance(DOOR.reply(ask(body(supported_encodings=["v2"])), stamp), SnapshotEncoder)
    assert isinstance(DOOR.reply(ask(body(supported_encodings=["v1"])), stamp), DeltaEncoder)


# -- the plain body --------------------------------------------------------------------------------

PLAIN = {
    "model": "gpt-3.5-turbo",
    "messages": [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": [{"type": "text", "text": "你好"}]},
    ],
    "stream": False,
}


def test_the_guides_plain_body_is_a_new_chat() -> None:
    """``{"model", "messages"}`` on /chatgpt/conversation is a ``next`` of these messages."""
    asked = ask(PLAIN, "/chatgpt/conversation")
    assert asked.question.action == "next"
    assert asked.stream
    assert asked.request().messages == (
        Message("system", (Text("Be brief."),)),
        Message("user", (Text("你好"),)),
    )


def test_elsewhere_the_plain_body_lacks_its_action() -> None:
    """The official paths answer as the official backend does."""
    for path in CONVERSATION_PATHS:
        if path != "/chatgpt/conversation":
            status, said = refusal(PLAIN, path)
            assert status == 422
            assert said["detail"][0]["loc"] == ["body", "action"]


# -- what is wrong ---------------------------------------------------------------------------------


def test_a_missing_action_is_the_backends_own_422() -> None:
    """Byte for byte what clients of the official backend got."""
    sent = body()
    del sent["action"]
    assert refusal(sent) == (
        422,
        {
            "detail": [
                {"loc": ["body", "action"], "msg": "field required", "type": "value_error.missing"}
            ]
        },
    )
    assert refusal(sent, "/chatgpt/conversation")[0] == 422


@pytest.mark.parametrize(
    ("changes", "loc"),
    [
        ({"action": "jump"}, ["body", "action"]),
        ({"action": 5}, ["body", "action"]),
        ({"model": None}, ["body", "model"]),
        ({"model": ""}, ["body", "model"]),
        ({"messages": None}, ["body", "messages"]),
        ({"messages": {}}, ["body", "messages"]),
        ({"messages": [], "action": "variant", "conversation_id": CHAT}, ["body", "messages"]),
        ({"action": "continue"}, ["body", "conversation_id"]),
        (
            {"action": "continue", "conversation_id": CHAT, "parent_message_id": ""},
            ["body", "parent_message_id"],
        ),
        ({"conversation_id": "x" * 129}, ["body", "conversation_id"]),
        ({"history_and_training_disabled": "yes"}, ["body", "history_and_training_disabled"]),
        (
            {"messages": [message(author={"role": 7})]},
            ["body", "messages", 0, "author", "role"],
        ),
        (
            {"messages": [message(author={"role": "boss"})]},
            ["body", "messages", 0, "author", "role"],
        ),
        ({"messages": [message(content=None)]}, ["body", "messages", 0, "content"]),
        (
            {"messages": [message(content={"parts": [" "]})]},
            ["body", "messages", 0, "content", "parts"],
        ),
        (
            {"messages": [message(content={"parts": ["a", 7]})]},
            ["body", "messages", 0, "content", "parts", 1],
        ),
        ({"messages": [message(id="x" * 129)]}, ["body", "messages", 0, "id"]),
    ],
)
def test_a_field_at_fault_is_named_by_its_place(changes: dict[str, Any], loc: list[Any]) -> None:
    """422 with an array whose first entry tells where."""
    status, said = refusal(body(**changes))
    assert status == 422
    first = said["detail"][0]
    assert first["loc"] == loc
    assert first["msg"]
    assert first["type"]


@pytest.mark.parametrize(
    "part",
    [
        {"content_type": "image_asset_pointer", "asset_pointer": "file-service://f"},
        {"type": "image_url", "image_url": {"url": "https://example.org/cat.png"}},
    ],
)
def test_an_image_is_refused_in_clear_words(part: dict[str, Any]) -> None:
    """It would change the answer, so it is never dropped in silence."""
    content = {"content_type": "multimodal_text", "parts": ["What is this?", part]}
    status, said = refusal(body(messages=[message(content=content)]))
    assert status == 400
    assert "messages[0].content.parts[1]" in said["detail"]
    assert "image" in said["detail"]


def test_other_content_is_refused_by_name() -> None:
    """Only text can be asked."""
    status, said = refusal(body(messages=[message(content={"content_type": "code", "text": "x"})]))
    assert status == 400
    assert "'code'" in said["detail"]


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b'{"action": "next"',
        b"\xff",
        b'{"x":' + b"[" * 100_000,
        b'{"a":"\\ud800"}',
    ],
)
def test_broken_json_is_a_400_that_says_so(data: bytes) -> None:
    """Never HTML, never a crash."""
    status, said = refusal(data)
    assert status == 400
    assert "not valid JSON" in said["detail"]


def test_json_that_is_no_object_is_a_422() -> None:
    """There is no field to blame, so the body is."""
    status, said = refusal(b"[1]")
    assert (status, said["detail"][0]["loc"]) == (422, ["body"])


JSON = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=8,
)


@given(
    sent=st.fixed_dictionaries(
        {},
        optional={
            "action": st.sampled_from(["next", "continue", "variant"]) | JSON,
            "model": st.just("m") | JSON,
            "conversation_id": JSON,
            "parent_message_id": JSON,
            "supported_encodings": JSON,
            "messages": JSON
            | st.lists(
                st.fixed_dictionaries(
                    {},
                    optional={
                        "id": JSON,
                        "author": JSON,
                        "role": JSON,
                        "content": JSON
                        | st.fixed_dictionaries({}, optional={"parts": JSON, "content_type": JSON}),
                    },
                ),
                max_size=3,
            ),
        },
    ),
    path=st.sampled_from(CONVERSATION_PATHS),
)
def test_random_bodies_are_answered_never_a_crash(sent: Any, path: str) -> None:
    """Any JSON is a question or an error that can be sent."""
    try:
        asked = ask(sent, path)
    except InvalidRequest as error:
        reply = DOOR.failure(error)
        assert reply.status in (400, 422)
        assert json.loads(reply.body)["detail"]
    else:
        assert asked.model
        assert asked.question.action == "continue" or asked.request().messages


# -- error replies ---------------------------------------------------------------------------------


def detail(reply: HttpReply) -> Any:
    assert header(reply.headers, b"content-type") == b"application/json"
    assert reply.body.isascii()
    return json.loads(reply.body)["detail"]


def test_without_a_token_the_reply_is_the_one_people_test_for() -> None:
    """The guide takes this very body for "it works"."""
    reply = DOOR.failure(Unauthorized("Missing accessToken.", code=NO_TOKEN))
    assert reply.status == 401
    assert reply.body == b'{"errorMessage":"Missing accessToken."}'


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (Unauthorized("Not one of the keys."), "invalid_api_key"),
        (ModelNotFound("No such model: 模型."), "model_not_found"),
        (BodyTooLarge("Too large."), "message_length_exceeds_limit"),
    ],
)
def test_errors_with_a_code_of_their_own_carry_it(error: GatewayError, code: str) -> None:
    """The official backend sends these as objects."""
    reply = DOOR.failure(error)
    assert reply.status == error.status
    assert detail(reply) == {"message": error.text, "code": code}


def test_other_errors_are_plain_text_with_the_upstreams_words() -> None:
    """A string is what every client can show."""
    assert detail(DOOR.failure(UpstreamFailed("It broke.", said="out of tea"))) == (
        "It broke. Upstream said: out of tea"
    )


def test_a_busy_gateway_says_when_to_come_back() -> None:
    """429 with Retry-After in whole seconds."""
    reply = DOOR.failure(RateLimited("Busy.", retry_after=6.2))
    assert reply.status == 429
    assert header(reply.headers, b"retry-after") == b"7"
    assert detail(reply) == "Busy."


# -- what the engine is handed ---------------------------------------------------------------------


def test_a_placed_request_holds_the_whole_path() -> None:
    """Place, messages and model come from whoever keeps conversations."""
    path = (Message("user", (Text("1"),)), Message("assistant", (Text("2"),)))
    asked = ask(body()).placed(Place(CHAT, "m", QUESTION, "next"), path, "other")
    request = asked.request()
    assert request.messages == path
    assert (request.model, request.stream, request.n) == ("other", True, 1)
    assert asked.affinity == b"conversation:" + CHAT.encode()


def test_a_new_chat_has_no_affinity_yet() -> None:
    """Nothing ties it to a credential before it has a conversation."""
    assert ask(body()).affinity == b""
    assert ask(body(conversation_id=CHAT)).affinity.endswith(CHAT.encode())


def test_a_relayed_body_differs_in_its_model_only() -> None:
    """Fields nobody knows go through."""
    sent = body(unknown={"a": [1, 2]})
    relayed = json.loads(ask(sent).relayed("other", ask_usage=True))
    assert relayed == {**sent, "model": "other"}


def test_invalid_bodies_tell_the_record_which_field() -> None:
    """``param`` is the path, as in every other dialect."""
    with pytest.raises(InvalidBody) as caught:
        ask(body(model=None))
    assert caught.value.param == "model"
