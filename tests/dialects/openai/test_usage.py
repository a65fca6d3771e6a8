"""Usage, from each vendor's shape into disjoint buckets."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

from chatgpt_to_api.chat.usage import Usage
from chatgpt_to_api.dialects.openai.usage import read_usage


@pytest.mark.parametrize(
    ("raw", "usage"),
    [
        (b"", None),
        (b"null", None),
        (b"{}", None),
        (b"5", None),
        (b'{"prompt_tokens": "many"}', None),
        (b'{"prompt_tokens": 5, "completion_tokens": 7}', Usage(5, 7)),
        (b'{"prompt_tokens": 0, "completion_tokens": 0}', Usage(0, 0)),
        (b'{"completion_tokens": 7}', Usage(None, 7)),
        (
            b'{"prompt_tokens": 10, "completion_tokens": 7, "prompt_tokens_details": '
            b'{"cached_tokens": 8}, "completion_tokens_details": {"reasoning_tokens": 3}}',
            Usage(2, 7, 8, None, 3),
        ),
        (
            b'{"prompt_tokens": 10, "completion_tokens": 7, "prompt_cache_hit_tokens": 4}',
            Usage(6, 7, 4),
        ),
        (
            b'{"prompt_tokens": 10, "completion_tokens": 1, "prompt_tokens_details": '
            b'{"cached_tokens": 4, "cache_write_tokens": 3}}',
            Usage(3, 1, 4, 3),
        ),
        # A server that counts cached tokens apart from the prompt's.
        (
            b'{"prompt_tokens": 3, "completion_tokens": 1, "prompt_tokens_details": '
            b'{"cached_tokens": 90}}',
            Usage(3, 1, 90),
        ),
        (
            b'{"prompt_tokens": 3, "completion_tokens": 1, "prompt_tokens_details": null, '
            b'"completion_tokens_details": {"reasoning_tokens": null}}',
            Usage(3, 1),
        ),
    ],
)
def test_each_shape_is_read_without_inventing(raw: bytes, usage: Usage | None) -> None:
    """Unknown stays unknown, zero stays zero, nothing is clamped or counted twice."""
    read = read_usage(Raw(raw))
    if usage is None:
        assert read is None
    else:
        assert read is not None
        assert read.source == "reported"
        assert (read.input, read.output, read.cache_read, read.cache_write, read.reasoning) == (
            usage.input,
            usage.output,
            usage.cache_read,
            usage.cache_write,
            usage.reasoning,
        )


@given(
    prompt=st.none() | st.integers(0, 9),
    completion=st.none() | st.integers(0, 9),
    hit=st.none() | st.integers(0, 9),
)
def test_absent_details_say_no_more_than_empty_ones(
    prompt: int | None, completion: int | None, hit: int | None
) -> None:
    """Most servers give none, and are read by a shorter way."""
    said = {"prompt_tokens": prompt, "completion_tokens": completion}
    said |= {"prompt_cache_hit_tokens": hit}
    empty = said | {"prompt_tokens_details": {}, "completion_tokens_details": {}}
    assert read_usage(Raw(json.dumps(said).encode())) == read_usage(Raw(json.dumps(empty).encode()))
