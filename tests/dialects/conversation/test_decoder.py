"""Hostile and odd replies: the right text or a clean failure, never a crash or a quiet half answer.

The names follow the protocol notes' list of cases, in its order.
"""

from __future__ import annotations

import gzip
import json
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chatgpt_to_api.chat.events import Finished, Started, TextDelta
from chatgpt_to_api.chat.request import Continuation
from chatgpt_to_api.dialects.conversation import turn as turn_module
from chatgpt_to_api.errors import (
    RateLimited,
    ReplyTooLong,
    UpstreamChallenge,
    UpstreamDenied,
    UpstreamFailed,
    UpstreamRejected,
)
from support.conversation_replies import (
    ASKED,
    CONVERSATION,
    DONE,
    MESSAGE,
    TEXT_PATH,
    V1,
    V1_END,
    bytewise,
    decode,
    deltas,
    event,
    final,
    message,
    op,
    snapshots,
)

HELLO = event(message("")) + event(message("Hel")) + event(final("Hello"))
MIB = 1024 * 1024


def assert_good(data: bytes, text: str = "Hello", reason: str = "stop") -> None:
    """The reply is good and says ``text``, whole and byte by byte."""
    for reply in (decode(data), decode(bytewise(data))):
        assert reply.error is None
        assert reply.said == text
        assert reply.text == text
        assert reply.reason == reason


def assert_fails(data: bytes, code: str, said: str = "", **head: Any) -> None:
    """The reply fails with ``code``, whole and byte by byte."""
    for reply in (decode(data, **head), decode(bytewise(data), **head)):
        assert reply.error is not None
        assert reply.error.code == code
        assert reply.error.said == said
        assert reply.decoder.fault is not None
        assert reply.decoder.fault.error is reply.error


# -- bytes and framing -----------------------------------------------------------------------------


@pytest.mark.parametrize("end", [b"\r\n", b"\r", b"\n"])
def test_every_line_end_is_one(end: bytes) -> None:
    """LF, CRLF and a lone CR."""
    assert_good((HELLO + DONE).replace(b"\n", end))


def test_line_ends_may_be_mixed() -> None:
    """Each event of a stream may end in its own way."""
    assert_good(
        event(message("")).replace(b"\n", b"\r")
        + event(message("Hel")).replace(b"\n", b"\r\n")
        + event(final("Hello"))
        + DONE
    )


@pytest.mark.parametrize(
    "line",
    [b"data:%b\n\n", b"data:  %b\n\n", b"id: 1\ndata: %b\nretry: 5\n\n", b"junk\ndata: %b\n\n"],
)
def test_data_lines_in_every_spelling(line: bytes) -> None:
    """Without a space, with two, among other fields."""
    events = [json.dumps(value).encode() for value in (message("Hel"), final("Hello"))]
    assert_good(b"".join(line % value for value in [*events, b"[DONE]"]))


def test_a_data_line_without_a_colon_is_an_empty_one() -> None:
    """``data`` alone means a line of data with nothing in it."""
    assert_good(b"data\n\n" + HELLO + b"data\n\n" + DONE)


def test_data_over_several_lines_is_joined_by_newlines() -> None:
    """One object may stand on many lines."""
    pretty = json.dumps(final("Hello"), indent=1)
    lines = "".join(f"data: {line}\n" for line in pretty.split("\n"))
    assert_good(f"{lines}\n".encode() + DONE)


def test_comments_ids_and_empty_events_mean_nothing() -> None:
    """Between any two events."""
    noise = b": c\n\nid: 1\n\nretry: 3\n\nfoo: bar\n\n\n\ndata:\n\nevent: x\n\n"
    assert_good(noise + event(message("Hel")) + noise + event(final("Hello")) + noise + DONE)


def test_a_byte_order_mark_at_the_start_is_skipped() -> None:
    """Some proxies write one."""
    assert_good(b"\xef\xbb\xbf" + HELLO + DONE)


def test_pings_are_not_json_and_mean_nothing() -> None:
    """``event: ping`` with a timestamp."""
    ping = b"event: ping\ndata: 2023-10-11 13:30:16.000000\n\n"
    assert_good(ping + event(message("Hel")) + ping + event(final("Hello")) + ping + DONE)


def test_unusual_line_ends_inside_a_string_are_text() -> None:
    """U+2028, U+2029, U+0085 and a form feed end no line."""
    text = "a\u2028b\u2029c\u0085d\x0ce"
    raw = "".join(
        f"data: {json.dumps(value, ensure_ascii=False)}\n\n"
        for value in (message("a"), final(text))
    )
    assert_good(raw.encode() + DONE, text)


@pytest.mark.parametrize("tail", [b"data: [DONE]\n", b"data: [DONE]", b"data:[DONE]"])
def test_the_last_event_needs_no_blank_line(tail: bytes) -> None:
    """What is whole at the end of the body counts."""
    assert_good(HELLO + tail)
    assert_good(event(message("Hel")) + event(final("Hello")).rstrip(b"\n"))


def test_an_event_that_is_cut_in_the_middle_is_ignored() -> None:
    """Half an event says nothing; without an end before it the reply is truncated."""
    assert_good(HELLO + event(final("Hello, and mo"))[:-200])
    assert_fails(event(message("Hel")) + event(final("Hello"))[:-200], "upstream_truncated")


@pytest.mark.parametrize(
    "tail",
    [
        b"",
        DONE + DONE,
        DONE + event(message("more")) + event({"message": None, "error": "late"}),
        DONE + b"event: close\ndata: close\n\n",
        b"event: close\ndata: close\n\n",
    ],
)
def test_done_may_be_missing_twice_or_followed(tail: bytes) -> None:
    """Nothing counts after it, and a finished answer needs none."""
    assert_good(HELLO + tail)


def test_after_done_nothing_is_waited_for() -> None:
    """The connection may stay open."""
    reply = decode([HELLO + DONE])
    assert reply.decoder.done
    assert reply.decoder.feed(event(message("more"))) == []


@pytest.mark.parametrize("body", [DONE, event(message("hi", role="user")) + DONE])
def test_done_without_an_answer_is_a_failure(body: bytes) -> None:
    """As the only event, or after mere echoes."""
    assert_fails(body, "upstream_empty")


