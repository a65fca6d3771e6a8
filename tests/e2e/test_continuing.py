"""Chats that go on in the backend's own conversation: what is sent, where it hangs, when not."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from support.gateway_process import Answer
from support.keeping_backend import KeepingBackend
from support.rig import Rig, Rigging, rigging
from support.scripted_backend import Play, Seen, conversation, conversation_events, json_play
from support.shared_rig import OpenScript, events_of, fresh, text_of

pytestmark = pytest.mark.asyncio(loop_scope="module")

HISTORY = {"ENABLE_HISTORY": "true"}
KEYS = itertools.count()


class Chat:
    """A client's chat: it holds all that was said, and sends it with every question."""

    def __init__(self, rig: Rig, key: str = "", **more: Any) -> None:
        self.rig = rig
        self.more = more
        if key:
            self.more["headers"] = {"Authorization": f"Bearer {key}"}
        self.messages: list[dict[str, Any]] = []
        self.told = ""
        """What the last answer's header said of the conversation."""

    async def ask(self, content: str, **more: Any) -> str:
        """Ask one more question; the answer is kept."""
        self.messages.append({"role": "user", "content": content})
        answer = await self.rig.ask(messages=self.messages, **{**self.more, **more})
        text = said(answer)
        self.told = answer.headers.get("x-conversation", "")
        self.messages.append({"role": "assistant", "content": text})
        return text


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stage() -> OpenScript:
    return OpenScript()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared(tmp_path_factory: pytest.TempPathFactory, stage: OpenScript) -> AsyncIterator[Rig]:
    keys = ",".join(f"sk-{number}" for number in range(100))
    rig = rigging(tmp_path_factory.mktemp("continuing") / "data")
    async with rig(stage, tokens=("tok-a", "tok-b"), API_KEYS=keys, **HISTORY) as running:
        yield running


@pytest_asyncio.fixture(loop_scope="module")
async def rig(shared: Rig) -> Rig:
    await fresh(shared)
    return shared


@pytest.fixture
def key() -> str:
    """A client key that no other test uses: no chat of theirs is known under it."""
    return f"sk-{next(KEYS)}"


@pytest.fixture
def backend(stage: OpenScript) -> KeepingBackend:
    """What answers, unless the test says otherwise: answers are numbered."""
    backend = KeepingBackend()
    stage.play(backend)
    return backend


def said(answer: Answer) -> str:
    """The text of a good answer, streamed or whole."""
    assert answer.status == 200, answer.text
    if answer.headers["content-type"].startswith("text/event-stream"):
        return text_of(events_of(answer))
    text: str = answer.json["choices"][0]["message"]["content"]
    return text


def places(backend: KeepingBackend) -> list[tuple[str | None, str]]:
    """Conversation and parent of each question after the first."""
    return [(a.get("conversation_id"), a["parent_message_id"]) for a in backend.asked[1:]]


@pytest.mark.parametrize("stream", [False, True])
async def test_a_further_turn_sends_only_what_is_new(
    rig: Rig, backend: KeepingBackend, key: str, stream: bool
) -> None:
    """Three turns: one conversation, each question alone, under the answer before it."""
    chat = Chat(rig, key, stream=stream)
    told = []
    for question in ("one", "two", "three"):
        await chat.ask(question)
        told.append(chat.told)
    assert told == ["new", "continued", "continued"]
    assert backend.sent() == ["one", "two", "three"]
    assert places(backend) == [
        ("conversation-1", "message-1"),
        ("conversation-1", "message-2"),
    ]
    assert backend.trees["conversation-1"].path("message-3") == [
        *("one", "answer 1", "two", "answer 2", "three", "answer 3")
    ]
    assert len(set(rig.backend.tokens)) == 1


