"""Our conversation backend over a real socket: the endpoints that clients of the protocol use."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from support.conversation_server import ConversationServer, conversation_server
from support.gateway_process import Answer
from support.scripted_engine import says

BASES = ["/backend-api", "/api", "/chatgpt/backend-api", "/chatgpt"]
ROOT = "e1a70b52-6a0e-4f39-9d2b-5c8e7a104f61"
HIDE = '{"is_visible": false}'


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[ConversationServer]:
    async with conversation_server(tmp_path / "data") as running:
        yield running


def question(text: str = "Why do tides turn?", **more: Any) -> str:
    message = {
        "id": str(uuid4()),
        "author": {"role": "user"},
        "content": {"content_type": "text", "parts": [text]},
    }
    body = {"action": "next", "messages": [message], "parent_message_id": ROOT, "model": "gpt-4o"}
    return json.dumps(body | more)


def last(answer: Answer) -> Any:
    """The final event of a stream."""
    assert answer.status == 200, answer.text
    *_, final, done, rest = answer.text.split("\n\n")
    assert (done, rest) == ("data: [DONE]", "")
    return json.loads(final.removeprefix("data: "))


async def asked(server: ConversationServer, text: str = "Why?", token: str = "alice") -> str:
    """Ask a question; return the id of its new conversation."""
    final = last(await server.call("POST", "/api/conversation", question(text), token))
    conversation: str = final["conversation_id"]
    return conversation


async def titles(server: ConversationServer, token: str | None = "alice") -> list[str]:
    page = (await server.call("GET", "/api/conversations?offset=0&limit=20", token=token)).json
    assert page["total"] == len(page["items"])
    return [item["title"] for item in page["items"]]


# -- under every base ------------------------------------------------------------------------------


@pytest.mark.parametrize("base", BASES)
async def test_a_whole_session_works_under_every_base(
    server: ConversationServer, base: str
) -> None:
    """Ask, list, title, rename, look, hide: as a client does."""
    answer = await server.call("POST", f"{base}/conversation", question())
    assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
    final = last(answer)
    assert final["message"]["content"]["parts"] == ["Hello there"]
    conversation = final["conversation_id"]

    listed = (
        await server.call("GET", f"{base}/conversations?offset=0&limit=28&order=updated")
    ).json
    assert listed == {
        "items": [
            {
                "id": conversation,
                "title": "New chat",
                "create_time": "2023-11-14T22:13:20.250000+00:00",
                "update_time": "2023-11-14T22:13:20.250000+00:00",
                "mapping": None,
                "current_node": None,
                "conversation_template_id": None,
                "gizmo_id": None,
            }
        ],
        "total": 1,
        "limit": 28,
        "offset": 0,
        "has_missing_conversations": False,
    }

    naming = json.dumps({"message_id": final["message"]["id"], "model": "gpt-4o"})
    path = f"{base}/conversation/gen_title/{conversation}"
    assert (await server.call("POST", path, naming)).json == {"title": "Why do tides turn?"}
    again = await server.call("POST", path, naming)
    assert (again.status, again.json) == (
        200,
        {"message": f"Conversation {conversation} already has title 'Why do tides turn?'"},
    )

    renamed = await server.call(
        "PATCH", f"{base}/conversation/{conversation}", '{"title": "潮汐 \\"tides\\""}'
    )
    assert renamed.json == {"success": True}
    assert await titles(server) == ['潮汐 "tides"']

    tree = (await server.call("GET", f"{base}/conversation/{conversation}")).json
    assert tree["title"] == '潮汐 "tides"'
    assert tree["current_node"] == final["message"]["id"]

    hidden = await server.call("PATCH", f"{base}/conversation/{conversation}", HIDE)
    assert hidden.json == {"success": True}
    gone = await server.call("GET", f"{base}/conversation/{conversation}")
    assert (gone.status, gone.json) == (
        404,
        {"detail": {"message": "Conversation not found", "code": "conversation_not_found"}},
    )
    models = (await server.call("GET", f"{base}/models")).json
    assert [model["slug"] for model in models["models"]] == server.model_names
    assert (await server.call("GET", f"{base}/accounts/check")).status == 200


async def test_the_tree_is_one_that_clients_can_walk(server: ConversationServer) -> None:
    """From current_node up to a root without message and parent; alternatives are siblings."""
    first = last(await server.call("POST", "/api/conversation", question()))
    conversation, answer = first["conversation_id"], first["message"]["id"]
    server.script = says("Cut sh", finish="length")
    follow = question("And?", conversation_id=conversation, parent_message_id=answer)
    cut = last(await server.call("POST", "/api/conversation", follow))
    server.script = says("ort.")
    more = {
        "action": "continue",
        "conversation_id": conversation,
        "parent_message_id": cut["message"]["id"],
        "model": "gpt-4o",
    }
    rest = last(await server.call("POST", "/api/conversation", json.dumps(more)))
    await server.call(
        "POST",
        "/api/conversation",
        question("Or?", conversation_id=conversation, parent_message_id=answer),
    )
    tree = (await server.call("GET", f"/api/conversation/{conversation}")).json
    mapping = tree["mapping"]
    assert tree["conversation_id"] == conversation
    assert tree["create_time"] == 1_700_000_000.25
    assert mapping[ROOT] == {
        "id": ROOT,
        "message": None,
        "parent": None,
        "children": [first["message"]["metadata"]["parent_id"]],
    }
    assert len(mapping[answer]["children"]) == 2
    at, texts = rest["message"]["id"], []
    while mapping[at]["parent"] is not None:
        message = mapping[at]["message"]
        assert message["id"] == mapping[at]["id"] == at
        assert at in mapping[mapping[at]["parent"]]["children"]
        texts.append((message["author"]["role"], message["content"]["parts"][0]))
        at = mapping[at]["parent"]
    assert at == ROOT
    assert texts[::-1] == [
        ("user", "Why do tides turn?"),
        ("assistant", "Hello there"),
        ("user", "And?"),
        ("assistant", "Cut sh"),
        ("assistant", "ort."),
    ]
    shown = mapping[cut["message"]["id"]]["message"]
    assert shown["metadata"]["model_slug"] == "real-model"
    assert shown["metadata"]["finish_details"] == {"type": "max_tokens"}
    assert shown["end_turn"] is None
    assert mapping[rest["message"]["id"]]["message"]["metadata"]["message_type"] == "continue"


async def test_the_guides_test_of_a_backend_works(server: ConversationServer) -> None:
    """A plain POST without a token says so; with one it is answered. No Content-Type anywhere."""
    plain = json.dumps(
        {"model": "gpt-3.5-turbo", "messages": [{"role": "user", "content": "你是什么模型"}]}
    )
    without = await server.call("POST", "/chatgpt/conversation", plain, token=None)
    assert without.status == 401
    assert without.body == b'{"errorMessage":"Missing accessToken."}'
    assert last(await server.call("POST", "/chatgpt/conversation", plain))["message"]["content"][
        "parts"
    ] == ["Hello there"]
    assert server.engine.last == [("user", "你是什么模型")]


# -- who may ---------------------------------------------------------------------------------------

SIBLINGS = [
    ("GET", "/models"),
    ("GET", "/conversations"),
    ("PATCH", "/conversations"),
    ("GET", "/conversation/c"),
    ("PATCH", "/conversation/c"),
    ("POST", "/conversation/gen_title/c"),
    ("GET", "/accounts/check"),
    ("GET", "/accounts/check/v4-2023-04-27"),
    ("POST", "/conversation"),
]


@pytest.mark.parametrize(("method", "path"), SIBLINGS)
async def test_without_a_token_nothing_is_told(
    server: ConversationServer, method: str, path: str
) -> None:
    """401 with go-chatgpt-api's words, which probes take for a backend that works."""
    refused = await server.call(method, "/backend-api" + path, token=None)
    assert refused.status == 401
    assert refused.json == {"errorMessage": "Missing accessToken."}
    assert refused.headers["www-authenticate"] == "Bearer"


