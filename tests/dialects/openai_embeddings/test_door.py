"""Requests for embeddings: what is taken, and how what is wrong is named."""

from __future__ import annotations

import json
from typing import Any

import pytest

from chatgpt_to_api.dialects.openai_embeddings.door import DOOR
from chatgpt_to_api.errors import InvalidRequest
from chatgpt_to_api.wire.http import RequestHead

HEAD = RequestHead("POST", "/v1/embeddings", b"", ())


def ask(**fields: Any) -> Any:
    return DOOR.ask(HEAD, json.dumps({"model": "m", "input": "x"} | fields).encode())


@pytest.mark.parametrize("given", ["x", ["x", "y"], [1, 2], [[1], [2, 3]]])
def test_every_kind_of_input_passes_unchanged(given: Any) -> None:
    """A text, texts, token ids, several texts' ids; unknown fields stay."""
    body = json.dumps({"input": given, "model": "m", "vendor": {"a": 1.50}}).encode()
    asked = DOOR.ask(HEAD, b"\xef\xbb\xbf" + body)
    assert asked.relayed("m", ask_usage=True) == body
    renamed = json.loads(asked.relayed("other", ask_usage=True))
    assert renamed == {"input": given, "model": "other", "vendor": {"a": 1.5}}


@pytest.mark.parametrize(
    ("fields", "param", "words"),
    [
        ({"input": ""}, "input", "empty string"),
        ({"input": []}, "input", "empty array"),
        ({"input": ["x", ""]}, "input[1]", "empty string"),
        ({"input": [[1], []]}, "input[1]", "empty array"),
        ({"input": ["x", 1]}, "input[1]", "expected string like the first, got integer"),
        ({"input": [1, [2]]}, "input[1]", "expected integer like the first, got array"),
        ({"input": [1, -2]}, "input[1]", "expected a token id, got -2"),
        ({"input": [[1], [2, -3]]}, "input[1][1]", "expected a token id, got -3"),
        ({"input": [1.5]}, "input[0]", "got number"),
        ({"input": {"text": "x"}}, "input", "got object"),
        ({"input": None}, "input", "got null"),
        ({"model": ""}, "model", "empty string"),
        ({"encoding_format": "hex"}, "encoding_format", "expected float or base64, got 'hex'"),
        ({"dimensions": 0}, "dimensions", "at least 1, got 0"),
        ({"dimensions": "8"}, "dimensions", "got string"),
    ],
)
def test_what_is_wrong_is_named(fields: dict[str, Any], param: str, words: str) -> None:
    """By its path, with what was expected."""
    with pytest.raises(InvalidRequest) as wrong:
        ask(**fields)
    assert wrong.value.param == param
    assert words in wrong.value.message


def test_what_is_missing_is_named() -> None:
    """And an empty body gets an example."""
    with pytest.raises(InvalidRequest) as missing:
        DOOR.ask(HEAD, b'{"model": "m"}')
    assert (missing.value.param, missing.value.code) == ("input", "missing_required_parameter")
    with pytest.raises(InvalidRequest, match="text-embedding"):
        DOOR.ask(HEAD, b"")
