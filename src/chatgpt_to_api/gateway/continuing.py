"""Which conversations of the backends can be gone on with: stateless at the door, stateful behind.

For every answer that a conversation backend has given, a book keeps the digest of all that was said
up to it, with the credential, conversation and message it stands for. A request that goes on from
there, on the same credential, is asked as one more turn of that conversation and sends only what is
new. Digests are all that is kept of what was said.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from functools import partial
from hashlib import blake2b
from typing import Final, TypeAlias

import msgspec
from msgspec import structs

from chatgpt_to_api.chat.prefix import SIZE, AnswerDigest, DigestedChat
from chatgpt_to_api.chat.request import Branch, ChatRequest
from chatgpt_to_api.gateway.upstreams import ConfiguredUpstream, ContinuingRules

MOST: Final = 20_000
"""Most conversations, and most answers in them, that one upstream's book remembers."""

_Key: TypeAlias = tuple[bytes, bytes]
"""Whose chat with what, and the digest of a beginning of it."""


class Conversation:
    """One conversation of a backend, made by this gateway. ``until`` is loop time."""

    __slots__ = ("credential", "id", "turns", "until")

    def __init__(self, credential: str, id: str) -> None:
        self.credential = credential
        self.id = id
        self.until = 0.0
        self.turns: dict[_Key, None] = {}


class Known(msgspec.Struct, frozen=True):
    """How a request can go on: after how many of its messages, under which message of what."""

    conversation: Conversation
    branch: Branch
    messages: int

    def rest(self, request: ChatRequest) -> ChatRequest:
        """The request with only what the conversation does not hold yet."""
        return structs.replace(
            request, messages=request.messages[self.messages :], branch=self.branch
        )


class Book:
    """One upstream's conversations: bounded, and each forgotten when it was not used for a while.

    ``forgotten`` hears of each that can no longer be found. All calls are plain; times are loop
    times.
    """

    def __init__(
        self,
        clock: Callable[[], float],
        forgotten: Callable[[Conversation], None],
        most: int = MOST,
    ) -> None:
        self._clock = clock
        self._forgotten = forgotten
        self._most = most
        # Longest unused first.
        self._conversations: OrderedDict[tuple[str, str], Conversation] = OrderedDict()
        self._turns: OrderedDict[_Key, tuple[Conversation, str]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._conversations)

    @property
    def answers(self) -> int:
        """How many answers can be gone on from."""
        return len(self._turns)

    def find(self, scope: bytes, chat: DigestedChat, credential: str | None) -> Known | None:
        """The longest known beginning of a chat; of one credential, if one is named."""
        if not self._turns:
            return None
        now = self._clock()
        for border in reversed(chat.borders):
            found = self._turns.get((scope, border.digest))
            if found is None:
                continue
            conversation, message_id = found
            if conversation.until > now and credential in (None, conversation.credential):
                return Known(conversation, Branch(conversation.id, message_id), border.messages)
        return None

    def use(self, credential: str, id: str, keep: float) -> Conversation:
        """Note that a conversation was used just now, and will be remembered for ``keep``."""
        place = credential, id
        conversation = self._conversations.get(place)
        if conversation is None:
            conversation = self._conversations[place] = Conversation(credential, id)
        self._conversations.move_to_end(place)
        conversation.until = self._clock() + keep
        self.expire()
        while len(self._conversations) > self._most:
            self._forget(next(iter(self._conversations.values())))
        return conversation

    def add(self, conversation: Conversation, key: _Key, message_id: str) -> None:
        """Note an answer, whose message is ``message_id``, of a conversation just used."""
        before = self._turns.pop(key, None)
        self._turns[key] = conversation, message_id
        conversation.turns[key] = None
        if before is not None and before[0] is not conversation:
            self._drop_turn(before[0], key)
        while len(self._turns) > self._most:
            oldest = next(iter(self._turns))
            self._drop_turn(self._turns.pop(oldest)[0], oldest)

    def lose(self, conversation: Conversation) -> None:
        """The backend does not have this conversation any more."""
        self._take_out(conversation)

    def next_expiry(self) -> float | None:
        """When the next conversation is to be forgotten, None where there is none."""
        for conversation in self._conversations.values():
            return conversation.until
        return None

    def expire(self) -> None:
        """Forget what was not used for too long."""
        now = self._clock()
        while self._conversations:
            oldest = next(iter(self._conversations.values()))
            if oldest.until > now:
                break
            self._forget(oldest)

    def _drop_turn(self, conversation: Conversation, key: _Key) -> None:
        """An answer cannot be found any more; nor can its conversation, if it was the last."""
        del conversation.turns[key]
        if not conversation.turns:
            self._forget(conversation)

    def _forget(self, conversation: Conversation) -> None:
        if self._take_out(conversation):
            self._forgotten(conversation)

    def _take_out(self, conversation: Conversation) -> bool:
        """Remove a conversation and its answers; whether it was still there."""
        place = conversation.credential, conversation.id
        if self._conversations.get(place) is not conversation:
            return False
        del self._conversations[place]
        for key in conversation.turns:
            del self._turns[key]
        return True