@pytest.mark.parametrize("body", [b"", b"\n\n", b": ping\n\n" * 20])
def test_an_empty_body_is_a_failure(body: bytes) -> None:
    """Status 200 and nothing, or only pings."""
    assert_fails(body, "upstream_truncated")


@pytest.mark.parametrize("size", [1, 65536, 9 * MIB])
def test_an_endless_line_fails_at_the_limit(size: int) -> None:
    """However it is cut, an event longer than 8 MiB ends the reply."""
    line = b"data: " + b"x" * (9 * MIB)
    if size == 1:  # the limit is reached by a long read, and passed byte by byte
        chunks = [line[: 8 * MIB - 4], *bytewise(line[8 * MIB - 4 : 8 * MIB + 4])]
    else:
        chunks = [line[at : at + size] for at in range(0, len(line), size)]
    reply = decode(chunks)
    assert isinstance(reply.error, ReplyTooLong)


def test_an_event_of_many_megabytes_is_read() -> None:
    """Below the limit an event may be large."""
    text = "x" * (3 * MIB)
    assert decode(event(final(text)) + DONE).text == text


def test_an_answer_beyond_the_limit_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    """All messages together are bounded, in each encoding and on each road."""
    monkeypatch.setattr(turn_module, "MAX_TEXT", 1000)
    grown = snapshots(*("x" * size for size in range(0, 1200, 100)))
    for data in (grown, deltas(*["y" * 90] * 12), deltas("z" * 1001)):
        for exact in (True, False):
            assert isinstance(decode(data, exact_road_only=exact).error, ReplyTooLong)


def test_too_many_messages_fail() -> None:
    """Each message costs memory for as long as the reply runs."""
    data = b"".join(event(final("x", id=f"m{n}", end_turn=False)) for n in range(300))
    assert isinstance(decode(data + DONE).error, ReplyTooLong)


@pytest.mark.parametrize("encoding", [b"gzip", b"br"])
def test_a_compressed_reply_is_a_clean_failure(encoding: bytes) -> None:
    """None was asked for."""
    body = gzip.compress(HELLO + DONE)
    assert_fails(body, "upstream_unsupported", headers=[(b"content-encoding", encoding)])


def test_a_compressed_reply_is_known_without_its_header() -> None:
    """By its first byte."""
    assert_fails(gzip.compress(HELLO + DONE), "upstream_unsupported")


def test_a_content_length_makes_no_difference() -> None:
    """The body's end is the transport's business."""
    length = str(len(HELLO + DONE)).encode()
    assert decode(HELLO + DONE, headers=[(b"content-length", length)]).text == "Hello"


def test_invalid_utf_8_becomes_a_replacement_character() -> None:
    """The rest of the text stays."""
    raw = json.dumps(final("A?B"), ensure_ascii=False).encode().replace(b"?", b"\xff")
    assert_good(b"data: " + raw + b"\n\n" + DONE, "A\ufffdB")


def test_nul_characters_are_text() -> None:
    """Escaped, and raw, which strict JSON forbids."""
    assert_good(event(final("a\0b")) + DONE, "a\0b")
    assert_good(event(final("aXb")).replace(b"X", b"\0") + DONE, "a\0b")


def test_half_a_surrogate_pair_waits_for_the_other_half() -> None:
    """At the end of a snapshot, and over two deltas."""
    assert_good(snapshots("a \ud83d", "a \ud83d\ude42 b"), "a \U0001f642 b")
    assert_good(deltas("a \ud83d", "\ude42", " b"), "a \U0001f642 b")


def test_a_lone_surrogate_becomes_a_replacement_character() -> None:
    """In the middle at once, at the end when nothing follows."""
    assert_good(snapshots("a\ude42b", "a\ude42bc"), "a\ufffdbc")
    assert_good(deltas("a", "\ud83d"), "a\ufffd")


@pytest.mark.parametrize("content_type", ["text/html", "text/plain", "application/json", ""])
def test_events_are_read_whatever_the_content_type_says(content_type: str) -> None:
    """A proxy may lose or change it."""
    assert decode(HELLO + DONE, content_type=content_type).text == "Hello"


@pytest.mark.parametrize("content_type", ["text/html", "application/json", "text/event-stream"])
def test_a_json_error_is_read_whatever_the_content_type_says(content_type: str) -> None:
    """Status 200 with an error body must not become an empty answer."""
    body = b'{"detail": {"message": "Out of order", "code": "x"}}'
    if content_type == "text/html":  # a page by its type: nothing of it is shown
        assert decode(body, content_type=content_type).error is not None
    else:
        assert_fails(body, "upstream_error", "Out of order", content_type=content_type)


def test_a_page_with_status_200_is_a_challenge() -> None:
    """A captive page of a proxy."""
    reply = decode(b"<!DOCTYPE html><html><title>Hi</title></html>", content_type="text/html")
    assert isinstance(reply.error, UpstreamChallenge)
    assert reply.decoder.fault is not None
    assert reply.decoder.fault.upstream == "cool"


def test_plain_text_with_status_200_is_a_failure_that_keeps_the_words() -> None:
    """What is no event is shown to the operator."""
    assert_fails(b"upstream connect error\n", "upstream_truncated", "upstream connect error")


def test_a_whole_event_as_json_body_is_an_answer() -> None:
    """Some backends answer a stream's last event as one object."""
    for content_type in ("application/json", "text/event-stream"):
        reply = decode(json.dumps(final("Hello")).encode(), content_type=content_type)
        assert reply.text == "Hello"
        assert reply.reason == "stop"


@pytest.mark.parametrize("body", [b"[1, 2]", b'"text"', b"{broken", b"{}", b'{"wss": '])
def test_json_that_is_no_answer_is_a_failure(body: bytes) -> None:
    """Whatever else it is."""
    assert decode(body, content_type="application/json").error is not None


def test_a_json_body_is_bounded() -> None:
    """It has to be held until its end."""
    reply = decode([b'{"detail": "', *[b"x" * MIB] * 9])
    assert isinstance(reply.error, ReplyTooLong)


def test_json_with_twice_the_same_key_takes_the_last() -> None:
    """As every reader of it does."""
    twice = event(final("Hello")).replace(b'"parts": ', b'"parts": ["no"], "parts": ')
    assert_good(twice + DONE)


