"""Whatever becomes of a good request on its way: an answer or a 400 that names a true path."""

from __future__ import annotations

import copy
import json
import re
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from chatgpt_to_api.dialects.contract import Upstream
from chatgpt_to_api.dialects.conversation.upstream import ConversationOptions, ConversationUpstream
from chatgpt_to_api.dialects.openai_chat.door import DOOR
from chatgpt_to_api.dialects.openai_chat.upstream import ChatUpstream
from chatgpt_to_api.errors import GatewayError
from chatgpt_to_api.wire.http import RequestHead
from chatgpt_to_api.wire.secret import ANONYMOUS

HEAD = RequestHead("POST", "/v1/chat/completions", b"", [])
UPSTREAMS: tuple[Upstream, ...] = (
    ChatUpstream("http://upstream.example/v1"),
    ConversationUpstream("http://upstream.example/conversation", ConversationOptions()),
)
GOOD: dict[str, Any] = {
    "model": "m",
    "messages": [
        {"role": "system", "content": "s", "name": "n"},
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "t"},
                {"type": "image_url", "image_url": {"url": "https://a.example/i", "detail": "low"}},
                {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}},
                {"type": "file", "file": {"file_data": "AAAA", "filename": "f"}},
            ],
        },
        {
            "role": "assistant",
            "content": None,
            "refusal": None,
            "reasoning_content": "hm",
            "tool_calls": [
                {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}},
                {"id": "d", "type": "custom", "custom": {"name": "g", "input": "x"}},
            ],
        },
        {"role": "tool", "tool_call_id": "c", "content": "done"},
    ],
    "tools": [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}],
    "tool_choice": {"type": "function", "function": {"name": "f"}},
    "response_format": {"type": "json_schema", "json_schema": {"name": "a", "schema": {}}},
    "stream": True,
    "stream_options": {"include_usage": True},
    "n": 2,
    "max_tokens": 5,
    "stop": ["a"],
    "temperature": 1,
    "top_p": 1,
    "seed": 1,
    "logit_bias": {"5": 1},
    "logprobs": True,
    "top_logprobs": 2,
    "metadata": {"a": "b"},
    "user": "u",
}


class UniqueIds:
    def uuid4(self) -> str:
        return "0e57d9b3-a218-4be5-8c6f-0e57d9b3a218"


def places(value: Any, path: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    """Every place of a JSON value, the outermost left out."""
    inner: Any = ()
    if isinstance(value, dict):
        inner = value.items()
    elif isinstance(value, list):
        inner = enumerate(value)
    found = []
    for key, below in inner:
        found += [(*path, key), *places(below, (*path, key))]
    return found


PLACES = places(GOOD)
VALUE = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**20), 10**20),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=5),
    st.sampled_from([[], {}, [{}], {"type": "text"}, "data:,", "user", [None], {"name": 1}]),
)
DROP = object()
CHANGE = st.tuples(st.sampled_from(PLACES), st.just(DROP) | VALUE)


def changed(changes: list[tuple[tuple[str | int, ...], Any]]) -> Any:
    request = copy.deepcopy(GOOD)
    for (*way, last), value in changes:
        found: Any = request
        try:
            for step in way:
                found = found[step]
            if value is DROP:
                del found[last]
            else:
                found[last]  # a place that an earlier change took away stays away
                found[last] = copy.deepcopy(value)  # a later change may go into it
        except (KeyError, IndexError, TypeError):
            continue
    return request


def names_a_place(param: str, request: Any) -> bool:
    """Whether a path leads through the request, but for its last step, which may be missing."""
    steps = [name or int(index) for name, index in re.findall(r"([^.\[\]]+)|\[(\d+)\]", param)]
    found = request
    for step in steps[:-1]:
        if isinstance(step, str) and isinstance(found, dict):
            found = found.get(step)
        elif isinstance(step, int) and isinstance(found, list) and step < len(found):
            found = found[step]
        else:
            return False
    return bool(steps)


def refusal(upstream: Upstream, body: bytes) -> GatewayError | None:
    """What a request is refused with on its way to an upstream, None where it gets there."""
    try:
        asked = DOOR.ask(HEAD, body)
        asked.relayed("other", ask_usage=True)
        meant = asked.request()
        upstream.ignored(meant)
        upstream.encode(meant, "m", ANONYMOUS, UniqueIds())
    except GatewayError as error:
        return error
    return None


@settings(max_examples=300)
@given(changes=st.lists(CHANGE, min_size=1, max_size=3))
def test_a_spoilt_request_is_answered_or_refused_by_a_path_of_it(changes: Any) -> None:
    """No change of type, range or presence becomes an error of the gateway's own."""
    request = changed(changes)
    for upstream in UPSTREAMS:
        error = refusal(upstream, json.dumps(request).encode())
        if error is not None:
            assert error.status == 400, error.text
            assert error.param is not None, error.text
            param = error.param.replace("[...]", ".x")  # some key of an object
            assert names_a_place(param, request), (error.text, request)