async def test_an_edited_question_branches_at_its_parent(
    rig: Rig, backend: KeepingBackend, key: str
) -> None:
    """The second question in other words hangs under the first answer; both branches live on."""
    chat = Chat(rig, key)
    for question in ("one", "two", "three"):
        await chat.ask(question)
    other = Chat(rig, key)
    other.messages = chat.messages[:2]
    await other.ask("two, better")
    assert other.told == "continued"
    await other.ask("three, better")
    await chat.ask("four")
    assert backend.sent()[3:] == ["two, better", "three, better", "four"]
    assert places(backend)[2:] == [
        ("conversation-1", "message-1"),
        ("conversation-1", "message-4"),
        ("conversation-1", "message-3"),
    ]


async def test_a_regenerated_answer_is_asked_at_the_same_place(
    rig: Rig, backend: KeepingBackend, key: str
) -> None:
    """The same question again: a second answer beside the first, and the client's choice counts."""
    chat = Chat(rig, key)
    await chat.ask("one")
    await chat.ask("two")
    again = Chat(rig, key)
    again.messages = chat.messages[:2]
    assert await again.ask("two") == "answer 3"
    await again.ask("three")
    assert places(backend) == [
        ("conversation-1", "message-1"),
        ("conversation-1", "message-1"),
        ("conversation-1", "message-3"),
    ]


async def test_another_beginning_is_another_conversation(
    rig: Rig, backend: KeepingBackend, key: str
) -> None:
    """Nothing is known before the first answer, nor under another system message."""
    await Chat(rig, key).ask("one")
    chat = Chat(rig, key)
    chat.messages = [{"role": "system", "content": "Be brief."}]
    await chat.ask("one")
    assert chat.told == "new"
    await chat.ask("two")
    assert chat.told == "continued"
    chat.messages[0] = {"role": "system", "content": "Be wordy."}
    await chat.ask("three")
    assert chat.told == "new"
    assert "Be wordy." in backend.sent()[3] and "answer 3" in backend.sent()[3]


async def test_another_model_is_another_conversation(
    rig: Rig, backend: KeepingBackend, key: str
) -> None:
    """A conversation of one model is not gone on with by another."""
    chat = Chat(rig, key)
    await chat.ask("one")
    await chat.ask("two", model="gpt-4")
    assert chat.told == "new"
    assert backend.asked[1].get("conversation_id") is None


async def test_what_others_said_since_is_told_with_the_question(
    rig: Rig, backend: KeepingBackend, key: str
) -> None:
    """Whatever follows the known beginning goes as one turn, also what was never heard here."""
    chat = Chat(rig, key)
    await chat.ask("one")
    chat.messages += [
        {"role": "user", "content": "two"},
        {"role": "assistant", "content": "said by somebody else"},
    ]
    await chat.ask("three")
    assert chat.told == "continued"
    sent = backend.sent()[1]
    assert "> two" in sent and "> said by somebody else" in sent and "one" not in sent
    assert sent.endswith("three")


async def test_a_client_may_trim_answers_and_bring_thoughts(
    rig: Rig, stage: OpenScript, key: str
) -> None:
    """What clients do to an answer before they send it back does not lose the conversation."""
    backend = KeepingBackend(lambda path: f"\n answer to {path[-1]} \n")
    stage.play(backend)
    chat = Chat(rig, key)
    await chat.ask("one")
    chat.messages[-1] = {
        "role": "assistant",
        "content": [{"type": "text", "text": "answer to one", "cache_control": {"a": 1}}],
        "reasoning_content": "never said",
    }
    await chat.ask("two")
    assert chat.told == "continued"
    chat.messages[-1]["content"] = "something else"
    await chat.ask("three")
    assert "something else" in backend.sent()[2]


