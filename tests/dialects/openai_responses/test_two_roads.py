"""The lean road of a stream's text and the exact one tell the same."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chatgpt_to_api.chat.events import ChatEvent, TextDelta
from chatgpt_to_api.chat.fitting import ToolNames
from chatgpt_to_api.chat.request import ChatRequest
from chatgpt_to_api.dialects.openai_responses.upstream_calls import Trust
from chatgpt_to_api.dialects.openai_responses.upstream_reply import ResponseDecoder
from chatgpt_to_api.wire.http import ReplyHead
from support.responses_replies import call, events, message, thought
from support.two_roads import SAID, outcome, streams

HEAD = ReplyHead(200, [(b"content-type", b"text/event-stream")])
NO_NAMES = ToolNames(ChatRequest(model="m", messages=()), 64)


class Exact(ResponseDecoder):
    """A decoder that looks at every event."""

    def _lean(self, lines: bytes, events: list[ChatEvent]) -> bool:
        del lines, events
        return False


def piece(text: Any, output: Any = 0, content: Any = 0, **more: Any) -> dict[str, Any]:
    return {
        "type": "response.output_text.delta",
        "item_id": f"msg_{output}",
        "output_index": output,
        "content_index": content,
        "delta": text,
        **more,
    }


LIKELY = [{"token": "a", "logprob": -0.5}]
WHOLE = events([message("Hello"), thought("Hm."), call("f", "{}")])
PLACE = st.sampled_from([0, 0, 0, 1, 2])
ODD = st.one_of(
    st.sampled_from(WHOLE),
    st.builds(piece, SAID, PLACE, PLACE),
    st.builds(piece, SAID, logprobs=st.sampled_from([[], None, LIKELY])),
    st.builds(piece, SAID, PLACE, obfuscation=st.just("xxx")),
    st.sampled_from(
        [
            piece(None),
            piece("a", None),
            piece("a", 0, None),
            piece("a", error={"message": "Busy"}),
            {"type": "error", "message": "Busy", "code": "server_error"},
            {"type": "response.refusal.delta", "output_index": 0, "delta": "no"},
        ]
    ),
)
RUN = st.lists(st.builds(piece, SAID), max_size=6)


@settings(max_examples=300)
@given(runs=st.lists(st.tuples(RUN, ODD), max_size=6), last=RUN, data=st.data())
def test_both_roads_tell_the_same(
    runs: list[tuple[list[dict[str, Any]], dict[str, Any]]],
    last: list[dict[str, Any]],
    data: st.DataObject,
) -> None:
    """Pieces of text with anything between them, framed and cut anyhow."""
    stream: list[dict[str, Any]] = []
    for run, odd in runs:
        stream += [*run, odd]
    chunks = data.draw(streams([*stream, *last]))
    assert outcome(ResponseDecoder(HEAD, NO_NAMES, Trust()), chunks) == outcome(
        Exact(HEAD, NO_NAMES, Trust()), chunks
    )


def test_a_text_is_known_by_its_items_id_where_its_place_is_new() -> None:
    """On both roads, also when the two come in one read."""
    told = [piece("Hel", logprobs=[]), {**piece(" word", 1), "item_id": "msg_0"}]
    chunk = "".join(f"data: {json.dumps(event)}\n\n" for event in told).encode()
    found = ResponseDecoder(HEAD, NO_NAMES, Trust()).feed(chunk)
    assert "".join(e.text for e in found if isinstance(e, TextDelta)) == "Hel word"
    assert found == Exact(HEAD, NO_NAMES, Trust()).feed(chunk)


@pytest.mark.parametrize("named", [True, False])
def test_a_burst_of_text_is_one_piece(named: bool) -> None:
    """What stands around a text does not take it off the lean road, named or not."""
    told = [WHOLE[0], *(piece(" word") for _ in range(100)), WHOLE[-1]]
    head = "event: {type}\n" if named else ""
    framed = (head.format(**e) + f"data: {json.dumps(e)}\n\n" for e in told)
    found = ResponseDecoder(HEAD, NO_NAMES, Trust()).feed("".join(framed).encode())
    assert [e.text for e in found if isinstance(e, TextDelta)][:1] == [" word" * 100]
