"""Conversations that continue: turns in their place, kept before the client sees the end."""

from __future__ import annotations

import asyncio
import re
import sqlite3
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from chatgpt_to_api.chat.events import TextDelta
from chatgpt_to_api.chat.request import ChatRequest
from chatgpt_to_api.config.settings import ConversationSettings
from chatgpt_to_api.dialects.conversation.door import DOOR
from chatgpt_to_api.errors import GatewayError, UpstreamFailed
from chatgpt_to_api.gateway.caller import Caller
from chatgpt_to_api.gateway.conversation_backend import ConversationBackend
from chatgpt_to_api.gateway.conversations import GO_ON, ConversationNotFound, Conversations
from chatgpt_to_api.gateway.unsaved import UnsavedConversations
from chatgpt_to_api.store.conversations import StoredConversations
from chatgpt_to_api.store.database import Store, database_path
from chatgpt_to_api.store.secrets import Cipher
from support.recorded_exchange import RecordedExchange
from support.scripted_engine import ScriptedEngine, Step, says

UUID4 = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
ALICE, BOB, NOBODY = Caller("alice"), Caller("bob"), Caller()
ROOT = "e1a70b52-6a0e-4f39-9d2b-5c8e7a104f61"


class Desk:
    """A conversation backend with a scripted engine, and calls the way a client makes them."""

    def __init__(self, data_dir: Path, bounds: ConversationSettings) -> None:
        self.data_dir = data_dir
        self.bounds = bounds
        self.now = 1_700_000_000.0
        self.script: Sequence[Step] = says("Hello", " there")
        self.engine = ScriptedEngine(lambda _: self.script)
        self.unsaved = UnsavedConversations()

    async def open(self) -> None:
        self.store = await Store.open(self.data_dir, Cipher(bytes(32), "a test"))
        self.place_backend()

    def place_backend(self, *, settle_wait: float = 30.0) -> None:
        self.kept = Conversations(
            StoredConversations(self.store, self.bounds),
            self.unsaved,
            wall=lambda: self.now,
            new_id=lambda: str(uuid4()),
            settle_wait=settle_wait,
        )
        self.backend = ConversationBackend(
            self.engine,
            self.kept,
            owner_digest=self.store.cipher.digest,
            max_body=1 << 20,
        )

    def owner(self, caller: Caller = ALICE) -> str:
        return self.backend.owner_of(caller)

    async def post(self, body: Any, caller: Caller = ALICE) -> RecordedExchange:
        exchange = RecordedExchange(body)
        await self.backend.serve(exchange, DOOR, caller)
        return exchange

    async def ask(
        self, text: str, after: Any = None, caller: Caller = ALICE, **changes: Any
    ) -> Any:
        """Ask, as a follow-up of the event ``after``; return the reply's final event."""
        body = {
            "action": "next",
            "messages": [user(text)],
            "parent_message_id": ROOT if after is None else after["message"]["id"],
            "model": "gpt-4o",
            **({} if after is None else {"conversation_id": after["conversation_id"]}),
            **changes,
        }
        exchange = await self.post(body, caller)
        assert exchange.status == 200, exchange.sent
        assert exchange.events[-1] == "[DONE]"
        return exchange.events[-2]

    async def tree(self, event: Any, caller: Caller = ALICE) -> Any:
        return await self.kept.tree(self.owner(caller), event["conversation_id"])


def user(text: str, id: str | None = None) -> dict[str, Any]:
    return {
        "id": id or str(uuid4()),
        "author": {"role": "user"},
        "content": {"content_type": "text", "parts": [text]},
    }


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    desk = Desk(tmp_path / "data", ConversationSettings())
    await desk.open()
    yield desk
    await desk.store.close()


def text_of(event: Any) -> str:
    text: str = event["message"]["content"]["parts"][0]
    return text


# -- a chat goes on --------------------------------------------------------------------------------