async def test_with_client_keys_the_bearer_must_be_one(tmp_path: Path) -> None:
    """On the door and beside it; the wrong one is named as such."""
    async with conversation_server(tmp_path / "data", keys=["k-1", "k-2"]) as server:
        for method, path in SIBLINGS:
            refused = await server.call(method, "/api" + path, token="alice")
            assert (refused.status, refused.json["detail"]["code"]) == (401, "invalid_api_key")
            missing = await server.call(method, "/api" + path, token=None)
            assert missing.json == {"errorMessage": "Missing accessToken."}
        await asked(server, token="k-1")
        assert await titles(server, "k-1") == ["New chat"]
        assert await titles(server, "k-2") == []


async def test_conversations_are_their_bearers_alone(server: ConversationServer) -> None:
    """Listing, looking, changing and clearing never reach another bearer's."""
    conversation = await asked(server)
    assert await titles(server, "bob") == []
    for method, body in (
        ("GET", None),
        ("PATCH", '{"title": "x"}'),
        ("PATCH", HIDE),
    ):
        path = f"/api/conversation/{conversation}"
        assert (await server.call(method, path, body, "bob")).status == 404
    gen = await server.call("POST", f"/api/conversation/gen_title/{conversation}", "{}", "bob")
    assert gen.status == 404
    cleared = await server.call("PATCH", "/api/conversations", HIDE, "bob")
    assert cleared.json == {"success": True}
    assert await titles(server) == ["New chat"]


