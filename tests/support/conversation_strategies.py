"""What a backend may send: messages, patches and controls, mostly usual ones, as strategies."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from support.conversation_replies import CONVERSATION, TEXT_PATH, event, message

ODD = st.sampled_from(
    [None, True, False, 0, 1, 1.5, "", "x", "all", "final", "stop", [], ["a"], {}, {"type": "stop"}]
)
TEXTS = st.sampled_from(["", "a", "ab", "abc", '"', "\\", "\n", "你好", "🙂", "\ud83d", "\ude42"])
IDS = st.sampled_from(["m1", "m1", "m2", "m3"])
STATUS = st.sampled_from(["in_progress", "in_progress", "finished_successfully", None, 7])
FINISH = st.sampled_from(
    [{"type": "stop"}, {"type": "max_tokens"}, {"type": None}, {"type": 1}, "stop", None, []]
)
METADATA = st.fixed_dictionaries(
    {},
    optional={
        "finish_details": FINISH,
        "is_complete": ODD,
        "is_visually_hidden_from_conversation": st.sampled_from([True, False, None, 1]),
        "message_type": ODD,
        "model_slug": st.sampled_from(["gpt-4", "gpt-5", "", None, 4]),
        "citations": ODD,
    },
)
FIELDS: dict[str, st.SearchStrategy[Any]] = {
    "status": STATUS,
    "end_turn": st.sampled_from([None, True, False, 1, "yes"]),
    "recipient": st.sampled_from(["all", "all", None, "python", 1]),
    "channel": st.sampled_from(["final", None, "analysis", "commentary", 1]),
    "role": st.sampled_from(["assistant", "assistant", "user", "tool", "system", None, 1]),
    "author": st.sampled_from([{}, None, {"role": "assistant"}, "assistant"]),
    "metadata": METADATA,
    "content": st.sampled_from(
        [
            {"content_type": "text", "parts": ["one", "two"]},
            {"content_type": "text", "parts": []},
            {"content_type": "text", "parts": [None]},
            {"content_type": "text", "parts": [{"text": "x"}]},
            {"content_type": "code", "parts": ["x"]},
            {"content_type": "multimodal_text", "parts": ["x"]},
            {"content_type": "thoughts", "thoughts": [{"content": "hm"}]},
            {"parts": ["bare"]},
            {},
            None,
        ]
    ),
    "conversation_id": st.sampled_from([CONVERSATION, CONVERSATION, "other", None, "", 1]),
    "error": st.sampled_from([None, None, "", {}, "Something broke.", {"message": "It broke."}, 0]),
    "v": ODD,
}
ENTRIES = st.one_of(
    st.builds(lambda t: {"p": TEXT_PATH, "o": "append", "v": t}, TEXTS),
    st.builds(lambda s: {"p": "/message/status", "o": "replace", "v": s}, STATUS),
    st.builds(lambda e: {"p": "/message/end_turn", "o": "replace", "v": e}, ODD),
    st.builds(lambda m: {"p": "/message/metadata", "o": "append", "v": m}, METADATA),
    st.builds(
        lambda p, o, v: {"p": p, "o": o, "v": v},
        st.sampled_from(
            [
                TEXT_PATH,
                "",
                "/message",
                "/message/author/role",
                "/message/channel",
                "/message/content",
                "/message/content/parts",
                "/message/content/parts/1",
                "/message/end_turn",
                "/message/metadata",
                "/message/metadata/finish_details",
                "/message/metadata/finish_details/type",
                "/message/metadata/is_complete",
                "/message/metadata/token_count",
                "/message/metadata/token_count/deeper",
                "/message/status",
                "/message/update_time",
                "message/status",
                None,
            ]
        ),
        st.sampled_from(["add", "append", "patch", "remove", "replace", "truncate", None]),
        st.one_of(ODD, TEXTS),
    ),
    st.sampled_from([{}, None, {"p": "/message/status"}]),
)
CONTROLS = st.sampled_from(
    [
        {"type": "title_generation", "title": "T"},
        {"type": "message_marker", "marker": "last_token"},
        {"type": "message_stream_complete", "conversation_id": CONVERSATION},
        {"type": "input_message", "input_message": message("what?")["message"]},
        {"type": "moderation"},
        {"type": "error", "error": "It broke."},
        {"moderation_response": {"blocked": True}},
        {"moderation_response": {"blocked": False}},
        {"detail": "It broke."},
        {"conversation_id": "other"},
        {},
    ]
)


@st.composite
def messages(draw: st.DrawFn) -> dict[str, Any]:
    """A message as it stands, mostly a usual one, in any order of its keys."""
    odd = draw(st.sampled_from([(), (), (), *((name,) for name in FIELDS)]))
    fields: dict[str, Any] = {"id": draw(IDS)}
    if draw(st.booleans()):
        fields |= {"status": draw(STATUS), "metadata": draw(METADATA)}
    fields |= {name: draw(FIELDS[name]) for name in odd}
    top = {name: fields.pop(name) for name in ("v",) if name in fields}
    found = message(draw(TEXTS), **fields) | top
    if draw(st.integers(0, 3)) == 0:
        found["message"] = dict(draw(st.permutations(list(found["message"].items()))))
        found = dict(draw(st.permutations(list(found.items()))))
    if draw(st.integers(0, 7)) == 0:
        del found["message"][draw(st.sampled_from(sorted(found["message"])))]
    return found


def written(draw: st.DrawFn, value: object, name: str) -> bytes:
    """An event, sometimes compact, with a key twice, or with escapes."""
    raw = event(value, name=name, indent=draw(st.sampled_from([" ", " ", ""])))
    match draw(st.integers(0, 15)):
        case 0:
            raw = raw.replace(b'"status":', b'"status": "in_progress", "status":', 1)
        case 1:
            raw = raw.replace(b'"role"', b'"r\\u006fle"', 1)
        case 2:
            raw = raw.replace(b'"parts":', b'"parts": ["decoy"], "parts":', 1)
        case 3:
            raw = raw.replace(b"gpt-4", b"gpt\xff4", 1)
        case 4:
            raw = raw.replace(b"1697031001.25", b"NaN", 1)
    return raw