async def test_a_new_chat_gets_ids_and_is_kept(desk: Desk) -> None:
    """The conversation is in the list; the client's parent id is the root of its tree."""
    last = await desk.ask("Hi")
    assert text_of(last) == "Hello there"
    assert UUID4.fullmatch(last["conversation_id"])
    assert UUID4.fullmatch(last["message"]["id"])
    tree = await desk.tree(last)
    question, answer = tree.nodes
    assert (tree.root, question.parent, answer.parent) == (ROOT, ROOT, question.id)
    assert (question.role, question.text) == ("user", "Hi")
    assert (answer.text, answer.model, answer.asked_model, answer.finish) == (
        "Hello there",
        "real-model",
        "gpt-4o",
        "stop",
    )
    assert tree.current == answer.id == last["message"]["id"]
    assert last["message"]["metadata"]["parent_id"] == question.id
    page, total = await desk.kept.listing(desk.owner(), 0, 20)
    assert ([summary.id for summary in page], total) == ([last["conversation_id"]], 1)


async def test_a_follow_up_brings_the_whole_path(desk: Desk) -> None:
    """The model sees every turn above; no system prompt is added."""
    first = await desk.ask("one")
    desk.script = says("two answered")
    second = await desk.ask("two", first)
    assert second["conversation_id"] == first["conversation_id"]
    await desk.ask("three", second)
    assert desk.engine.last == [
        ("user", "one"),
        ("assistant", "Hello there"),
        ("user", "two"),
        ("assistant", "two answered"),
        ("user", "three"),
    ]


async def test_a_follow_up_works_after_a_restart(desk: Desk) -> None:
    """What a client saw the end of is on the disk."""
    first = await desk.ask("one")
    await desk.store.close()
    await desk.open()
    await desk.ask("two", first)
    assert [text for _, text in desk.engine.last] == ["one", "Hello there", "two"]


async def test_an_edited_question_branches_beside_the_old_one(desk: Desk) -> None:
    """Same parent, other message: the old branch stays and is not shown to the model."""
    first = await desk.ask("one")
    await desk.ask("two", first)
    await desk.ask("two, better", first)
    assert [text for _, text in desk.engine.last] == ["one", "Hello there", "two, better"]
    tree = await desk.tree(first)
    children = [node.text for node in tree.nodes if node.parent == first["message"]["id"]]
    assert children == ["two", "two, better"]


async def test_without_a_parent_the_question_follows_the_current_message(desk: Desk) -> None:
    """A client that knows only the conversation goes on where it was left."""
    first = await desk.ask("one")
    await desk.ask("two", first, parent_message_id=None)
    assert [text for _, text in desk.engine.last] == ["one", "Hello there", "two"]


async def test_an_unknown_parent_begins_a_branch_at_the_root(desk: Desk) -> None:
    """As the official backend was seen to do; nothing of another branch is shown."""
    first = await desk.ask("one")
    second = await desk.ask("two", first, parent_message_id=str(uuid4()))
    assert [text for _, text in desk.engine.last] == ["two"]
    tree = await desk.tree(second)
    assert [node.parent for node in tree.nodes if node.role == "user"] == [ROOT, ROOT]


async def test_a_whole_list_of_messages_is_a_path_of_its_own(desk: Desk) -> None:
    """Programs that keep the history themselves send all of it in a new chat."""
    roles = [("critic", "Be brief."), ("user", "one"), ("assistant", "1"), ("user", "two")]
    messages = [{**user(text), "author": {"role": role}} for role, text in roles]
    last = await desk.ask("", messages=messages)
    assert desk.engine.last == [
        ("system", "Be brief."),
        ("user", "one"),
        ("assistant", "1"),
        ("user", "two"),
    ]
    tree = await desk.tree(last)
    assert [node.text for node in tree.path(tree.current)] == [
        "Be brief.",
        "one",
        "1",
        "two",
        "Hello there",
    ]


async def test_message_ids_that_are_taken_or_missing_are_made_anew(desk: Desk) -> None:
    """A message is never overwritten by another that brings its id."""
    first = await desk.ask("one")
    taken = first["message"]["id"]
    again = [user("a", taken), user("b", "same"), user("c", "same"), {**user("d"), "id": None}]
    second = await desk.ask("", first, messages=again)
    tree = await desk.tree(second)
    assert len({node.id for node in tree.nodes}) == len(tree.nodes) == 7
    assert [node.text for node in tree.path(tree.current)][:2] == ["one", "Hello there"]
    assert "same" in {node.id for node in tree.nodes}