@pytest.mark.parametrize("odd", ["NaN", "-Infinity", "1" * 4000, "1e999", "[" * 500 + "]" * 500])
def test_odd_json_values_are_read_over(odd: str) -> None:
    """NaN, huge numbers and deep nesting in fields that mean nothing."""
    raw = event(final("Hello")).replace(b'"weight": 1.0', b'"weight": ' + odd.encode())
    assert_good(raw + DONE)


def test_nesting_beyond_reason_is_dropped() -> None:
    """10,000 levels deep: that event is no JSON we can read, the others are."""
    deep = b"data: " + b"[" * 10000 + b"]" * 10000 + b"\n\n"
    assert_good(event(message("Hel")) + deep + event(final("Hello")) + DONE)


# -- v0 shapes -------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", ["v1", None, [], 1, {}, {"foo": 1}, {"message": None}])
def test_json_that_is_no_event_is_dropped(value: object) -> None:
    """Valid JSON of another shape."""
    assert_good(event(value) + event(message("Hel")) + event(value) + event(final("Hello")) + DONE)


@pytest.mark.parametrize(
    "odd",
    [
        {"message": "text"},
        {"message": []},
        message("no", author=None),
        message("no", author="assistant"),
        message("no", content=None),
        message("no", content="no"),
        message("no", content={"content_type": "text"}),
        message("no", content={"content_type": "text", "parts": None}),
        message("no", content={"content_type": "text", "parts": []}),
        message("no", content={"content_type": "text", "parts": [None]}),
        message("no", content={"content_type": "text", "parts": [{"a": 1}]}),
    ],
)
def test_an_odd_message_says_nothing(odd: dict[str, Any]) -> None:
    """Missing or mistyped fields read as missing ones."""
    assert_good(event(odd) + HELLO + DONE)


def test_several_parts_are_joined() -> None:
    """With nothing between; objects among them are left out."""
    parts = ["Hel", {"asset_pointer": "x"}, None, "lo"]
    value = final("", content={"content_type": "multimodal_text", "parts": parts})
    assert_good(event(value) + DONE)


def test_the_role_may_stand_in_the_old_place() -> None:
    """``message.role``, without ``author``."""
    value = final("Hello")
    value["message"]["role"] = value["message"].pop("author")["role"]
    assert_good(event(value) + DONE)


@pytest.mark.parametrize("details", [None, "stop", {}, {"type": None}, {"type": 5}, [], "?"])
def test_finish_details_of_any_type_finish_the_answer(details: object) -> None:
    """With ``end_turn`` it is over, whatever they say."""
    assert_good(event(final("Hello", metadata={"finish_details": details})) + DONE)
    assert_good(event(final("Hello", metadata={"finish_details": details})))


def test_metadata_may_be_null() -> None:
    """Then nothing is known of the model."""
    value = final("Hello")
    value["message"]["metadata"] = None
    assert_good(event(value) + DONE)
    assert decode(event(value) + DONE).decoder.model == ""


def test_a_whole_answer_in_one_event_is_one() -> None:
    """``end_turn`` true in the first event."""
    assert_good(event(final("Hello")) + DONE)


def test_end_turn_false_at_the_end_is_an_end() -> None:
    """As one backend's API mode says it, without any status."""
    value = final("Hello", end_turn=False)
    del value["message"]["status"]
    assert_good(event(value) + DONE)
    assert_good(event(value))


def test_a_missing_status_is_no_running_one() -> None:
    """Early streams have none."""
    value = final("Hello")
    del value["message"]["status"]
    assert_good(event(value))


@pytest.mark.parametrize("kind", [None, "variant", "next", 5])
def test_the_message_type_is_no_filter(kind: object) -> None:
    """Some backends send null."""
    assert_good(event(final("Hello", metadata={"message_type": kind})) + DONE)


def test_echoes_may_come_before_and_after_the_answer() -> None:
    """A late echo of the question takes nothing back."""
    echo = event(message("", role="system", id="s")) + event(message("hi?", role="user", id="u"))
    assert_good(echo + HELLO + DONE)
    assert_good(HELLO + echo + DONE)


def test_moderation_events_may_stand_anywhere() -> None:
    """They say nothing unless they block."""
    fine = event(
        {"moderation_response": {"flagged": True, "blocked": False}, "message_id": MESSAGE}
    )
    assert_good(fine + event(message("Hel")) + fine + event(final("Hello")) + fine + DONE)


def test_a_blocked_answer_ends_as_filtered() -> None:
    """The text that came is kept, the reason says the rest."""
    blocked = event({"is_completion": True, "moderation_response": {"blocked": True}})
    assert_good(event(message("Hel")) + blocked + DONE, "Hel", "content_filter")
    assert_good(HELLO + blocked + DONE, "Hello", "content_filter")
    assert_good(blocked + DONE, "", "content_filter")
    assert_good(event({"type": "moderation"}) + DONE, "", "content_filter")


def test_title_events_may_stand_anywhere() -> None:
    """The last title counts, also after the answer."""
    titles = [event({"type": "title_generation", "title": t}) for t in ("One", "Two")]
    data = titles[0] + HELLO + titles[1] + DONE
    assert_good(data)
    assert decode(data).decoder.title == "Two"


def test_several_messages_are_joined_by_a_blank_line() -> None:
    """With tool calls and results between that are not shown."""
    data = (
        event(message("Let me look.", id="a", end_turn=False))
        + event(message("f()", id="b", recipient="python"))
        + event(message("42", id="c", role="tool"))
        + event(message("It", id="d"))
        + event(final("It is 42.", id="d"))
        + DONE
    )
    assert_good(data, "Let me look.\n\nIt is 42.")
    assert decode(data).decoder.message_id == "d"


def test_messages_that_interleave_are_kept_apart() -> None:
    """What cannot be put in place in a stream any more is in the whole reply."""
    data = (
        event(message("A1", id="a"))
        + event(message("B1", id="b"))
        + event(final("A1 A2", id="a"))
        + event(final("B1 B2", id="b"))
        + DONE
    )
    reply = decode(data)
    assert reply.said == "A1\n\nB1 B2"
    assert reply.text == "A1 A2\n\nB1 B2"


