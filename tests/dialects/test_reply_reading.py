"""What every decoder of a reply does alike: told apart once, held, failed once, ended."""

from __future__ import annotations

from chatgpt_to_api.chat.events import ChatEvent, Failed, TextDelta, UsageReported
from chatgpt_to_api.chat.usage import Usage
from chatgpt_to_api.dialects.faults import nonsense, truncated
from chatgpt_to_api.dialects.reply_reading import MAX_WHOLE, Broken, ReplyReader


class PlainReader(ReplyReader):
    """A dialect of plain text: a stream begins with ``~`` and ends with ``.``; ``!`` breaks it."""

    def _is_stream(self, data: bytes) -> bool:
        return data.startswith(b"~")

    def _stream(self, data: bytes, events: list[ChatEvent]) -> None:
        text, broken, _ = data.decode().partition("!")
        events.append(TextDelta(text))
        if broken:
            raise Broken(nonsense("It broke."))
        self.done = text.endswith(".")

    def _close(self, events: list[ChatEvent]) -> None:
        raise Broken(truncated())

    def _whole(self, body: bytes, events: list[ChatEvent]) -> None:
        if not body:
            raise Broken(nonsense("Nothing came."))
        events.append(TextDelta(body.decode()))
        self.done = True

    def _reported(self) -> Usage | None:
        return Usage(input=7)


def fed(reader: ReplyReader, *pieces: bytes) -> list[ChatEvent]:
    return [event for piece in pieces for event in reader.feed(piece)]


def test_what_stands_before_a_body_says_nothing_of_its_shape() -> None:
    """A byte order mark and white space, in pieces, precede a stream as well as an object."""
    before = (b"", b"\xef", b"\xbb\xbf ", b"\r\n")
    assert fed(PlainReader(), *before, b"\n~a", b" b.") == [TextDelta("~a"), TextDelta(" b.")]
    whole = PlainReader()
    assert fed(whole, *before, b" {", b" }") == []
    assert whole.eof() == [TextDelta("{ }")]


def test_a_failure_comes_once_after_what_was_found_and_with_what_was_counted() -> None:
    """Events of the same read, the usage so far, the failure; then nothing any more."""
    reader = PlainReader()
    text, usage, failed = fed(reader, b"~one!", b" two.")
    assert text == TextDelta("~one")
    assert usage == UsageReported(Usage(input=7))
    assert isinstance(failed, Failed) and reader.fault is not None
    assert failed.error is reader.fault.error
    assert reader.eof() == []


def test_a_stream_that_just_ends_has_failed() -> None:
    """Also one that never began; the end of one that is done says nothing new."""
    cut, empty, done = PlainReader(), PlainReader(), PlainReader()
    fed(cut, b"~one")
    fed(done, b"~one.")
    for reader in (cut, empty):
        assert isinstance(reader.eof()[-1], Failed)
        assert reader.fault is not None
    assert done.eof() == [] and done.fault is None


def test_a_whole_reply_is_held_up_to_a_limit() -> None:
    """One byte more than the limit is the end."""
    piece = b"x" * (1 << 20)
    reader = PlainReader()
    assert fed(reader, *[piece] * (MAX_WHOLE // len(piece))) == []
    (_, failed) = reader.feed(b"x")
    assert isinstance(failed, Failed) and "64" in failed.error.message
    assert reader.feed(b"x") == [] == reader.eof()
