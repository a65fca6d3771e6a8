"""A reply's head, put together once and remembered."""

from __future__ import annotations

import pytest

from chatgpt_to_api.server import heads
from chatgpt_to_api.server.heads import MOST_KNOWN, HeadLines, head_lines
from chatgpt_to_api.wire.http import Header

JSON: Header = (b"content-type", b"application/json")


def test_a_head_that_comes_again_is_the_same() -> None:
    """Equal fields give the very lines made first; another status or field does not."""
    first = head_lines(200, (JSON, (b"x-a", b"b")))
    assert first == HeadLines(
        b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nx-a: b\r\n", None, closes=False
    )
    assert head_lines(200, (JSON, (b"x-a", bytes([98])))) is first
    assert head_lines(404, (JSON, (b"x-a", b"b"))).text.startswith(b"HTTP/1.1 404 Not Found\r\n")
    assert b"x-a: c" in head_lines(200, (JSON, (b"x-a", b"c"))).text


def test_what_only_the_server_says_is_left_out_and_a_close_is_noticed() -> None:
    """Whoever gives it."""
    given = (JSON, (b"connection", b"Close"), (b"x-request-id", b"forged"), (b"upgrade", b"h2c"))
    for _ in range(2):
        assert head_lines(200, given) == HeadLines(head_lines(200, (JSON,)).text, None, closes=True)
    assert not head_lines(200, (JSON, (b"connection", b"keep-alive"))).closes


def test_a_declared_length_is_told() -> None:
    """It stands among the lines as it was given."""
    lines = head_lines(200, ((b"content-length", b"12"),))
    assert (lines.length, lines.text) == (12, b"HTTP/1.1 200 OK\r\ncontent-length: 12\r\n")


@pytest.mark.parametrize("field", [(b"x", b"a\r\nset-cookie: b"), (b"x\r\ny", b"a"), (b"x", b"\n")])
def test_a_line_break_is_refused_each_time(field: Header) -> None:
    """What was refused is not remembered as good."""
    for _ in range(3):
        with pytest.raises(ValueError, match="line break"):
            head_lines(200, (JSON, field))


def test_heads_are_not_kept_for_ever() -> None:
    """Passed-on heads may each be another one."""
    for number in range(3 * MOST_KNOWN):
        assert (
            b"x-number: %d\r\n" % number in head_lines(200, ((b"x-number", b"%d" % number),)).text
        )
    assert len(heads._known) <= MOST_KNOWN