def test_hidden_messages_of_the_assistant_are_not_the_answer() -> None:
    """Its own context, hidden ones, other channels, other recipients."""
    hidden = [
        message("no", id="h1", content={"content_type": "model_editable_context"}),
        message("no", id="h2", metadata={"is_visually_hidden_from_conversation": True}),
        message("no", id="h3", channel="analysis"),
        message("no", id="h4", channel="commentary"),
        message("no", id="h5", recipient="browser"),
        message("no", id="h6", content={"content_type": "code", "text": "no"}),
        message("no", id="h7", content={"content_type": "something_new", "parts": ["no"]}),
    ]
    assert_good(b"".join(map(event, hidden)) + HELLO + DONE)


def test_a_repeated_snapshot_adds_nothing() -> None:
    """Equal to the last one."""
    assert_good(snapshots("", "He", "He", "He", "Hello", "Hello"))


def test_a_text_that_shrinks_and_comes_back_is_said_once() -> None:
    """Shorter, then as before, then longer."""
    assert_good(snapshots("Hell", "He", "", "Hell", "Hello"))


def test_a_rewrite_freezes_the_stream_and_the_whole_reply_is_right() -> None:
    """What has left cannot be taken back; what grows after it is still said."""
    reply = decode(snapshots("see [x", "see (1)", "see (1), and", "see (1), and on"))
    assert reply.said == "see [x, and on"
    assert reply.text == "see (1), and on"


def test_an_empty_text_after_text_takes_nothing_back_in_the_stream() -> None:
    """The whole reply is what the backend last had."""
    reply = decode(snapshots("Hello", ""))
    assert reply.said == "Hello"
    assert reply.text == ""
    assert reply.decoder.revised == ""


def test_a_text_that_contains_itself_loses_nothing() -> None:
    """Removing the old text from the new one would eat words."""
    assert_good(snapshots("ha", "ha ha", "ha ha ha", "ha ha haha ha ha"), "ha ha haha ha ha")


def test_a_text_may_look_like_the_protocol() -> None:
    """Framing and JSON inside the string."""
    text = 'data: [DONE]\n\ndata: {"message": null, "error": "x"}\n\nevent: ping\n'
    assert_good(snapshots(text[:8], text[:30], text), text)
    assert_good(deltas(text[:8], text[8:30], text[30:]), text)


def test_events_of_another_conversation_are_ignored() -> None:
    """The first id is ours; events without one are ours, too."""
    foreign = event(message("foreign", id="f", conversation_id="other"))
    wrong = event({"message": None, "conversation_id": "other", "error": "not ours"})
    without = final("Hello")
    del without["conversation_id"]
    data = event(message("Hel")) + foreign + wrong + event(without) + DONE
    assert_good(data)
    assert decode(data).decoder.conversation_id == CONVERSATION


@pytest.mark.parametrize("missing", [None, 7, ""])
def test_a_message_without_an_id_is_one_message(missing: object) -> None:
    """Its snapshots still belong together."""
    data = event(message("Hel", id=missing)) + event(final("Hello", id=missing)) + DONE
    assert_good(data)
    assert decode(data).decoder.message_id == ""


def test_an_id_that_is_used_twice_harms_nothing() -> None:
    """The question's echo may bear the answer's id."""
    assert_good(
        event(message("what?", role="user")) + HELLO + event(message("x", role="user")) + DONE
    )


@pytest.mark.parametrize("nothing", [None, "", {}, [], False, 0])
def test_an_error_that_says_nothing_is_none(nothing: object) -> None:
    """Falsy values of every type."""
    empty = event({"message": None, "conversation_id": CONVERSATION, "error": nothing})
    assert_good(event(message("Hel", error=nothing)) + empty + event(final("Hello")) + DONE)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        ("It broke.", "It broke."),
        ({"message": "It broke.", "code": "x"}, "It broke."),
        (["It broke."], "It broke."),
        (True, "true"),
        ({"a": 1}, '{"a":1}'),
    ],
)
def test_an_error_of_any_type_fails_the_reply(error: object, said: str) -> None:
    """In an event of its own, or beside a message; before any text, or after some."""
    alone = event({"message": None, "conversation_id": CONVERSATION, "error": error})
    assert_fails(alone + DONE, "upstream_error", said)
    assert_fails(event(message("Hel")) + alone + DONE, "upstream_error", said)
    assert_fails(event(message("Hel", error=error)) + DONE, "upstream_error", said)
    assert decode(event(message("Hel", error=error))).said == "Hel"


@pytest.mark.parametrize(
    "value",
    [
        {"detail": "It broke."},
        {"errorMessage": "It broke."},
        {"type": "error", "message": "It broke."},
    ],
)
def test_error_bodies_inside_a_stream_fail_the_reply(value: object) -> None:
    """Whatever envelope they come in."""
    assert_fails(event(value), "upstream_error", "It broke.")


def test_an_error_after_the_whole_answer_changes_nothing() -> None:
    """The text is good."""
    assert_good(HELLO + event({"message": None, "error": "too late"}) + DONE)


@pytest.mark.parametrize(
    ("error", "kind", "credential", "upstream", "retry"),
    [
        (
            "Our systems have detected unusual activity from your device. Please try again later.",
            UpstreamChallenge,
            "none",
            "cool",
            "next_candidate",
        ),
        (
            {"message": "m", "code": "token_expired"},
            UpstreamDenied,
            "invalid",
            "none",
            "next_credential",
        ),
        (
            "Only one message at a time. Please allow",
            RateLimited,
            "cool",
            "none",
            "next_credential",
        ),
        (
            {"message": "m", "code": "model_cap_exceeded", "clears_in": 60},
            RateLimited,
            "cool",
            "none",
            "next_credential",
        ),
        (
            {"message": "m", "code": "message_length_exceeds_limit"},
            UpstreamRejected,
            "none",
            "none",
            "never",
        ),
        ("Hmm...something seems to have gone wrong.", UpstreamFailed, "none", "count", "again"),
    ],
)
def test_errors_in_a_stream_are_told_apart_as_statuses_are(
    error: object, kind: type, credential: str, upstream: str, retry: str
) -> None:
    """The pool learns the same from an event as from a refusal."""
    reply = decode(event({"message": None, "error": error}) + DONE)
    assert type(reply.error) is kind
    fault = reply.decoder.fault
    assert fault is not None
    assert (fault.credential, fault.upstream, fault.retry) == (credential, upstream, retry)


