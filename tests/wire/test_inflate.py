"""Compressed bodies, decoded piece by piece and never much at once."""

from __future__ import annotations

import gzip
import time
import zlib
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatgpt_to_api.wire.inflate import Inflater

TEXT = b"data: some text that repeats, some text that repeats\n\n" * 40

FORMS = {
    "gzip": (b"gzip", gzip.compress(TEXT)),
    "x-gzip": (b"x-gzip", gzip.compress(TEXT)),
    "gzip, two members": (b"gzip", gzip.compress(TEXT[:100]) + gzip.compress(TEXT[100:])),
    "gzip, padded": (b"gzip", gzip.compress(TEXT) + b"\0" * 20),
    "gzip, rubbish behind": (b"gzip", gzip.compress(TEXT) + b"rubbish"),
    "deflate": (b"deflate", zlib.compress(TEXT)),
    "deflate without wrapper": (b"deflate", zlib.compress(TEXT, wbits=-15)),
    "deflate, rubbish behind": (b"deflate", zlib.compress(TEXT) + b"rubbish"),
}


def decode(coding: bytes, pieces: list[bytes], limit: int = 1 << 20) -> tuple[bytes, bool]:
    inflater = Inflater(coding)
    out = []
    for piece in pieces:
        inflater.put(piece)
        while data := inflater.take(limit):
            assert len(data) <= limit
            out.append(data)
    return b"".join(out), inflater.cut


@pytest.mark.parametrize("form", FORMS)
@given(data=st.data())
def test_any_chunking_and_any_limit_give_the_same_text(form: str, data: st.DataObject) -> None:
    """However the compressed bytes are cut and however little is taken at once."""
    coding, raw = FORMS[form]
    cuts = data.draw(st.sets(st.integers(0, len(raw)), max_size=20))
    limit = data.draw(st.integers(1, 5000))
    pieces = [raw[a:b] for a, b in pairwise([0, *sorted(cuts), len(raw)])]
    assert decode(coding, pieces, limit) == (TEXT, False)


@pytest.mark.parametrize("form", ["gzip", "deflate", "deflate without wrapper"])
def test_a_cut_body_is_known_to_be_cut(form: str) -> None:
    """Wherever the compressed bytes stop short of their end, ``cut`` says so."""
    coding, raw = FORMS[form]
    for length in range(1, len(raw)):
        assert decode(coding, [raw[:length]])[1], length
    assert decode(coding, [])[1] is False


def test_a_second_member_that_is_cut_is_known_too() -> None:
    """The end of one gzip member is not the end while another has begun."""
    raw = gzip.compress(TEXT) * 2
    assert decode(b"gzip", [raw[:-4]])[1]


def test_a_bomb_comes_out_in_bounded_pieces() -> None:
    """A few bytes that stand for many megabytes never make more than the limit at once."""
    inflater = Inflater(b"gzip")
    inflater.put(gzip.compress(b"\0" * 50_000_000))
    total = 0
    while data := inflater.take(65536):
        assert len(data) <= 65536
        total += len(data)
    assert total == 50_000_000


@pytest.mark.parametrize("coding", [b"gzip", b"deflate"])
@given(raw=st.binary(min_size=1, max_size=60))
def test_any_bytes_give_text_or_a_value_error(coding: bytes, raw: bytes) -> None:
    """What is not in the coding is a ValueError, never a crash of the decoder's own kind."""
    try:
        text, cut = decode(coding, [raw])
    except ValueError:
        return
    assert cut or len(raw) > len(text) // 2000


@pytest.mark.parametrize("text", [b"", b"a"])
def test_members_that_hold_nothing_are_not_gone_through_for_ever(text: bytes) -> None:
    """Each costs a decoder of its own: a body of the allowed size could keep a core for an hour."""
    before = time.process_time()
    with pytest.raises(ValueError, match="too many parts"):
        decode(b"gzip", [gzip.compress(text) * 200_000])
    assert time.process_time() - before < 2


def test_a_writer_may_begin_a_member_for_each_event() -> None:
    """However many there are, they are read in linear time."""
    event = b"data: " + b"x" * 200
    before = time.process_time()
    assert decode(b"gzip", [gzip.compress(event) * 20_000], 1 << 24) == (event * 20_000, False)
    assert time.process_time() - before < 2