async def test_another_credential_gets_the_whole_history(
    rig: Rig, backend: KeepingBackend, stage: OpenScript, key: str
) -> None:
    """While its credential is busy a chat goes on elsewhere, and never under a foreign id."""
    gate = asyncio.Event()

    def script(seen: Seen) -> Play:
        play = backend(seen)
        if "hold" in json.dumps(seen.json):
            play.gate = gate
        return play

    stage.play(script)
    chat = Chat(rig, key)
    await chat.ask("one")
    held = Chat(rig, key)
    held.messages = chat.messages[:2]
    holding = asyncio.create_task(held.ask("hold it"))
    await rig.backend.until(lambda: len(backend.asked) == 2)
    await chat.ask("two")
    assert chat.told == "new"
    first, second, third = rig.backend.tokens
    assert first == second != third
    assert backend.asked[2].get("conversation_id") is None
    assert "one" in backend.sent()[2] and "answer 1" in backend.sent()[2]
    gate.set()
    await holding
    # From here on the second conversation holds more of the chat than the first.
    await chat.ask("three")
    assert chat.told == "continued"
    assert backend.sent()[3] == "three"
    assert rig.backend.tokens[3] == third


@pytest.mark.parametrize("stream", [False, True])
async def test_a_lost_conversation_is_not_noticed(
    rig: Rig, backend: KeepingBackend, key: str, stream: bool
) -> None:
    """A 404 leads to the whole history on the same credential, and to one answer; nothing cools."""
    chat = Chat(rig, key, stream=stream)
    await chat.ask("one")
    await chat.ask("two")
    backend.trees.clear()
    backend.asked.clear()
    rig.backend.seen.clear()
    assert await chat.ask("three") == "answer 4"
    assert chat.told == "new"
    assert [bool(asked.get("conversation_id")) for asked in backend.asked] == [True, False]
    assert len(set(rig.backend.tokens)) == 1
    assert "one" in backend.sent()[1] and "answer 1" in backend.sent()[1]
    # The new conversation is gone on with; the lost one is not tried at an earlier place.
    await chat.ask("four")
    assert chat.told == "continued"
    assert backend.sent()[2] == "four"
    earlier = Chat(rig, key, stream=stream)
    earlier.messages = chat.messages[:2]
    await earlier.ask("two, better")
    assert earlier.told == "new"
    assert len(backend.asked) == 4
    assert await rig.states() == {"ready": 2}


@pytest.mark.parametrize(
    "lost",
    [
        json_play({"detail": "Conversation not found"}, 404),
        json_play({"detail": "Can't load conversation x"}, 404),
        json_play({"detail": "gone"}, 410),
        json_play({"detail": {"message": "no", "code": "conversation_not_found"}}),
        conversation("hello", conversation_id="quite-another"),
    ],
    ids=["404", "404 can't load", "410", "inside a 200", "another conversation"],
)
async def test_every_form_of_lost_falls_back(
    rig: Rig, backend: KeepingBackend, stage: OpenScript, key: str, lost: Play
) -> None:
    """However the backend says it, or if it just begins anew: the whole history is asked."""
    stage.play(lambda seen: lost if seen.json.get("conversation_id") else backend(seen))
    chat = Chat(rig, key)
    await chat.ask("one")
    assert await chat.ask("two") == "answer 2"
    assert chat.told == "new"
    assert "answer 1" in backend.sent()[1]


async def test_another_fault_is_tried_again_from_the_whole_history(
    rig: Rig, backend: KeepingBackend, stage: OpenScript, key: str
) -> None:
    """A conversation that makes the backend fail cannot fail a request twice."""
    bad = json_play({"detail": "Hmm...something seems to have gone wrong."}, 500)
    stage.play(lambda seen: bad if seen.json.get("conversation_id") else backend(seen))
    chat = Chat(rig, key)
    await chat.ask("one")
    assert await chat.ask("two") == "answer 2"
    assert "answer 1" in backend.sent()[1]


async def test_conversations_are_each_client_keys_own(
    rig: Rig, backend: KeepingBackend, key: str
) -> None:
    """Two keys with the same chat: neither goes on in the other's conversation."""
    first, second = Chat(rig, key), Chat(rig, f"sk-{next(KEYS)}")
    await first.ask("one")
    second.messages = list(first.messages)
    await second.ask("two")
    assert second.told == "new" and "one" in backend.sent()[1]
    await first.ask("two")
    assert first.told == "continued"
    assert len(backend.trees) == 2