def test_a_server_error_as_a_bare_line_fails_the_reply() -> None:
    """Also where ``[DONE]`` follows."""
    for line in (b"Internal Server Error\n\n", b"data: Internal Server Error\n\n"):
        assert_fails(event(message("Hel")) + line + DONE, "upstream_error", "Internal Server Error")
        assert_good(HELLO + line + DONE)


# -- cut by length, and continued ------------------------------------------------------------------

CUT = event(message("one,")) + event(final("one, tw", "max_tokens", end_turn=None)) + DONE


def test_an_answer_cut_by_length_can_be_continued() -> None:
    """Its end is held back until the gateway has decided."""
    reply = decode(CUT)
    assert reply.reason is None
    follow_up = reply.decoder.follow_up()
    assert follow_up is not None
    assert follow_up.messages == ASKED.messages
    assert follow_up.continuation == Continuation(
        CONVERSATION, MESSAGE, blocks=1, in_text=True, text="one, tw"
    )
    assert [type(e).__name__ for e in reply.decoder.conclude()] == ["BlockEnded", "Finished"]
    assert reply.decoder.conclude() == []
    assert reply.decoder.follow_up() is None


def test_a_continuation_goes_on_in_the_same_block() -> None:
    """The second decoder says neither Started nor BlockStarted again, and joins without a gap."""
    follow_up = decode(CUT).decoder.follow_up()
    assert follow_up is not None
    more = {"id": "second", "metadata": {"message_type": "continue"}}
    data = event(message("o,", **more)) + event(final("o, three", **more)) + DONE
    reply = decode(data, request=follow_up)
    assert reply.events[0] == TextDelta("o, three")
    assert reply.reason == "stop"
    assert reply.decoder.text == "one, two, three"
    assert reply.decoder.revised is None
    assert reply.decoder.message_id == "second"


def test_a_continuation_knows_what_was_rewritten_before() -> None:
    """The whole reply holds both parts as the backend last had them."""
    cut = event(message("one [x")) + event(final("one (1) tw", "max_tokens")) + DONE
    follow_up = decode(cut).decoder.follow_up()
    assert follow_up is not None
    reply = decode(event(final("o", id="second")) + DONE, request=follow_up)
    assert reply.decoder.revised == "one (1) two"


def test_a_continuation_may_be_cut_again() -> None:
    """Then it names the newest message."""
    follow_up = decode(CUT).decoder.follow_up()
    assert follow_up is not None
    data = (
        event(message("o, th", id="second"))
        + event(final("o, th", "max_tokens", id="second"))
        + DONE
    )
    again = decode(data, request=follow_up).decoder.follow_up()
    assert again is not None
    assert again.continuation == Continuation(
        CONVERSATION, "second", blocks=1, in_text=True, text="one, two, th"
    )


def test_the_cut_message_in_the_continuation_is_not_said_twice() -> None:
    """A backend may echo it before the new one."""
    follow_up = decode(CUT).decoder.follow_up()
    assert follow_up is not None
    echo = event(final("one, tw", "max_tokens", end_turn=None))
    reply = decode(echo + event(final("o", id="second")) + DONE, request=follow_up)
    assert reply.said == "o"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        DONE,
        event({"message": None, "error": "Conversation not found"}) + DONE,
        b'{"detail": "no"}',
        event(final("", "max_tokens", id="second")) + DONE,
    ],
)
def test_a_continuation_that_says_nothing_leaves_a_shorter_answer(body: bytes) -> None:
    """What was said before is a true answer; its end is its length."""
    follow_up = decode(CUT).decoder.follow_up()
    assert follow_up is not None
    reply = decode(body, request=follow_up)
    assert reply.events[-1] == Finished("length")
    assert reply.error is None


def test_a_continuation_that_breaks_off_after_more_text_fails() -> None:
    """Half of the new text has left."""
    follow_up = decode(CUT).decoder.follow_up()
    assert follow_up is not None
    reply = decode(event(message("o, th", id="second")), request=follow_up)
    assert reply.error is not None


def test_an_empty_answer_cut_by_length_is_not_continued() -> None:
    """It would go on being empty, for ever."""
    assert_good(event(final("", "max_tokens")) + DONE, "", "length")


def test_an_answer_without_ids_is_not_continued() -> None:
    """Nobody could say what to continue."""
    value = final("Hel", "max_tokens", id=None)
    assert_good(event(value) + DONE, "Hel", "length")
    value = final("Hel", "max_tokens", conversation_id=None)
    assert_good(event(value) + DONE, "Hel", "length")


def test_two_turns_in_one_body_are_one_answer() -> None:
    """A proxy that continues by itself: the second message writes on the first, with no gap."""
    data = (
        event(final("one, tw", "max_tokens", end_turn=None))
        + event(message("o,", id="second"))
        + event(final("o, three", id="second"))
        + DONE
    )
    assert_good(data, "one, two, three")


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("stop", "stop"),
        ("interrupted", "stop"),
        ("unheard_of", "stop"),
        ("content_filter", "content_filter"),
    ],
)
def test_finish_types_are_mapped(kind: str, reason: str) -> None:
    """What is not known is a stop; the backend's word stays readable."""
    assert_good(event(final("Hello", kind)) + DONE, "Hello", reason)
    assert decode(event(final("Hello", kind)) + DONE).decoder.finish_type == kind


def test_an_unfinished_answer_before_done_is_accepted() -> None:
    """Proxies strip fields."""
    assert_good(event(message("Hello")) + DONE)


def test_an_answer_that_goes_on_with_a_tool_is_not_whole_at_the_end_of_the_body() -> None:
    """Finished by itself, but its turn was to go on."""
    data = event(final("Let me look.", end_turn=False)) + event(
        message("f()", id="t", recipient="python")
    )
    assert_fails(data, "upstream_truncated")


