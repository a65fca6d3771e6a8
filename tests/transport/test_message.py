"""Heads of requests: what goes out, and what is refused before it does."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatgpt_to_api.transport.message import HeadWriter
from chatgpt_to_api.wire.http import Header, HttpRequest, Origin

ORIGIN = Origin("http", "h", 80)
SITE = HeadWriter(b"", b"host: h\r\n")


def head(
    *headers: Header, method: bytes = b"GET", target: bytes = b"/", body: bytes = b""
) -> bytes:
    return SITE.write(HttpRequest(method, ORIGIN, target, headers, body))


def test_a_head_is_its_parts_in_order() -> None:
    """Request line, host, the caller's headers as they are, then what the transport adds."""
    assert head((b"X-One", b"1"), (b"x-two", b" 2 "), method=b"POST", body=b"abc") == (
        b"POST / HTTP/1.1\r\nhost: h\r\nX-One: 1\r\nx-two:  2 \r\n"
        b"content-length: 3\r\naccept-encoding: identity\r\n\r\n"
    )


def test_a_length_stands_where_a_body_is_or_is_expected() -> None:
    """An empty POST says so; a GET without a body says nothing."""
    assert b"content-length: 0\r\n" in head(method=b"POST")
    assert b"content-length: 1\r\n" in head(method=b"DELETE", body=b"x")
    assert b"content-length" not in head()


@pytest.mark.parametrize("name", [b"accept-encoding", b"Accept-Encoding"])
def test_identity_is_asked_for_only_where_the_caller_says_nothing(name: bytes) -> None:
    """A caller's own accept-encoding is kept as it is and not doubled."""
    assert head((name, b"gzip"), (b"x", b"y")).lower().count(b"accept-encoding") == 1
    assert b"identity" not in head((name, b"gzip"), (name, b"deflate"))


def test_a_site_behind_an_http_proxy_writes_absolute_targets() -> None:
    """The origin stands before the target, and the site's own lines after the request line."""
    writer = HeadWriter(b"http://h", b"host: h\r\nproxy-authorization: Basic eA==\r\n")
    written = writer.write(HttpRequest(b"GET", ORIGIN, b"/x?y", ()))
    assert written.startswith(
        b"GET http://h/x?y HTTP/1.1\r\nhost: h\r\nproxy-authorization: Basic eA==\r\n"
    )


@pytest.mark.parametrize(
    "name",
    [b"host", b"Content-Length", b"transfer-encoding", b"connection", b"Proxy-Authorization"],
)
def test_headers_that_are_the_transports_own_are_refused(name: bytes) -> None:
    """What decides where a message ends cannot come from outside, in any spelling."""
    with pytest.raises(ValueError, match="is set by the transport"):
        head((b"x", b"y"), (name, b"1"))


@pytest.mark.parametrize("name", [b"", b"a b", b"a:b", b"a\r\nb", b"a\n", "ü".encode(), b"a\0"])
def test_a_header_name_is_a_token(name: bytes) -> None:
    """A name that ends early or starts another line is refused, behind a good one too."""
    with pytest.raises(ValueError, match="not a token"):
        head((b"accept-encoding", b"gzip"), (name, b"1"))


@pytest.mark.parametrize("value", [b"a\r\nx: y", b"a\nb", b"a\rb", b"\n", b"a\0b"])
def test_a_value_is_one_line(value: bytes) -> None:
    """A value with a line break or NUL is refused without being shown."""
    with pytest.raises(ValueError, match="line break or NUL") as caught:
        head((b"authorization", b"s3cret" + value))
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize(
    "target",
    [b"", b"x", b"http://h/", b"/a b", b"/a\r\nb", b"/a\0", "/ü".encode(), b"/a\x7f", b"*"],
)
def test_a_target_is_a_path_of_visible_ascii(target: bytes) -> None:
    """Anything else could make another request of it."""
    with pytest.raises(ValueError, match="target"):
        head(target=target)


@pytest.mark.parametrize("method", [b"", b"GET /x", b"GET\r\n", b"G\0T"])
def test_a_method_is_a_token(method: bytes) -> None:
    """A method with a space or line break is refused."""
    with pytest.raises(ValueError, match="method"):
        head(method=method)


FIELD = st.tuples(st.binary(max_size=6), st.binary(max_size=12))


@given(
    method=st.binary(max_size=6),
    target=st.binary(max_size=8).map(lambda rest: b"/" + rest),
    headers=st.lists(FIELD, max_size=4),
    body=st.binary(max_size=3),
)
def test_a_head_is_always_exactly_one_head(
    method: bytes, target: bytes, headers: list[Header], body: bytes
) -> None:
    """Whatever comes in, what goes out has one empty line, at its end, and one line a header."""
    try:
        written = SITE.write(HttpRequest(method, ORIGIN, target, headers, body))
    except ValueError:
        return
    lines = written.split(b"\r\n")
    assert lines[-2:] == [b"", b""]
    assert all(line and b"\r" not in line and b"\n" not in line for line in lines[:-2])
    assert lines[2 : 2 + len(headers)] == [b"%b: %b" % field for field in headers]


def test_many_different_targets_and_names_do_not_grow_the_caches() -> None:
    """What is remembered of targets and names is bounded."""
    writer = HeadWriter(b"", b"host: h\r\n")
    for i in range(3000):
        request = HttpRequest(b"GET", ORIGIN, b"/%d" % i, ((b"x-%d" % i, b"y"),))
        assert b"x-%d: y\r\n" % i in writer.write(request)
    assert len(writer._first_lines) <= 1000


@pytest.mark.parametrize(
    ("length", "line"),
    [(0, b"content-length: 0"), (7, b"content-length: 7"), (None, b"transfer-encoding: chunked")],
)
def test_a_body_sent_later_is_framed_in_the_head(length: int | None, line: bytes) -> None:
    """Whatever the method, and once; what a header's value looks like changes nothing."""
    for method in (b"POST", b"GET"):
        written = SITE.write_before_body(
            HttpRequest(method, ORIGIN, b"/", [(b"x-content-length", b"0")]), length
        )
        assert written.count(b"\r\n%b\r\n" % line) == 1
        assert written.endswith(b"\r\n\r\n")
        assert written.count(b"\r\n") == 6
        assert b"x-content-length: 0\r\n" in written
