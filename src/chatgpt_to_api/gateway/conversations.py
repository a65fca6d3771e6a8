"""Conversations that clients of the conversation door continue: turns found, placed and kept.

A conversation is stored, unless its client asked for no history or is nobody in particular: then it
lives in memory only (:mod:`unsaved`), and nothing of it ever reaches the disk.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Final

import structlog

from chatgpt_to_api.chat.request import Message, Text
from chatgpt_to_api.chat.tree import Node, Summary, Tree, messages_of
from chatgpt_to_api.dialects.conversation.answer import Place
from chatgpt_to_api.dialects.conversation.door import ConversationAsked
from chatgpt_to_api.dialects.conversation.door_messages import Fault, InvalidBody, Question, Sent
from chatgpt_to_api.dialects.conversation.siblings import title_of
from chatgpt_to_api.errors import BodyTooLarge, NotFound, RateLimited
from chatgpt_to_api.gateway.unsaved import UnsavedConversations
from chatgpt_to_api.store.conversations import StoredConversations, Thread

log = structlog.get_logger(__name__)

SETTLE_WAIT: Final = 3.0
"""How long a turn waits for the answer it hangs under to be kept, seconds: a client that broke an
answer off may ask on before the break was seen here."""

GO_ON: Final = (
    "Your last answer was cut off. Go on from exactly where it stopped, "
    "without repeating any of it and without an introduction."
)
"""What a model is told to make it continue an answer; it is not kept in the conversation.

Asked in words because no other way holds for every upstream: some would take a last assistant
message for the beginning of the answer, others for a finished turn or for an error.
"""

BUSY: Final = (
    "Only one message at a time. Please allow any other responses to complete before sending "
    "another message, or wait one minute."
)


class ConversationNotFound(NotFound):
    """No such conversation, or it is another owner's."""

    code = "conversation_not_found"

    def __init__(self) -> None:
        super().__init__("Conversation not found")


class Turn:
    """One question in its place; afterwards, what is kept of it and of its answer.

    ``owner`` is "" for nobody in particular. ``known`` are messages above the new ones that a
    conversation in memory may lack.
    """

    def __init__(
        self,
        asked: ConversationAsked,
        owner: str,
        *,
        root: str,
        known: Sequence[Node],
        new: Sequence[Node],
        stored: bool,
        begins: bool,
        conversations: Conversations,
    ) -> None:
        assert asked.place is not None
        self.asked = asked
        self.owner = owner
        self.place: Place = asked.place
        self.root = root
        self.known = known
        self.new = new
        self.stored = stored
        self.begins = begins
        self.over = asyncio.Event()
        """Set once nothing more will be kept of this turn."""
        self._conversations = conversations
        self._keeping: asyncio.Task[None] | None = None

    async def settle(self) -> None:
        """Keep question and answer, durably; of a broken answer what has come.

        Where nothing of an answer came, nothing is kept: the client asks again with the same
        message. Called again, it waits for the first call to be through. Cancelling it stops
        nothing. Raises StoreUnavailable.
        """
        answer = self.asked.answer
        if self._keeping is None:
            if answer.finish is None and not answer.escaped:
                return
            node = Node(
                id=self.place.message_id,
                parent=self.place.parent_id,
                role="assistant",
                text=answer.text,
                created=self._conversations.wall(),
                model=answer.model or self.asked.model,
                asked_model=self.asked.model,
                finish=answer.finish,
            )
            self._keeping = asyncio.create_task(self._conversations.keep(self, node))
        await asyncio.shield(self._keeping)

    async def close(self) -> None:
        """The turn is over; what it began to keep is kept first."""
        try:
            if self._keeping is not None:
                await asyncio.wait([self._keeping])
        finally:
            self._conversations.leave(self)
            self.over.set()