PICTURE = {
    "content_type": "image_asset_pointer",
    "asset_pointer": "file-service://file-1",
    "width": 1024,
    "height": 512,
}
SEEN = "![image 1024x512](file-service://file-1)"
DRAWN = message(
    "", role="tool", id="t", content={"content_type": "multimodal_text", "parts": [PICTURE]}
)
BESIDE = final("", content={"content_type": "multimodal_text", "parts": ["Hel", PICTURE, "lo"]})
DRAWN_V1 = b'event: delta_encoding\ndata: "v1"\n\n' + b"".join(
    b"event: delta\ndata: " + json.dumps(operation).encode() + b"\n\n"
    for operation in (
        {
            "p": "",
            "o": "add",
            "c": 0,
            "v": {
                "message": {
                    "id": "t",
                    "author": {"role": "tool"},
                    "content": {"content_type": "multimodal_text", "parts": []},
                    "status": "in_progress",
                },
                "conversation_id": "c",
            },
        },
        {"p": "/message/content/parts", "o": "append", "v": [{**PICTURE, "asset_pointer": ""}]},
        {"p": "/message/content/parts/0/asset_pointer", "o": "append", "v": "file-service://"},
        {"v": "file-1"},
        {"p": "", "o": "add", "c": 1, "v": final("Hello") | {"conversation_id": "c"}},
    )
)


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (event(DRAWN) + HELLO + DONE, f"Hello\n\n{SEEN}"),
        (HELLO.replace(b"true", b"null") + event(DRAWN) + DONE, f"Hello\n\n{SEEN}"),
        (event(DRAWN) + event(DRAWN) + DONE, SEEN),
        (event(BESIDE) + DONE, f"Hello\n\n{SEEN}"),
        (event(DRAWN) + event(message("x", role="user", id="u")) + HELLO + DONE, "Hello"),
        (DRAWN_V1 + DONE, f"Hello\n\n{SEEN}"),
    ],
    ids=["before", "after", "alone", "inside", "of history", "v1"],
)
def test_a_picture_is_told_where_it_is(data: bytes, text: str) -> None:
    """Behind the text, once, however the reply is cut."""
    assert_good(data, text)


def test_a_rewritten_answer_keeps_its_pictures() -> None:
    """A reply that was collected gets the new text, and the picture all the same."""
    data = event(message("Jello")) + event(DRAWN) + HELLO + DONE
    assert decode(data).decoder.revised == f"Hello\n\n{SEEN}"


def test_an_answer_with_pictures_is_not_continued() -> None:
    """Its end, which tells of them, would never be said."""
    cut = final("Hello", metadata={"finish_details": {"type": "max_tokens"}})
    data = event(DRAWN | {"conversation_id": "c"}) + event(cut | {"conversation_id": "c"}) + DONE
    assert decode(data).decoder.follow_up() is None
    assert_good(data, f"Hello\n\n{SEEN}", "length")


@pytest.mark.parametrize("pointer", ["", 5, None, "x", "file-service://a)b", "javascript:x"])
def test_what_points_nowhere_is_not_told(pointer: object) -> None:
    """Nor may it end the link early."""
    part = {**PICTURE, "asset_pointer": pointer}
    value = final("", content={"content_type": "multimodal_text", "parts": ["Hello", part]})
    assert_good(event(value) + DONE)


def test_a_picture_without_text_is_a_failure_that_says_so() -> None:
    """Asking again would give another picture."""
    picture = {
        "content_type": "multimodal_text",
        "parts": [{"content_type": "image_asset_pointer"}],
    }
    data = event(message("", role="tool", content=picture)) + DONE
    assert_fails(data, "upstream_no_text")
    fault = decode(data).decoder.fault
    assert fault is not None
    assert fault.retry == "never"


def test_the_model_is_known_from_the_start() -> None:
    """A streaming client is told what really answers."""
    assert decode(HELLO + DONE).events[0] == Started("gpt-4")


# -- reasoning -------------------------------------------------------------------------------------


def thoughts(*contents: str, **fields: Any) -> dict[str, Any]:
    found = [{"summary": "S", "content": content} for content in contents]
    return message("", id="t", content={"content_type": "thoughts", "thoughts": found}, **fields)


RECAP = message(
    "", id="r", content={"content_type": "reasoning_recap", "content": "Thought for 4s"}
)


def test_thoughts_are_reasoning_before_the_answer() -> None:
    """Growing thoughts, several of them, then the text in a block of its own."""
    data = b"".join(map(event, (thoughts("Ne"), thoughts("Need"), thoughts("Need", "More"), RECAP)))
    for reply in (decode(data + HELLO + DONE), decode(bytewise(data + HELLO + DONE))):
        assert reply.thought == "Need\n\nMore"
        assert reply.said == "Hello"


def test_a_recap_alone_is_reasoning() -> None:
    """Where the thoughts themselves are not shown, how long they took is all there is."""
    assert decode(event(RECAP) + HELLO + DONE).thought == "Thought for 4s"


def test_thoughts_alone_are_no_answer() -> None:
    """A reply that only thought is empty or cut."""
    assert_fails(event(thoughts("Hm")) + DONE, "upstream_empty")
    assert_fails(event(thoughts("Hm")), "upstream_truncated")


def test_thoughts_of_an_old_turn_are_not_said() -> None:
    """They are echoed whole, before the question."""
    old = event(thoughts("old", status="finished_successfully"))
    data = old + event(message("q", role="user", id="u")) + HELLO + DONE
    assert decode(data).thought == ""


# -- v1 shapes -------------------------------------------------------------------------------------

OPEN = op(message(""), p="", o="add", c=0)


def test_deltas_need_no_announcement() -> None:
    """A proxy may drop it; the shape tells."""
    assert_good(deltas("Hel", "lo").removeprefix(V1))
    assert_good(deltas("Hel", "lo").removeprefix(V1).replace(b"event: delta\n", b""))


def test_the_announcement_may_be_bare() -> None:
    """``v1`` without quotes."""
    assert_good(deltas("Hello").replace(b'"v1"', b"v1"))


def test_an_unknown_encoding_is_a_clean_failure() -> None:
    """Garbage would be worse."""
    data = b'event: delta_encoding\ndata: "v9"\n\n' + deltas("Hello").removeprefix(V1)
    assert_fails(data, "upstream_unsupported")


def test_a_delta_before_any_document_is_ignored() -> None:
    """It fits nothing."""
    assert_good(V1 + op("lost", p=TEXT_PATH, o="append") + deltas("Hello").removeprefix(V1))


def test_an_unknown_channel_is_the_newest_document() -> None:
    """``c`` read as a running number."""
    data = V1 + OPEN + op("Hel", p=TEXT_PATH, o="append", c=7) + op("lo", c=8) + V1_END + DONE
    assert_good(data)


