"""Single fields of a JSON object, the rest byte for byte."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

from chatgpt_to_api.wire.json_object import with_defaults


def test_what_is_given_stays_and_what_lacks_is_added() -> None:
    """Null counts as not given: it asks for the default."""
    defaults = {"temperature": Raw(b"0.2"), "seed": Raw(b"7"), "user": Raw(b'"x"')}
    body = b'{"temperature": 1.50, "seed": null, "x": [1.0,  2]}'
    assert (
        with_defaults(body, defaults) == b'{"temperature":1.50,"seed":7,"x":[1.0,  2],"user":"x"}'
    )


def test_one_parameter_has_two_names() -> None:
    """A server refuses both at once."""
    assert b"max_tokens" not in with_defaults(
        b'{"max_completion_tokens":5}', {"max_tokens": Raw(b"9")}
    )
    assert with_defaults(b'{"max_tokens":null}', {"max_completion_tokens": Raw(b"9")}) == (
        b'{"max_tokens":null,"max_completion_tokens":9}'
    )


@given(
    st.dictionaries(st.text(max_size=4), st.integers() | st.text(max_size=4)),
    st.dictionaries(st.text(max_size=4), st.integers()),
)
def test_the_client_wins(given: dict[str, object], defaults: dict[str, int]) -> None:
    """It is what merging two dictionaries gives."""
    raw = {name: Raw(json.dumps(value).encode()) for name, value in defaults.items()}
    assert json.loads(with_defaults(json.dumps(given).encode(), raw)) == {**defaults, **given}