# -- variant and continue --------------------------------------------------------------------------


async def test_a_variant_is_a_second_answer_to_the_same_question(desk: Desk) -> None:
    """No second question; both answers hang under it; the newer one is current."""
    question = user("one")
    first = await desk.ask("", messages=[question])
    desk.script = says("Another")
    second = await desk.ask(
        "", first, action="variant", messages=[question], parent_message_id=ROOT
    )
    assert second["message"]["metadata"]["message_type"] == "variant"
    assert desk.engine.last == [("user", "one")]
    tree = await desk.tree(second)
    assert [(node.text, node.parent) for node in tree.nodes] == [
        ("one", ROOT),
        ("Hello there", question["id"]),
        ("Another", question["id"]),
    ]
    assert tree.current == second["message"]["id"]


async def test_a_repeated_question_is_answered_again_not_doubled(desk: Desk) -> None:
    """What a client sends twice, after an error say, stands once."""
    question = user("one")
    first = await desk.ask("", messages=[question])
    await desk.ask("", first, messages=[question], parent_message_id=ROOT)
    tree = await desk.tree(first)
    assert [node.role for node in tree.nodes] == ["user", "assistant", "assistant"]


@pytest.mark.parametrize("messages", ["absent", None, []])
async def test_a_cut_answer_is_continued(desk: Desk, messages: Any) -> None:
    """The model is told to go on; the new text is a new message; later turns see both as one."""
    desk.script = says("one, two, th", finish="length")
    cut = await desk.ask("Count")
    assert cut["message"]["metadata"]["finish_details"] == {"type": "max_tokens"}
    desk.script = says("ree")
    body = {
        "action": "continue",
        "conversation_id": cut["conversation_id"],
        "parent_message_id": cut["message"]["id"],
        "model": "gpt-4o",
        **({} if messages == "absent" else {"messages": messages}),
    }
    rest = (await desk.post(body)).events[-2]
    assert desk.engine.last == [("user", "Count"), ("assistant", "one, two, th"), ("user", GO_ON)]
    assert text_of(rest) == "ree"
    assert rest["message"]["metadata"]["message_type"] == "continue"
    assert rest["message"]["metadata"]["parent_id"] == cut["message"]["id"]
    await desk.ask("And?", rest)
    assert desk.engine.last == [
        ("user", "Count"),
        ("assistant", "one, two, three"),
        ("user", "And?"),
    ]


async def test_only_an_answer_can_be_continued(desk: Desk) -> None:
    """A question, or a message that is not there, is refused by name."""
    first = await desk.ask("one")
    body = {"action": "continue", "conversation_id": first["conversation_id"], "model": "gpt-4o"}
    question = first["message"]["metadata"]["parent_id"]
    refused = await desk.post({**body, "parent_message_id": question})
    assert refused.status == 422
    assert refused.json["detail"][0]["loc"] == ["body", "parent_message_id"]
    unknown = await desk.post({**body, "parent_message_id": str(uuid4())})
    assert unknown.status == 404
    assert unknown.json == {"detail": {"message": "Message not found", "code": "message_not_found"}}


async def test_the_name_a_reply_brought_leads_back_to_the_name_asked_for(desk: Desk) -> None:
    """Clients continue with the reply's model_slug, which need not be a name that routes."""
    first = await desk.ask("one")
    slug = first["message"]["metadata"]["model_slug"]
    assert slug == "real-model"
    await desk.ask("two", first, model=slug)
    assert desk.engine.asked[-1].model == "gpt-4o"
    await desk.ask("three", first, model="other")
    assert desk.engine.asked[-1].model == "other"


# -- whose they are --------------------------------------------------------------------------------

UNKNOWN = {"detail": {"message": "Conversation not found", "code": "conversation_not_found"}}