def test_the_channel_may_be_missing_from_the_start() -> None:
    """Then there is one document."""
    data = (
        V1 + op(message(""), p="", o="add") + op("Hello", p=TEXT_PATH, o="append") + V1_END + DONE
    )
    assert_good(data)


@pytest.mark.parametrize("carried", [b"", op([], p="", o="patch")])
def test_a_bare_string_where_none_can_be_is_text(carried: bytes) -> None:
    """While the carried operation is the root's add, or a patch: no text is lost silently."""
    assert_good(V1 + OPEN + carried + op("Hel") + op("lo") + V1_END + DONE)


def test_the_carry_over_outlives_control_events_and_new_documents() -> None:
    """Each key on its own."""
    control = event({"type": "message_marker", "marker": "first", "conversation_id": CONVERSATION})
    other = op(message("", id="u", role="user"), p="", o="add", c=1)
    data = (
        V1
        + OPEN
        + op("Hel", p=TEXT_PATH, o="append")
        + control
        + op("lo")
        + control
        + V1_END
        + DONE
    )
    assert_good(data)
    data = V1 + other + op(message(""), c=2) + op("Hello", p=TEXT_PATH, o="append") + V1_END + DONE
    assert_good(data)


def test_old_answers_that_are_echoed_are_not_said() -> None:
    """Complete at first sight, and followed by a question."""
    old = message("old answer", id="o", status="finished_successfully")
    data = (
        V1
        + op(message("q1", id="u1", role="user"), p="", o="add", c=0)
        + op(old, c=1)
        + op(message("q2", id="u2", role="user"), c=2)
        + op(message(""), c=3)
        + op("Hello", p=TEXT_PATH, o="append")
        + V1_END
        + DONE
    )
    assert_good(data)


def test_a_complete_message_of_this_turn_is_said() -> None:
    """No question follows it."""
    first = message("Let me look.", id="a", status="finished_successfully")
    assert_good(event(first) + HELLO + DONE, "Let me look.\n\nHello")
    assert_good(event(first) + DONE, "Let me look.")


@pytest.mark.parametrize(
    "odd",
    [
        op({"a": 1}, p="", o="patch"),
        op(7, p="", o="patch"),
        op([7, None, {"o": "append"}, {"p": TEXT_PATH}, {"p": 5, "o": "add"}], p="", o="patch"),
        op(
            [{"p": "", "o": "patch", "v": [{"p": TEXT_PATH, "o": "append", "v": "x"}]}],
            p="",
            o="patch",
        ),
        op({"b": 1}, p="/message/weight", o="append"),
        op("x", p="/message/weight", o="append"),
        op("x", p="/message/no/such/place", o="replace"),
        op("x", p="message/content", o="replace"),
        op("x", p="/message/content/parts/01", o="append"),
        op("x", p="/message/content/parts/-1", o="replace"),
        op("x", p="/message/content/parts/999999999", o="add"),
        op("x", p="/message/content/parts/99999999999999999999", o="append"),
        op("x", p="/message/__proto__/x", o="add"),
        op("x", p="/" + "a/" * 100, o="add"),
        op("x", p="/message/content/parts/0/0", o="add"),
        op("x", p=TEXT_PATH, o="jump"),
        op(-3, p=TEXT_PATH, o="truncate"),
        op("3", p=TEXT_PATH, o="truncate"),
        op(True, p=TEXT_PATH, o="truncate"),
        op(99, p=TEXT_PATH, o="truncate"),
        op(p="/message/nothing", o="remove"),
        op({"a": 1}, p=TEXT_PATH, o="append"),
    ],
)
def test_an_operation_that_fits_nothing_changes_nothing(odd: bytes) -> None:
    """And fails nothing."""
    again = op("lo", p=TEXT_PATH, o="append")
    data = V1 + OPEN + op("Hel", p=TEXT_PATH, o="append") + odd + again + V1_END + DONE
    assert_good(data)


def test_append_joins_what_fits_together() -> None:
    """String to null, list to list, object to object."""
    root = message("")
    root["message"]["content"]["parts"] = [None]
    root["message"]["metadata"]["list"] = [1]
    data = (
        V1
        + op(root, p="", o="add", c=0)
        + op([2, 3], p="/message/metadata/list", o="append")
        + op("Hello", p=TEXT_PATH, o="append")
        + V1_END
        + DONE
    )
    assert_good(data)


def test_text_may_arrive_in_another_part() -> None:
    """Or in a list of parts that was not there."""
    data = (
        op("Hel", p=TEXT_PATH, o="append")
        + op("l", p="/message/content/parts/1", o="append")
        + op("o")
        + V1_END
        + DONE
    )
    assert_good(V1 + OPEN + data)
    empty = message(None)
    del empty["message"]["content"]["parts"]
    assert_good(V1 + op(empty, p="", o="add", c=0) + data)


def test_whole_parts_of_a_message_may_be_replaced() -> None:
    """The content, or the message."""
    content = {"content_type": "text", "parts": ["Hello"]}
    new = op(content, p="/message/content", o="replace")
    assert_good(V1 + OPEN + op("He", p=TEXT_PATH, o="append") + new + V1_END + DONE)
    new = op(message("Hello")["message"], p="/message", o="replace")
    assert_good(V1 + OPEN + op("He", p=TEXT_PATH, o="append") + new + V1_END + DONE)


def test_a_replaced_text_freezes_the_stream() -> None:
    """As a rewritten snapshot does."""
    data = V1 + OPEN + op("Draft", p=TEXT_PATH, o="append") + op("Final", p=TEXT_PATH, o="replace")
    reply = decode(data + op(" text", p=TEXT_PATH, o="append") + V1_END + DONE)
    assert reply.said == "Draft text"
    assert reply.text == "Final text"


def test_a_truncated_text_may_grow_back() -> None:
    """Then nothing is said twice."""
    data = V1 + OPEN + op("Hello", p=TEXT_PATH, o="append") + op(2, p=TEXT_PATH, o="truncate")
    assert_good(data + op("llo", p=TEXT_PATH, o="append") + V1_END + DONE)


def test_the_answer_may_stand_in_the_first_event_alone() -> None:
    """A whole message, to which nothing is appended."""
    assert_good(V1 + op(final("Hello"), p="", o="add", c=0) + DONE)


