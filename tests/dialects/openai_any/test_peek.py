"""The model a request names, read from a beginning that may be cut anywhere."""

from __future__ import annotations

import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatgpt_to_api.dialects.openai_any.peek import PEEK, model_of

JSON = b"application/json"
FORM = b"multipart/form-data; boundary=xyz"
JSONS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=8,
)


@given(
    st.dictionaries(st.text(max_size=6).filter(lambda key: key != "model"), JSONS, max_size=3),
    st.text(min_size=1, max_size=20).filter(lambda name: name.isprintable()),
    st.dictionaries(st.text(max_size=6).filter(lambda key: key != "model"), JSONS, max_size=3),
)
def test_the_top_of_any_object(before: dict[str, object], name: str, after: object) -> None:
    """Whatever stands around it, and however much of what follows is missing."""
    whole = json.dumps({**before, "model": name, "after": after}).encode()
    assert model_of(JSON, b"", whole) == name
    upto = len(json.dumps({**before, "model": name})) - 1
    assert model_of(JSON, b"", whole[:upto]) == name
    assert model_of(JSON, b"", whole[: upto - 1]) == ""


@pytest.mark.parametrize(
    "body",
    [
        b'{"input": {"model": "inner"}}',
        b'{"a": "model", "b": "x"}',
        b'{"model": 1, "x": "y"}',
        b'{"model": {"id": "x"}, "y": "z"}',
        b'["model", "x"]',
        b"",
        b"model=x",
    ],
)
def test_what_is_not_at_the_top_is_no_model(body: bytes) -> None:
    """Nor is anything but a string."""
    assert model_of(JSON, b"", body) == ""


def part(name: bytes, value: bytes, more: bytes = b"") -> bytes:
    return b'--xyz\r\nContent-Disposition: form-data; name="%b"%b\r\n\r\n%b\r\n' % (
        name,
        more,
        value,
    )


FILE = part(b"file", b'name="model"\r\n\r\nno', b'; filename="model.wav"\r\nContent-Type: a/b')


def test_a_forms_field() -> None:
    """Before or after a file, but whole: what is cut is not known."""
    for form in (part(b"model", b"whisper-1") + FILE, FILE + part(b"model", b"whisper-1")):
        assert model_of(FORM, b"", form + b"--xyz--\r\n") == "whisper-1"
        assert model_of(FORM.replace(b"xyz", b'"xyz"'), b"", form + b"--xyz--") == "whisper-1"
    assert model_of(FORM, b"", FILE + part(b"model", b"whisper-1")[:-4]) == ""
    assert model_of(FORM, b"", FILE + b"--xyz--\r\n") == ""
    assert model_of(b"multipart/form-data", b"", part(b"model", b"x") + b"--xyz--") == ""


def test_a_querys_model_counts_first() -> None:
    """As servers of the time before bodies had it."""
    assert model_of(JSON, b"a=1&model=gpt%2Dx", b'{"model": "other"}') == "gpt-x"
    assert model_of(JSON, b"submodel=y", b'{"model": "other"}') == "other"


@given(st.binary(max_size=300), st.sampled_from([JSON, FORM, b""]))
def test_nothing_makes_it_fail(body: bytes, kind: bytes) -> None:
    """Any bytes are some request's."""
    for beginning in (body, b"{" + body, b"--xyz\r\n" + body + b"--xyz"):
        assert isinstance(model_of(kind, b"", beginning), str)


@pytest.mark.parametrize(
    ("kind", "begun", "repeated"),
    [
        (JSON, b'{"input":"', b'\\"'),
        (JSON, b'{"model":"', b'\\"'),
        (FORM, b"--xyz\r\n", b"content-disposition:;"),
        (FORM, b"--xyz\r\ncontent-disposition: form-data; ", b"; name=model "),
        (FORM, b"--xyz\r\ncontent-disposition: form-data", b";name=model"),
    ],
)
@pytest.mark.parametrize("ended", [b"", b"\n"])
def test_no_beginning_takes_long(kind: bytes, begun: bytes, repeated: bytes, ended: bytes) -> None:
    """Strings that are cut, and heads of parts made for it, are read in linear time."""
    body = (begun + repeated * PEEK)[: PEEK - 20] + ended + b"\r\n\r\nv\r\n--xyz--"
    before = time.process_time()
    model_of(kind, b"", body)
    assert time.process_time() - before < 0.5