async def test_a_cut_answer_is_not_gone_on_with(rig: Rig, stage: OpenScript, key: str) -> None:
    """The client holds less than the backend after a stop string: the next turn sends it all."""
    backend = KeepingBackend(lambda path: "a long answer, END of it")
    stage.play(backend)
    chat = Chat(rig, key, stop=["END"])
    assert await chat.ask("one") == "a long answer, "
    await chat.ask("two")
    assert chat.told == "new"
    assert "a long answer," in backend.sent()[1] and "END of it" not in backend.sent()[1]


async def test_a_rewritten_answer_is_not_gone_on_with(
    rig: Rig, backend: KeepingBackend, stage: OpenScript, key: str
) -> None:
    """A stream cannot take back what the backend rewrote: the two no longer hold the same."""
    first = conversation_events(["It is five"], message_id="m")
    other = conversation_events(["It is ten"], message_id="m")
    stage.play(Play(pieces=[first[0], *other[1:]]))
    chat = Chat(rig, key, stream=True)
    await chat.ask("one")
    stage.play(backend)
    await chat.ask("two")
    assert chat.told == "new"


async def test_an_answer_in_two_pieces_is_gone_on_with_at_its_end(
    rig: Rig, stage: OpenScript, key: str
) -> None:
    """The backend's own length limit: written on, and the next question hangs under the last."""
    stage.play(
        [
            Play(pieces=conversation_events(["one and "], finish="max_tokens", message_id="first")),
            Play(pieces=conversation_events(["two"], message_id="second")),
            conversation("three"),
        ]
    )
    chat = Chat(rig, key)
    assert await chat.ask("count") == "one and two"
    await chat.ask("on")
    assert chat.told == "continued"
    assert rig.backend.seen[2].json["parent_message_id"] == "second"


async def test_an_echo_of_the_last_answer_is_not_said_again(
    rig: Rig, backend: KeepingBackend, stage: OpenScript, key: str
) -> None:
    """A backend may repeat the message that the question hangs under."""

    def script(seen: Seen) -> Play:
        play = backend(seen)
        old = conversation_events(
            ["answer 1"], conversation_id="conversation-1", message_id="message-1"
        )
        return Play(pieces=[old[1], *play.pieces]) if len(backend.asked) > 1 else play

    stage.play(script)
    chat = Chat(rig, key)
    await chat.ask("one")
    assert await chat.ask("two") == "answer 2"


async def test_choices_are_conversations_of_their_own(
    rig: Rig, backend: KeepingBackend, key: str
) -> None:
    """Of two choices the client goes on with one, in the conversation that gave it."""
    answer = await rig.ask("one", n=2, headers={"Authorization": f"Bearer {key}"})
    assert answer.headers["x-conversation"] == "new"
    for choice in answer.json["choices"]:
        text = choice["message"]["content"]
        chat = Chat(rig, key)
        chat.messages = [{"role": "user", "content": "one"}, choice["message"]]
        await chat.ask(f"on with {text}")
        assert chat.told == "continued"
        number = text.removeprefix("answer ")
        assert backend.asked[-1]["conversation_id"] == f"conversation-{number}"