async def test_another_bearers_conversation_does_not_exist(desk: Desk) -> None:
    """Continuing, looking, renaming, hiding: a 404 like for an id nobody has."""
    first = await desk.ask("one")
    body = {
        "action": "next",
        "messages": [user("two")],
        "conversation_id": first["conversation_id"],
        "parent_message_id": first["message"]["id"],
        "model": "gpt-4o",
    }
    for caller in (BOB, NOBODY):
        refused = await desk.post(body, caller)
        assert (refused.status, refused.json) == (404, UNKNOWN)
        with pytest.raises(ConversationNotFound):
            await desk.tree(first, caller)
        with pytest.raises(ConversationNotFound):
            await desk.kept.retitle(desk.owner(caller), first["conversation_id"], "x")
        with pytest.raises(ConversationNotFound):
            await desk.kept.hide(desk.owner(caller), first["conversation_id"])
    missing = await desk.post({**body, "conversation_id": str(uuid4())})
    assert (missing.status, missing.json) == (404, UNKNOWN)


async def test_a_chat_without_history_lives_in_memory_only(desk: Desk) -> None:
    """Continued while the process lives, in no list, never on the disk."""
    first = await desk.ask("one", history_and_training_disabled=True)
    second = await desk.ask("two", first, history_and_training_disabled=True)
    assert [text for _, text in desk.engine.last] == ["one", "Hello there", "two"]
    # A turn that forgets to say so does not put the chat on the disk either.
    await desk.ask("three", second)
    assert await desk.kept.listing(desk.owner(), 0, 20) == ([], 0)
    assert len((await desk.tree(first)).nodes) == 6
    desk.unsaved = UnsavedConversations()
    await desk.store.close()
    await desk.open()
    with pytest.raises(ConversationNotFound):
        await desk.tree(first)


async def test_a_turn_without_history_leaves_the_stored_chat_as_it_is(desk: Desk) -> None:
    """It goes on from what is stored, and what is added stays in memory."""
    first = await desk.ask("one")
    secret = await desk.ask("secret", first, history_and_training_disabled=True)
    await desk.ask("more", secret, history_and_training_disabled=True)
    assert [text for _, text in desk.engine.last] == [
        "one",
        "Hello there",
        "secret",
        "Hello there",
        "more",
    ]
    assert [node.text for node in (await desk.tree(first)).nodes] == ["one", "Hello there"]


async def test_nobodys_chat_is_known_to_who_has_its_id_alone(desk: Desk) -> None:
    """Anonymous callers share no list and cannot clear what others began."""
    first = await desk.ask("one", caller=NOBODY)
    assert await desk.kept.listing("", 0, 20) == ([], 0)
    await desk.kept.hide_all("")
    await desk.ask("two", first, caller=NOBODY)
    assert len((await desk.tree(first, NOBODY)).nodes) == 4
    with pytest.raises(ConversationNotFound):
        await desk.tree(first, ALICE)


# -- broken answers --------------------------------------------------------------------------------


async def test_the_turn_is_kept_before_the_terminal_bytes_leave(desk: Desk) -> None:
    """A client that sees the end can follow up at once, and a kill cannot lose the turn."""
    seen: list[int] = []

    class Watched(RecordedExchange):
        def write(self, data: bytes) -> None:
            if b"[DONE]" in data or b'"end_turn": true' in data:
                conversation = self.events[0]["conversation_id"]
                with sqlite3.connect(database_path(desk.data_dir)) as connection:
                    sql = "SELECT count(*) FROM conversation_nodes WHERE conversation = ?"
                    seen.extend(connection.execute(sql, (conversation,)).fetchone())
            super().write(data)

    exchange = Watched(
        {"action": "next", "messages": [user("one")], "model": "m", "parent_message_id": ROOT}
    )
    await desk.backend.serve(exchange, DOOR, ALICE)
    assert seen == [2]


async def test_what_came_of_a_broken_answer_is_kept_as_partial(desk: Desk) -> None:
    """The client is told of the break; the text that it saw can be followed up."""
    desk.script = [*says("Half a")[:-1], UpstreamFailed("It broke.")]
    exchange = await desk.post(
        {"action": "next", "messages": [user("one")], "model": "m", "parent_message_id": ROOT}
    )
    assert exchange.events[-1]["message"] is None
    assert exchange.events[-1]["error"] == "It broke."
    assert b"[DONE]" not in exchange.sent
    half = exchange.events[0]
    tree = await desk.tree(half)
    assert (tree.nodes[-1].text, tree.nodes[-1].finish) == ("Half a", None)
    desk.script = says("whole")
    await desk.ask("go on", half)
    assert [text for _, text in desk.engine.last] == ["one", "Half a", "go on"]