async def test_anonymous_callers_are_let_in_where_the_setting_says_so(tmp_path: Path) -> None:
    """They can talk on by id, and see no list."""
    async with conversation_server(tmp_path / "data", anonymous=True) as server:
        first = last(await server.call("POST", "/api/conversation", question(), token=None))
        follow = question(
            "And?",
            conversation_id=first["conversation_id"],
            parent_message_id=first["message"]["id"],
        )
        last(await server.call("POST", "/api/conversation", follow, token=None))
        assert [text for _, text in server.engine.last][-1] == "And?"
        assert await titles(server, None) == []
        path = f"/api/conversation/{first['conversation_id']}"
        assert len((await server.call("GET", path, token=None)).json["mapping"]) == 5
        assert (await server.call("GET", path, token="alice")).status == 404


async def test_a_web_page_of_another_site_may_not(server: ConversationServer) -> None:
    """Without keys a foreign Origin is refused on every endpoint, in the protocol's shape."""
    for method, path in SIBLINGS:
        refused = await server.call(method, "/api" + path, origin="https://evil.example")
        assert (refused.status, refused.json["detail"]["code"]) == (403, "origin_not_allowed")


async def test_the_callers_own_token_reaches_the_engine(server: ConversationServer) -> None:
    """A bearer that is an access token is the caller's own; the engine keeps it to its kind."""
    token = "eyJhbGciOiJSUzI1NiJ9.eyJleHAiOjF9.c2ln"
    await asked(server, token=token)
    own = server.engine.callers[-1].own
    assert own is not None
    assert own.token is not None
    assert own.token.reveal() == token
    assert token not in repr(server.engine.callers[-1])


async def test_a_session_is_the_bearers_own(server: ConversationServer) -> None:
    """``{}`` for who is not logged in; else who it is, never to be stored on the way."""
    assert (await server.call("GET", "/api/auth/session", token=None)).json == {}
    answer = await server.call("GET", "/api/auth/session", token="alice-token")
    session = answer.json
    assert session["accessToken"] == "alice-token"
    assert session["expires"] == "2023-12-14T22:13:20.000Z"
    assert session["user"]["id"].startswith("user-")
    assert "alice" not in session["user"]["id"]
    assert answer.headers["cache-control"] == "no-store"
    other = (await server.call("GET", "/api/auth/session", token="bob-token")).json
    assert other["user"]["id"] != session["user"]["id"]


# -- shapes and bad input --------------------------------------------------------------------------


async def test_models_have_what_clients_insist_on(server: ConversationServer) -> None:
    """Slug, title, description, tags and max_tokens of each; categories of them."""
    page = (await server.call("GET", "/api/models?history_and_training_disabled=false")).json
    for model in page["models"]:
        assert isinstance(model["max_tokens"], int)
        assert model["title"] == model["slug"]
        assert isinstance(model["description"], str)
        assert isinstance(model["tags"], list)
    assert [c["default_model"] for c in page["categories"]] == server.model_names


async def test_accounts_tell_the_truth(server: ConversationServer) -> None:
    """No paid plan, in the old and in the new form."""
    old = (await server.call("GET", "/backend-api/accounts/check")).json
    assert old["account_plan"]["is_paid_subscription_active"] is False
    assert old["account_plan"]["subscription_plan"] == "chatgptfreeplan"
    new = (await server.call("GET", "/backend-api/accounts/check/v4-2023-04-27")).json
    account = new["accounts"]["default"]
    assert account["entitlement"]["has_active_subscription"] is False
    assert account["account"]["account_user_role"] == "account-owner"


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("offset=x", ["offset"]),
        ("limit=-1", ["limit"]),
        ("offset=1.5&limit=", ["offset", "limit"]),
        ("offset=99999999999999999999", ["offset"]),
        ("limit=%D9%A1", ["limit"]),
    ],
)
async def test_a_page_that_is_no_page_is_a_422(
    server: ConversationServer, query: str, names: list[str]
) -> None:
    """An array that names each number at fault."""
    refused = await server.call("GET", f"/api/conversations?{query}")
    assert refused.status == 422
    assert [fault["loc"] for fault in refused.json["detail"]] == [["query", n] for n in names]