def test_both_encodings_may_be_mixed() -> None:
    """Events are told apart by their shape."""
    data = V1 + OPEN + op("Hel", p=TEXT_PATH, o="append") + event(final("Hello")) + DONE
    assert_good(data)
    assert_good(event(message("He")) + op(final("Hello"), p="", o="add", c=0) + DONE)


def test_a_handed_off_stream_is_a_failure_that_says_so() -> None:
    """The rest comes over a websocket."""
    handoff = event({"type": "stream_handoff", "options": [], "conversation_id": CONVERSATION})
    assert_fails(V1 + handoff, "upstream_unsupported")
    assert_fails(V1 + handoff + DONE, "upstream_unsupported")
    assert_good(deltas("Hello").removesuffix(DONE) + handoff + DONE)


def test_a_completed_stream_needs_no_done() -> None:
    """``message_stream_complete`` says the same."""
    complete = event({"type": "message_stream_complete", "conversation_id": CONVERSATION})
    data = V1 + OPEN + op("Hello", p=TEXT_PATH, o="append") + complete
    assert_good(data)


def test_an_error_in_a_document_fails_the_reply() -> None:
    """In its root, at first or later."""
    data = V1 + op({**message(""), "error": "It broke."}, p="", o="add", c=0) + DONE
    assert_fails(data, "upstream_error", "It broke.")
    data = V1 + OPEN + op("It broke.", p="/error", o="replace") + DONE
    assert_fails(data, "upstream_error", "It broke.")


def test_a_message_that_becomes_hidden_is_taken_back_where_it_can_be() -> None:
    """In the whole reply, at least."""
    data = V1 + OPEN + op("Secret", p=TEXT_PATH, o="append")
    data += op("analysis", p="/message/channel", o="replace")
    data += op(message("", id="b"), p="", o="add", c=1) + op("Hello", p=TEXT_PATH, o="append")
    reply = decode(data + V1_END + DONE)
    assert reply.text == "Hello"


def test_a_message_that_becomes_visible_is_said() -> None:
    """Its channel may be named late."""
    data = V1 + op(message("", channel="analysis"), p="", o="add", c=0)
    data += op("Hello", p=TEXT_PATH, o="append") + op("final", p="/message/channel", o="replace")
    assert_good(data + V1_END + DONE)


def test_thoughts_may_be_built_by_operations() -> None:
    """Several thoughts, each growing."""
    path = "/message/content/thoughts"
    new = [{"summary": "", "content": "Need"}]
    data = (
        V1
        + op(thoughts(), p="", o="add", c=0)
        + op(new, p=path, o="append")
        + op(" km", p=f"{path}/0/content", o="append")
        + op([{"content": ""}], p=path, o="append")
        + op("More", p=f"{path}/1/content", o="append")
        + op(" c")
        + op(message(""), p="", o="add", c=1)
        + op("Hello", p=TEXT_PATH, o="append")
        + V1_END
        + DONE
    )
    for reply in (decode(data), decode(bytewise(data))):
        assert reply.thought == "Need km\n\nMore c"
        assert reply.said == "Hello"


# -- HTTP ------------------------------------------------------------------------------------------


def test_a_websocket_url_is_a_clean_failure() -> None:
    """With status 200 and JSON."""
    body = b'{"wss_url": "wss://example.org/x", "conversation_id": "c"}'
    assert_fails(body, "upstream_unsupported", content_type="application/json")


# -- anything --------------------------------------------------------------------------------------

KEYS = [
    "message",
    "v",
    "p",
    "o",
    "c",
    "type",
    "error",
    "id",
    "author",
    "role",
    "content",
    "parts",
    "content_type",
    "metadata",
    "finish_details",
    "status",
    "end_turn",
    "thoughts",
    "conversation_id",
    "moderation_response",
    "blocked",
    "title",
    "recipient",
    "detail",
]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=4)
    ),
    max_leaves=25,
)


@settings(max_examples=300)
@given(values=st.lists(JSON, max_size=6), name=st.sampled_from(["", "delta", "delta_encoding"]))
def test_any_json_gives_one_end_and_never_a_crash(values: list[object], name: str) -> None:
    """Each value as an event among good ones; ``decode`` checks order and end."""
    stream = b"".join(event(value, name=name) for value in values)
    decode(stream + HELLO + DONE)
    decode(OPEN + stream + V1_END)
    decode(json.dumps(values).encode(), content_type="application/json")


PATHS = st.sampled_from(
    [
        "",
        "/",
        "/message",
        "/message/content",
        "/message/content/parts",
        "/message/content/parts/-",
        "/message/content/thoughts/0",
        "/message/metadata",
        "/message/status",
        "/message/end_turn",
        "/message/author/role",
        "/conversation_id",
        "/error",
        TEXT_PATH,
    ]
)
OPS = st.sampled_from(["add", "replace", "append", "remove", "truncate", "patch", "jump"])


@settings(max_examples=300)
@given(ops=st.lists(st.tuples(JSON | st.text(max_size=3), PATHS, OPS), max_size=10))
def test_any_operations_give_one_end_and_never_a_crash(ops: list[tuple[Any, str, str]]) -> None:
    """Whatever they build, and the same byte by byte."""
    stream = OPEN + b"".join(op(v, p=p, o=o) for v, p, o in ops) + DONE
    assert decode(stream).outline == decode(bytewise(stream)).outline


@settings(max_examples=200)
@given(data=st.binary(max_size=200), cuts=st.integers(1, 7))
def test_any_bytes_give_one_end_and_never_a_crash(data: bytes, cuts: int) -> None:
    """Alone, and between good events."""
    decode([data[at : at + cuts] for at in range(0, len(data), cuts)])
    decode([HELLO, data, event(final("Hello")), DONE])


def test_a_decoder_that_is_fed_after_its_end_says_nothing_more() -> None:
    """Not even its end once more."""
    reply = decode(HELLO + DONE)
    assert reply.decoder.feed(HELLO) == []
    assert reply.decoder.eof() == []
    assert reply.decoder.conclude() == []


def test_requests_differ_in_nothing_but_the_continuation() -> None:
    """The follow-up keeps the model and the client's own limits."""
    asked = msgspec.structs.replace(ASKED, max_tokens=7, stop=("x",))
    follow_up = decode(CUT, request=asked).decoder.follow_up()
    assert follow_up is not None
    assert msgspec.structs.replace(follow_up, continuation=None) == asked
