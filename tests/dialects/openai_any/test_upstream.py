"""What of a request and of a reply goes through, and what does not."""

from __future__ import annotations

import pytest

from chatgpt_to_api.dialects.openai_any.door import DOOR, endpoint_of
from chatgpt_to_api.dialects.openai_any.upstream import AnyUpstream
from chatgpt_to_api.errors import InvalidRequest, NotFound
from chatgpt_to_api.wire.http import Header, ReplyHead, RequestHead
from chatgpt_to_api.wire.secret import Access, Secret

UPSTREAM = AnyUpstream("https://h/api/v1")
OURS = Access(token=Secret("sk-ours"))


def head(path: str, *headers: Header, query: bytes = b"", method: str = "POST") -> RequestHead:
    return RequestHead(method, path, query, headers)


@pytest.mark.parametrize(
    ("path", "target", "sent"),
    [
        ("/v1/files", b"/v1/files", b"/api/v1/files"),
        ("/v1/files/", b"/v1/files/", b"/api/v1/files/"),
        ("/v1/files/a b", b"/v1/files/a%20b", b"/api/v1/files/a%20b"),
        ("/v1/x/a/b", b"/v1/x/a%2Fb", b"/api/v1/x/a%2Fb"),
        ("/v1/files/a b", b"/%761/files/a%20b", b"/api/v1/files/a%20b"),
        ("/v1/files", b"http://me/v1/files", b"/api/v1/files"),
    ],
)
def test_the_path_stands_behind_the_servers_own(path: str, target: bytes, sent: bytes) -> None:
    """As the client spelled it, its query too."""
    request = UPSTREAM.request(head(path, query=b"a=%20"), target + b"?a=%20", OURS, b"")
    assert request.target == sent + b"?a=%20"


def test_a_query_of_the_servers_own_stays() -> None:
    """Some servers want a version of theirs with every call; the client's query follows it."""
    server = AnyUpstream("https://h/api/v1/?api-version=1")
    sent = [
        server.request(head("/v1/files", query=query), b"/v1/files", OURS, b"").target
        for query in (b"", b"a=1")
    ]
    assert sent == [b"/api/v1/files?api-version=1", b"/api/v1/files?api-version=1&a=1"]


def test_a_key_in_a_query_stays_here() -> None:
    """Clients of Gemini show a key of the gateway's so; their paths may come here by mistake."""
    sent = [
        UPSTREAM.request(head("/v1/files", query=query), b"/v1/files", OURS, b"").target
        for query in (b"key=theirs", b"a=1&key=theirs&b=key=2", b"monkey=1")
    ]
    assert sent == [b"/api/v1/files", b"/api/v1/files?a=1&b=key=2", b"/api/v1/files?monkey=1"]


def test_credentials_are_swapped_and_the_hop_stays_here() -> None:
    """Of the client, nothing goes on that says who or where it is, or who pays."""
    given: list[Header] = [
        (b"authorization", b"Bearer theirs"),
        (b"x-api-key", b"theirs"),
        (b"x-admin-authorization", b"Bearer the password"),
        (b"openai-organization", b"org-theirs"),
        (b"cookie", b"a=b"),
        (b"host", b"me"),
        (b"connection", b"close, X-Private"),
        (b"x-private", b"1"),
        (b"transfer-encoding", b"chunked"),
        (b"x-forwarded-for", b"10.0.0.1"),
        (b"sec-fetch-site", b"none"),
        (b"accept-encoding", b"gzip"),
        (b"content-type", b"multipart/form-data; boundary=x"),
        (b"openai-beta", b"assistants=v2"),
        (b"idempotency-key", b"k"),
        (b"range", b"bytes=0-1"),
    ]
    request = UPSTREAM.request(head("/v1/files", *given), b"/v1/files", OURS, b"body")
    assert list(request.headers) == [
        (b"authorization", b"Bearer sk-ours"),
        (b"content-type", b"multipart/form-data; boundary=x"),
        (b"openai-beta", b"assistants=v2"),
        (b"idempotency-key", b"k"),
        (b"range", b"bytes=0-1"),
    ]
    assert request.body == b"body"


def test_a_reply_keeps_what_is_for_the_client() -> None:
    """The upstream's cookies and the rules for its host are not."""
    kept = [(b"content-type", b"audio/mpeg"), (b"content-length", b"3"), (b"openai-version", b"x")]
    gone = [
        (b"set-cookie", b"s=1"),
        (b"connection", b"keep-alive"),
        (b"alt-svc", b"h3"),
        (b"access-control-allow-origin", b"*"),
    ]
    assert list(UPSTREAM.reply_headers(ReplyHead(200, [*gone, *kept]))) == kept


@pytest.mark.parametrize(
    "path", ["/v1/../admin", "/v1/files/../../x", "/v1/.", "/v1/files\\..\\..\\x", "/v1/a/.."]
)
def test_a_path_cannot_step_out(path: str) -> None:
    """The credential is for what stands under the base URL."""
    with pytest.raises(NotFound, match=r"'\.' and '\.\.'"):
        endpoint_of(head(path))


def test_the_endpoint_is_the_first_part_of_the_path() -> None:
    """What stands under an endpoint with a door of its own is another one."""
    assert endpoint_of(head("/v1/audio/speech")) == "audio"
    assert endpoint_of(head("/v1/files")) == "files"
    assert endpoint_of(head("/v1/chat/completions/id")) == "chat/…"
    assert endpoint_of(head("/v1/models/x", method="DELETE")) == "models/…"


def test_websockets_are_refused_at_once() -> None:
    """They come as a request whose offer to change the protocol was passed over."""
    with pytest.raises(InvalidRequest) as refused:
        endpoint_of(head("/v1/realtime", (b"sec-websocket-key", b"x"), method="GET"))
    assert refused.value.code == "websocket_unsupported"


def test_what_is_kept_upstream_binds_a_caller_to_a_credential() -> None:
    """Files of one key's account are not there for another's; speech is made by any."""
    assert DOOR.ask(head("/v1/files"), b"").affinity
    assert (
        DOOR.ask(head("/v1/batches/b"), b"").affinity == DOOR.ask(head("/v1/files"), b"").affinity
    )
    assert not DOOR.ask(head("/v1/audio/speech"), b"").affinity