async def test_it_goes_on_behind_the_conversation_door_too(
    rig: Rig, backend: KeepingBackend, key: str
) -> None:
    """Clients of the conversation protocol hold our ids; the backend's are used behind them."""

    async def ask(text: str, **more: Any) -> dict[str, Any]:
        message = {
            "id": f"22222222-2222-4222-a222-{len(backend.asked):012}",
            "author": {"role": "user"},
            "content": {"content_type": "text", "parts": [text]},
        }
        body = {"action": "next", "model": "gpt-4", "messages": [message], **more}
        answer = await rig.fetch(
            "/backend-api/conversation",
            method="POST",
            body=json.dumps(body),
            headers={"Authorization": f"Bearer {key}"},
        )
        last: dict[str, Any] = [e for e in events_of(answer) if isinstance(e, dict)][-1]
        return last

    first = await ask("one", parent_message_id="11111111-1111-4111-a111-111111111111")
    await ask(
        "two",
        conversation_id=first["conversation_id"],
        parent_message_id=first["message"]["id"],
    )
    assert backend.sent() == ["one", "two"]
    assert places(backend) == [("conversation-1", "message-1")]


# -- gateways of their own -------------------------------------------------------------------------


async def test_usage_is_of_the_whole_chat_and_new_tokens_start_anew(rigged: Rigging) -> None:
    """What the client sent is counted; conversations of gone credentials are of no use."""
    backend = KeepingBackend()
    async with rigged(backend, **HISTORY) as rig:
        chat = Chat(rig)
        await chat.ask("a long question " * 30)
        chat.messages.append({"role": "user", "content": "and now?"})
        counted = []
        for tokens in (["tok-a"], ["tok-new"]):
            assert (await rig.admin("PATCH", "/admin/tokens", tokens)).status == 200
            answer = await rig.ask(messages=chat.messages)
            counted.append((answer.headers["x-conversation"], answer.json["usage"]))
        (on, usage), (anew, usage_anew) = counted
        assert (on, anew) == ("continued", "new")
        assert usage == usage_anew and usage["prompt_tokens"] > 90
        assert rig.backend.tokens == ["tok-a", "tok-a", "tok-new"]
        assert backend.asked[2].get("conversation_id") is None


@pytest.mark.parametrize(
    "environment",
    [
        {"ENABLE_HISTORY": "false"},
        {**HISTORY, "CHATGPT_TO_API_CONTINUE_CONVERSATIONS": "false"},
    ],
    ids=["history off", "switched off"],
)
async def test_switched_off_it_sends_everything_and_says_so(
    rigged: Rigging, environment: dict[str, str]
) -> None:
    """Each question is a conversation of its own; the header and the start say that it is off."""
    backend = KeepingBackend()
    async with rigged(backend, **environment) as rig:
        chat = Chat(rig)
        await chat.ask("one")
        await chat.ask("two")
        assert chat.told == "off"
        assert backend.asked[1].get("conversation_id") is None
        assert "one" in backend.sent()[1]
        off = environment["ENABLE_HISTORY"] == "false"
        why = "ENABLE_HISTORY is off" if off else "continue_conversations is off"
        for shown in (rig.gateway.text, (await rig.fetch("/")).text):
            assert f"chats do not go on in its conversations ({why})" in shown
        assert backend.asked[1]["history_and_training_disabled"] is off


async def test_what_is_forgotten_is_hidden_and_starts_anew(rigged: Rigging) -> None:
    """After its time a conversation is not gone on with; each leaves its own account's list."""
    backend = KeepingBackend()
    async with rigged(
        backend,
        tokens=("tok-a", "tok-b"),
        CHATGPT_TO_API_HIDE_CONVERSATIONS="on_expiry",
        CHATGPT_TO_API_CONTINUE_FOR="0.000001",
        **HISTORY,
    ) as rig:
        chat = Chat(rig)
        await chat.ask("one")
        await chat.ask("two")
        assert chat.told == "new"
        await Chat(rig, stop=["answer 3"]).ask("cut")  # nobody can go on with this one
        await rig.backend.until(lambda: len(backend.patched) == 3)
        assert {tree.owner for tree in backend.trees.values()} == {"tok-a", "tok-b"}
        assert not any(tree.visible for tree in backend.trees.values())