async def test_of_an_answer_that_never_began_nothing_is_kept(desk: Desk) -> None:
    """An error status; the client asks again with the same message, and it stands once."""
    desk.script = [UpstreamFailed("It is down.")]
    question = user("one")
    body = {"action": "next", "messages": [question], "model": "m", "parent_message_id": ROOT}
    exchange = await desk.post(body)
    assert (exchange.status, exchange.json) == (502, {"detail": "It is down."})
    assert await desk.kept.listing(desk.owner(), 0, 20) == ([], 0)


async def test_an_empty_answer_is_an_answer(desk: Desk) -> None:
    """The end was seen, so the turn is kept."""
    desk.script = says()
    last = await desk.ask("one")
    assert (await desk.tree(last)).nodes[-1].finish == "stop"


async def test_a_client_that_hangs_up_can_go_on_at_once(desk: Desk) -> None:
    """Its follow-up waits until the half answer is kept, however early it comes."""
    gate = asyncio.Event()
    desk.script = [*says("Half a")[:-1], gate, *says("never")]
    exchange = RecordedExchange(
        {"action": "next", "messages": [user("one")], "model": "m", "parent_message_id": ROOT}
    )
    running = asyncio.create_task(desk.backend.serve(exchange, DOOR, ALICE))
    await exchange.wrote.wait()
    desk.script = says("whole")
    following = asyncio.create_task(desk.ask("two", exchange.events[0]))
    await asyncio.sleep(0)
    running.cancel()
    await following
    assert [text for _, text in desk.engine.last] == ["one", "Half a", "two"]
    with pytest.raises(asyncio.CancelledError):
        await running


async def test_a_question_under_a_running_answer_is_told_to_wait(desk: Desk) -> None:
    """In the official backend's words, with a time to come back."""
    desk.place_backend(settle_wait=0.01)
    gate = asyncio.Event()
    desk.script = [*says("Half a")[:-1], gate, *says(" and more")[1:]]
    exchange = RecordedExchange(
        {"action": "next", "messages": [user("one")], "model": "m", "parent_message_id": ROOT}
    )
    running = asyncio.create_task(desk.backend.serve(exchange, DOOR, ALICE))
    await exchange.wrote.wait()
    half = exchange.events[0]
    body = {
        "action": "next",
        "messages": [user("two")],
        "conversation_id": half["conversation_id"],
        "parent_message_id": half["message"]["id"],
        "model": "m",
    }
    refused = await desk.post(body)
    assert refused.status == 429
    assert refused.json["detail"].startswith("Only one message at a time.")
    assert (b"retry-after", b"1") in refused.headers
    # Another bearer's running chat is no reason to wait: it does not exist.
    assert (await desk.post(body, BOB)).status == 404
    gate.set()
    await running
    assert (await desk.tree(half)).nodes[-1].text == "Half a and more"


async def test_a_store_that_cannot_write_is_told_to_the_client(desk: Desk) -> None:
    """An answer that cannot be followed up must not look whole."""

    with sqlite3.connect(database_path(desk.data_dir)) as connection:
        connection.execute("DROP TABLE conversation_nodes")
    exchange = await desk.post(
        {"action": "next", "messages": [user("one")], "model": "m", "parent_message_id": ROOT}
    )
    assert b"[DONE]" not in exchange.sent
    assert "no such table" in exchange.events[-1]["error"]


async def test_settling_twice_keeps_one_turn(desk: Desk) -> None:
    """The engine may settle at the end and again after a cut there."""
    body = {"action": "next", "messages": [user("one")], "model": "m", "parent_message_id": ROOT}
    asked = DOOR.ask(RecordedExchange(b"").head, RecordedExchange(body)._body)
    turn = await desk.kept.prepare(asked, desk.owner())
    turn.asked.answer.take([TextDelta("half")])
    await asyncio.gather(turn.settle(), turn.settle())
    await turn.settle()
    await turn.close()
    tree = await desk.kept.tree(desk.owner(), turn.place.conversation_id)
    assert [node.text for node in tree.nodes] == ["one", "half"]


