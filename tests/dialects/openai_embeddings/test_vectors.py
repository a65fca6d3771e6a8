"""Embeddings that come from, or go to, another dialect: the two sides hold each other."""

from __future__ import annotations

import base64
import struct
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatgpt_to_api.chat.usage import Usage
from chatgpt_to_api.chat.vectors import VectorRequest, Vectors
from chatgpt_to_api.dialects.contract import Stamp, UpstreamFault
from chatgpt_to_api.dialects.openai_embeddings.door import DOOR, EmbeddingsAsked
from chatgpt_to_api.dialects.openai_embeddings.upstream import EmbeddingsUpstream
from chatgpt_to_api.errors import InvalidRequest
from chatgpt_to_api.wire.http import ReplyHead, RequestHead
from chatgpt_to_api.wire.secret import ANONYMOUS

HEAD = RequestHead("POST", "/v1/embeddings", b"", [])
GOOD = ReplyHead(200, [(b"content-type", b"application/json")])
STAMP = Stamp("id", 1700000000)
UPSTREAM = EmbeddingsUpstream("http://upstream.example/v1")

WORD = st.text(st.characters(codec="utf-8"), min_size=1, max_size=12)
NUMBER = st.floats(width=32, allow_nan=False, allow_infinity=False)
VECTORS = st.lists(st.lists(NUMBER, min_size=1, max_size=4), min_size=1, max_size=4)


def ask(**body: Any) -> EmbeddingsAsked:
    return DOOR.ask(HEAD, msgspec.json.encode({"model": "m", "input": "hi", **body}))


@given(
    texts=st.lists(WORD, min_size=1, max_size=4).map(tuple),
    size=st.none() | st.integers(1, 4096),
)
def test_what_the_upstream_encodes_the_door_decodes(
    texts: tuple[str, ...], size: int | None
) -> None:
    """Texts and the size that is wanted lose nothing on their way."""
    request = VectorRequest(model="m", texts=texts, size=size)
    call = UPSTREAM.ask_vectors(request, "m", ANONYMOUS)
    assert call.target == b"/v1/embeddings"
    assert DOOR.ask(HEAD, call.body).vectors() == request


@given(vectors=VECTORS, form=st.sampled_from(["float", "base64", None]), prompt=st.integers(1, 99))
def test_what_the_door_answers_the_upstream_reads(
    vectors: list[list[float]], form: str | None, prompt: int
) -> None:
    """Numbers as numbers, or packed as the client wanted them."""
    usage = Usage(input=prompt, source="reported")
    asked = ask(**({} if form is None else {"encoding_format": form}))
    reply = asked.answered(Vectors(vectors, usage, "served"), STAMP)
    read = UPSTREAM.read_vectors(GOOD, reply.body)
    assert isinstance(read, Vectors)
    assert (read.vectors, read.model) == (vectors, "served")
    assert read.usage is not None and read.usage.prompt == prompt


def test_vectors_come_in_the_order_of_their_texts() -> None:
    """Their indexes count, not where they stand."""
    data = [{"index": 1, "embedding": [2.0]}, {"index": 0, "embedding": [1.0]}]
    read = UPSTREAM.read_vectors(GOOD, msgspec.json.encode({"data": data}))
    assert isinstance(read, Vectors) and read.vectors == [[1.0], [2.0]]


def test_a_packed_vector_is_what_the_vendor_packs() -> None:
    """Little-endian floats of 32 bits, in base64."""
    reply = msgspec.json.decode(
        ask(encoding_format="base64").answered(Vectors([[1.0, -2.5]]), STAMP).body
    )
    packed = base64.b64decode(reply["data"][0]["embedding"])
    assert struct.unpack("<2f", packed) == (1.0, -2.5)


@pytest.mark.parametrize("embedding", ["%%%", "AAA=", None, [["x"]]])
def test_what_is_no_vector_is_a_fault(embedding: object) -> None:
    """A server that answers nonsense is not believed."""
    body = msgspec.json.encode({"data": [{"index": 0, "embedding": embedding}]})
    fault = UPSTREAM.read_vectors(GOOD, body)
    assert isinstance(fault, UpstreamFault) and fault.upstream == "count"


def test_token_ids_are_read_as_text_or_refused() -> None:
    """Other dialects take texts only."""
    asked = ask(input=[[1, 2], [3]])
    assert asked.has_tokens
    with pytest.raises(InvalidRequest, match="takes texts, no token ids"):
        asked.vectors()
    asked.read_tokens(lambda ids: "-".join(map(str, ids)))
    assert asked.vectors().texts == ("1-2", "3")
    one = ask(input=[7, 8])
    one.read_tokens(lambda ids: "+".join(map(str, ids)))
    assert one.vectors().texts == ("7+8",)

    def unknown(_: object) -> str:
        raise ValueError("9 is no token")

    with pytest.raises(InvalidRequest, match=r"input\[0\].*9 is no token"):
        ask(input=[9]).read_tokens(unknown)