async def test_hiding_after_use_gives_way_to_a_client(rigged: Rigging) -> None:
    """The only credential hides a conversation, slowly; a client's question does not wait for it.

    A conversation that is hidden is not gone on with.
    """
    backend = KeepingBackend()
    never = asyncio.Event()
    hiding: list[Seen] = []

    def script(seen: Seen) -> Play:
        if seen.method == "PATCH":
            hiding.append(seen)
            if len(hiding) == 1:
                return Play(gate=never)
        return backend(seen)

    async with rigged(script, CHATGPT_TO_API_HIDE_CONVERSATIONS="after_use", **HISTORY) as rig:
        chat = Chat(rig)
        await chat.ask("one")
        await rig.backend.until(lambda: len(hiding) == 1)
        assert await asyncio.wait_for(chat.ask("two"), 8) == "answer 2"
        assert chat.told == "off" and "one" in backend.sent()[1]
        await rig.backend.until(lambda: len(backend.patched) == 2)
        assert not any(tree.visible for tree in backend.trees.values())
        assert hiding[0].path.startswith("/backend-api/conversation/conversation-")
        assert {seen.token for seen in hiding} == {"tok-a"}


WEATHER = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}
CALL = '<tool_call>\n{"name": "weather", "arguments": {"city": "Oslo"}}\n</tool_call>'


async def test_a_chat_with_emulated_calls_goes_on_too(
    rig: Rig, stage: OpenScript, key: str
) -> None:
    """The result alone is sent, under the message that made the call, and is called by its id."""
    backend = KeepingBackend(lambda path: "Cold." if "-3 degrees" in path[-1] else CALL)
    stage.play(backend)
    headers = {"Authorization": f"Bearer {key}"}
    messages: list[dict[str, Any]] = [{"role": "user", "content": "How is Oslo?"}]
    first = await rig.ask(messages=messages, tools=[WEATHER], headers=headers)
    message = first.json["choices"][0]["message"]
    (call,) = message["tool_calls"]
    result = {"role": "tool", "tool_call_id": call["id"], "content": "-3 degrees"}
    second = await rig.ask(messages=[*messages, message, result], tools=[WEATHER], headers=headers)
    assert said(second) == "Cold."
    assert second.headers["x-conversation"] == "continued"
    assert second.headers["x-emulated"] == "tools"
    assert places(backend) == [("conversation-1", "message-1")]
    assert "-3 degrees" in backend.sent()[1]
    assert "How is Oslo?" not in backend.sent()[1]
    assert 'name="weather"' in backend.sent()[1]
    # What the model was taught at the beginning is not sent again.
    assert "<tools>" in backend.sent()[0]
    assert "<tools>" not in backend.sent()[1] and "To call a tool" not in backend.sent()[1]


async def test_other_tools_are_told_and_a_demand_is_repeated(
    rig: Rig, stage: OpenScript, key: str
) -> None:
    """The same tools go untold, a call that must be made is said each time; others begin anew."""
    backend = KeepingBackend(lambda _: CALL)
    stage.play(backend)
    fields: dict[str, Any] = {
        "headers": {"Authorization": f"Bearer {key}"},
        "tool_choice": "required",
    }
    messages: list[dict[str, Any]] = [{"role": "user", "content": "How is Oslo?"}]
    told = []
    for name in ("weather", "weather", "climate"):
        other = {"type": "function", "function": {"name": name}}
        answer = await rig.ask(messages=messages, tools=[WEATHER, other], **fields)
        assert answer.status == 200, answer.text
        told.append(answer.headers["x-conversation"])
        message = answer.json["choices"][0]["message"]
        result = {
            "role": "tool",
            "tool_call_id": message["tool_calls"][0]["id"],
            "content": f"{len(messages)} degrees",
        }
        messages += [message, result]
    assert told == ["new", "continued", "new"]
    first, second, third = backend.sent()
    assert "<tools>" in first and "<tools>" not in second
    assert all("must be a call of one of the tools" in sent for sent in (first, second, third))
    assert '"name":"climate"' in third and "How is Oslo?" in third