async def test_pages_are_cut_as_asked_and_bounded(server: ConversationServer) -> None:
    """Offset and limit hold; a limit beyond the longest page is told."""
    for i in range(3):
        await asked(server, f"q{i}")
    page = (await server.call("GET", "/api/conversations?offset=2&limit=2")).json
    assert (len(page["items"]), page["total"], page["limit"], page["offset"]) == (1, 3, 2, 2)
    assert (await server.call("GET", "/api/conversations?limit=5000")).json["limit"] == 100
    assert (await server.call("GET", "/api/conversations?limit=0")).json["items"] == []


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ("{}", 422),
        ('{"title": 5}', 422),
        ('{"title": " "}', 422),
        (json.dumps({"title": "x" * 201}), 422),
        ('{"is_visible": "no"}', 422),
        ('{"title": "a "quote" in it"}', 400),
        ("", 400),
        ("[]", 422),
        ('{"title": "' + "x" * 70_000 + '"}', 413),
    ],
)
async def test_a_change_that_is_none_is_refused(
    server: ConversationServer, body: str, status: int
) -> None:
    """JSON in the protocol's shape, and nothing changed."""
    conversation = await asked(server)
    refused = await server.call("PATCH", f"/api/conversation/{conversation}", body)
    assert refused.status == status
    assert refused.json["detail"]
    assert await titles(server) == ["New chat"]


async def test_hiding_all_wants_to_be_said(server: ConversationServer) -> None:
    """Only ``is_visible: false`` clears; anything else is refused."""
    conversation = await asked(server)
    for body in ("{}", '{"is_visible": true}', '{"is_visible": 1}'):
        assert (await server.call("PATCH", "/api/conversations", body)).status == 422
    assert await titles(server) == ["New chat"]
    done = await server.call("PATCH", "/api/conversations", HIDE)
    assert done.json == {"success": True}
    assert await titles(server) == []
    shown = await server.call(
        "PATCH", f"/api/conversation/{conversation}", '{"title": "Back", "is_visible": true}'
    )
    assert shown.json == {"success": True}
    assert await titles(server) == ["Back"]


@pytest.mark.parametrize(
    ("text", "title"),
    [
        ("\n \n  What   makes\ttides turn?\nSecond line", "What makes tides turn?"),
        ("Please tell me in detail how the tides of the sea turn", None),
        ("潮" * 60, "潮" * 48 + "…"),
        ("a " + "x" * 100, "a " + "x" * 46 + "…"),
    ],
)
async def test_titles_are_the_questions_first_line(
    server: ConversationServer, text: str, title: str | None
) -> None:
    """Shortened at a word's end where there is one not too far back."""
    conversation = await asked(server, text)
    path = f"/api/conversation/gen_title/{conversation}"
    title = title or "Please tell me in detail how the tides of the…"
    assert (await server.call("POST", path, "{}")).json == {"title": title}


@pytest.mark.parametrize("path", ["/backend-api/nothing", "/chatgpt/nothing/at/all"])
async def test_unknown_paths_of_the_protocol_answer_in_its_shape(
    server: ConversationServer, path: str
) -> None:
    """JSON with a detail, for any method."""
    for method in ("GET", "POST", "DELETE"):
        gone = await server.call(method, path)
        assert gone.status == 404
        assert gone.json["detail"]["code"] == "not_found"


async def test_the_rest_of_api_is_left_to_others(server: ConversationServer) -> None:
    """``/api/`` is shared: what is not named here is not answered here."""
    gone = await server.call("POST", "/api/chat", "{}")
    assert gone.status == 404
    assert "detail" not in gone.json


async def test_wrong_methods_are_told_which_are_right(server: ConversationServer) -> None:
    """405 in the protocol's shape, with Allow."""
    refused = await server.call("DELETE", "/api/conversations")
    assert refused.status == 405
    assert refused.headers["allow"] == "GET, PATCH"
    assert "DELETE" in refused.json["detail"]
    door = await server.call("GET", "/api/conversation")
    assert door.status == 405
    assert door.json["detail"]


async def test_errors_of_the_door_are_json_over_the_wire(server: ConversationServer) -> None:
    """The official backend's 422, and a 404 for a conversation of nobody."""
    refused = await server.call("POST", "/backend-api/conversation", '{"model": "m"}')
    assert refused.status == 422
    assert refused.headers["content-type"] == "application/json"
    assert refused.json["detail"][0] == {
        "loc": ["body", "action"],
        "msg": "field required",
        "type": "value_error.missing",
    }
    unknown = await server.call(
        "POST", "/backend-api/conversation", question(conversation_id=str(uuid4()))
    )
    assert unknown.json == {
        "detail": {"message": "Conversation not found", "code": "conversation_not_found"}
    }