class ContinuedChat:
    """One request's chat at one upstream."""

    __slots__ = ("_book", "_chat", "_home", "_rules", "_scope", "_upstream")

    def __init__(
        self,
        home: Continuing,
        upstream: ConfiguredUpstream,
        rules: ContinuingRules,
        scope: bytes,
        chat: DigestedChat | None,
    ) -> None:
        self._home = home
        self._upstream = upstream
        self._rules = rules
        self._book = home.book(upstream)
        self._chat = chat
        self._scope = scope

    @property
    def goes_on(self) -> bool:
        """Whether conversations of this upstream are gone on with at all."""
        return self._chat is not None

    def find(self, credential: str | None = None) -> Known | None:
        """How the request can go on: on any credential, or on this one."""
        if self._chat is None:
            return None
        return self._book.find(self._scope, self._chat, credential)

    def lost(self, known: Known) -> None:
        """The backend does not have the conversation."""
        self._book.lose(known.conversation)

    def used(self, credential: str, conversation_id: str) -> None:
        """A call that has ended, well or not, was answered in this conversation."""
        if self._rules.hide == "after_use":
            self._home.hide(self._upstream, Conversation(credential, conversation_id))
        else:
            self._note(credential, conversation_id)

    def answered(self, credential: str, at: Branch, answer: AnswerDigest) -> None:
        """The client got the answer that the backend keeps ``at`` this place."""
        if self._chat is not None and at.parent_message_id and answer.can_return:
            conversation = self._note(credential, at.conversation_id)
            key = self._scope, self._chat.answered(answer)
            self._book.add(conversation, key, at.parent_message_id)

    def _note(self, credential: str, conversation_id: str) -> Conversation:
        conversation = self._book.use(credential, conversation_id, self._rules.keep)
        self._home.watch(self._upstream)
        return conversation


class Continuing:
    """The books of all upstreams. ``hide`` is told of each conversation that is to be hidden."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        hide: Callable[[ConfiguredUpstream, Conversation], None],
    ) -> None:
        self.hide = hide
        self._loop = loop
        self._books: dict[str, Book] = {}
        self._upstreams: dict[str, ConfiguredUpstream] = {}
        self._timers: dict[str, asyncio.TimerHandle] = {}

    def chat(
        self,
        upstream: ConfiguredUpstream,
        rules: ContinuingRules,
        scope: bytes,
        chat: DigestedChat | None,
    ) -> ContinuedChat:
        """A chat at ``upstream``; ``scope`` says whose it is, and with what.

        Without its digests it cannot go on, but its conversation can be hidden.
        """
        return ContinuedChat(self, upstream, rules, scope, chat)

    def book(self, upstream: ConfiguredUpstream) -> Book:
        """An upstream's book; new settings do not make another one."""
        name = upstream.name
        self._upstreams[name] = upstream
        book = self._books.get(name)
        if book is None:
            book = self._books[name] = Book(self._loop.time, partial(self._forgotten, name))
        return book

    def watch(self, upstream: ConfiguredUpstream) -> None:
        """See to it that an upstream's book forgets in time, used or not."""
        name = upstream.name
        if name not in self._timers and (when := self._books[name].next_expiry()) is not None:
            self._timers[name] = self._loop.call_at(when, self._expire, upstream)

    def close(self) -> None:
        """Stop for good."""
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()

    def _expire(self, upstream: ConfiguredUpstream) -> None:
        del self._timers[upstream.name]
        self._books[upstream.name].expire()
        self.watch(upstream)

    def _forgotten(self, name: str, conversation: Conversation) -> None:
        upstream = self._upstreams[name]
        if upstream.continuing is not None and upstream.continuing.hide == "on_expiry":
            self.hide(upstream, conversation)


def scope_of(client: str, model: str, request: ChatRequest) -> bytes:
    """What must be the same besides what was said: tools and forms are told at the beginning."""
    asked = (
        client,
        model,
        request.tools,
        request.tool_choice,
        request.parallel_tool_calls,
        request.json,
    )
    return blake2b(msgspec.json.encode(asked), digest_size=SIZE).digest()
