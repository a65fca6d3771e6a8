"""The book of conversations: bounded, expiring, each scope its own, the longest beginning first."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from chatgpt_to_api.chat.events import BlockEnded, BlockStarted, ChatEvent, Finished, TextDelta
from chatgpt_to_api.chat.prefix import AnswerDigest, DigestedChat
from chatgpt_to_api.chat.request import ChatRequest, JsonFormat, Message, Text, Tool
from chatgpt_to_api.gateway.continuing import Book, Conversation, Known, scope_of

SCOPE = b"client and model"


class Clock:
    """Loop time that moves when told."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Books:
    """A book on a clock, and what it forgot."""

    def __init__(self, most: int = 100) -> None:
        self.clock = Clock()
        self.forgotten: list[str] = []
        self.book = Book(self.clock, self._forgot, most)

    def _forgot(self, conversation: Conversation) -> None:
        self.forgotten.append(conversation.id)

    def answer(
        self,
        said: str,
        text: str,
        place: str,
        *,
        scope: bytes = SCOPE,
        credential: str = "a",
        keep: float = 10.0,
    ) -> None:
        """After what was ``said`` (turns as words) ``text`` is answered at ``place`` (c/m)."""
        conversation_id, message_id = place.split("/")
        conversation = self.book.use(credential, conversation_id, keep)
        answer = AnswerDigest()
        events: list[ChatEvent] = [BlockStarted(0, "text"), TextDelta(text), BlockEnded(0)]
        answer.feed([*events, Finished("stop")])
        self.book.add(conversation, (scope, chat(said).answered(answer)), message_id)

    def find(
        self, said: str, *, scope: bytes = SCOPE, credential: str | None = None
    ) -> tuple[str, int] | None:
        """Place and length of the known beginning of what was ``said``."""
        known = self.book.find(scope, chat(said), credential)
        if known is None:
            return None
        return f"{known.branch.conversation_id}/{known.branch.parent_message_id}", known.messages


def messages(said: str) -> tuple[Message, ...]:
    """A chat from words: those in capitals are the assistant's."""
    return tuple(
        Message("assistant" if word.isupper() else "user", (Text(word),)) for word in said.split()
    )


def chat(said: str) -> DigestedChat:
    return DigestedChat(messages(said))


def test_the_longest_known_beginning_is_found() -> None:
    """Every answer is a place to go on from; what follows it is what is new."""
    books = Books()
    books.answer("hi", "A", "c/1")
    books.answer("hi A on", "B", "c/2")
    assert books.find("hi A on B more") == ("c/2", 4)
    assert books.find("hi A other") == ("c/1", 2)
    assert books.find("hi A on C more") == ("c/1", 2)
    assert books.find("ho A on") is None
    assert books.find("hi") is None
    assert books.find("hi A") is None  # nothing is new


def test_what_is_new_is_asked_under_the_answer() -> None:
    """The rest of the request's messages, at the place of the answer before them."""
    books = Books()
    books.answer("hi", "A", "c/1")
    request = ChatRequest(model="m", messages=messages("hi A on"))
    known = books.book.find(SCOPE, DigestedChat(request.messages), None)
    assert isinstance(known, Known)
    rest = known.rest(request)
    assert rest.messages == messages("on")
    assert rest.branch == known.branch


def test_a_scope_and_a_credential_keep_to_themselves() -> None:
    """Another client's or model's chat is unknown; another credential's is passed over."""
    books = Books()
    books.answer("hi", "A", "c/1", credential="a")
    books.answer("hi A on", "B", "d/1", credential="b")
    assert books.find("hi A on B x", scope=b"other") is None
    assert books.find("hi A on B x", credential="b") == ("d/1", 4)
    assert books.find("hi A on B x", credential="a") == ("c/1", 2)
    assert books.find("hi A on B x", credential="c") is None


def test_tools_forms_clients_and_models_are_part_of_the_scope() -> None:
    """Whatever is told to the model at the beginning has to be the same."""
    plain = ChatRequest(model="m", messages=())
    tool = Tool("f", schema={"type": "object"})
    scopes = {
        scope_of("client", "model", plain),
        scope_of("other", "model", plain),
        scope_of("client", "other", plain),
        scope_of("client", "model", ChatRequest(model="m", messages=(), tools=(tool,))),
        scope_of("client", "model", ChatRequest(model="m", messages=(), json=JsonFormat())),
        scope_of("client", "model", ChatRequest(model="m", messages=(), tool_choice="none")),
    }
    assert len(scopes) == 6
    assert scope_of("client", "model", ChatRequest(model="m", messages=(), n=2)) in scopes


def test_what_is_unused_expires_and_is_told() -> None:
    """Use keeps a conversation with all its answers; then it is forgotten, once."""
    books = Books()
    books.answer("hi", "A", "c/1")
    books.answer("ho", "A", "d/1")
    books.clock.now += 9
    books.answer("hi A on", "B", "c/2")
    books.clock.now += 2
    assert books.find("ho A on") is None
    assert books.book.next_expiry() is not None
    books.book.expire()
    assert books.forgotten == ["d"]
    assert books.find("hi A on") == ("c/1", 2)
    books.clock.now += 8
    books.book.expire()
    assert books.forgotten == ["d", "c"]
    assert (len(books.book), books.book.answers, books.book.next_expiry()) == (0, 0, None)


def test_a_lost_conversation_is_forgotten_whole_and_not_hidden() -> None:
    """No answer of it is tried again, and nobody is told to hide what is gone."""
    books = Books()
    books.answer("hi", "A", "c/1")
    books.answer("hi A on", "B", "c/2")
    known = books.book.find(SCOPE, chat("hi A on B x"), None)
    assert known is not None
    books.book.lose(known.conversation)
    books.book.lose(known.conversation)
    assert books.find("hi A on") is None
    assert books.forgotten == []
    assert books.book.answers == 0


def test_an_answer_said_anew_elsewhere_takes_the_place() -> None:
    """A conversation none of whose answers can be found any more is forgotten."""
    books = Books()
    books.answer("hi", "A", "c/1")
    books.answer("hi", "A", "d/1")
    assert books.find("hi A on") == ("d/1", 2)
    assert books.forgotten == ["c"]
    books.answer("hi", "A", "d/2")
    assert books.find("hi A on") == ("d/2", 2)
    assert books.forgotten == ["c"]


@given(
    st.lists(
        st.tuples(st.sampled_from("abcd"), st.sampled_from("xyz"), st.integers(0, 9)), max_size=40
    ),
    st.integers(1, 4),
)
def test_it_stays_within_bounds_and_forgets_each_once(
    turns: list[tuple[str, str, int]], most: int
) -> None:
    """Whatever is answered where: no more than ``most``, and what is gone was told."""
    books = Books(most)
    seen = set()
    for said, place, number in turns:
        books.answer(said, "A", f"{place}/{number}")
        seen.add(place)
        assert len(books.book) <= most
        assert books.book.answers <= most
        assert books.find(f"{said} A on") == (f"{place}/{number}", 2)
        books.clock.now += 1
    for said in "abcd":
        found = books.find(f"{said} A on")
        assert found is None or found[0][0] in seen
    books.clock.now += 100
    books.book.expire()
    assert set(books.forgotten) == seen
    assert books.book.answers == 0