class Conversations:
    """Finds, places and keeps turns; lists, renames and hides conversations."""

    def __init__(
        self,
        stored: StoredConversations,
        unsaved: UnsavedConversations,
        *,
        wall: Callable[[], float],
        new_id: Callable[[], str],
        settle_wait: float = SETTLE_WAIT,
    ) -> None:
        self.wall = wall
        self._settle_wait = settle_wait
        self._stored = stored
        self._unsaved = unsaved
        self._new_id = new_id
        self._running: dict[str, set[Turn]] = {}

    # -- turns -------------------------------------------------------------------------------

    async def prepare(self, asked: ConversationAsked, owner: str) -> Turn:
        """Find a question's conversation and its place in it; :meth:`Turn.close` ends the turn.

        A ``parent_message_id`` that the conversation does not have begins a new branch at its
        root; without one the question follows the current message. Raises ConversationNotFound,
        InvalidBody, BodyTooLarge for a conversation that is full, RateLimited while the answer
        it hangs under is still being written.
        """
        question = asked.question
        begins = not question.conversation_id
        if begins:
            root = question.parent_id or self._new_id()
            thread = Thread(root, root, 0, 0, (), {})
            stored = question.keep and bool(owner)
        else:
            await self._running_above(owner, question)
            thread, stored = await self._find(owner, question)
        self._check_room(thread, question)
        path, new = self._path(thread, question)
        model = _asked_name(path, question.model)
        place = Place(
            question.conversation_id or self._new_id(),
            self._new_id(),
            path[-1].id if path else thread.root,
            question.action,
        )
        messages = messages_of(path)
        if question.action == "continue" and messages[-1:] and messages[-1].role == "assistant":
            messages = (*messages, Message("user", (Text(GO_ON),)))
        turn = Turn(
            asked.placed(place, messages, model),
            owner,
            root=thread.root,
            known=path[: len(path) - len(new)],
            new=new,
            stored=stored,
            begins=begins,
            conversations=self,
        )
        self._running.setdefault(place.conversation_id, set()).add(turn)
        return turn

    async def keep(self, turn: Turn, answer: Node) -> None:
        """Keep a turn's messages and its answer."""
        conversation, now = turn.place.conversation_id, self.wall()
        nodes = [*turn.new, answer]
        if turn.stored:
            await self._stored.save(turn.owner, conversation, turn.root, nodes, now)
        else:
            known = turn.known
            self._unsaved.save(turn.owner, conversation, turn.root, [*known, *nodes], now)

    def leave(self, turn: Turn) -> None:
        """Forget a turn that is over."""
        conversation = turn.place.conversation_id
        running = self._running.get(conversation, set())
        running.discard(turn)
        if not running:
            self._running.pop(conversation, None)

    async def _running_above(self, owner: str, question: Question) -> None:
        """Wait a moment for a running turn that this one hangs under."""
        above = [
            turn
            for turn in self._running.get(question.conversation_id, ())
            if turn.owner == owner and (turn.begins or turn.place.message_id == question.parent_id)
        ]
        try:
            async with asyncio.timeout(self._settle_wait):
                for turn in above:
                    await turn.over.wait()
        except TimeoutError:
            raise RateLimited(BUSY, retry_after=self._settle_wait) from None

    async def _find(self, owner: str, question: Question) -> tuple[Thread, bool]:
        """The conversation as the question sees it, and whether its turns are to be stored."""
        conversation = question.conversation_id
        leaf = question.parent_id or None
        sent = question.messages[: self._stored.bounds.max_messages]
        ids = [message.id for message in sent if message.id]
        unsaved = self._unsaved.thread(owner, conversation, leaf, ids, self.wall())
        if unsaved is not None and leaf is not None and unsaved.path:
            return unsaved, False
        if owner:
            thread = await self._stored.thread(owner, conversation, leaf, ids)
            if thread is not None:
                return thread, question.keep
        if unsaved is None:
            raise ConversationNotFound
        return unsaved, False

    def _check_room(self, thread: Thread, question: Question) -> None:
        bounds = self._stored.bounds
        size = thread.size + sum(len(sent.text) for sent in question.messages)
        if thread.nodes + len(question.messages) >= bounds.max_messages or size >= bounds.max_bytes:
            raise BodyTooLarge(
                f"The conversation is full: at most {bounds.max_messages} messages and "
                f"{bounds.max_bytes} bytes are kept of one. Begin a new one.",
                code="conversation_too_large",
            )

    def _path(
        self, thread: Thread, question: Question
    ) -> tuple[tuple[Node, ...], tuple[Node, ...]]:
        """The whole path of messages that are to be answered, and which of them are new.

        A message that already stands there with the same words is answered again: that is what a
        variant asks for, and what a client repeats after an error.
        """
        if question.action == "continue":
            return _to_be_continued(thread), ()
        path = list(thread.path or ())
        taken = {thread.root, *thread.known}
        new: list[Node] = []
        for sent in question.messages:
            parent = path[-1].id if path else thread.root
            there = thread.known.get(sent.id)
            if there is not None and not new and _same(there, sent, parent):
                path.append(there)
                continue
            id = sent.id if sent.id and sent.id not in taken else self._new_id()
            taken.add(id)
            new.append(Node(id, parent, sent.role, sent.text, self.wall()))
            path.append(new[-1])
        return tuple(path), tuple(new)

    # -- the conversations themselves --------------------------------------------------------

    async def listing(self, owner: str, offset: int, limit: int) -> tuple[list[Summary], int]:
        """A page of an owner's stored conversations, latest first, and how many there are."""
        if not owner:
            return [], 0
        return await self._stored.listing(owner, offset, limit)

    async def tree(self, owner: str, conversation: str) -> Tree:
        """A whole conversation. Raises ConversationNotFound."""
        tree = await self._stored.tree(owner, conversation) if owner else None
        if tree is None:
            tree = self._unsaved.tree(owner, conversation, self.wall())
        if tree is None:
            raise ConversationNotFound
        return tree

    async def retitle(self, owner: str, conversation: str, title: str) -> None:
        """Give a conversation a title. Raises ConversationNotFound."""
        done = self._unsaved.retitle(owner, conversation, title, self.wall())
        if owner:
            done = await self._stored.retitle(owner, conversation, title) or done
        if not done:
            raise ConversationNotFound

    async def hide(self, owner: str, conversation: str) -> None:
        """Take a conversation from sight; one in memory is gone. Raises ConversationNotFound."""
        done = self._unsaved.drop(owner, conversation)
        if owner:
            done = await self._stored.hide(owner, conversation, self.wall()) or done
        if not done:
            raise ConversationNotFound

    async def show(self, owner: str, conversation: str) -> None:
        """Make a hidden conversation visible again. Raises ConversationNotFound."""
        if not (owner and await self._stored.show(owner, conversation)) and (
            self._unsaved.tree(owner, conversation, self.wall()) is None
        ):
            raise ConversationNotFound

    async def hide_all(self, owner: str) -> None:
        """Take all of an owner's conversations from sight.

        Callers who are nobody in particular have none to list, so none of theirs is touched: only
        who knows one's id can hide it.
        """
        if owner:
            self._unsaved.drop_all(owner)
            await self._stored.hide_all(owner, self.wall())

    async def name(self, owner: str, conversation: str) -> tuple[str, bool]:
        """Give an untitled conversation a title made from its first question.

        Returns the title and whether it is new. Raises ConversationNotFound.
        """
        tree = await self.tree(owner, conversation)
        if tree.title:
            return tree.title, False
        title = title_of(tree)
        await self.retitle(owner, conversation, title)
        return title, True


def _to_be_continued(thread: Thread) -> tuple[Node, ...]:
    if thread.path is None:
        raise NotFound("Message not found", code="message_not_found", param="parent_message_id")
    if not thread.path or thread.path[-1].role != "assistant":
        loc = ("body", "parent_message_id")
        raise InvalidBody(Fault(loc, "the message is no answer to be continued", "value_error"))
    return thread.path


def _same(node: Node, sent: Sent, parent: str) -> bool:
    return (node.parent, node.role, node.text) == (parent, sent.role, sent.text)


def _asked_name(path: Sequence[Node], model: str) -> str:
    """The model's name as it was first asked for.

    Clients repeat the name a reply brought (``model_slug``), which is what answered there and need
    not be a name that leads anywhere here.
    """
    for node in reversed(path):
        if node.answered:
            return node.asked_model if model == node.model else model
    return model