async def test_a_full_conversation_says_so_before_it_is_asked(tmp_path: Path) -> None:
    """Neither messages nor bytes grow without end; no model is asked in vain."""
    desk = Desk(tmp_path / "data", ConversationSettings(max_messages=4, max_bytes=2000))
    await desk.open()
    first = await desk.ask("one")
    body = {
        "action": "next",
        "messages": [user("two")],
        "conversation_id": first["conversation_id"],
        "model": "m",
    }
    await desk.ask("two", first)
    refused = await desk.post(body)
    assert refused.status == 413
    assert refused.json["detail"]["code"] == "conversation_too_large"
    long = {**body, "messages": [user("x" * 2000)], "conversation_id": None}
    assert (await desk.post(long)).status == 413
    assert len(desk.engine.asked) == 2
    await desk.store.close()


async def test_a_body_that_is_too_large_or_broken_is_refused_as_json(desk: Desk) -> None:
    """The door's errors, not ours."""
    assert (await desk.post(b"x" * (2 << 20))).status == 413
    broken = await desk.post(b"{")
    assert broken.status == 400
    assert "JSON" in broken.json["detail"]


# -- titles and sight ------------------------------------------------------------------------------


async def test_a_title_is_made_once_from_the_first_question(desk: Desk) -> None:
    """The second call says which title there is; a given title is never replaced."""
    last = await desk.ask("  What makes\n the tide turn?")
    conversation = last["conversation_id"]
    assert await desk.kept.name(desk.owner(), conversation) == ("What makes", True)
    assert await desk.kept.name(desk.owner(), conversation) == ("What makes", False)
    other = await desk.ask("another")
    await desk.kept.retitle(desk.owner(), other["conversation_id"], "Mine")
    assert await desk.kept.name(desk.owner(), other["conversation_id"]) == ("Mine", False)


async def test_a_hidden_chat_is_gone_and_can_come_back(desk: Desk) -> None:
    """For its owner too: neither looked at nor continued until it is shown."""
    last = await desk.ask("one")
    conversation = last["conversation_id"]
    await desk.kept.hide(desk.owner(), conversation)
    with pytest.raises(ConversationNotFound):
        await desk.tree(last)
    with pytest.raises(ConversationNotFound):
        await desk.kept.hide(desk.owner(), conversation)
    await desk.kept.show(desk.owner(), conversation)
    await desk.ask("two", last)
    await desk.kept.hide_all(desk.owner())
    assert await desk.kept.listing(desk.owner(), 0, 20) == ([], 0)


async def test_chats_in_memory_are_renamed_and_dropped_too(desk: Desk) -> None:
    """The same calls work for who has the id."""
    last = await desk.ask("one", history_and_training_disabled=True)
    conversation = last["conversation_id"]
    await desk.kept.retitle(desk.owner(), conversation, "Mine")
    assert (await desk.tree(last)).title == "Mine"
    await desk.kept.show(desk.owner(), conversation)
    await desk.kept.hide(desk.owner(), conversation)
    for call in (
        desk.kept.hide(desk.owner(), conversation),
        desk.kept.show(desk.owner(), conversation),
        desk.kept.name(desk.owner(), conversation),
    ):
        with pytest.raises(ConversationNotFound):
            await call


async def test_the_engine_is_asked_for_one_streamed_choice(desk: Desk) -> None:
    """Whatever the client says of ``n`` or ``stream``."""
    await desk.ask("one", n=3, stream=False)
    request: ChatRequest = desk.engine.asked[-1]
    assert (request.n, request.stream, request.continuation) == (1, True, None)
    assert desk.engine.callers == [ALICE]


async def test_errors_of_the_engine_come_as_the_doors(desk: Desk) -> None:
    """A GatewayError of any kind is JSON with a detail."""
    desk.script = [GatewayError("Something of ours broke.")]
    exchange = await desk.post(
        {"action": "next", "messages": [user("one")], "model": "m", "parent_message_id": ROOT}
    )
    assert (exchange.status, exchange.json) == (500, {"detail": "Something of ours broke."})
